"""Rounding: a table by hand, definitions by distance, and shifts against fractions."""
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.rounding import (
    GOES_UP,
    round_fraction,
    round_shift,
    round_with_flags,
    rounding_flags,
    stochastic_fraction,
    stochastic_shift,
)

#                 -3.5 -2.5 -1.5 -0.5  0.5  1.5  2.5  3.5
TIES = {
    "half_even": [-4, -2, -2, 0, 0, 2, 2, 4],
    "half_away": [-4, -3, -2, -1, 1, 2, 3, 4],
    "half_up":   [-3, -2, -1, 0, 1, 2, 3, 4],
    "half_down": [-4, -3, -2, -1, 0, 1, 2, 3],
    "half_zero": [-3, -2, -1, 0, 0, 1, 2, 3],
    "floor":     [-4, -3, -2, -1, 0, 1, 2, 3],
    "ceil":      [-3, -2, -1, 0, 1, 2, 3, 4],
    "trunc":     [-3, -2, -1, 0, 0, 1, 2, 3],
    "away":      [-4, -3, -2, -1, 1, 2, 3, 4],
    "odd":       [-3, -3, -1, -1, 1, 1, 3, 3],
}
#                 -1.75 -1.25 -0.75 -0.25 0.25 0.75 1.25 1.75
QUARTERS = {
    "half":  [-2, -1, -1, 0, 0, 1, 1, 2],
    "floor": [-2, -2, -1, -1, 0, 0, 1, 1],
    "ceil":  [-1, -1, 0, 0, 1, 1, 2, 2],
    "trunc": [-1, -1, 0, 0, 0, 0, 1, 1],
    "away":  [-2, -2, -1, -1, 1, 1, 2, 2],
    "odd":   [-1, -1, -1, -1, 1, 1, 1, 1],
}
modes = pytest.mark.parametrize("rounding", TIES)


def test_all_modes_are_in_the_table():
    assert set(TIES) == set(GOES_UP)


@modes
def test_ties(rounding):
    halves = range(-7, 8, 2)
    assert [round_fraction(Fraction(v, 2), rounding) for v in halves] == TIES[rounding]
    assert [round_shift(v, 1, rounding) for v in halves] == TIES[rounding]
    assert [round_shift(v << 40, 41, rounding) for v in halves] == TIES[rounding]


@modes
def test_quarters(rounding):
    expected = QUARTERS["half" if rounding.startswith("half") else rounding]
    assert [round_shift(v, 2, rounding) for v in range(-7, 8, 2)] == expected
    assert [round_fraction(Fraction(v, 4), rounding) for v in range(-7, 8, 2)] == expected


@modes
def test_integers_stay(rounding):
    for v in range(-20, 21):
        assert round_fraction(Fraction(v), rounding) == v
        assert round_shift(v, 0, rounding) == round_shift(8 * v, 3, rounding) == v


@modes
@given(value=st.integers(-(2**70), 2**70), shift=st.integers(0, 63))
def test_shift_is_the_fraction(rounding, value, shift):
    real = Fraction(value, 2**shift)
    result = round_shift(value, shift, rounding)
    assert result == round_fraction(real, rounding)
    assert abs(result - real) < 1
    if rounding.startswith("half"):
        assert abs(result - real) <= Fraction(1, 2)


@given(st.fractions())
def test_half_even_is_pythons_round(value):
    assert round_fraction(value, "half_even") == round(value)
    assert round_fraction(value, "trunc") == int(value)


def test_flags():
    assert [rounding_flags(Fraction(v, 4)) for v in range(-4, 5)] == [0, 1, 3, 1, 0, 1, 3, 1, 0]


def test_stochastic_shift_exhaustively():
    for n in range(1, 7):
        for shift in range(7):
            for value in range(-20, 21):
                for r in range(1 << n):
                    real = Fraction(value, 1 << shift)
                    expected = (real + Fraction(r, 1 << n)) // 1
                    assert stochastic_shift(value, shift, r, n) == stochastic_fraction(real, r, n) == expected


def test_stochastic_is_unbiased_where_the_bits_suffice():
    for value in range(-64, 65):
        assert sum(stochastic_shift(value, 4, r, 4) for r in range(16)) == value


def test_stochastic_by_hand():
    assert stochastic_shift(-5, 1, 0, 1) == -3 and stochastic_shift(-5, 1, 1, 1) == -2
    assert stochastic_shift(7, 2, 0b01, 2) == 2 and stochastic_shift(7, 2, 0b00, 2) == 1
    assert round_with_flags(Fraction(5, 2), "stochastic", 1, 1) == (3, 1 | 2 | 32)
    assert round_with_flags(Fraction(5, 2), "stochastic", 0, 1) == (2, 1 | 2)
    assert round_with_flags(Fraction(2), "stochastic", 63, 6) == (2, 0)


def test_errors():
    with pytest.raises(ValueError, match=r"'nearest'.*half_even.*odd"):
        round_fraction(Fraction(1), "nearest")
    with pytest.raises(ValueError, match="64"):
        round_shift(1, 64, "floor")
    with pytest.raises(ValueError):
        round_shift(1, -1, "floor")
    for r, n in ((0, 0), (0, 64), (4, 2), (-1, 2), (None, 2), (1, None)):
        with pytest.raises(ValueError):
            stochastic_shift(1, 1, r, n)


def test_notes():
    lines = []
    round_shift(-25472, 8, "half_away", note=lines.append)
    round_shift(-25471, 8, "half_up", note=lines.append)
    round_fraction(Fraction(5, 2), "half_even", note=lines.append)
    assert lines == ["/ 2^8, half_away: exact tie -> -100", "/ 2^8, half_up: remainder 129 of 256 -> -99",
                     "2.5, half_even: exact tie -> 2"]
