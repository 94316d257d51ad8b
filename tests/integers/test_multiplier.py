"""multiplier_from_scale: what makes (multiplier, shift) the one answer, in Fractions."""
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers import multiplier_from_scale
from refquant.scalar import requantize as scalar

below_2_to_30 = st.one_of(st.floats(5e-324, 2.0**29), st.floats(1e-6, 1.0),
                          st.integers(-1074, 29).map(lambda e: 2.0**e))


def check(scale, bits=31):
    """The multiplier is the integer nearest to scale * 2^shift, ties up, and has its top bit set unless capped."""
    multiplier, shift = multiplier_from_scale(scale, bits)
    exact = Fraction(scale) if isinstance(scale, Fraction) else Fraction(float(scale))
    assert type(multiplier) is int and type(shift) is int and 1 <= shift <= 62
    error = multiplier - exact * 2**shift
    assert -Fraction(1, 2) < error <= Fraction(1, 2)
    assert multiplier < 2**bits and (shift == 62 or multiplier >= 2 ** (bits - 1))
    if multiplier == 2 ** (bits - 1) and shift < 62:
        # nothing is lost to a needlessly small shift: one more would need 2^bits
        assert math.floor(exact * 2 ** (shift + 1) + Fraction(1, 2)) >= 2**bits
    return multiplier, shift


@given(below_2_to_30, st.integers(2, 31))
def test_floats(scale, bits):
    scale = min(scale, 2.0 ** (bits - 2))
    assert check(scale, bits) == scalar.multiplier_from_scale(scale, bits)


@given(st.fractions(0, 1).filter(bool), st.integers(2, 31))
def test_fractions(scale, bits):
    assert check(scale, bits) == scalar.multiplier_from_scale(scale, bits)


@pytest.mark.parametrize("bits", [2, 8, 24, 31])
def test_powers_of_two_are_exact(bits):
    for e in range(-62, bits - 1):
        multiplier, shift = check(2.0**e, bits)
        assert Fraction(multiplier, 2**shift) == Fraction(2) ** e


@pytest.mark.parametrize("scale, bits, expected", [
    (1.0, 31, (2**30, 30)), (0.5, 31, (2**30, 31)), (0.75, 31, (3 * 2**29, 31)), (2.0**29, 31, (2**30, 1)),
    (1 - 2.0**-40, 31, (2**30, 30)),           # rounds up to 2^31, halved
    (1 - 2.0**-32, 31, (2**30, 30)),           # the tie below 1 goes up too
    (1 - 2.0**-31, 31, (2**31 - 1, 31)), (1 - 2.0**-25, 24, (2**23, 23)), (1 - 2.0**-24, 24, (2**24 - 1, 24)),
    (2.0**-31 * (1 - 2.0**-40), 31, (2**30, 61)), (2.0**-32 * (1 - 2.0**-40), 31, (2**30, 62)),
    (2.0**-33, 31, (2**29, 62)), (2.0**-62, 31, (1, 62)), (2.0**-63, 31, (1, 62)), (2.0**-63 * 0.99, 31, (0, 62)),
    (5e-324, 31, (0, 62)), (2.0**-1022, 31, (0, 62)), (3 * 2.0**-63, 31, (2, 62)), (5 * 2.0**-63, 31, (3, 62)),
    (Fraction(1, 3), 31, (1431655765, 32)), (np.float32(0.1), 24, (13421773, 27)), (1, 31, (2**30, 30))])
def test_by_hand(scale, bits, expected):
    assert multiplier_from_scale(scale, bits) == expected


@given(st.floats(2.0**-126, 2.0**20, width=32))
def test_24_bits_are_the_mantissa_of_a_float32(scale):
    multiplier, shift = multiplier_from_scale(np.float32(scale), 24)
    if shift < 62:
        bits = int(np.float32(scale).view(np.uint32))
        assert multiplier == (bits & 0x7FFFFF) | 0x800000 and shift == 127 + 23 - (bits >> 23)  # XNNPACK


def test_subnormals_of_float32_are_taken_exactly():
    assert check(np.float32(1e-45)) == (0, 62) and check(float(np.float32(2.0**-130))) == (0, 62)


def test_arrays_are_their_elements():
    for scales in (np.array([0.1, 1e-20, 5e8]), np.array([0.1, 0.7], np.float32), [0.3, Fraction(1, 7)], []):
        multipliers, shifts = multiplier_from_scale(scales)
        assert multipliers.dtype == shifts.dtype == np.int64
        pairs = list(zip(multipliers.tolist(), shifts.tolist(), strict=True))
        assert pairs == [multiplier_from_scale(s) for s in scales]


def test_the_largest_scale():
    assert check(float(np.nextafter(2.0**30, 0)) - 0.5) == (2**31 - 1, 1)
    with pytest.raises(ValueError, match="its shift is 0"):
        multiplier_from_scale(2.0**30)


@pytest.mark.parametrize("call, words", [
    (lambda: multiplier_from_scale(0.0), ["scale = 0.0", "positive finite"]),
    (lambda: multiplier_from_scale(-1.0), ["scale = -1.0", "positive finite"]),
    (lambda: multiplier_from_scale(math.inf), ["scale = inf", "positive finite"]),
    (lambda: multiplier_from_scale(math.nan), ["scale = nan", "positive finite"]),
    (lambda: multiplier_from_scale([1.0, -2.5]), ["scale = -2.5", "positive finite"]),
    (lambda: multiplier_from_scale("x"), ["scale = 'x'", "positive finite"]),
    (lambda: multiplier_from_scale(2.0**30), [f"scale = {2.0**30!r}", "below 2^30"]),
    (lambda: multiplier_from_scale(2.0**23, 24), ["scale = 8388608.0", "below 2^23"]),
    (lambda: multiplier_from_scale(1.0, 32), ["bits = 32", "2 to 31"]),
    (lambda: multiplier_from_scale(1.0, 1), ["bits = 1", "2 to 31"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)
