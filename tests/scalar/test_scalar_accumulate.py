"""Accumulators: by hand, exhaustively over short sequences of an eight-bit one, and against their own least width."""
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.accumulate import OVERFLOWS, accumulate, least_safe_bits

EDGES = (-129, -128, -64, -1, 0, 1, 127, 128)
integers = st.integers(-(2**20), 2**20)


def test_by_hand():
    products = [100, 100, -100]
    assert accumulate(products, 0, 8, "wrap") == (100, False)
    assert accumulate(products, 0, 8, "saturate_final") == (100, False)
    assert accumulate(products, 0, 8, "saturate_running") == (27, True)
    assert accumulate([100, 100], 0, 8, "wrap") == (-56, True)
    assert accumulate([100, 100], 0, 8, "saturate_final") == (127, True)
    assert accumulate([-100, -28], 0, 8, "error") == (-128, False)
    assert accumulate([-72], 200, 8, "saturate_running") == (55, True)
    assert accumulate([-72], 200, 8, "wrap") == (-128, True)
    assert accumulate([-73], 200, 8, "saturate_final") == (127, False)
    assert accumulate([100, 27], 0, 8, "error") == (127, False)
    assert accumulate([], 5, 8, "error") == (5, False)
    assert accumulate([(-128) * (-128)], 0, 16, "saturate_final") == (16384, False)
    assert accumulate([2**62, 2**62], 0, 64, "wrap") == (-(2**63), True)


@pytest.mark.parametrize("products, initial", [([100, 100, -100], 0), ([-200], 128), ([-127, -1], -1)])
def test_error_sees_partial_sums(products, initial):
    with pytest.raises(OverflowError):
        accumulate(products, initial, 8, "error")


def test_two_additions_exhaustively():
    """An eight-bit register as a hardware engineer would write it: keep, or clip, bit by bit."""
    def clip(v):
        return sorted((-128, v, 127))[1]

    for initial, first, second in itertools.product(EDGES, repeat=3):
        total = initial + first + second
        running = clip(clip(clip(initial) + first) + second)
        untouched = all(-128 <= v <= 127 for v in (initial, initial + first, total))
        assert accumulate([first, second], initial, 8, "saturate_running") == (running, not untouched)
        assert accumulate([first, second], initial, 8, "saturate_final") == (clip(total), clip(total) != total)
        low = total & 0xFF
        wrapped = low - 256 if low & 0x80 else low
        assert accumulate([first, second], initial, 8, "wrap") == (wrapped, wrapped != total)


@given(st.lists(integers, max_size=30), integers)
def test_least_safe_bits_is_the_least(products, initial):
    bits = least_safe_bits(products, initial)
    if bits >= 8:
        for overflow in OVERFLOWS:
            assert accumulate(products, initial, bits, overflow) == (initial + sum(products), False)
    if bits > 8:
        with pytest.raises(OverflowError):
            accumulate(products, initial, bits - 1, "error")
        assert accumulate(products, initial, bits - 1, "saturate_running")[1]


def test_least_safe_bits_by_hand():
    assert [least_safe_bits([], v) for v in (-129, -128, -2, -1, 0, 1, 127, 128)] == [9, 8, 2, 1, 1, 2, 8, 9]
    assert least_safe_bits([100, 100, -200], 0) == 9
    assert least_safe_bits([], 2**63) == 65


@pytest.mark.parametrize("overflow", OVERFLOWS)
@given(products=st.lists(st.integers(-5, 5), max_size=25), initial=st.integers(-5, 5))
def test_notes_change_nothing(overflow, products, initial):
    lines = []
    assert accumulate(products, initial, 8, overflow, note=lines.append) == accumulate(products, initial, 8, overflow)
    assert lines and len(lines) < 18


def test_notes():
    lines = []
    accumulate([100, 100, -100], 0, 8, "saturate_running", note=lines.append)
    assert lines == ["initial 0", "+ 100 = 100", "+ 100 = 200, saturated to 127", "+ -100 = 27",
                     "sum of 3 products and the initial value: 27", "saturated on the way"]


def test_errors():
    for bits in (7, 65):
        with pytest.raises(ValueError):
            accumulate([], 0, bits, "wrap")
    with pytest.raises(ValueError, match=r"'clip'.*wrap.*error"):
        accumulate([], 0, 8, "clip")
