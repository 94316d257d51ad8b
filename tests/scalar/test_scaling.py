"""Scaling: by hand, against Python's own arithmetic of integers, and how near a scale comes."""
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.rounding import GOES_UP, round_shift, stochastic_shift
from refquant.scalar.scaling import divide, exact_scaled, ratio, rounded_scale, scaled

positive = st.builds(lambda numerator, denominator, e: Fraction(numerator, denominator) * Fraction(2) ** e,
                     st.integers(1, 10**12), st.integers(1, 10**12), st.integers(-60, -10))


def test_scaled_by_hand():
    assert scaled(-5, 3, 1, "half_even") == -8 and scaled(-5, 3, 1, "floor") == -8 and scaled(-5, 3, 1, "trunc") == -7
    assert scaled(10, 1, 2, "half_even") == 2 and scaled(10, 1, 2, "half_away") == 3
    assert scaled(1 << 200, 5, 200, "floor") == 5
    assert scaled(7, 1, 2, "stochastic", 0, 2) == 1 and scaled(7, 1, 2, "stochastic", 1, 2) == 2
    assert exact_scaled(7, 3, 2) == Fraction(21, 4)


@pytest.mark.parametrize("rounding", GOES_UP)
def test_scaled_is_the_shift_of_the_product(rounding):
    for v in range(-20, 21):
        for multiplier in range(6):
            for shift in range(5):
                assert scaled(v, multiplier, shift, rounding) == round_shift(v * multiplier, shift, rounding)
                # past the 63 places of a plain shift: the same number with zeros below
                assert scaled(v << 100, multiplier, shift + 100, rounding) == scaled(v, multiplier, shift, rounding)


def test_stochastic_scaled_is_the_stochastic_shift():
    for v in range(-9, 10):
        for shift in range(5):
            for r in range(8):
                assert scaled(v, 3, shift, "stochastic", r, 3) == stochastic_shift(3 * v, shift, r, 3)
                assert scaled(v << 90, 3, shift + 90, "stochastic", r, 3) == stochastic_shift(3 * v, shift, r, 3)


def test_divide():
    for a in range(-60, 61):
        for b in range(1, 13):
            assert divide(a, b, "floor") == a // b and divide(a, b, "ceil") == -(-a // b)
            assert divide(a, b) == round(Fraction(a, b))
            assert divide(a, b, "half_up") == (2 * a + b) // (2 * b)
    assert divide(7, 2, "half_down") == 3 and divide(-7, 2, "half_away") == -4


@given(positive)
def test_rounded_scale_is_within_half_a_unit(q):
    multiplier, shift = rounded_scale(q)
    assert 1 << 30 <= multiplier < 1 << 31 and 0 <= shift <= 255
    assert abs(multiplier - q * 2**shift) <= Fraction(1, 2)
    short, held = ratio(q)
    assert (short, held) == (multiplier, shift) if shift <= 62 else held == 62
    assert abs(short - q * 2**held) <= Fraction(1, 2)


def test_scales_by_hand():
    assert ratio(Fraction(1)) == rounded_scale(Fraction(1)) == (1 << 30, 30)
    assert ratio(Fraction(1, 3)) == (1431655765, 32)
    assert rounded_scale(Fraction(2**31 - 1)) == (2**31 - 1, 0)
    assert rounded_scale(Fraction(3, 2**225)) == (3 << 29, 254)
    assert ratio(Fraction(5, 2**64)) == (1, 62) and rounded_scale(Fraction(5, 2**64)) == (5 << 28, 92)
    # half_away up to a power of two: the multiplier would have 32 bits
    assert rounded_scale(1 - Fraction(1, 2**40)) == ratio(1 - Fraction(1, 2**40)) == (1 << 30, 30)
    # a tie of the last of the 31 bits goes away from zero, to an odd number too
    tie = Fraction((1 << 31) + 1, 1 << 31)
    assert ratio(tie) == rounded_scale(tie) == ((1 << 30) + 1, 30)


def test_errors():
    for shift in (-1, 256):
        with pytest.raises(ValueError, match=str(shift)):
            scaled(1, 1, shift, "floor")
    with pytest.raises(ValueError, match=r"'nearest'"):
        scaled(1, 1, 0, "nearest")
    with pytest.raises(ValueError):
        scaled(1, 1, 1, "stochastic")
    for divisor in (0, -3):
        with pytest.raises(ValueError, match=f"divisor {divisor}"):
            divide(1, divisor)
    for scale in (ratio, rounded_scale):
        for wrong in (0, -1, 2**31):
            with pytest.raises(ValueError, match=str(wrong) if wrong < 1 else "shift -1"):
                scale(Fraction(wrong))
    with pytest.raises(ValueError, match="shift 256"):
        rounded_scale(Fraction(1, 2**226))


def test_notes():
    lines = []
    scaled(7, 3, 3, "half_even", note=lines.append)
    divide(7, 2, note=lines.append)
    rounded_scale(Fraction(1, 2), note=lines.append)
    assert lines == ["7 x 3 = 21, / 2^3", "2.625, half_even: remainder 5 of 8 -> 3", "7 / 2", "3.5, half_even: exact tie -> 4",
                     "scale 0.5 ~ 1073741824 / 2^31"]
