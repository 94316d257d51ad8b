"""In-hindsight ranges in integers: codes against the real-valued quantizer, ranges against exact fractions."""
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.hardware import hindsight
from refquant.integers import Stochastic
from refquant.quantizers.hindsight import Estimator, hindsight_quantize

NINE_TENTHS = 58982
ENDS_48 = -(1 << 47), (1 << 47) - 1


def ratio(low, high, fraction_bits, bits):
    """(numerator, denominator) of codes per accumulator, and of the zero point, of a range widened to hold 0."""
    low, high, top = min(low, 0), max(high, 0), 2**bits - 1
    size = high - low or 1
    return (top << fraction_bits, size), (-low * top, size)


RANGES = [*product((-300, -64, -18, -7, -1, 0, 5), (-3, 0, 1, 8, 42, 60, 255, 300)), (-1500, 2900), (-2048, 2047), (100, 4100)]


@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_are_those_of_the_quantizer_of_reals_on_every_accumulator(bits):
    """All of 12 bits, and so of fewer. But for exact ties, of a scale that is no dyadic number: where reals and 31-bit multipliers are inexact too.

    An accumulator times top 2^F / size lies at least 1 / (2 size) from a tie that it is not on, and both ways err by
    less than that: the integer one by acc top 2^F / (size 2^32), as 2^11 * 2^8 * 2^9 < 2^32.
    """
    acc = np.arange(-2048, 2048)
    ties = on_dyadic = 0
    for (low, high), fraction_bits in product(RANGES, (0, 8)):
        if low > high:
            continue
        (num, den), (zero, _) = ratio(low << fraction_bits, high << fraction_bits, fraction_bits, bits)
        multiplier, shift, zero_point = hindsight.affine(low << fraction_bits, high << fraction_bits, fraction_bits, bits)
        codes, flags = hindsight.codes(acc, multiplier, shift, zero_point, bits=bits)
        for unit in (2.0**-7, 0.0371):
            if low == high == 0:
                continue  # which of the two grids stands for a range of no width is a convention, see below
            real = hindsight_quantize.forward(unit * acc, range_min=unit * low, range_max=unit * high, bits=bits)
            tie = 2 * acc * num % (2 * den) == den
            dyadic = (den // np.gcd(num, den)).bit_count() == 1 and unit == 2.0**-7
            if real.zero_point != zero_point:  # by one, at a tie
                assert 2 * zero % (2 * den) == den and abs(real.zero_point - zero_point) == 1 and not dyadic
                continue
            agree = codes == real.codes
            assert (agree | tie).all() and (agree.all() or not dyadic)
            assert (np.abs(codes.astype(int) - real.codes.astype(int)) <= 1).all()
            ties, on_dyadic = ties + int(tie.sum()), on_dyadic + int(tie.sum()) * dyadic
        exact = acc * num + zero_point * den  # in 1 / den: beyond half a code past the ends it saturates
        assert (flags[2 * exact < -den] == 4).all() and (flags[2 * exact > (2 * (2**bits - 1) + 1) * den] == 8).all()
        assert not flags[(2 * exact > -den) & (2 * exact < (2 * (2**bits - 1) + 1) * den)].any()
    assert ties > on_dyadic > 0


@given(st.tuples(*2 * [st.integers(*ENDS_48)]).map(sorted), st.integers(2, 8), st.integers(0, 16))
def test_scale_and_zero_point(ends, bits, fraction_bits):
    (num, den), (zero, _) = ratio(*ends, fraction_bits, bits)
    multiplier, shift, zero_point = hindsight.affine(*ends, fraction_bits, bits)
    scale, found = Fraction(num, den), Fraction(multiplier, 2**shift)
    assert abs(found - scale) <= max(scale / 2**31, Fraction(1, 2**63)) and 1 <= shift <= 62 and multiplier < 2**31
    assert 0 <= zero_point < 2**bits
    assert zero_point == int(Fraction(zero, den) + Fraction(1, 2))  # half away, of what is not negative


def test_zero_has_the_zero_point_and_the_ends_have_the_ends():
    for low, high in product(range(-40, 1), range(1, 41)):
        multiplier, shift, zero_point = hindsight.affine(low, high, 0, 8)
        (lowest, zero, highest), _ = hindsight.codes([low, 0, high], multiplier, shift, zero_point, bits=8)
        assert (zero, lowest in (0, 1), highest in (254, 255)) == (zero_point, True, True)


def test_a_range_of_no_width_takes_one_unit_for_it():
    multiplier, shift, zero_point = hindsight.affine(0, 0, 8, 4)
    assert (Fraction(multiplier, 2**shift), zero_point) == (15 * 256, 0)
    codes, flags = hindsight.codes([-1, 0, 1], multiplier, shift, zero_point, bits=4)
    assert codes.tolist() == [0, 0, 15] and flags.tolist() == [4, 0, 8]


@given(st.lists(st.integers(*ENDS_48), min_size=2, max_size=2), st.lists(st.integers(-2**31, 2**31 - 1), min_size=2, max_size=2),
       st.integers(0, 2**16 - 1), st.integers(0, 16))
def test_the_update_is_the_weighted_mean_rounded_half_even(state, seen, momentum, fraction_bits):
    exact = [Fraction(old * momentum + (new << fraction_bits) * (2**16 - momentum), 2**16)
             for old, new in zip(state, seen, strict=True)]
    assert hindsight.updated(state, seen, momentum, fraction_bits).tolist() == [round(e) for e in exact]


def test_ties_of_the_update_go_to_even():
    for state, seen in product(range(-8, 9), repeat=2):  # every other sum lies halfway
        assert hindsight.updated([state], [seen], 2**15, 0).tolist() == [round(Fraction(state + seen, 2))]


def test_the_ends_are_looked_for_everywhere():
    for least, greatest in product(range(9), repeat=2):
        acc = np.zeros((1, 9), int)
        acc[0, greatest] = 7
        acc[0, least] = -5
        assert follow(acc).seen.tolist() == [[-5, 0 if least == greatest else 7]]


def test_the_update_at_the_ends_of_64_bits():
    for momentum in (0, 1, 2**15, 2**16 - 1):
        assert hindsight.updated([*ENDS_48], [-2**31, 2**31 - 1], momentum, 16).tolist() == [
            -(1 << 47), round(Fraction(((1 << 47) - 1) * momentum + (2**31 - 1) * 2**16 * (2**16 - momentum), 2**16))]


def steps(seed, count=25, elements=40):
    random = np.random.default_rng(seed)
    middle, width = random.integers(-200, 200, (count, 1)), random.integers(50, 900, (count, 1))
    return middle + random.integers(-1000, 1001, (count, elements)) * width // 1000


def follow(acc, state=(0, 0), first=True, rounding="half_even", momentum=NINE_TENTHS, bits=8):
    return hindsight.trajectory(acc, state, first=first, bits=bits, fraction_bits=8, momentum=momentum, rounding=rounding)


@pytest.mark.parametrize("momentum", [0, 2**15, NINE_TENTHS, 2**16 - 1])
def test_ranges_follow_the_estimator_of_reals(momentum):
    """Each update rounds by half of 2^-8 at most, and what is left of earlier ones shrinks by the momentum."""
    acc, eta, state = steps(1), momentum / 2**16, None
    estimator = Estimator("hindsight", eta)
    found = follow(acc, momentum=momentum)
    for t, row in enumerate(acc):
        seen = (float(row.min()), float(row.max()))
        bound = 0.5 / 256 * sum(eta**k for k in range(t)) + 1e-9
        assert found.range[t] / 256 == pytest.approx(estimator.range(seen, state), abs=bound)
        assert found.seen[t].tolist() == [*seen]
        state = estimator.update(seen, state)
    assert found.state / 256 == pytest.approx(state, abs=0.5 / 256 * sum(eta**k for k in range(len(acc))) + 1e-9)


def test_a_step_is_quantized_with_what_the_steps_before_showed():
    """The range of a step does not depend on its accumulators, except in a first step."""
    acc = steps(2)
    other = acc.copy()
    other[7] = 4 * other[7] + 1
    one, two = follow(acc), follow(other)
    assert (one.range[:8] == two.range[:8]).all() and (one.range[8] != two.range[8]).all()
    assert (one.multiplier[:8] == two.multiplier[:8]).all() and (one.codes[7] != two.codes[7]).any()
    assert (one.seen[7] != two.seen[7]).any() and (np.delete(one.seen, 7, 0) == np.delete(two.seen, 7, 0)).all()
    assert follow(acc, (-5, 9)).range[0].tolist() == [acc[0].min() * 256, acc[0].max() * 256]
    assert follow(acc, (-5, 9), first=False).range[0].tolist() == [-5, 9]


def test_a_trajectory_can_be_cut_anywhere():
    acc, whole = steps(3), follow(steps(3))
    for cut in range(1, len(acc)):
        head = follow(acc[:cut])
        tail = follow(acc[cut:], head.state, first=False)
        for name in ("range", "multiplier", "shift", "zero_point", "codes", "flags", "seen"):
            assert (np.concatenate([getattr(head, name), getattr(tail, name)]) == getattr(whole, name)).all()
        assert (tail.state == whole.state).all()


def test_a_first_step_is_one_that_knew_its_range():
    acc = steps(4)
    known = follow(acc, (int(acc[0].min()) * 256, int(acc[0].max()) * 256), first=False)
    assert all((a == b).all() for a, b in zip(follow(acc), known, strict=True))


def test_codes_stand_for_their_accumulators():
    """Inside the range the value of a code is within one step of the accumulator: half by rounding, half by zero point."""
    acc, found = steps(5), follow(steps(5))
    value = (found.codes.astype(int) - found.zero_point[:, None]) * np.ldexp(1 / found.multiplier, found.shift)[:, None]
    step = np.ldexp(1 / found.multiplier, found.shift)[:, None]
    inside = found.flags == 0
    assert (np.abs(value - acc)[inside] <= 0.5001 * np.broadcast_to(step, acc.shape)[inside]).all()
    clipped = (acc * 256 < found.range[:, :1] - 256 * step) | (acc * 256 > found.range[:, 1:] + 256 * step)
    assert clipped.any() and not inside[clipped].any()


def test_stochastic_codes_are_unbiased():
    acc = np.repeat(np.arange(-60, 61), 16)[None]
    found = follow(acc, (-50 * 256, 70 * 256), first=False, bits=5, rounding=Stochastic(np.tile(np.arange(16), 121)[None], 4))
    sums = found.codes.reshape(121, 16).astype(int).sum(1) - 16 * found.zero_point[0]
    exact = np.arange(-60, 61) * int(found.multiplier[0]) * 16 >> int(found.shift[0])
    inside = (found.flags.reshape(121, 16) == 0).all(1)
    assert inside.sum() > 100 and (sums[inside] == exact[inside]).all()


def test_each_step_rounds_by_its_own_random_bits():
    acc, rbits = steps(6), np.random.default_rng(6).integers(0, 256, (25, 40))
    whole = follow(acc, rounding=Stochastic(rbits, 8))
    for t, (before, _) in enumerate(pairwise(rbits)):
        alone = follow(acc[t:t + 1], whole.range[t], first=False, rounding=Stochastic(before[None], 8))
        assert (alone.codes[0] == whole.codes[t]).all()


@pytest.mark.parametrize("call, message", [
    (lambda: hindsight.affine(3, 2, 0, 8), r"range \[3, 2\]: expected low <= high"),
    (lambda: hindsight.affine(0, 1, 24, 8), "shift is"),
    (lambda: hindsight.updated([0, 0], [0, 0], 2**16, 8), r"momentum = 65536: expected 0 to 2\^16 - 1"),
    (lambda: hindsight.updated([0, 0], [0, 0], -1, 8), "momentum = -1"),
    (lambda: hindsight.updated([0, 1 << 47], [0, 0], 0, 8), r"state = \[0, 140737488355328\]: expected"),
    (lambda: hindsight.updated([0, 0], [0, 2**31], 0, 16), "seen runs from 0 to 2147483648: with 16 fraction bits"),
    (lambda: hindsight.updated([0, 0], [-2**31 - 1, 0], 0, 16), "expected -2147483648 to 2147483647"),
    (lambda: follow(np.zeros((2, 0), int)), r"acc has shape \(2, 0\): expected \[steps, elements\]"),
    (lambda: follow(np.zeros(3, int)), r"acc has shape \(3,\)"),
    (lambda: follow(np.zeros((1, 1), int), (9, 8), first=False), "range"),
])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
