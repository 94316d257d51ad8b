"""Requantization against the published C code, written out here with C's own division and shifts."""
import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.requantize import multiplier_from_scale, requantize

WIDE = {"bits": 64}  # a format that no rounded int32 product leaves
INT32 = (-(2**31), 2**31 - 1)
accs = st.one_of(st.integers(*INT32), st.integers(-2000, 2000), st.sampled_from([*INT32, -1, 0, 1]))
multipliers = st.one_of(st.integers(0, 2**31 - 1), st.sampled_from([0, 1, 2**30, 2**31 - 1, 0x7FFF0000, 0x7FFEFFFF]),
                        st.integers(0, 30).map(lambda k: 1 << k))
shifts = st.integers(1, 62)


def c_divide(a, b):
    """C's division of integers truncates."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def saturating_rounding_doubling_high_mul(a, b):
    """gemmlowp fixedpoint.h, for a, b that are not both INT32_MIN."""
    ab_64 = a * b
    nudge = 1 << 30 if ab_64 >= 0 else 1 - (1 << 30)
    return c_divide(ab_64 + nudge, 1 << 31)


def rounding_divide_by_pot(x, exponent):
    """gemmlowp fixedpoint.h."""
    mask = (1 << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if remainder > threshold else 0)


def tflite_double(x, multiplier, shift):
    """tflite MultiplyByQuantizedMultiplier before single rounding; its shift is 31 - ours."""
    left, right = max(31 - shift, 0), max(shift - 31, 0)
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(x * (1 << left), multiplier), right)


def apply_scale_32(value, multiplier, shift, double_round):
    """TOSA specification, apply_scale_32."""
    rounding = 1 << shift - 1
    if double_round and shift > 31:
        rounding += 1 << 30 if value >= 0 else -(1 << 30)
    return value * multiplier + rounding >> shift


def code(acc, flavour, multiplier=None, shift=None, **how):
    return requantize(acc, flavour=flavour, multiplier=multiplier, shift=shift, **WIDE, **how)[0]


@given(accs, multipliers, shifts)
def test_double_rounding_is_gemmlowps_and_tosas(acc, multiplier, shift):
    expected = apply_scale_32(acc, multiplier, shift, True)
    assert tflite_double(acc, multiplier, shift) == expected
    assert code(acc, "tosa_double", multiplier, shift) == code(acc, "tflite_double", multiplier, shift) == expected


@given(accs, multipliers, shifts)
def test_single_rounding_is_tosas(acc, multiplier, shift):
    assert code(acc, "tosa_single", multiplier, shift) == apply_scale_32(acc, multiplier, shift, False)
    if multiplier < 2**24:
        assert code(acc, "rndnu", multiplier, shift) == acc * multiplier + (1 << shift - 1) >> shift


@given(accs, multipliers, shifts)
def test_ruy(acc, multiplier, shift):
    """ruy apply_multiplier.cc: the same high multiplication, but its right shift rounds ties upwards."""
    left, right = max(31 - shift, 0), max(shift - 31, 0)
    high = saturating_rounding_doubling_high_mul(acc << left, multiplier)
    expected = high + (1 << right - 1) >> right if right else high
    assert code(acc, "ruy_double", multiplier, shift) == expected


@given(st.integers(-(2**47), 2**47 - 1), multipliers, st.integers(17, 62))
def test_mul16_is_tflites(acc, multiplier, shift):
    """tflite MultiplyByQuantizedMultiplier for int64; its shift is 31 - ours."""
    reduced = multiplier + (1 << 15) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF
    total_shift = 15 - (31 - shift)
    assert code(acc, "mul16", multiplier, shift) == acc * reduced + (1 << total_shift - 1) >> total_shift


def test_the_three_roundings_differ_on_one_example():
    """acc * multiplier / 2^31 rounds to -25472, and -25472 / 2^8 is a tie, -99.5; the exact quotient is above it."""
    arguments = {"multiplier": 1520068183, "shift": 39}
    assert requantize(-35985, flavour="tosa_single", **arguments) == (-99, 1)
    assert requantize(-35985, flavour="ruy_double", **arguments) == (-99, 1 | 2)
    assert requantize(-35985, flavour="tosa_double", **arguments) == (-100, 1 | 2)


def f32(x):
    """The binary32 nearest to a binary64, by the C cast in struct, which refuses to overflow."""
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


@given(accs, st.floats(2.0**-40, 2.0**10, width=32), st.integers(-200, 200), st.booleans())
def test_fp32(acc, scale, zero_point, before):
    p = f32(f32(acc) * scale)
    if before:
        p = f32(p + zero_point)
    added = 0 if before else zero_point
    away = (Fraction(abs(p)) + Fraction(1, 2)) // 1 * (1 if p >= 0 else -1)
    how = {"scale": scale, "zero_point": zero_point, "zero_point_at": "before" if before else "after"}
    assert code(acc, "fp32_rint", **how) == round(p) + added
    assert code(acc, "fp32_round", **how) == away + added


def test_fp32_by_hand():
    assert requantize(5, flavour="fp32_rint", scale=0.5) == (2, 3)
    assert requantize(5, flavour="fp32_round", scale=0.5) == (3, 3)
    assert requantize(5, flavour="fp32_round", scale=0.5, zero_point=-5, zero_point_at="before") == (-3, 3)
    assert requantize(16777217, flavour="fp32_rint", scale=2.0**-24) == (1, 0)
    assert requantize(2**30, flavour="fp32_rint", scale=2.0**100, overflow="wrap") == (127, 8)
    assert requantize(-(2**30), flavour="fp32_rint", scale=2.0**100, zero_point=9, overflow="wrap") == (-128, 4)
    assert requantize(3, flavour="fp32_rint", scale=2.0**-26, zero_point=7, zero_point_at="before") == (7, 0)


def test_shift_flavour():
    assert requantize(-5, flavour="shift", shift=1, rounding="half_even") == (-2, 3)
    assert requantize(-5, flavour="shift", shift=1, rounding="half_away") == (-3, 3)
    assert requantize(77, flavour="shift", shift=0, rounding="floor") == (77, 0)
    assert requantize(2**63 - 1, flavour="shift", shift=62, rounding="trunc") == (1, 1)
    assert requantize(9, flavour="shift", shift=2, rounding="stochastic", rbits=3, n=2) == (3, 1 | 32)
    assert requantize(9, flavour="shift", shift=2, rounding="stochastic", rbits=2, n=2) == (2, 1)


@pytest.mark.parametrize("rounding, after, before", [("half_even", 3, 4), ("half_up", 4, 4), ("half_away", 4, 4),
                                                     ("odd", 4, 3), ("trunc", 3, 3)])
def test_zero_point_before_the_last_rounding(rounding, after, before):
    """5 / 2 with zero point 1."""
    how = {"flavour": "shift", "shift": 1, "rounding": rounding, "zero_point": 1}
    assert requantize(5, **how)[0] == after
    assert requantize(5, **how, zero_point_at="before")[0] == before


def test_zero_point_before_changes_ties_of_double_rounding():
    how = {"flavour": "tosa_double", "multiplier": 2**30, "shift": 32, "zero_point": 3}
    assert requantize(-2, **how) == (2, 3) and requantize(-2, **how, zero_point_at="before") == (3, 3)


def test_saturation_and_wrapping():
    how = {"flavour": "tosa_single", "multiplier": 2**30, "shift": 30}
    assert requantize(128, **how) == (127, 8)
    assert requantize(-129, **how) == (-128, 4)
    assert requantize(-128, narrow=True, **how) == (-127, 4)
    assert requantize(300, signed=False, **how) == (255, 8)
    assert requantize(300, signed=False, overflow="wrap", **how) == (44, 8)
    assert requantize(127, zero_point=1, **how) == (127, 8)
    assert requantize(5, bits=2, **how) == (1, 8)


@pytest.mark.parametrize("change", [
    {"flavour": "double"}, {"acc": 2**31}, {"acc": -(2**31) - 1}, {"shift": 0}, {"shift": 63}, {"shift": None},
    {"multiplier": 2**31}, {"multiplier": -1}, {"multiplier": None}, {"zero_point_at": "no"}, {"overflow": "error"},
    {"flavour": "rndnu"}, {"flavour": "mul16", "shift": 16}, {"flavour": "mul16", "acc": 2**47},
    {"flavour": "fp32_rint"}, {"flavour": "fp32_rint", "scale": 0.1}, {"flavour": "fp32_rint", "scale": -1.0},
    {"flavour": "shift"}, {"flavour": "shift", "rounding": "floor", "acc": 2**63},
    {"flavour": "shift", "rounding": "stochastic"}])
def test_errors(change):
    arguments = {"acc": 1, "flavour": "tosa_single", "multiplier": 2**30, "shift": 31}
    requantize(**arguments)
    with pytest.raises(ValueError):
        requantize(**arguments | change)


def test_multiplier_by_hand():
    assert multiplier_from_scale(1.0) == (2**30, 30)
    assert multiplier_from_scale(0.5) == (2**30, 31)
    assert multiplier_from_scale(Fraction(1, 3)) == (1431655765, 32)
    assert multiplier_from_scale(Fraction(1, 3), 8) == (171, 9)
    assert multiplier_from_scale(Fraction(2**32 - 1, 2**32)) == (2**30, 30)  # rounds up to 2^31
    assert multiplier_from_scale(Fraction(2**9 - 1, 2**10), 8) == (2**7, 8)
    assert multiplier_from_scale(2.0**-32) == (2**30, 62)
    assert multiplier_from_scale(2.0**-33) == (2**29, 62)
    assert multiplier_from_scale(2.0**-62) == (1, 62)
    assert multiplier_from_scale(2.0**-63) == (1, 62) and multiplier_from_scale(2.0**-64) == (0, 62)
    assert multiplier_from_scale(2.0**29) == (2**30, 1)
    for scale in (0.0, -1.0, math.inf, math.nan, 2.0**30):
        with pytest.raises(ValueError):
            multiplier_from_scale(scale)


@given(st.fractions(Fraction(1, 2**40), 2**28), st.sampled_from([8, 15, 24, 31]))
def test_multiplier_is_the_closest(scale, bits):
    if scale == 0:
        return
    try:
        multiplier, shift = multiplier_from_scale(scale, bits)
    except ValueError:
        assert scale >= Fraction(2) ** (bits - 1) * (1 - Fraction(1, 2**bits))
        return
    assert abs(scale - Fraction(multiplier, 2**shift)) <= Fraction(1, 2 ** (shift + 1))
    assert 1 <= shift <= 62 and (shift == 62 or 2 ** (bits - 1) <= multiplier < 2**bits)


def test_notes():
    lines = []
    requantize(-35985, flavour="tosa_double", multiplier=1520068183, shift=39, zero_point=3, note=lines.append)
    assert lines == ["acc -35985 x multiplier 1520068183 = -54699653565255",
                     "/ 2^31, half_up: remainder 1049916601 of 2147483648 -> -25472",
                     "/ 2^8, half_away: exact tie -> -100", "+ zero point 3 = -97", "saturated to [-128, 127]: -97"]
