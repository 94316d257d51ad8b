"""The two copies of a gradient: by hand, unbiased over all random bits, and every code of small formats."""
from fractions import Fraction

import pytest

from refquant.scalar.bifurcation import input_copy, weight_copy
from refquant.scalar.product import gemm_dw, gemm_dx
from refquant.scalar.rounding import GOES_UP, round_fraction


def test_input_copy_by_hand():
    # 11 x 3 / 2^4 = 2.0625 and a random number of 4 bits: up from 15/16 only
    assert [input_copy(11, 3, 4, r, 4, 8) for r in (0, 14, 15)] == [2, 2, 3]
    assert [input_copy(-11, 3, 4, r, 4, 8) for r in (0, 1, 15)] == [-3, -2, -2]
    assert input_copy(1000, 1, 3, 0, 4, 8) == 125 and input_copy(1016, 1, 3, 0, 4, 8) == 127
    assert input_copy(1023, 1, 3, 15, 4, 8) == input_copy(10**9, 1, 3, 0, 4, 8) == 127
    assert input_copy(-10**9, 1, 3, 15, 4, 8) == -128
    assert (input_copy(100, 1, 0, 0, 1, 4), input_copy(-100, 1, 0, 0, 1, 4)) == (7, -8)


def test_weight_copy_by_hand():
    assert weight_copy(5, 1, 1, "half_even") == 2 and weight_copy(5, 1, 1, "half_away") == 3
    assert weight_copy(1 << 20, 1, 4, "half_even") == 32767 and weight_copy(-1 << 20, 1, 4, "half_even") == -32768
    assert weight_copy(300, 1, 0, "floor") == 300  # 16 bits, not 8


def test_input_copy_is_unbiased():
    """Inside the range, over all n-bit numbers, the mean is g * multiplier / 2^shift wherever n bits hold its fraction."""
    for g in range(-40, 41):
        for multiplier in (1, 3, 5):
            copies = [input_copy(g, multiplier, 5, r, 5, 8) for r in range(32)]
            assert sum(copies) == g * multiplier
            assert max(copies) - min(copies) <= 1


@pytest.mark.parametrize("rounding", GOES_UP)
def test_weight_copy_is_the_rounded_fraction(rounding):
    for g in range(-200, 200, 7):
        for multiplier in (1, 301, 1000):
            real = round_fraction(Fraction(g * multiplier, 4), rounding)
            assert weight_copy(g, multiplier, 2, rounding) == min(max(real, -32768), 32767)


def test_a_layer_by_hand():
    """One row through two weights: the input gradient sees 4 bits, the weight gradient 16."""
    g, x, w = [40, -6], [[3, 5]], [[1, 2], [-1, 4]]
    g_input = [[input_copy(v, 1, 2, 0, 8, 4) for v in g]]
    g_weight = [[weight_copy(v, 1, 0, "half_even") for v in g]]
    assert g_input == [[7, -2]] and g_weight == [[40, -6]]  # 10 saturates, -1.5 goes down without random bits
    assert [gemm_dx(g_input, w, 0, k, zero_point_w=1)[0] for k in (0, 1)] == [7 * 0 - 2 * 1, 7 * -2 - 2 * 3]
    dw = [[gemm_dw(x, g_weight, k, n, zero_point_x=1, bits=48)[0] for n in (0, 1)] for k in (0, 1)]
    assert dw == [[2 * 40, 2 * -6], [4 * 40, 4 * -6]]


def test_errors():
    with pytest.raises(ValueError, match="random bits"):
        input_copy(1, 1, 1, 4, 2, 8)
    with pytest.raises(ValueError, match="None"):
        weight_copy(1, 1, 1, "stochastic")  # without random bits there is none
