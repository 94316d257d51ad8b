"""Scales in integers, against exact fractions."""
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.hardware.scaling import divide, rounded_scale, scale_value, scaled
from refquant.integers import Stochastic
from refquant.integers.rounding import MODES
from refquant.scalar.rounding import round_fraction, stochastic_fraction

int64s = st.integers(-2**62, 2**62) | st.integers(-300, 300)


@given(int64s, st.integers(0, 2**31 - 1), st.integers(31, 63), st.sampled_from(sorted(MODES)))
def test_scaled_is_the_exact_quotient_rounded_once(v, multiplier, shift, mode):
    assert scaled(v, multiplier, shift, mode) == round_fraction(Fraction(v * multiplier, 1 << shift), mode)


@given(int64s, st.integers(2**30, 2**31 - 1), st.integers(31, 62), st.integers(0, 2**16 - 1))
def test_scaled_rounds_by_random_bits_however_wide_the_product(v, multiplier, shift, r):
    found = scaled(np.array([v]), multiplier, shift, Stochastic(np.array([r]), 16))
    assert found == stochastic_fraction(Fraction(v * multiplier, 1 << shift), r, 16)


def test_scaled_broadcasts():
    found = scaled(np.array([[3, 5], [-3, -5]]), np.array([1, 2]), np.array([[1], [2]]))
    assert found.tolist() == [[2, 5], [-1, -2]]
    wide = scaled(np.array([[2**60, 5], [-(2**60), -5]]), np.array([2**20, 2]), np.array([[31], [32]]))
    assert wide.tolist() == [[2**49, 0], [-(2**48), 0]]


def test_a_result_outside_int64_is_an_error():
    with pytest.raises(OverflowError):
        scaled(2**62, 2**31 - 1, 1)


@pytest.mark.parametrize("mode", MODES)
def test_divide_every_small_quotient(mode):
    a, b = np.meshgrid(np.arange(-40, 41), np.arange(1, 20))
    expected = [[round_fraction(Fraction(int(p), int(q)), mode) for p, q in zip(*rows, strict=True)]
                for rows in zip(a, b, strict=True)]
    assert divide(a, b, mode).tolist() == expected


@pytest.mark.parametrize("b", [0, -1, 2**62])
def test_divisors_outside_are_refused(b):
    with pytest.raises(ValueError, match="expected 1 to"):
        divide(np.array([1, 2]), np.array([3, b]))


def test_a_rounded_scale_has_31_bits_and_is_the_closest():
    draw = random.Random(1)
    for _ in range(3000):
        scale = Fraction(draw.randint(1, 1 << draw.randint(1, 90)), draw.randint(1, 1 << draw.randint(1, 90)) << 61)
        multiplier, shift = rounded_scale(scale)
        assert 1 << 30 <= multiplier < 1 << 31
        assert abs(scale_value((multiplier, shift)) - scale) * 2 <= Fraction(2) ** -shift
    assert rounded_scale(Fraction(2**32 - 1, 2**32)) == (1 << 30, 30)  # rounds up to the next power of two
    assert scale_value(rounded_scale(Fraction(1, 2**80))) == Fraction(1, 2**80)


@pytest.mark.parametrize("scale", [0, -1])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match="expected a positive number"):
        rounded_scale(Fraction(scale))
