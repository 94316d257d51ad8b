"""N2UQ's integers: by hand, sums against derivatives of the expected level, every filter of small formats."""
from fractions import Fraction
from itertools import pairwise, product

import pytest

from refquant.scalar.n2uq import (
    code,
    input_gradient,
    magnitude,
    output_scale_gradient,
    parameter_gradients,
    segment,
    sums,
    weight_codes,
    weight_scale,
)
from refquant.scalar.rounding import round_fraction
from refquant.scalar.scaling import ratio

BOUNDS, THRESHOLDS = [-2, 0, 4, 5], [-1, 2, 5]
ACCS = list(range(-4, 8))
REACHED = ("at_or_above", "above")


class Dual:
    """A number and its derivative, both exact."""

    def __init__(self, value, slope=0):
        self.value, self.slope = Fraction(value), Fraction(slope)

    def __add__(self, other):
        return Dual(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other):
        return Dual(self.value - other.value, self.slope - other.slope)

    def __truediv__(self, other):
        quotient = self.value / other.value
        return Dual(quotient, (self.slope - quotient * other.slope) / other.value)


def expected_slope(acc, start, lengths, side):
    """The derivative of E(acc) = sum of clip((acc - d) / length, 0, 1), numbers Dual.

    The branch of each clip is taken a little to the `side` (1 or -1) of acc.
    """
    total, d = Dual(0), start
    for length in lengths:
        u = (acc - d) / length
        nudged = u.value + Fraction(side, 10**6)
        if 0 < nudged < 1:
            total = total + u
        elif nudged > 1:
            total = total + Dual(1)
        d = d + length
    return total.slope


def brute_force(gs, accs, bounds, reached):
    """Derivatives of sum g E(c acc) by every length, by the start and by c, as Fractions; and those by each acc."""
    side = 1 if reached == "at_or_above" else -1
    lengths = [b - a for a, b in pairwise(bounds)]

    def by(vary_length=None, vary_start=0, relative=0, vary_acc=0):
        slopes = [expected_slope(Dual(acc, relative * acc + vary_acc), Dual(bounds[0], vary_start),
                                 [Dual(length, k == vary_length) for k, length in enumerate(lengths)], side)
                  for acc in accs]
        return [g * slope for g, slope in zip(gs, slopes, strict=True)]

    return [sum(by(vary_length=k)) for k in range(len(lengths))], sum(by(vary_start=1)), sum(by(relative=1)), by(vary_acc=1)


def test_codes_and_segments_by_hand():
    #                                                                   -4 -3 -2 -1  0  1  2  3  4  5  6  7
    assert [code(acc, THRESHOLDS, "at_or_above") for acc in ACCS] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [code(acc, THRESHOLDS, "above") for acc in ACCS] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert [segment(acc, BOUNDS, "at_or_above") for acc in ACCS] == [0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 4]
    assert [segment(acc, BOUNDS, "above") for acc in ACCS] == [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4]
    assert code(3, [3, 3, 3], "at_or_above") == 3 and code(3, [3, 3, 3], "above") == 0


def test_sums_by_hand():
    gs = list(range(1, 13))  # acc -4 ... 7
    assert sums(gs, ACCS, BOUNDS, "at_or_above") == ([3 + 4, 5 + 6 + 7 + 8, 9], [4 * 1, 6 * 1 + 7 * 2 + 8 * 3, 0])
    assert sums(gs, ACCS, BOUNDS, "above") == ([4 + 5, 6 + 7 + 8 + 9, 10], [4 * 1 + 5 * 2, 6 + 14 + 24 + 36, 10])


def test_parameter_gradients_by_hand():
    # P / L = 7/2, 26/4, 9; M / L^2 = 4/4, 44/16, 0
    da, dstart, dscale1 = parameter_gradients([7, 26, 9], [4, 44, 0], BOUNDS, 2)
    assert da == [-(4 + 26 + 36), -(11 + 36), 0]
    assert dstart == -(14 + 26 + 36)
    # (M + d P) / L: (4 - 14) / 2, 44 / 4, (0 + 36) / 1
    assert dscale1 == 4 * (-5 + 11 + 36)
    # one rounding at the end, half to even: 1/3 + 1/6 is a tie that parts would miss
    assert parameter_gradients([1, 0], [0, 0], [0, 2, 8], 0) == ([0, 0], 0, 0)
    assert parameter_gradients([1, 1], [0, 0], [0, 3, 9], 0)[1] == 0 and parameter_gradients([3, 0], [0, 0], [0, 2, 3], 0)[1] == -2


