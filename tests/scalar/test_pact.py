"""PACT's integers: by hand, every accumulator of 8 bits against Fractions of the real method, alpha's gradient."""
from fractions import Fraction

import pytest

from refquant.scalar.pact import alpha_gradient, code, slope_and_error
from refquant.scalar.rounding import GOES_UP, round_fraction
from refquant.scalar.scaling import ratio

HALF = (1 << 30, 31)  # bits 2, a = 3, alpha / acc_scale = 6
S8 = range(-128, 128)


def real_u(acc, alpha):
    """clip(x, 0, alpha) / alpha, with alpha in units of the accumulator."""
    return min(max(Fraction(acc), Fraction(0)), alpha) / alpha


def test_codes_by_hand():
    answers = [code(acc, *HALF, 2, "half_even") for acc in range(-2, 9)]
    # acc / 2:                       -1 -.5 0 .5  1 1.5 2 2.5 3 3.5 4
    assert [c for c, _ in answers] == [0, 0, 0, 0, 1, 2, 2, 2, 3, 3, 3]
    assert [f for _, f in answers] == [4, 3, 0, 3, 0, 3, 0, 3, 0, 1 | 2 | 8, 8]
    assert code(1, *HALF, 2, "half_away") == (1, 3) and code(-1, *HALF, 2, "floor") == (0, 1 | 2 | 4)
    assert code(1, 1 << 29, 31, 2, "half_even") == (0, 1)


def test_errors_by_hand():
    how = {"bits": 2, "fraction_bits": 1, "rounding": "half_even"}
    answers = [slope_and_error(acc, 6, *HALF, **how) for acc in range(-1, 8)]
    #                      -1      0       1        2       3       4       5        6       7
    assert answers == [(0, 0), (0, 0), (1, -1), (1, 0), (1, 1), (1, 0), (1, -1), (0, 0), (0, 0)]
    # without fraction bits the second rounding is forward's: the error vanishes
    assert slope_and_error(3, 6, *HALF, bits=2, fraction_bits=0, rounding="half_even") == (1, 0)


def test_alpha_gradient_by_hand():
    gs, accs = [5, 7, 11, 13, 17], [-3, 1, 3, 6, 100]
    how = {"bits": 2, "fraction_bits": 1, "rounding": "half_even"}
    above = (13 + 17) * 3 * 2
    assert alpha_gradient(gs, accs, 6, *HALF, calibrated=False, **how) == above
    assert alpha_gradient(gs, accs, 6, *HALF, calibrated=True, **how) == above + 7 * -1 + 11 * 1
    assert alpha_gradient([], [], 6, *HALF, calibrated=True, **how) == 0


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("rounding", ["half_even", "half_away", "floor", "ceil", "odd"])
def test_every_accumulator_where_the_scale_is_exact(bits, rounding):
    """alpha a power of two (ties occur): nothing but the one rounding, and with F = shift an exact error."""
    top = (1 << bits) - 1
    for alpha in (4, 8, 64, 256):
        multiplier, shift = ratio(Fraction(top, alpha))
        for acc in S8:
            u = real_u(acc, Fraction(alpha))
            level = code(acc, multiplier, shift, bits, rounding)[0]
            assert level == round_fraction(top * u, rounding)
            slope, error = slope_and_error(acc, alpha, multiplier, shift, bits=bits, fraction_bits=shift,
                                           rounding=rounding)
            assert slope == (0 < acc < alpha)
            assert Fraction(error, top << shift) == (Fraction(level, top) - u) * slope


@pytest.mark.parametrize("rounding", GOES_UP)
def test_every_accumulator_where_the_scale_is_rounded(rounding):
    """The code is the real method's but on the discontinuity; the error is off by two roundings at most."""
    fraction_bits = 12
    for bits in (2, 4, 8):
        top = (1 << bits) - 1
        for alpha in (Fraction(100, 3), Fraction(355, 7), Fraction(1999, 17)):
            multiplier, shift = ratio(top / alpha)
            first_above = -(-alpha.numerator // alpha.denominator)
            for acc in S8:
                exact = top * real_u(acc, alpha)
                level = code(acc, multiplier, shift, bits, rounding)[0]
                assert level == round_fraction(exact, rounding) or (2 * exact).denominator == 1
                slope, error = slope_and_error(acc, first_above, multiplier, shift, bits=bits, rounding=rounding,
                                               fraction_bits=fraction_bits)
                assert slope == (0 < acc < alpha)
                bound = 1 + Fraction(abs(acc), 2 << shift - fraction_bits)
                assert abs(error - (level - exact) * slope * 2**fraction_bits) <= bound


def test_alpha_gradient_is_the_real_sum():
    """sum g (q(u) - u) + sum above g, exactly, where the scale is dyadic and F = shift."""
    bits, alpha, top = 4, 32, 15
    multiplier, shift = ratio(Fraction(top, alpha))
    gs = [(7 * acc * acc - 50 * acc) % 255 - 127 for acc in S8]
    slopes = [Fraction(round(top * real_u(acc, Fraction(alpha)))) / top - real_u(acc, Fraction(alpha)) for acc in S8]
    above = sum(g for g, acc in zip(gs, S8, strict=True) if acc >= alpha)
    how = {"bits": bits, "fraction_bits": shift, "rounding": "half_even"}
    plain = alpha_gradient(gs, S8, alpha, multiplier, shift, calibrated=False, **how)
    calibrated = alpha_gradient(gs, S8, alpha, multiplier, shift, calibrated=True, **how)
    assert Fraction(plain, top << shift) == above
    assert Fraction(calibrated, top << shift) == above + sum(g * s for g, s in zip(gs, slopes, strict=True))


def test_bad_input():
    for fraction_bits in (-1, 32):
        with pytest.raises(ValueError, match=f"fraction_bits {fraction_bits}"):
            slope_and_error(3, 6, *HALF, bits=2, fraction_bits=fraction_bits, rounding="half_even")
    with pytest.raises(ValueError):
        alpha_gradient([1], [1, 2], 6, *HALF, bits=2, fraction_bits=0, calibrated=False, rounding="half_even")


def test_notes():
    lines = []
    slope_and_error(3, 6, *HALF, bits=2, fraction_bits=1, rounding="half_even", note=lines.append)
    assert lines[-1] == "acc 3 lies between 0 and 6: slope 1, error 2 x 2^1 - 3 = 1"
    lines.clear()
    alpha_gradient([5, 7], [1, 6], 6, *HALF, bits=2, fraction_bits=1, calibrated=True, rounding="half_even", note=lines.append)
    assert lines == ["acc 1: g 5 x -1 = -5", "acc 6: g 7 x 6 = 42", "sum over 2 elements: 37"]
