"""Crops and flips against a loop over images, pixels and the words of the scalar Philox."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar import randombits as scalar
from refquant.training.data import AUGMENTATION, crop_and_flip


def images(n, channels=2, height=5, width=4):
    """No pixel is 0, and no two of an image are equal: where each came from can be seen."""
    size = channels * height * width
    return (1 + np.arange(n * size) % 251).astype(np.uint8).reshape(n, channels, height, width)


def one_by_one(x, pad, flip, seed, step, first):
    """The same in Python integers, pixel by pixel."""
    n, _, height, width = x.shape
    out = np.zeros_like(x)
    for k in range(n):
        row, column, coin, _ = scalar.philox4x32([first + k, 0, AUGMENTATION, step], (seed % 2**32, seed >> 32))
        down, right = (row * (2 * pad + 1) >> 32) - pad, (column * (2 * pad + 1) >> 32) - pad
        for i in range(height):
            for j in range(width):
                h, w = i + down, j + right
                to = width - 1 - j if flip and coin >= 2**31 else j
                if 0 <= h < height and 0 <= w < width:
                    out[k, :, i, to] = x[k, :, h, w]
    return out


@given(st.integers(0, 6), st.integers(0, 4), st.booleans(), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1),
       st.integers(0, 9))
def test_every_image_is_shifted_and_flipped_by_its_own_words(n, pad, flip, seed, step, first):
    x = images(n)
    before = x.copy()
    got = crop_and_flip(x, pad, flip, seed, step, first)
    assert got.dtype == np.uint8 and got.shape == x.shape
    assert np.array_equal(got, one_by_one(x, pad, flip, seed, step, first))
    assert np.array_equal(x, before) and not np.shares_memory(x, got)


def test_a_batch_in_pieces_is_the_batch():
    x = images(11)
    whole = crop_and_flip(x, 2, True, 3, 4, 0)
    pieces = [crop_and_flip(x[a:b], 2, True, 3, 4, a) for a, b in ((0, 1), (1, 6), (6, 11))]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert not np.array_equal(whole, crop_and_flip(x, 2, True, 3, 5, 0))
    assert not np.array_equal(whole, crop_and_flip(x, 2, True, 2, 4, 0))


def test_nothing_to_do():
    x = images(3)
    assert np.array_equal(crop_and_flip(x, 0, False, 1, 2, 0), x)


def test_all_offsets_and_both_sides_occur_about_as_often():
    x = np.broadcast_to(images(1, 1, 8, 8), (3600, 1, 8, 8))
    shown = np.array([image[0, 3:5, 3:5].tobytes() for image in crop_and_flip(x, 1, True, 0, 0, 0)])
    kinds, counts = np.unique(shown, return_counts=True)
    assert len(kinds) == 18  # 3 rows, 3 columns, 2 sides; 200 of each expected, standard deviation 14
    assert counts.min() > 140 and counts.max() < 260


@pytest.mark.parametrize("x, pad, first, words", [
    (np.zeros((1, 1, 4, 4)), 1, 0, r"x is float64 \[1, 1, 4, 4\]: expected uint8"),
    (np.zeros((4, 4), np.uint8), 1, 0, r"x is uint8 \[4, 4\]"),
    (np.zeros((1, 1, 4, 3), np.uint8), 4, 0, "pad = 4: expected 0 to 3 for images of 4 x 3"),
    (np.zeros((1, 1, 4, 3), np.uint8), -1, 0, "pad = -1"),
    (np.zeros((1, 1, 4, 3), np.uint8), 1, -1, "first = -1"),
])
def test_what_does_not_fit_is_refused(x, pad, first, words):
    with pytest.raises(ValueError, match=words):
        crop_and_flip(x, pad, True, 0, 0, first)
