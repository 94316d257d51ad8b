"""SAT's weights: by hand, every weight of small formats against Fractions, the scale against a sample variance."""
import math
from fractions import Fraction
from itertools import product
from statistics import variance as sample_variance

import pytest

from refquant.scalar.rounding import round_fraction
from refquant.scalar.sat import code, gradient, highest, scale, variance

ONE = 1 << 30
STEEP = [0, ONE // 2, ONE]  # a table whose tanh is 0, 1/2, 1


def tanh_table(bits, fraction_bits):
    return [round(ONE * math.tanh(j / 2**fraction_bits)) for j in range((1 << bits - 1) + 1)]


def test_codes_by_hand():
    assert highest([0, -2, 1], STEEP) == ONE and highest([0, -1], STEEP) == ONE // 2
    #  3 (t + 1) / 2 of -1, -1/2, 0, 1/2, 1 is 0, .75, 1.5, 2.25, 3
    assert [code(w, STEEP, ONE, 2, "half_even") for w in range(-2, 3)] == [-3, -1, 1, 1, 3]
    assert [code(w, STEEP, ONE, 2, "half_down") for w in range(-2, 3)] == [-3, -1, -1, 1, 3]
    assert [code(w, STEEP, ONE, 2, "floor") for w in range(-2, 3)] == [-3, -3, -1, 1, 3]
    assert [code(w, STEEP, ONE // 2, 2, "half_even") for w in (-1, 1)] == [-3, 3]


def test_gradient_by_hand():
    # slope 3/4 at 1/2, 1 at 0, 0 at 1
    assert [gradient(10, w, STEEP, ONE, "half_even") for w in (-2, -1, 0, 1, 2)] == [0, 8, 10, 8, 0]
    assert gradient(10, 1, STEEP, ONE, "half_down") == 7 and gradient(-10, 1, STEEP, ONE, "half_even") == -8
    assert gradient(10, 1, STEEP, ONE // 2, "half_even") == 15
    big = 2**31 - 1
    assert gradient(big, 0, STEEP, ONE // 2, "half_even") == big
    assert gradient(-big, 0, STEEP, ONE // 2, "half_even") == -big - 1


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_weight_of_small_formats(bits):
    """code / a = 2 q((t / T + 1) / 2) - 1 with q(u) = round(a u) / a, of the table's numbers, exactly."""
    top = (1 << bits) - 1
    for width, fraction_bits in ((4, 2), (6, 4), (7, 7)):
        table = tanh_table(width, fraction_bits)
        for largest in range(1, len(table)):
            peak = highest([largest, 0], table)
            assert peak == highest([-largest], table) == table[largest]
            for w in range(-largest, largest + 1):
                bent = Fraction(int(math.copysign(1, w)) * table[abs(w)], peak)
                q = Fraction(round_fraction(top * (bent + 1) / 2, "half_even"), top)
                assert Fraction(code(w, table, peak, bits, "half_even"), top) == 2 * q - 1


@pytest.mark.parametrize("rounding", ["half_even", "floor", "away"])
def test_every_gradient_of_a_small_format(rounding):
    """Within one of g (1 - t^2) / T, the floor of t^2 making the slope 2^-30 too large at most."""
    table = tanh_table(6, 3)
    for peak in table[1:]:
        for w in range(-31, 32):
            bent = Fraction(table[abs(w)], ONE)
            for g in (-1000, -3, 1, 77777):
                exact = g * (1 - bent**2) * ONE / peak
                excess = abs(Fraction(g, peak))
                low, high = sorted((exact, exact + (1 if g > 0 else -1) * excess))
                answer = gradient(g, w, table, peak, rounding)
                assert round_fraction(low, rounding) <= answer <= round_fraction(high, rounding)
                assert answer == gradient(g, -w, table, peak, rounding)


def test_variance_is_the_sample_variance():
    for codes in product((-3, -1, 1, 3), repeat=4):
        assert variance(list(codes)) == 4 * 3 * sample_variance(map(Fraction, codes))
    assert variance([5]) == 0


def test_constant_scale_is_the_root():
    """s / a with s = 1 / sqrt(outputs VAR[Q]), Q = code / a: its square by Fractions, rounded down in the last bit."""
    for bits, a in ((2, 3), (4, 15)):
        values = range(-a, a + 1, 2)
        for k, codes in enumerate(product(values, repeat=3)):
            if len(set(codes)) == 1:
                continue
            outputs = k % 70 + 1
            squared = 1 / (outputs * sample_variance([Fraction(c, a) for c in codes])) / a**2
            multiplier, shift = scale(list(codes), outputs, bits, "constant")
            assert 1 << 30 <= multiplier < 1 << 31
            assert multiplier**2 <= squared * 4**shift < (multiplier + 1) ** 2


def test_scale_by_hand():
    assert scale([-1, 1], 1, 2, "constant") == (1518500249, 31)  # sqrt(2 / (1 x 4)) = 0.70710678
    assert scale([-1, 1], 2, 2, "constant") == (ONE, 31)  # 1/2, exactly
    assert scale([3, 3, -3], 1, 2, "none") == (1431655765, 32)
    assert scale([3, 3], 5, 8, "none") == scale([], 1, 8, "none") == (round(2**38 / 255), 38)


def test_errors():
    with pytest.raises(ValueError, match="0 everywhere"):
        highest([0, 0], STEEP)
    with pytest.raises(ValueError, match="all equal"):
        scale([3, 3, 3], 1, 2, "constant")
    with pytest.raises(ValueError, match="all equal"):
        scale([3], 1, 2, "constant")
    with pytest.raises(ValueError, match=r"'stddev'.*none.*constant"):
        scale([1, 3], 1, 2, "stddev")
    for w in (-3, 3):
        with pytest.raises(ValueError, match=f"w {w} outside"):
            code(w, STEEP, ONE, 2, "half_even")


def test_notes():
    lines = []
    code(-1, STEEP, ONE, 2, "half_even", note=lines.append)
    assert lines == [f"tanh of weight -1 by the table: {-ONE // 2}", f"{3 * ONE // 2} / {2 * ONE}",
                     "0.75, half_even: remainder 3 of 4 -> 1", "2 x index 1 - 3 = -1"]
    lines.clear()
    scale([-1, 1], 1, 2, "constant", note=lines.append)
    assert lines == ["2 codes, sum 0, sum of squares 2: 2 x 2 - 0^2 = 4", "scale sqrt(0.5) ~ 1518500249 / 2^31, downwards"]
