"""Stochastic rounding: every pattern of random bits, summed, against floors of Fractions."""
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers import Stochastic
from refquant.scalar.rounding import stochastic_shift

INT64 = st.integers(-(2**63), 2**63 - 1)


def patterns(n):
    return Stochastic(np.arange(2**n)[:, None], n)


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("s", range(9))
def test_all_patterns_of_a_shift_sum_to_a_floor(n, s):
    values = np.arange(-2**s - 20, 2**s + 21)
    rounded = patterns(n).shift(values, s)
    assert rounded.dtype == np.int64
    assert rounded.sum(axis=0).tolist() == [v * 2**n // 2**s for v in values.tolist()]
    assert set((rounded - (values >> s)).ravel().tolist()) <= {0, 1}
    assert (np.diff(rounded, axis=0) >= 0).all()


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_patterns_of_a_real_sum_to_a_floor(n, dtype):
    x = np.concatenate([np.arange(-40, 41) / 16, [0.1, -0.1, 1 / 3, 1e-30, -1e-30, 2.0**23 - 0.5, 0.49999997, -7.3]])
    x = x.astype(dtype)
    rounded = patterns(n)(x)
    assert rounded.dtype == dtype
    assert rounded.sum(axis=0, dtype=np.float64).tolist() == [math.floor(Fraction(v) * 2**n) for v in x.tolist()]


def test_enough_random_bits_are_unbiased():
    values = np.arange(-64, 64)
    for n in (5, 6, 7):
        assert (patterns(n).shift(values, 5).sum(axis=0) * 2**5 == values * 2**n).all()
        assert (patterns(n)(values / 32).sum(axis=0) * 2**5 == values * 2**n).all()


def test_random_bits_stand_just_below_the_point():
    # 2 bits, shift 4: r = 3 adds 12/16; shift 1: only the top bit of r matters
    assert Stochastic([0, 1, 2, 3], 2).shift(4, 4).tolist() == [0, 0, 0, 1]
    assert Stochastic([0, 1, 2, 3], 2).shift(3, 4).tolist() == [0, 0, 0, 0]
    assert Stochastic([0, 1, 2, 3], 2).shift(1, 1).tolist() == [0, 0, 1, 1]


def test_integers_never_move():
    for n in (1, 4):
        assert (patterns(n).shift(np.arange(-8, 8) * 16, 4) == np.arange(-8, 8)).all()
        assert (patterns(n)(np.arange(-8.0, 8)) == np.arange(-8, 8)).all()
        assert (patterns(n).shift(np.array([-(2**63), 2**63 - 1]), 0) == [-(2**63), 2**63 - 1]).all()


@given(INT64, st.integers(0, 63), st.integers(1, 62), st.integers(0, 2**62 - 1))
def test_any_shift(value, s, n, r):
    r %= 2**n
    got = Stochastic(r, n).shift(value, s)
    assert got == math.floor(Fraction(value, 2**s) + Fraction(r, 2**n)) == stochastic_shift(value, s, r, n)


@pytest.mark.parametrize("n", [1, 31, 61, 62])
def test_shifts_at_the_ends(n):
    for value in (-(2**63), -(2**63) + 1, 2**63 - 1, -1, 0, 1):
        for s in (0, 1, 31, 61, 62, 63):
            for r in (0, 1, 2**n - 1):
                assert Stochastic(r, n).shift(value, s) == math.floor(Fraction(value, 2**s) + Fraction(r, 2**n))


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False, width=32),
       st.integers(1, 62), st.integers(0, 2**62 - 1))
def test_any_real(x, y, n, r):
    r %= 2**n
    assert int(Stochastic(r, n)(x)) == math.floor(Fraction(x) + Fraction(r, 2**n))
    assert int(Stochastic(r, n)(np.float32(y))) == math.floor(Fraction(y) + Fraction(r, 2**n))


def test_plus_moves_the_result():
    values, plus = np.arange(-30, 30)[:, None], np.arange(-3, 4)
    rounding = Stochastic(5, 3)
    assert (rounding.shift(values, 3, plus) == rounding.shift(values, 3) + plus).all()


def test_infinities_and_nan_stay():
    got = Stochastic(1, 1)(np.array([np.inf, -np.inf, np.nan]))
    assert got[0] == np.inf and got[1] == -np.inf and np.isnan(got[2])


def test_63_random_bits():
    for r in (0, 1, 2**62, 2**63 - 1):
        assert Stochastic(r, 63).shift(-(2**62) - 1, 63) == math.floor(Fraction(-(2**62) - 1 + r, 2**63))
        assert Stochastic(r, 63)(-0.25) == math.floor(Fraction(-1, 4) + Fraction(r, 2**63))


@pytest.mark.parametrize("call, words", [
    (lambda: Stochastic(0, 0), ["n = 0", "1 to 6"]),
    (lambda: Stochastic(0, 64), ["n = 64", "1 to 6"]),
    (lambda: Stochastic([3, 8], 3), ["rbits", "3 to 8", "0 to 2^3 - 1"]),
    (lambda: Stochastic([-1, 2], 3), ["rbits", "-1 to 2", "0 to 2^3 - 1"]),
    (lambda: Stochastic(0, 3).shift(1, 64), ["shift = 64", "0 to 63"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_random_bits_are_integers():
    with pytest.raises(TypeError, match="rbits has dtype float64: expected integers"):
        Stochastic([0.5], 3)
