"""INT4 gradients in integers: codes against the real-valued quantizer, the clip factor against exact fractions."""
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from refquant.hardware import int4
from refquant.integers import Stochastic
from refquant.quantizers.int4 import clipped_fraction, int4_gradient, updated_clip_factor

PATTERNS = np.arange(16)


def every(highest):
    """All gradients up to ``highest`` with all patterns of four random bits: g [2 highest + 1, 16], and the rounding."""
    g = np.repeat(np.arange(-highest, highest + 1)[:, None], 16, axis=1)
    return g, Stochastic(np.broadcast_to(PATTERNS, g.shape), 4)


@pytest.mark.parametrize("bits", [4, 5, 8])
@pytest.mark.parametrize("clip_factor", [1, 37, 500, 637, 999, 1000])
def test_codes_are_those_of_the_quantizer_of_reals_on_every_gradient(bits, clip_factor):
    """But where g / step plus the random bits is exactly an integer, which a multiplier rounded toward 0 just misses.

    Elsewhere g / step + r / 16 is at least 1 / (16 k H) from an integer, 2^-21 at most, and inside the clip both ways
    err by less: the integer one by 2^7 * 2^-31. Where it is an integer, the code is one less than it if the product
    falls short of it; the steps that 31 bits hold exactly are in the next test.
    """
    qmax, short = 2 ** (bits - 1) - 1, 0
    for highest in range(1, 128):
        g, rounding = every(highest)
        found = int4.codes(g, clip_factor, bits, rounding)
        real = int4_gradient.forward(2.0**-9 * g, clip_factor=clip_factor / 1000, bits=bits, rounding=rounding)
        unit, scaled = clip_factor * highest, 1000 * qmax * g  # g / step = scaled / unit
        whole, rest = np.divmod(16 * scaled + PATTERNS * unit, 16 * unit)
        assert ((found.codes == real.codes) | (rest == 0)).all()
        error = found.multiplier * unit - (1000 * qmax << found.shift)  # a Python integer: its sign is exact
        falls_short = (rest == 0) & (np.sign(g) * ((error > 0) - (error < 0)) < 0)
        assert (found.codes == np.clip(whole - falls_short, -qmax, qmax)).all()
        short += int((falls_short & (np.abs(whole - 0.5) < qmax)).sum())
        assert (found.flags[scaled < -(qmax + 1) * unit] & 4 == 4).all() and (found.flags[scaled > (qmax + 1) * unit] & 8 == 8).all()
        assert not (found.flags[np.abs(scaled) < qmax * unit] & 12).any()
        assert found.clipped == int((np.abs(scaled) > qmax * unit).sum()) and found.highest == highest
    assert (short > 0) == (clip_factor in (500, 1000))  # of others no small gradient reaches a level


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_where_the_step_is_a_power_of_two_codes_are_equal_everywhere(bits):
    qmax = 2 ** (bits - 1) - 1
    for exponent in range(5):
        g, rounding = every(qmax << exponent)
        found = int4.codes(g, 1000, bits, rounding)
        assert Fraction(found.multiplier, 2**found.shift) == Fraction(1, 2**exponent)
        assert (found.codes == int4_gradient.forward(0.25 * g, clip_factor=1.0, bits=bits, rounding=rounding).codes).all()
        assert (found.codes == (16 * g + (PATTERNS << exponent)) // (16 << exponent)).all()


@pytest.mark.parametrize("highest", [1, 3, 127, 2**15 - 1, 2**31 - 1, 2**31])
def test_the_scale_holds_31_bits(highest):
    for clip_factor, bits in product((1, 2, 333, 999, 1000), (4, 5, 8)):
        multiplier, shift = int4.parameters(highest, clip_factor, bits)
        exact = Fraction(1000 * (2 ** (bits - 1) - 1), clip_factor * highest)
        assert abs(Fraction(multiplier, 2**shift) / exact - 1) <= Fraction(1, 2**31)
        assert 2**30 <= multiplier < 2**31 and 1 <= shift <= 62
    assert int4.parameters(0, clip_factor, bits) == (0, 1)


def test_codes_are_unbiased_inside_the_clip():
    """Over all patterns the codes sum to the floor of 16 times the scaled gradient."""
    for highest, clip_factor in product((5, 31, 127), (300, 1000)):
        g, rounding = every(highest)
        found = int4.codes(g, clip_factor, 4, rounding)
        inside = (found.flags & 12 == 0).all(1)
        exact = g[:, 0] * found.multiplier * 16 >> found.shift
        assert (found.codes.astype(int).sum(1)[inside] == exact[inside]).all() and inside.sum() > highest // 3


def test_flags_tell_chance():
    g, rounding = every(100)
    found = int4.codes(g, 700, 4, rounding)
    floor = int4.codes(g, 700, 4, Stochastic(np.zeros_like(g), 4))
    rose = (found.flags & 32) != 0
    inside = (found.flags | floor.flags) & 12 == 0
    assert rose[inside].any() and (found.codes.astype(int) - floor.codes == rose)[inside].all()
    assert not (floor.flags & 32).any()


def test_the_clip_factor_moves_as_exact_fractions_say():
    for bits in (4, 5, 8):
        target = 1000 * (2**bits - 1)
        for clipped, count in product((0, 1, 2, 3), (1, target - 1, target, target + 1, 2 * target - 1, 2 * target, 3 * target)):
            if clipped > count:
                continue
            share = Fraction(clipped, count) - Fraction(1, target)
            direction = (share > 0) - (share < 0)
            for clip_factor in (1, 2, 500, 999, 1000):
                assert int4.updated(clip_factor, clipped, count, bits) == sorted((1, clip_factor + direction, 1000))[1]


def test_clip_factor_and_count_are_those_of_reals():
    """But where a gradient lies exactly at the clip, which k / 1000 in float64 misses."""
    random, compared = np.random.default_rng(7), 0
    for _ in range(300):
        g = random.integers(-1000, 1001, int(random.integers(1, 300))) * random.integers(0, 2)
        clip_factor, bits = int(random.integers(1, 1001)), int(random.choice([4, 5, 8]))
        highest = int(np.abs(g).max())
        if highest and (1000 * np.abs(g) == clip_factor * highest).any():
            continue
        found = int4.trajectory(g[None], clip_factor, bits=bits, rbits=np.zeros((1, len(g)), int), n=8)
        real = 0.125 * g
        assert int(found.clipped[0]) == round(clipped_fraction(real, clip_factor / 1000) * len(g))
        assert int(found.clip_factor[0]) == round(1000 * updated_clip_factor(clip_factor / 1000, real, bits))
        compared += highest > 0
    assert compared > 100


def test_at_the_clip_is_not_beyond_it():
    g = np.array([1000, 640, -640, 641, -641, 639])
    assert int4.codes(g, 640, 4, Stochastic(np.zeros(6, int), 1)).clipped == 3


def test_in_few_gradients_the_clip_factor_rises_to_1000_and_alternates():
    g = np.random.default_rng(8).integers(-99, 100, (12, 50))
    assert int4.trajectory(g, 994, bits=4, rbits=0 * g, n=1).clip_factor.tolist() == [
        995, 996, 997, 998, 999, 1000, 999, 1000, 999, 1000, 999, 1000]


def test_in_many_gradients_the_clip_factor_finds_its_target():
    """Of 15,000 gradients at 4 bits one beyond the clip is the target: there it rests; with none or more it moves."""
    g = np.zeros((5, 15_000), np.int64)
    g[:, 0], g[3:, 1] = 1000, -900
    found = int4.trajectory(g, 800, bits=4, rbits=0 * g, n=1)
    assert found.clipped.tolist() == [1, 1, 1, 2, 2] and found.clip_factor.tolist() == [800, 800, 800, 801, 802]
    wider = np.concatenate([g, np.zeros((5, 1), np.int64)], axis=1)
    assert int4.trajectory(wider, 2, bits=4, rbits=0 * wider, n=1).clip_factor.tolist() == [1, 1, 1, 2, 3]


def test_a_step_of_zeros_changes_nothing():
    g = np.array([[0, 0, 0], [4, -8, 2], [0, 0, 0]])
    for n in (1, 2, 8):
        found = int4.trajectory(g, 700, bits=4, rbits=np.full((3, 3), 2**n - 1), n=n)
        assert not found.codes[[0, 2]].any() and not found.flags[[0, 2]].any()
        assert found.clip_factor.tolist() == [700, 701, 701] and found.clipped.tolist() == [0, 1, 0]
        assert (found.multiplier[0], found.shift[0], found.highest.tolist()) == (0, 1, [0, 8, 0])


def test_each_step_takes_its_own_maximum_and_random_bits():
    random = np.random.default_rng(9)
    g, rbits = random.integers(-2**31, 2**31, (6, 40)) >> random.integers(0, 20, (6, 1)), random.integers(0, 256, (6, 40))
    found, factors = int4.trajectory(g, 900, bits=8, rbits=rbits, n=8), [900, *range(901, 907)]
    assert found.clip_factor.tolist() == factors[1:]
    for t in range(6):
        alone = int4.codes(g[t], factors[t], 8, Stochastic(rbits[t], 8))
        assert (alone.codes == found.codes[t]).all() and alone.highest == found.highest[t] == max(abs(x) for x in g[t].tolist())


def test_the_most_negative_gradient_has_a_magnitude():
    found = int4.codes(np.array([-2**31, 2**31 - 1, 0]), 1000, 4, Stochastic(np.array([0, 0, 0]), 1))
    assert found.highest == 2**31 and found.codes.tolist() == [-7, 6, 0]


@pytest.mark.parametrize("call, message", [
    (lambda: int4.parameters(5, 0, 4), "clip_factor = 0: expected 1 to 1000"),
    (lambda: int4.parameters(5, 1001, 4), "clip_factor = 1001"),
    (lambda: int4.parameters(2**31 + 1, 5, 4), r"max\|g\| = 2147483649: expected 0 to 2\^31"),
    (lambda: int4.updated(0, 0, 1, 4), "clip_factor = 0"),
    (lambda: int4.trajectory(np.ones((2, 0), int), 5, bits=4, rbits=np.ones((2, 0), int), n=1), r"g has shape \(2, 0\)"),
    (lambda: int4.trajectory(np.ones(2, int), 5, bits=4, rbits=np.ones(2, int), n=1), r"g has shape \(2,\)"),
    (lambda: int4.trajectory(np.ones((2, 3), int), 5, bits=4, rbits=np.ones((2, 1), int), n=1), r"rbits has shape \(2, 1\)"),
    (lambda: int4.trajectory(np.ones((1, 1), int), 5, bits=4, rbits=np.full((1, 1), 2), n=1), "rbits holds values from 2 to 2"),
])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
