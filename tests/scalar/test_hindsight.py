"""Ranges in hindsight: exact quotients over all small ranges, and the moving average against its closed form."""
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.hindsight import affine, code, steps, updated

NINE_TENTHS = 58982
RANGES = [(low, high) for low in range(-9, 10) for high in range(low, 10)]


def test_affine_by_hand():
    assert affine(0, 255, 0, 8) == (2**30, 30, 0)
    assert affine(-128 << 5, 127 << 5, 5, 8) == (2**30, 30, 128)
    assert affine(-3 << 8, 5 << 8, 8, 8) == (2139095040, 26, 96)  # 255 / 8 = 31.875; 95.625
    assert affine(3, 15, 0, 4) == (2**30, 30, 0)  # widened to [0, 15]
    assert affine(-15, -3, 0, 4) == (2**30, 30, 15)  # widened to [-15, 0]
    assert affine(0, 0, 3, 4) == (15 << 27, 24, 0)  # the size is 1 / 8: scale 120
    assert affine(-1, 5, 0, 4)[2] == 3 and affine(-5, 1, 0, 4)[2] == 13  # ties, 2.5 and 12.5, away from 0


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("fraction_bits", [0, 3])
def test_affine_of_all_small_ranges(bits, fraction_bits):
    top = 2**bits - 1
    for low, high in RANGES:
        multiplier, shift, zero_point = affine(low, high, fraction_bits, bits)
        low, high = min(low, 0), max(high, 0)
        scale = Fraction(max(high - low, 1), 2**fraction_bits * top)  # the step between codes
        assert abs(Fraction(multiplier, 2**shift) * scale - 1) <= Fraction(1, 2**31)
        assert abs(zero_point * scale + Fraction(low, 2**fraction_bits)) <= scale / 2  # 0's code, from low
        assert 0 <= zero_point <= top


