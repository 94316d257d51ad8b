"""Formats: limits by hand, saturate and wrap over all codes of small formats."""
import math

import pytest

from refquant.scalar.formats import into_format, limits, parse, saturate, wrap


def test_limits_by_hand():
    assert limits(2, True) == (-2, 1)
    assert limits(8, True) == (-128, 127)
    assert limits(8, True, True) == (-127, 127)
    assert limits(8, False) == (0, 255)
    assert limits(64, True) == (-(2**63), 2**63 - 1)
    assert limits(64, False) == (0, 2**64 - 1)


@pytest.mark.parametrize("arguments", [(1, True), (65, True), (0, False), (8, False, True)])
def test_no_such_format(arguments):
    with pytest.raises(ValueError):
        limits(*arguments)


def test_parse():
    assert parse("s8") == (8, True, False)
    assert parse("s8n") == (8, True, True)
    assert parse("u4") == (4, False, False)
    assert parse("s64") == (64, True, False)


@pytest.mark.parametrize("name", ["", "8", "i8", "s", "s1", "s65", "u8n", "s08", "s8m", "S8", "s8 ", "s٨"])
def test_parse_refuses(name):
    with pytest.raises(ValueError):
        parse(name)


@pytest.mark.parametrize("bits", range(2, 9))
def test_wrap_reads_the_low_bits(bits):
    for value in range(-3 << bits, 3 << bits):
        low = bin(value % 2**64)[2:].zfill(64)[-bits:]
        assert wrap(value, bits, False) == int(low, 2)
        assert wrap(value, bits, True) == int(low[1:], 2) - (2 ** (bits - 1) if low[0] == "1" else 0)


@pytest.mark.parametrize("name", ["s2", "s2n", "u2", "s4", "s5n", "u8", "s8n"])
def test_saturate_is_the_nearest_code(name):
    bits, signed, narrow = parse(name)
    qmin, qmax = limits(bits, signed, narrow)
    for value in range(-3 << bits, 3 << bits):
        distance = abs(saturate(value, bits, signed, narrow) - value)
        assert qmin <= saturate(value, bits, signed, narrow) <= qmax
        assert distance == max(0, qmin - value, value - qmax)


def test_flags_of_into_format():
    assert into_format(-128, 8, True, True, "saturate") == (-127, 4)
    assert into_format(128, 8, True, False, "saturate") == (127, 8)
    assert into_format(127, 8, True, True, "saturate") == (127, 0)
    assert into_format(128, 8, True, False, "wrap") == (-128, 8)
    assert into_format(-1, 8, False, False, "wrap") == (255, 4)
    assert into_format(-128, 8, True, True, "wrap") == (-128, 0)  # wrapping knows no narrow range
    assert into_format(math.inf, 8, True, False, "wrap") == (127, 8)
    assert into_format(-math.inf, 8, True, True, "wrap") == (-127, 4)
    with pytest.raises(ValueError, match=r"clamp.*saturate, wrap"):
        into_format(0, 8, True, False, "clamp")
