"""Floats: against the machine's own binary32 and binary64, at the edges and at random."""
import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.floats import add, divide, exact, exponent, multiply, nearest_float, require_float

MAX = {32: 2**128 - 2**104, 64: 2**1024 - 2**971}
TINY = {32: Fraction(1, 2**149), 64: Fraction(1, 2**1074)}
precisions = pytest.mark.parametrize("precision", [32, 64])
binary64 = st.floats(allow_nan=False, allow_infinity=False)
binary32 = st.floats(allow_nan=False, allow_infinity=False, width=32)


def machine32(x):
    """The binary32 nearest to a binary64, by the C cast in struct, which refuses to overflow."""
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def from_bits(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


@given(binary64)
def test_32_is_the_machines_cast(x):
    assert nearest_float(x, 32) == machine32(x)
    assert nearest_float(x, 64) == x


@given(st.integers(0, 0x7F7FFFFE), st.sampled_from([-1, 0, 1]), st.booleans())
def test_32_around_midpoints(bits, side, negative):
    """Between neighbours a tie goes to the even one; the slightest excess decides otherwise, rounded once only."""
    low, high = Fraction(from_bits(bits)), Fraction(from_bits(bits + 1))
    middle = (low + high) / 2 + side * Fraction(1, 2**400)
    even = high if bits % 2 else low
    expected = (low, even, high)[side + 1]
    sign = -1 if negative else 1
    assert nearest_float(sign * middle, 32) == sign * expected


@given(st.fractions(), st.integers(-1100, 1000))
def test_64_is_pythons_division(value, power):
    value *= Fraction(2) ** power
    try:
        expected = float(value)
    except OverflowError:
        expected = math.inf if value > 0 else -math.inf
    assert nearest_float(value, 64) == expected


@precisions
def test_edges(precision):
    largest, tiny = MAX[precision], TINY[precision]
    ulp = largest & -largest
    half = Fraction(ulp, 2)
    assert nearest_float(largest, precision) == largest
    assert nearest_float(largest + half, precision) == math.inf  # a tie between the odd largest and 2^128 | 2^1024
    assert nearest_float(largest + half - 1, precision) == largest
    assert nearest_float(-largest - half, precision) == -math.inf
    assert nearest_float(tiny / 2, precision) == 0
    assert nearest_float(tiny / 2 + tiny / 2**99, precision) == tiny
    assert nearest_float(tiny * 3 / 2, precision) == 2 * tiny
    assert nearest_float(tiny * 5 / 2, precision) == 2 * tiny
    assert nearest_float(-tiny * 3 / 4, precision) == -tiny
    assert nearest_float(math.inf, precision) == math.inf
    assert nearest_float(0, precision) == 0


def test_the_largest_subnormal_and_smallest_normal():
    normal = Fraction(1, 2**126)
    below = normal - TINY[32]
    assert nearest_float(below, 32) == below and nearest_float(normal, 32) == normal
    assert nearest_float(normal - TINY[32] / 2, 32) == normal
    assert nearest_float(16777217, 32) == 16777216 and nearest_float(16777219, 32) == 16777220


@given(binary32, binary32)
def test_operations_32(x, y):
    """Binary64 holds enough bits that rounding its result once more gives the correct binary32 result."""
    assert multiply(x, y, 32) == machine32(x * y)
    assert add(x, y, 32) == machine32(x + y)
    if y:
        assert divide(x, y, 32) == machine32(x / y)


@given(binary64, binary64)
def test_operations_64(x, y):
    assert multiply(x, y, 64) == x * y
    assert add(x, y, 64) == x + y
    if y:
        assert divide(x, y, 64) == x / y


@precisions
def test_infinities(precision):
    inf = math.inf
    assert divide(inf, -2, precision) == -inf and divide(3, inf, precision) == 0
    assert multiply(-inf, -2, precision) == inf and multiply(2.0, -inf, precision) == -inf
    assert add(inf, -5, precision) == add(5, inf, precision) == add(inf, inf, precision) == inf
    assert divide(1, TINY[precision], precision) == inf
    for operation, x, y in ((divide, inf, inf), (multiply, 0, inf), (multiply, -inf, 0.0), (add, inf, -inf)):
        with pytest.raises(ValueError):
            operation(x, y, precision)
    for x in (0, 1, inf):
        with pytest.raises(ZeroDivisionError):
            divide(x, 0, precision)


def test_exponent():
    for e in range(-60, 60):
        power = Fraction(2) ** e
        assert exponent(power) == exponent(-power) == exponent(power * Fraction(199, 100)) == e
        assert exponent(power * Fraction(2**70 - 1, 2**70)) == e - 1


def test_errors():
    with pytest.raises(ValueError):
        exact(math.nan)
    with pytest.raises(ValueError, match="16"):
        nearest_float(1, 16)
    with pytest.raises(ValueError, match=r"x 0\.1 is no binary32"):
        require_float(0.1, 32, "x")
    assert require_float(0.1, 64, "x") == Fraction(0.1)