@pytest.mark.parametrize("bits", [2, 4])
def test_codes_of_all_accumulators(bits):
    """Where the exact quotient is no tie the code is its rounding; the multiplier's last bit may break a tie."""
    top, ties = 2**bits - 1, 0
    for low, high in RANGES:
        multiplier, shift, zero_point = affine(low, high, 0, bits)
        size = max(high, 0) - min(low, 0) or 1
        for acc in range(-20, 21):
            u = Fraction(acc * top, size)
            answer, flags = code(acc, multiplier, shift, zero_point, bits, "half_even")
            wanted = {round(u)} if u.denominator != 2 else {u // 1, u // 1 + 1}
            ties += len(wanted) - 1
            assert answer in {min(max(w + zero_point, 0), top) for w in wanted}
            assert flags in {4 * (w + zero_point < 0) + 8 * (w + zero_point > top) for w in wanted}
            if multiplier & multiplier - 1 == 0:  # a power of two is exact
                assert answer == min(max(round(u) + zero_point, 0), top)
    assert ties > 100


def test_code_by_hand():
    assert code(5, 1, 1, 3, 4, "half_even") == (5, 0)  # 2.5 -> 2, then the odd zero point
    assert code(-5, 1, 1, 3, 4, "half_even") == (1, 0)
    assert code(-7, 1, 1, 3, 4, "half_even") == (0, 4)  # -3.5 -> -4
    assert code(25, 1, 1, 3, 4, "half_even") == (15, 0)
    assert code(27, 1, 1, 3, 4, "half_even") == (15, 8)
    assert code(0, 2**30, 40, 200, 8, "half_even") == (200, 0)
    assert code(5, 1, 1, 3, 4, "stochastic", 1, 1) == (6, 0) and code(5, 1, 1, 3, 4, "stochastic", 0, 1) == (5, 0)


def test_stochastic_codes_are_right_on_average():
    """Over all n-bit numbers the codes of an accumulator sum to 2^n times the quotient itself."""
    multiplier, shift, zero_point, n = 11, 5, 60, 5
    for acc in range(-128, 128):
        answers = [code(acc, multiplier, shift, zero_point, 7, "stochastic", r, n) for r in range(2**n)]
        assert Fraction(sum(c - zero_point for c, _ in answers), 2**n) == Fraction(acc * multiplier, 2**shift)
        assert not any(flags for _, flags in answers)
        assert max(answers)[0] - min(answers)[0] <= 1


def test_updated_by_hand():
    assert updated((-768, 1280), (1, 9), NINE_TENTHS, 8) == (-666, 1382)
    assert updated((-10, 10), (-4, 6), 0, 2) == (-16, 24)  # no memory
    assert updated((-3, 3), (-1, 1), 2**15, 0) == (-2, 2)  # a half each
    assert updated((1, 3), (0, 0), 2**15, 0) == (0, 2)  # ties, 0.5 and 1.5
    assert updated((-3, -1), (0, 0), 2**15, 0) == (-2, 0)
    assert updated((-8, 8), (0, 0), 2**16 - 1, 0) == (-8, 8)
    assert updated((0, 1000), (0, 0), NINE_TENTHS, 0) == (0, 900)  # the old range has the greater weight


@given(st.integers(-(2**20), 2**20), st.integers(0, 2**16 - 1), st.integers(0, 24))
def test_the_two_weights_sum_to_one(value, momentum, fraction_bits):
    end = value << fraction_bits
    assert updated((end, end), (value, value), momentum, fraction_bits) == (end, end)


@given(st.lists(st.lists(st.integers(-(2**15), 2**15), max_size=4), min_size=1, max_size=9), st.integers(0, 2**16 - 1),
       st.booleans(), st.sampled_from([-1, 1]), st.integers(0, 99))
def test_the_range_is_its_closed_form(rows, momentum, first, always, reach):
    """range_t = eta^t range_0 + (1 - eta) sum_i eta^(t-1-i) seen_i, exactly when F leaves nothing to round."""
    rows = [[always, *row] for row in rows]  # else a range may have no width, and with this F no multiplier
    start = (-1 - reach, 0) if always < 0 else (0, 1 + reach)
    fraction_bits, eta = 16 * len(rows), Fraction(momentum, 2**16)
    before = tuple(end << fraction_bits for end in start)
    told = steps(rows, before, first, 8, fraction_bits, momentum)
    assert [step["seen"] for step in told] == [(sorted(row)[0], sorted(row)[-1]) for row in rows]
    for end in (0, 1):
        seen = [step["seen"][end] for step in told]
        initial = seen[0] if first else start[end]
        # the first step of all starts the average, so it is the initial range and adds nothing after
        for t, step in enumerate([*told, {"range": told[-1]["state"]}]):
            added = [(1 - eta) * eta ** (t - 1 - i) * seen[i] for i in range(1 if first else 0, t)]
            kept = eta ** (max(t - 1, 0) if first else t)
            assert Fraction(step["range"][end], 2**fraction_bits) == kept * initial + sum(added)


@given(st.lists(st.lists(st.integers(-500, 500), min_size=1, max_size=5), min_size=2, max_size=6), st.booleans())
def test_rounding_never_strays(rows, first):
    """Each step rounds by half a unit at most, and forgets a tenth of what it strayed before: five units in all."""
    rows = [[-1, *row] for row in rows]  # as above
    exact = steps(rows, (-(7 << 200), 9 << 200), first, 8, 200, NINE_TENTHS)
    rough = steps(rows, (-(7 << 4), 9 << 4), first, 8, 4, NINE_TENTHS)
    for one, other in zip(exact, rough, strict=True):
        for end in (0, 1):
            assert abs(Fraction(one["state"][end], 2**196) - other["state"][end]) <= Fraction(5001, 1000)


def test_steps_by_hand():
    rows = [[-3, 0, 5], [9, 1], [-40]]
    told = steps(rows, (0, 0), True, 8, 8, NINE_TENTHS)
    assert [step["seen"] for step in told] == [(-3, 5), (1, 9), (-40, -40)]
    assert [step["range"] for step in told] == [(-768, 1280), (-768, 1280), (-666, 1382)]
    assert told[0]["state"] == (-768, 1280) and told[2]["state"][1] < 1382 - 1000
    assert told[0]["zero_point"] == told[1]["zero_point"] == 96
    for step in told:
        assert affine(*step["range"], 8, 8) == (step["multiplier"], step["shift"], step["zero_point"])


def test_later_steps_use_the_given_state():
    told = steps([[100], [200]], (-16, 16), False, 4, 4, 2**15)
    assert [step["range"] for step in told] == [(-16, 16), (792, 808)]
    assert told[-1]["state"] == (1996, 2004)
    assert steps([], (-16, 16), False, 4, 4, 2**15) == []


def test_no_step_sees_its_own_range():
    """Only the seen pair and the state after it tell of the last row."""
    one, other = (steps([[1, 2], [-9, 4], last], (0, 0), True, 8, 6, NINE_TENTHS) for last in ([7], [-70, 90]))
    assert one[:2] == other[:2]
    for name in ("range", "multiplier", "shift", "zero_point"):
        assert one[2][name] == other[2][name]
    assert one[2]["state"] != other[2]["state"]


def test_errors():
    for wrong in (lambda: affine(1, 0, 0, 8), lambda: affine(0, 0, 40, 8), lambda: updated((0, 0), (0, 0), 2**16, 0),
                  lambda: updated((0, 0), (0, 0), -1, 0), lambda: updated((0, 0), (0,), 0, 0),
                  lambda: code(1, 1, 1, 0, 8, "nearest"), lambda: code(1, 1, 1, 0, 8, "stochastic"),
                  lambda: code(1, 1, 1, 0, 1, "half_even"), lambda: code(1, 1, -1, 0, 8, "half_even")):
        with pytest.raises(ValueError):
            wrong()

    with pytest.raises(ValueError, match="step 1 "):
        steps([[1], []], (0, 0), True, 8, 0, 0)


def test_notes():
    lines = []
    steps([[-3, 5]], (-512, 512), False, 8, 8, 2**15, note=lines.append)
    code(1, 2**30, 28, 128, 8, "half_even", note=lines.append)
    assert lines == ["step 0 sees [-3, 5]", "range [-512, 512] holds 0, size 1024 / 2^8, codes 0 ... 255",
                     "scale 63.75 ~ 2139095040 / 2^25", "130560 / 1024", "127.5, half_away: exact tie -> 128",
                     "32768 of 2^16 parts of -512, the others of -768: -41943040",
                     "/ 2^16, half_even: exact -> -640",
                     "32768 of 2^16 parts of 512, the others of 1280: 58720256",
                     "/ 2^16, half_even: exact -> 896",
                     "1 x 1073741824 = 1073741824, / 2^28", "4.0, half_even: exact -> 4",
                     "+ zero point 128 = 132", "saturated to [0, 255]: 132"]
