"""SAT's weights in integers against the real method: every weight under every maximum, scales, gradients."""
import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from refquant.hardware import sat
from refquant.hardware.scaling import scale_value
from refquant.integers import IntFormat
from refquant.quantizers.sat import sat_weight

BITS = range(2, 9)


def weights_up_to(highest, format):
    """Every weight of a magnitude up to ``highest``."""
    return np.arange(max(-highest, format.qmin), min(highest, format.qmax) + 1).reshape(1, -1)


def test_the_table_is_tanh():
    for bits, fraction_bits in ((4, 0), (8, 7), (10, 3), (10, 20)):
        table = sat.tanh_table(IntFormat(bits), fraction_bits)
        assert table.dtype == np.uint32 and len(table) == 2 ** (bits - 1) + 1
        assert table.tolist() == [round(2**30 * exact_tanh(j, fraction_bits)) for j in range(len(table))]


def exact_tanh(j, fraction_bits):
    """tanh(j 2^-fraction_bits) to 40 digits, as a Fraction."""
    with localcontext() as context:
        context.prec = 50
        power = (Decimal(2 * int(j)) / 2**fraction_bits).exp()
        return Fraction((power - 1) / (power + 1))


def assert_codes_are_the_real_methods(format, fraction_bits, maxima):
    table = sat.tanh_table(format, fraction_bits)
    for highest in maxima:
        w = weights_up_to(highest, format)
        for bits in BITS:
            real = sat_weight.forward(w * 2.0**-fraction_bits, bits=bits)
            assert np.array_equal(sat.codes(w, table, sat.highest(w, table), bits=bits), real.codes)


@pytest.mark.parametrize("bits", range(4, 11))
def test_every_weight_under_every_maximum(bits):
    """The maximum 2^(bits-1) is that of the most negative code alone."""
    for fraction_bits in {4: (2, 3, 11), 8: (6, 11), 9: (8,), 10: (11,)}.get(bits, (bits - 1, 11)):
        assert_codes_are_the_real_methods(IntFormat(bits), fraction_bits, range(1, 2 ** (bits - 1) + 1))


@pytest.mark.parametrize("fraction_bits", [12, 13, 15])
def test_finer_weights_differ_only_beside_ties(fraction_bits):
    """And only in tensors of tiny weights: at 12 fraction bits those whose largest is 3."""
    format = IntFormat(10)
    table, differing = sat.tanh_table(format, fraction_bits), set()
    for highest in (*range(1, 101), 256, 512):
        w = weights_up_to(highest, format)
        for bits in (2, 3, 8):
            a, codes = 2**bits - 1, sat.weight(w, table, bits=bits, rescale="none").codes
            for i in np.flatnonzero(codes != sat_weight.forward(w * 2.0**-fraction_bits, bits=bits).codes):
                u = a * (exact_tanh(w.flat[i], fraction_bits) / exact_tanh(highest, fraction_bits) + 1) / 2
                assert abs(u - math.floor(u) - Fraction(1, 2)) <= Fraction(a, 2 * int(table[highest]))
                differing.add(highest)
    assert differing and max(differing) <= 85
    assert fraction_bits > 12 or differing == {3}


@pytest.mark.parametrize("shape", [(10, 64), (7, 3, 3, 3), (2, 1), (16, 1, 5, 5), (30,)])
@pytest.mark.parametrize("bits", BITS)
def test_the_scale_is_the_real_methods(shape, bits):
    w = np.clip(np.rint(np.random.default_rng(bits).normal(size=shape) * 40), -128, 127).astype(np.int8)
    table = sat.tanh_table(IntFormat(8), 6)
    for rescale, real in (("none", None), ("constant", "constant")):
        scale = sat.weight(w, table, bits=bits, rescale=rescale).scale
        expected = Fraction(float(sat_weight.forward(w * 2.0**-6, bits=bits, rescale=real).scale))
        assert 2**30 <= scale[0] < 2**31 and abs(scale_value(scale) / expected - 1) <= Fraction(1, 2**29)
        assert rescale == "none" or scale_value(scale) <= expected * (1 + Fraction(1, 2**48))  # taken downwards


def test_the_constant_scale_makes_the_variance_one_over_n_out():
    """n_out VAR[Q*] = 1, the variance by Python's own integers."""
    w = np.random.default_rng(0).integers(-128, 128, (6, 5, 3, 2)).astype(np.int8)
    found = sat.weight(w, sat.tanh_table(IntFormat(8), 7), bits=4, rescale="constant")
    level = [int(code) * scale_value(found.scale) for code in found.codes.flat]
    mean = sum(level) / len(level)
    n_out_variance = 6 * 3 * 2 * sum((q - mean) ** 2 for q in level) / (len(level) - 1)
    assert 1 - Fraction(1, 2**29) < n_out_variance <= 1


