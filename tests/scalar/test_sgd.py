"""One step of descent: by hand, its expectation over every random number, and the real recurrence where nothing rounds."""
import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.rounding import GOES_UP
from refquant.scalar.scaling import ratio
from refquant.scalar.sgd import updated

S32 = (-(2**31), 2**31 - 1)
PLAIN = {"w": 0, "v": 0, "g": 0, "g_multiplier": 1, "g_shift": 0, "decay_multiplier": 0, "decay_shift": 0, "rate_multiplier": 1,
         "rate_shift": 0, "momentum": 0, "nesterov": False, "bits_of_w": 16, "rounding": "half_even", "rbits": 0, "n": 8}


def step(**changes):
    return updated(**PLAIN | changes)


def test_by_hand():
    """d = -14 + 6, v' = 4 - 8, m = -4 - 8 (half_even of -3.6), and -3 is taken from w."""
    changes = {"w": 100, "v": 5, "g": -7, "g_multiplier": 2**30, "g_shift": 29, "decay_multiplier": 2**30, "decay_shift": 34,
               "rate_multiplier": 2**30, "rate_shift": 32, "momentum": 29491, "rbits": 3, "n": 4}
    assert step(**changes) == {"d": -8, "v": -4, "rounded": -1, "w": 101, "flags": 0}
    assert step(**changes, nesterov=True) == {"d": -8, "v": -4, "rounded": -3, "w": 103, "flags": 0}
    assert step(**changes | {"decay_multiplier": 0})["d"] == -14
    assert step(**changes | {"momentum": 0}, nesterov=True) == {"d": -8, "v": -8, "rounded": -2, "w": 102, "flags": 0}


def test_the_weight_goes_against_the_gradient():
    assert step(w=10, g=3)["w"] == 7 and step(w=10, g=-3)["w"] == 13
    assert step(w=10, decay_multiplier=1, decay_shift=1)["w"] == 5 and step(w=-10, decay_multiplier=1, decay_shift=1)["w"] == -5


@pytest.mark.parametrize("rounding", GOES_UP)
def test_the_mode_rounds_each_product_alone(rounding):
    """3 / 2, 5 / 2 and their negatives, and a velocity of 1 with momentum one half; never the sum of two halves."""
    def halved(k):
        floor = k // 2
        return floor + (k % 2 and GOES_UP[rounding](floor, 0))

    for g, w, v in itertools.product((-5, -3, -1, 0, 1, 3, 5), repeat=3):
        told = step(g=g, w=w, v=v, g_shift=1, decay_multiplier=1, decay_shift=1, momentum=2**14, nesterov=True, rounding=rounding)
        assert told["d"] == halved(g) + halved(w)
        assert told["v"] == halved(v) + told["d"]
        assert told["rounded"] == halved(told["v"]) + told["d"]
        assert told["w"] == w - told["rounded"]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("multiplier, shift", [(1, 4), (5, 4), (3, 2), (11, 3)])
def test_expectation_over_every_random_number(nesterov, multiplier, shift):
    """The mean move is m * rate, exactly; only the numbers that cross an integer go up, by one."""
    n = 4
    for v, g in itertools.product(range(-12, 13), range(-5, 6)):
        told = [step(v=v, g=g, momentum=2**15, nesterov=nesterov, rate_multiplier=multiplier, rate_shift=shift, rbits=r, n=n)
                for r in range(2**n)]
        m = v + g + (g if nesterov else 0)
        assert Fraction(sum(one["rounded"] for one in told), 2**n) == Fraction(m * multiplier, 2**shift)
        assert Fraction(sum(one["w"] for one in told), 2**n) == -Fraction(m * multiplier, 2**shift)
        lowest = m * multiplier >> shift
        assert [one["flags"] for one in told] == [32 * (one["rounded"] - lowest) for one in told]
        assert {one["rounded"] - lowest for one in told} <= {0, 1}