@pytest.mark.parametrize("reached", REACHED)
def test_sums_are_the_derivative_of_the_expected_level(reached):
    fraction_bits = 20
    for bounds in (BOUNDS, [-7, -3, -2, 6], [0, 5], [-9, -8, -7, -1, 0, 3, 4, 10]):
        accs = list(range(-12, 13))
        for seed in range(4):
            gs = [(acc * acc * (seed + 3) + 29 * acc * seed + 5 * seed) % 41 - 20 for acc in accs]
            da, dstart, dscale1, by_acc = brute_force(gs, accs, bounds, reached)
            found = parameter_gradients(*sums(gs, accs, bounds, reached), bounds, fraction_bits)
            expected = [round_fraction(value * 2**fraction_bits, "half_even") for value in (*da, dstart, dscale1)]
            assert [*found[0], found[1], found[2]] == expected
            scales = [ratio(Fraction(2**10, b - a)) for a, b in pairwise(bounds)]
            dx = [input_gradient(g, acc, bounds, *zip(*scales, strict=True), reached=reached, dx_format="s32",
                                 rounding="half_even") for g, acc in zip(gs, accs, strict=True)]
            assert dx == [round(slope * 2**10) for slope in by_acc]


def test_input_gradient_by_hand():
    multipliers, shifts = [1, 3, 5], [1, 1, 1]
    how = {"reached": "at_or_above", "dx_format": "s4", "rounding": "half_even"}
    assert [input_gradient(3, acc, BOUNDS, multipliers, shifts, **how) for acc in (-3, -2, 0, 4, 5)] == [0, 2, 4, 7, 0]
    assert input_gradient(-9, 4, BOUNDS, multipliers, shifts, **how) == -8
    assert input_gradient(-9, 4, BOUNDS, multipliers, shifts, **{**how, "dx_format": "s4n"}) == -7


def test_output_scale_gradient():
    assert output_scale_gradient([2, 3, 5], [-9, 2, 9], THRESHOLDS, "at_or_above") == 3 * 2 + 5 * 3
    assert output_scale_gradient([2, 3, 5], [-9, 2, 9], THRESHOLDS, "above") == 3 * 1 + 5 * 3


def real_index(w, values, bits, rounding):
    """round((clip(w / sf, -1, 1) + 1) K / 2) of the paper, in Fractions."""
    top = (1 << bits) - 1
    factor = Fraction(top, 1 << bits - 1) * Fraction(sum(map(abs, values)), len(values)) or Fraction(1)
    return round_fraction((min(max(w / factor, -1), 1) + 1) * Fraction(top, 2), rounding)


@pytest.mark.parametrize("rounding", ["half_even", "half_away", "half_down", "floor", "ceil"])
def test_every_filter_of_small_formats(rounding):
    for size, width in ((1, 5), (2, 4), (3, 3)):
        for values in product(range(-(1 << width - 1), 1 << width - 1), repeat=size):
            assert magnitude(values) == sum(map(abs, values))
            for bits in (2, 4):
                top = (1 << bits) - 1
                expected = [2 * real_index(w, values, bits, rounding) - top for w in values]
                assert weight_codes(list(values), bits, rounding) == expected


def test_weights_by_hand():
    # bits 2, M = 8, N = 4: (8 w + 24) / 16
    assert weight_codes([-4, 1, 3, 0], 2, "half_even") == [-3, 1, 3, 1]  # -.5, 2, 3, 1.5
    assert weight_codes([-4, 1, 3, 0], 2, "half_down") == [-3, 1, 3, -1]
    assert weight_codes([-7, 1, 0, 0], 2, "half_even") == [-3, 1, 1, 1]  # -2 clips
    assert weight_codes([0, 0], 2, "half_even") == [1, 1] and weight_codes([0], 2, "floor") == [-1]
    assert weight_scale([-4, 1, 3, 0], 2, "paper") == ratio(Fraction(1, 3))
    assert weight_scale([-4, 1, 3, 0], 2, "authors") == (1 << 30, 30)  # mean |w| / 2 = 1
    assert weight_scale([0, 0], 2, "authors") == ratio(Fraction(1, 3))


def test_errors():
    with pytest.raises(ValueError, match=r"'below'.*at_or_above, above"):
        code(1, THRESHOLDS, "below")
    with pytest.raises(ValueError, match="do not rise"):
        sums([1], [1], [0, 0, 1], "above")
    with pytest.raises(ValueError, match="do not rise"):
        parameter_gradients([1, 1], [0, 0], [0, 2, 1], 4)
    with pytest.raises(ValueError):
        sums([1, 2], [1], BOUNDS, "above")
    with pytest.raises(ValueError):
        output_scale_gradient([1], [1, 2], THRESHOLDS, "above")
    with pytest.raises(ValueError, match="'theirs'"):
        weight_scale([1], 2, "theirs")


def test_notes():
    lines = []
    segment(4, BOUNDS, "at_or_above", note=lines.append)
    segment(5, BOUNDS, "at_or_above", note=lines.append)
    code(4, THRESHOLDS, "above", note=lines.append)
    sums([3, 4], [-1, 4], BOUNDS, "at_or_above", note=lines.append)
    assert lines == ["acc 4 lies in segment 3, 4 ... 5 (at_or_above)", "acc 5 lies in no segment (at_or_above)",
                     "acc 4 reaches 2 of the thresholds [-1, 2, 5] (above)", "segment 1, from -2: sum of g 3, moment 3",
                     "segment 2, from 0: sum of g 0, moment 0", "segment 3, from 4: sum of g 4, moment 0"]
