"""PACT in integers: its codes, masks and alpha's gradient against the real method, over whole accumulator formats."""
from fractions import Fraction

import numpy as np
import pytest

from refquant.hardware import pact
from refquant.quantizers import sat

BITS = range(2, 9)
FULL = {bits: np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)) for bits in range(8, 17)}


def drawn(acc_bits, count, seed=0):
    """(alpha, acc_scale): alpha from a twentieth of the format's reach to a little beyond it."""
    rng = np.random.default_rng([seed, acc_bits])
    for _ in range(count):
        acc_scale = float(rng.uniform(0.5, 2) * 2.0 ** -int(rng.integers(3, 12)))
        yield float(acc_scale * 2 ** (acc_bits - 1) * rng.uniform(0.05, 1.1)), acc_scale


# alpha a times a power of two: the ratio is one too, and every odd multiple of half a step a tie
DYADIC = [(a * 2.0**-j, 2.0**-k) for a in (1, 3, 7, 15, 31, 63, 127, 255) for j in (0, 3, 6) for k in (4, 7, 10)]


def of_real(acc, alpha, acc_scale, bits, rounding="half_even"):
    return sat.pact.forward(acc_scale * acc, np.array(alpha), bits=bits, rounding=rounding)


def exact(acc, alpha, acc_scale, bits):
    """a u of one accumulator between 0 and alpha, as a Fraction."""
    return (2**bits - 1) * Fraction(acc_scale) * int(acc) / Fraction(alpha)


@pytest.mark.parametrize("acc_bits", FULL)
def test_codes_are_those_of_the_real_method_on_every_accumulator(acc_bits):
    acc = FULL[acc_bits]
    for alpha, acc_scale in drawn(acc_bits, 12 if acc_bits < 16 else 30):
        for bits in BITS:
            multiplier, shift, _ = pact.parameters(alpha, acc_scale, bits)
            np.testing.assert_array_equal(pact.forward(acc, multiplier, shift, bits=bits),
                                          of_real(acc, alpha, acc_scale, bits).codes)


@pytest.mark.parametrize("rounding", ["half_even", "half_away", "half_down"])
def test_ties_of_dyadic_ratios_are_ties_in_both(rounding):
    acc, ties = FULL[12], 0
    for alpha, acc_scale in DYADIC:
        for bits in BITS:
            multiplier, shift, _ = pact.parameters(alpha, acc_scale, bits)
            if Fraction(multiplier, 2**shift) != (2**bits - 1) * Fraction(acc_scale) / Fraction(alpha):
                continue
            np.testing.assert_array_equal(pact.forward(acc, multiplier, shift, bits=bits, rounding=rounding),
                                          of_real(acc, alpha, acc_scale, bits, rounding).codes)
            product = acc[acc > 0] * multiplier % 2**shift
            ties += int((2 * product == 2**shift).sum())
    assert ties > 1000