@pytest.mark.parametrize("bits", [2, 4, 6])
def test_every_weight_and_move(bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for w in range(low, high + 1):
        for g in range(-(2**bits), 2**bits + 1):
            told, exact = step(w=w, g=g, bits_of_w=bits), w - g
            assert told["w"] == (low if exact < low else high if exact > high else exact)
            assert told["flags"] == (4 if exact < low else 8 if exact > high else 0)
            assert told["rounded"] == told["v"] == told["d"] == g


def test_chance_and_saturation_together():
    assert step(w=-32768, g=1, rate_shift=1, rbits=255) == {"d": 1, "v": 1, "rounded": 1, "w": -32768, "flags": 4 | 32}
    assert step(w=-32768, g=1, rate_shift=1, rbits=127) == {"d": 1, "v": 1, "rounded": 0, "w": -32768, "flags": 0}
    assert step(w=2**31 - 1, g=-1, bits_of_w=32)["flags"] == 8


def test_the_velocity_saturates_and_nesterovs_move_too():
    low, high = S32
    for v, g, kept in ((high, 1, high), (low, -1, low), (high, -1, high - 1), (0, 2**40, high), (0, -(2**40), low)):
        told = step(v=v, g=g, momentum=2**15, rate_shift=31)
        assert told["v"] == kept and told["d"] == g and told["flags"] == 0
    assert step(v=2**31 - 10, g=9, momentum=2**15, rate_shift=30)["rounded"] == 1  # 2^31 - 1, just below 2
    assert step(v=2**31 - 10, g=9, momentum=2**15, nesterov=True, rate_shift=30)["rounded"] == 1
    assert step(v=-(2**31) + 9, g=-9, momentum=2**15, nesterov=True, rate_shift=30)["rounded"] == -2


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=8), st.integers(0, 2), st.booleans())
def test_the_real_recurrence_where_nothing_rounds(gradients, halvings, nesterov):
    """momentum 2^-halvings, rate 2^-4, everything scaled so that it stays whole: the sums of the textbook."""
    fine = halvings * (len(gradients) + 1) + 4
    eta, w, v = Fraction(1, 2**halvings), 0, 0
    for g in gradients:
        told = step(w=w, v=v, g=g, g_multiplier=1 << fine, momentum=2**15 >> halvings, nesterov=nesterov, rate_shift=4,
                    bits_of_w=64, rbits=255)
        w, v = told["w"], told["v"]
        assert told["flags"] == 0
    velocities = [sum(eta ** (t - i) * gradients[i] for i in range(t + 1)) for t in range(len(gradients))]
    moves = [g + eta * u if nesterov else u for g, u in zip(gradients, velocities, strict=True)]
    assert Fraction(v, 1 << fine) == velocities[-1]
    assert Fraction(w, 1 << fine) == -sum(moves) / 16


@given(st.lists(st.tuples(st.integers(-(2**20), 2**20), st.integers(0, 255)), min_size=1, max_size=40))
def test_it_tracks_descent_in_reals(stream):
    """Weight decay 1/128, momentum 0.9, rate 0.01 as multipliers: the roundings bound the distance, no more.

    d is wrong by at most 1 (two roundings) + its share of w; v by 1.5 + 0.9 of before; w by 1 + 0.01 of v, a step.
    """
    decay, eta, rate, unit = Fraction(1, 128), Fraction(29491, 2**15), Fraction(1, 100), Fraction(1, 3)
    names = ("g_multiplier", "g_shift", "decay_multiplier", "decay_shift", "rate_multiplier", "rate_shift")
    constants = dict(zip(names, (*ratio(unit), *ratio(decay), *ratio(rate)), strict=True))
    w = v = 1000
    real_w, real_v, off_w, off_v = Fraction(w), Fraction(v), Fraction(0), Fraction(0)
    for g, r in stream:
        told = step(w=w, v=v, g=g, momentum=29491, bits_of_w=32, rbits=r, **constants)
        w, v = told["w"], told["v"]
        assert not told["flags"] & 12
        real_v = eta * real_v + unit * g + decay * real_w
        real_w -= rate * real_v
        off_v = Fraction(16, 10) + eta * off_v + decay * off_w  # a tenth for the constants' last bits
        off_w += Fraction(11, 10) + rate * off_v
        assert abs(v - real_v) <= off_v and abs(w - real_w) <= off_w


def test_errors():
    for changes in ({"momentum": -1}, {"momentum": 2**15 + 1}, {"rounding": "nearest"}, {"rbits": 256}, {"rbits": None}, {"n": 0},
                    {"bits_of_w": 1}, {"g_shift": -1}, {"rate_shift": 256}):
        with pytest.raises(ValueError):
            step(**changes)


def test_notes():
    lines = []
    updated(100, 5, -7, 2, 0, 1, 4, 1, 2, 2**14, True, 16, "half_even", 3, 4, note=lines.append)
    assert lines == ["gradient -7", "-7 x 2 = -14, / 2^0", "-14.0, half_even: exact -> -14", "decay of weight 100",
                     "100 x 1 = 100, / 2^4", "6.25, half_even: remainder 1 of 4 -> 6", "together -8",
                     "velocity 5, momentum 16384", "5 x 16384 = 81920, / 2^15", "2.5, half_even: exact tie -> 2",
                     "+ -8 = -6", "saturated to [-2147483648, 2147483647]: -6",
                     "velocity -6, momentum 16384", "-6 x 16384 = -98304, / 2^15", "-3.0, half_even: exact -> -3",
                     "+ -8 = -11", "saturated to [-2147483648, 2147483647]: -11",
                     "-11 x 1 = -11, / 2^2", "-2.75 + random 3 / 2^4, floor -> -3", "weight 100 - -3 = 103",
                     "saturated to [-32768, 32767]: 103"]
