"""N2UQ's weights in integers: every filter of small formats, against rational numbers and the real quantizer."""
import itertools
from fractions import Fraction

import numpy as np
import pytest

from refquant.hardware.n2uq_weight import weight
from refquant.integers import IntFormat
from refquant.quantizers.n2uq import n2uq_weight
from refquant.scalar.rounding import round_fraction

ROUNDINGS = ("half_even", "half_away", "half_up", "half_down", "half_zero", "floor", "ceil", "trunc", "away", "odd")


def filters(bits, count):
    """Every filter of ``count`` weights of s<bits>."""
    return np.array(list(itertools.product(every(bits), repeat=count)))


def every(bits):
    return range(-(1 << bits - 1), 1 << bits - 1)


def exact(w, bits, rounding):
    """Codes by the paper's own equations, in rational numbers."""
    levels = (1 << bits) - 1
    factor = Fraction(levels, 1 << bits - 1) * Fraction(sum(map(abs, w)), len(w)) or Fraction(1)
    clipped = [min(max(v / factor, Fraction(-1)), Fraction(1)) for v in w]
    return [2 * round_fraction((u + 1) * levels / 2, rounding) - levels for u in clipped]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_small_filter_has_the_codes_of_the_papers_equations(rounding):
    for count, bits in ((1, 8), (2, 2), (2, 3), (2, 4), (3, 3)):
        w = filters(4 if count < 3 else 3, count)
        codes = weight(w, bits=bits, rounding=rounding).codes
        assert codes.dtype == IntFormat(bits + 1).dtype
        assert codes.tolist() == [exact(row, bits, rounding) for row in w.tolist()]


@pytest.mark.parametrize("rounding", ["half_even", "half_away", "floor", "odd"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_every_small_filter_has_the_real_quantizers_codes(bits, rounding):
    """They differ only where the exact quotient is one at which the rounding jumps, and float64's w / sf is not exact."""
    for width, count in ((9, 1), (6, 2), (4, 3)):
        w = filters(width, count)
        ours, real = weight(w, bits=bits, rounding=rounding).codes, n2uq_weight(w, bits=bits, rounding=rounding).codes
        magnitude = np.maximum(np.abs(w).sum(1, keepdims=True), 1)
        remainder = (w * (count << bits - 1) + ((1 << bits) - 1) * magnitude) % (2 * magnitude)
        jumps = remainder == (magnitude if rounding.startswith("half") else 0)
        assert (jumps | (ours == real)).all() and (ours != real).mean() < 0.06


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_scales_are_the_real_quantizers(bits):
    w = filters(5, 2)
    for variant in ("paper", "authors"):
        found, real = weight(w, bits=bits, variant=variant), n2uq_weight(w, bits=bits, variant=variant)
        values = found.multiplier.astype(np.float64) * 2.0 ** -found.shift.astype(np.int64)
        np.testing.assert_allclose(values, np.broadcast_to(real.scale, len(w)), rtol=2.0**-31)
        assert found.multiplier.dtype == np.int32 and found.shift.dtype == np.uint8
        assert (found.multiplier >= 2**30).all()


@pytest.mark.parametrize("bits", range(2, 9))
def test_uniform_weights_use_every_level_equally(bits):
    """What the factor is for: 2^n levels of 512 / 2^n weights each."""
    w = np.arange(-511, 512, 2)[None]
    levels, counts = np.unique(weight(w, bits=bits).codes, return_counts=True)
    assert levels.tolist() == list(range(1 - 2**bits, 2**bits, 2)) and set(counts.tolist()) == {512 >> bits}


def test_filters_stand_alone_and_shapes_stay():
    w = np.random.default_rng(3).integers(-2000, 2000, (4, 3, 2, 2))
    w[2] = 0
    whole = weight(w, bits=3, variant="authors")
    assert whole.codes.shape == w.shape and whole.magnitude.tolist() == [int(np.abs(f).sum()) for f in w]
    for o in range(4):
        alone = weight(w[o:o + 1], bits=3, variant="authors")
        assert (alone.codes == whole.codes[o]).all() and (alone.multiplier, alone.shift) == (whole.multiplier[o], whole.shift[o])


def test_a_filter_of_zeros_is_between_two_levels_and_has_the_scale_of_the_paper():
    for bits in range(2, 9):
        found = weight(np.zeros((1, 3), np.int8), bits=bits, variant="authors")
        assert set(found.codes.reshape(-1).tolist()) == {1}  # K / 2 is half of an odd number: half_even goes up
        assert set(weight([[0]], bits=bits, rounding="floor").codes.reshape(-1).tolist()) == {-1}
        assert (found.multiplier[0], found.shift[0]) == tuple(x[0] for x in weight([[5]], bits=bits)[1:3])


@pytest.mark.parametrize("w, bits, message", [
    ([1, 2], 2, r"w has shape \(2,\): expected \[out, ...\]"),
    (np.zeros((2, 0), int), 2, "with a weight at least"),
    (np.full((1, 70000), -2**31), 2, "expected sums of them within s48"),
    ([[1, 2]], 1, "bits = 1: expected 2 to 8"),
    ([[1, 2]], 9, "bits = 9: expected 2 to 8"),
])
def test_what_is_refused(w, bits, message):
    with pytest.raises(ValueError, match=message):
        weight(w, bits=bits)
    with pytest.raises(ValueError, match="variant = 'mine'"):
        weight([[1]], bits=2, variant="mine")