def test_roots_are_rounded_down_to_31_bits():
    rng = np.random.default_rng(0)
    squares = [Fraction(int(p), int(q)) for p, q in rng.integers(2**59, 2**60, (300, 2)) >> rng.integers(0, 59, (300, 2))]
    for square in [*squares, *(Fraction(4) ** k for k in range(-30, 12)), Fraction(2), 1 - Fraction(1, 2**62)]:
        multiplier, shift = sat.root(square)
        assert 2**30 <= multiplier < 2**31
        assert Fraction(multiplier**2) <= square * Fraction(4) ** shift < Fraction((multiplier + 1) ** 2)
    assert sat.root(Fraction(1)) == (2**30, 30) and sat.root(1 - Fraction(1, 2**62)) == (2**31 - 1, 31)


@pytest.mark.parametrize("bits, fraction_bits", [(8, 6), (8, 2), (10, 9), (16, 13)])
def test_backward_is_the_real_methods_within_its_bound(bits, fraction_bits):
    format, rng = IntFormat(bits), np.random.default_rng(bits)
    table = sat.tanh_table(format, fraction_bits)
    w = np.arange(format.qmin, format.qmax + 1).reshape(1, -1)
    w = w[:, ::16] if bits == 16 else w
    for size in (10, 20_000, 2**24):
        g = rng.integers(-size, size + 1, w.shape)
        dw = sat.backward(g.astype(np.int32), w, table)
        real, = sat_weight.backward(g.astype(float), None, w * 2.0**-fraction_bits, bits=4)
        top, slope = sat.highest(w, table), sat.slope(sat.bent(w, table))
        bound = 0.5 + np.abs(g) * (2.1 / top + slope / (2.0 * top**2)) + 1e-15 * np.abs(real)
        assert dw.dtype == np.int32 and (np.abs(dw - real) <= bound).all()


def test_numbers_by_hand():
    """tanh rounds to 1 from 12 on: weights 12 and -12 are a and -a, 0 the tie a / 2, whose even neighbour is above."""
    table = sat.tanh_table(IntFormat(8), 0)
    found = sat.weight(np.array([[12, -12, 0, 0]]), table, bits=2, rescale="constant")
    assert found.codes.tolist() == [[3, -3, 1, 1]] and found.highest == 2**30
    assert found.variance == 4 * 20 - 2**2 and found.scale == sat.root(Fraction(12, 76))
    assert sat.weight(np.array([[12, 0]]), table, bits=2, rescale="none", rounding="floor").codes.tolist() == [[3, -1]]
    assert sat.backward(np.array([[7, -5]]), np.array([[0, 12]]), table).tolist() == [[7, 0]]
    assert sat.backward(np.array([2**31 - 1, 0]), np.array([0, 1]), sat.tanh_table(IntFormat(4), 4)).tolist() == [2**31 - 1, 0]


@pytest.mark.parametrize("call, word", [
    (lambda table: sat.highest(np.zeros((2, 2), int), table), "0 everywhere"),
    (lambda table: sat.highest(np.array([9]), table), "at most 8"),
    (lambda table: sat.weight(np.full((2, 2), 3), table, bits=4, rescale="constant"), "all equal"),
    (lambda table: sat.weight(np.array([[3]]), table, bits=4, rescale="constant"), "all equal"),
    (lambda table: sat.weight(np.array([[3, 1]]), table, bits=4, rescale="stddev"), "rescale"),
    (lambda table: sat.backward(np.zeros(1, int), np.array([1, 2]), table), "g has shape"),
    (lambda table: sat.backward(np.array([2**31]), np.array([1]), table), "32 bits"),
    (lambda table: sat.variance(np.resize([2**15, -(2**15)], 2**17)), "64 bits"),
    (lambda table: sat.tanh_table(IntFormat(8, signed=False), 4), "w_format"),
    (lambda table: sat.tanh_table(IntFormat(25), 4), "w_format"),
    (lambda table: sat.tanh_table(IntFormat(8), -1), "fraction_bits")])
def test_bad_input_is_refused(call, word):
    with pytest.raises(ValueError, match=word):
        call(sat.tanh_table(IntFormat(4), 2))