def test_codes_differ_only_where_the_multiplier_errs_by_a_tie():
    acc, differing = FULL[12], set()
    for alpha in (1.0, 2.5, 3.0, 5.0, 6.0, 8.0, 10.0):
        for acc_scale in (0.5, 2.0**-4, 2.0**-8):
            for bits in BITS:
                multiplier, shift, _ = pact.parameters(alpha, acc_scale, bits)
                codes = pact.forward(acc, multiplier, shift, bits=bits)
                for i in np.flatnonzero(codes != of_real(acc, alpha, acc_scale, bits).codes):
                    v = exact(acc[i], alpha, acc_scale, bits)
                    assert abs(v - (v.numerator // v.denominator) - Fraction(1, 2)) <= v / 2**31
                    differing.add((bits, alpha, acc_scale, int(acc[i])))
    assert (5, 5.0, 0.5, 5) in differing  # the one that the module's text tells of
    assert pact.forward([5], *pact.parameters(5.0, 0.5, 5)[:2], bits=5).tolist() == [15]


def test_alpha_acc_is_the_least_accumulator_at_alpha():
    for acc_bits in (8, 16):
        for alpha, acc_scale in [*drawn(acc_bits, 40), *DYADIC]:
            alpha_acc = pact.parameters(alpha, acc_scale, 4)[2]
            assert Fraction(acc_scale) * alpha_acc >= Fraction(alpha) > Fraction(acc_scale) * (alpha_acc - 1)
    assert pact.parameters(-6.0, 0.5, 4) == pact.parameters(6.0, 0.5, 4)
    # 3 times 0.1, the float, is a little below this alpha, though their product in floats is rounded to it
    assert 3 * 0.1 >= 0.30000000000000004 and pact.parameters(0.30000000000000004, 0.1, 4)[2] == 4


@pytest.mark.parametrize("acc_bits", [8, 11, 16])
@pytest.mark.parametrize("calibrated", [True, False])
def test_backward_is_the_real_methods_within_its_roundings(acc_bits, calibrated):
    acc = FULL[acc_bits]
    g = np.random.default_rng(acc_bits).integers(-128, 128, acc.shape)
    for alpha, acc_scale in [*drawn(acc_bits, 8), (4.0, 2.0**-5), (1.0, 2.0**-7)]:
        for bits in BITS:
            multiplier, shift, alpha_acc = pact.parameters(alpha, acc_scale, bits)
            for fraction_bits in (0, 12, min(shift, 20)):
                dx, dalpha, error = pact.backward(
                    g.astype(np.int8), acc, alpha_acc, multiplier, shift, bits=bits, fraction_bits=fraction_bits,
                    calibrated=calibrated)
                x, a = acc_scale * acc, 2**bits - 1
                real_dx, real_dalpha = sat.pact.backward(g.astype(float), of_real(acc, alpha, acc_scale, bits), x,
                                                         np.array(alpha), bits=bits, calibrated=calibrated)
                assert dx.dtype == np.int8 and error.dtype == np.int32
                np.testing.assert_array_equal(dx, real_dx)
                between, codes = (acc > 0) & (acc < alpha_acc), of_real(acc, alpha, acc_scale, bits).codes
                exactly = np.where(between, codes - a * (x / alpha), 0) * 2**fraction_bits
                assert np.abs(error - exactly).max() <= 0.5 + a * 2.0 ** (fraction_bits - 31) + 1e-6
                # an error is rounded by half a unit, and its multiplier errs by 2^-31 of a u <= a
                each = (0.5 * 2.0**-fraction_bits + a * 2.0**-31) / a
                bound = np.abs(g[between]).sum() * each * calibrated
                assert abs(dalpha / (a * 2**fraction_bits) - real_dalpha) <= bound + 1e-9 * np.abs(g).sum()


def test_alphas_gradient_is_exact_where_no_fraction_is_cut():
    """Ratios of 31 bits and F = shift: equal to the sum of g times (q(u) - u), or 1, in Fractions."""
    g, counted = np.random.default_rng(1).integers(-100, 100, FULL[10].shape), 0
    for alpha, acc_scale in DYADIC:
        bits = int(np.random.default_rng(int(alpha * 64)).integers(2, 9))
        multiplier, shift, alpha_acc = pact.parameters(alpha, acc_scale, bits)
        a = 2**bits - 1
        if Fraction(multiplier, 2**shift) != a * Fraction(acc_scale) / Fraction(alpha) or shift > 30:
            continue
        dalpha = pact.backward(g, FULL[10], alpha_acc, multiplier, shift, bits=bits, fraction_bits=shift,
                               calibrated=True)[1]
        levels = [exact(v, alpha, acc_scale, bits) for v in FULL[10].tolist()]
        terms = [(Fraction(round(v)) - v) / a if 0 < v < a else Fraction(v >= a) for v in levels]
        assert Fraction(dalpha, a << shift) == sum(int(i) * term for i, term in zip(g, terms, strict=True))
        counted += 1
    assert counted > 10


def test_regions_at_their_ends():
    """alpha_acc 8, one code a step of 1/2: 0 is outside, 8 is outside, and both sums have their own."""
    multiplier, shift, alpha_acc = pact.parameters(4.0, 0.5, 2)  # a u = 3/8 acc
    assert alpha_acc == 8
    acc, g = np.array([-3, -1, 0, 1, 4, 7, 8, 9]), np.array([1, 2, 4, 8, 16, 32, 64, 128])
    dx, dalpha, error = pact.backward(g, acc, alpha_acc, multiplier, shift, bits=2, fraction_bits=3, calibrated=True)
    assert dx.tolist() == [0, 0, 0, 8, 16, 32, 0, 0]
    assert error.tolist() == [0, 0, 0, -3, 4, 3, 0, 0]  # 8 (0 - 3/8), 8 (2 - 3/2), 8 (3 - 21/8)
    assert dalpha == (64 + 128) * 3 * 8 - 8 * 3 + 16 * 4 + 32 * 3


@pytest.mark.parametrize("alpha, acc_scale, word", [
    (0.0, 1.0, "alpha"), (np.inf, 1.0, "alpha"), (np.nan, 1.0, "alpha"), (1.0, 0.0, "acc_scale"), (1.0, -1.0, "acc_scale"),
    (1.0, np.nan, "acc_scale"), (1.0, 2.0**-48, "2\\^47")])
def test_parameters_refuse(alpha, acc_scale, word):
    with pytest.raises(ValueError, match=word):
        pact.parameters(alpha, acc_scale, 4)


@pytest.mark.parametrize("change, word", [
    ({"acc": np.zeros(1, int)}, "g has shape"), ({"alpha_acc": 0}, "alpha_acc"), ({"fraction_bits": 29}, "fraction_bits"),
    ({"fraction_bits": -1}, "fraction_bits"), ({"g": np.full(3, 2**31)}, "g holds"),
    ({"g": np.full(3, 2**31 - 1), "fraction_bits": 27}, "dalpha")])
def test_backward_refuses(change, word):
    arguments = {"g": np.ones(3, int), "acc": np.arange(3), "alpha_acc": 3, "multiplier": 2**30, "shift": 28, "bits": 4,
                 "fraction_bits": 8, "calibrated": True} | change
    with pytest.raises(ValueError, match=word):
        pact.backward(**arguments)
