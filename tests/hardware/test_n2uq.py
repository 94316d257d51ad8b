"""N2UQ's activations in integers: codes and segments on every accumulator, gradients against the real rules and by definition."""
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.hardware import n2uq
from refquant.integers import IntFormat
from refquant.quantizers.n2uq import n2uq_quantize

VARIANTS = ("paper", "authors")
REACHED = ("at_or_above", "above")
S32, S64 = IntFormat(32), IntFormat(64)


def every(format):
    return np.arange(format.qmin, format.qmax + 1)


def learned(rng, bits, format, dyadic):
    """(a, start, scale1, acc_scale) whose thresholds lie within the format, and some beyond; dyadic: many exactly on an accumulator."""
    levels, width = 2**bits - 1, 2.0**format.bits
    a = rng.uniform(0.2, 1.8, levels) * 2 / levels
    start, scale1, acc_scale = rng.uniform(-1.2, -0.4), rng.uniform(0.5, 2), rng.uniform(1.5, 3) / width
    if dyadic:
        unit = 4 / width
        a, start, scale1, acc_scale = np.ceil(a / unit) * unit, round(start / unit) * unit, 2.0, unit / 2
    return a, start, scale1, acc_scale


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("format", ["s8", "u8", "s9", "s12", "s16"])
def test_every_accumulator_has_the_real_quantizers_code(format, variant):
    format = IntFormat.parse(format)
    rng, acc, on_threshold = np.random.default_rng(format.bits), every(format), 0
    for bits in range(2, 9):
        for dyadic in (False, True) * 5:
            a, start, scale1, acc_scale = learned(rng, bits, format, dyadic)
            thresholds = n2uq.integer_thresholds(a, start, scale1, acc_scale, bits=bits, acc_format=format, variant=variant)
            assert thresholds.dtype == np.int32
            codes = n2uq.forward(acc, thresholds[None], bits=bits, reached=n2uq.REACHED[variant])
            real = n2uq_quantize(acc_scale * acc, a, start, scale1, 1.0, bits=bits, variant=variant)
            assert codes.dtype == np.uint8 and (codes == real.codes).all()
            other = n2uq_quantize(acc_scale * acc, a, start, scale1, 1.0, bits=bits, variant=VARIANTS[variant == "paper"])
            on_threshold += int((other.codes != codes).sum())
    assert on_threshold > 100  # so that the tie rule was put to the test


def test_small_intervals_count_as_eps_here_too():
    a, acc, format = [0.5, 1e-4, -3.0], every(IntFormat(12)), IntFormat(12)
    for eps in (2.0**-10, 2.0**-4):
        thresholds = n2uq.integer_thresholds(a, 0.0, 1.0, 0.001, bits=2, acc_format=format, eps=eps)
        real = n2uq_quantize(0.001 * acc, a, 0.0, 1.0, 1.0, bits=2, eps=eps)
        assert (n2uq.forward(acc, thresholds[None], bits=2, reached="at_or_above") == real.codes).all()
        assert (np.diff(n2uq.segments(a, 0.0, 1.0, 2.0**-20, bits=2, eps=eps))[1:] == eps * 2**20).all()


@pytest.mark.parametrize("variant, beyond, always", [("paper", 128, -128), ("authors", 127, -129)])
def test_thresholds_beyond_the_format_lie_just_outside_what_matters(variant, beyond, always):
    thresholds = n2uq.integer_thresholds([1.0, 1.0, 900.0], -2.0, 1.0, 1 / 128, bits=2, acc_format=IntFormat(8), variant=variant)
    assert thresholds.tolist() == [always, -64, beyond]


def test_codes_count_thresholds_for_every_row_of_thresholds_and_every_accumulator():
    acc = np.arange(-8, 8)
    for row in itertools.combinations_with_replacement(range(-8, 9), 3):
        for reached, holds in (("at_or_above", lambda t, v: t <= v), ("above", lambda t, v: t < v)):
            codes = n2uq.forward(acc, [row], bits=2, reached=reached)
            assert codes.tolist() == [sum(holds(t, v) for t in row) for v in acc.tolist()]


def test_channels_of_axis_1_have_thresholds_of_their_own():
    rng = np.random.default_rng(5)
    acc, rows = rng.integers(-99, 99, (3, 4, 2, 5)), np.sort(rng.integers(-80, 80, (4, 7)), 1)
    codes = n2uq.forward(acc, rows, bits=3, reached="above")
    for c in range(4):
        assert (codes[:, c] == n2uq.forward(acc[:, c], rows[c:c + 1], bits=3, reached="above")).all()
    assert codes.shape == acc.shape


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("bits", range(2, 7))
def test_every_accumulator_lies_in_the_real_quantizers_segment(bits, variant):
    """The real slope g b2 Delta b1 / a_k tells the segment, as no two intervals are equal; bounds here are no multiples of a unit."""
    format, levels = IntFormat(13), 2**bits - 1
    rng, acc = np.random.default_rng(bits), every(IntFormat(13))
    for dyadic in (False, True):
        a, start, scale1, acc_scale = learned(rng, bits, format, dyadic)
        bounds = n2uq.segments(a, start, scale1, acc_scale, bits=bits, variant=variant)
        places = n2uq.segment(acc, bounds, n2uq.REACHED[variant])
        slope = real_gradients(np.ones(len(acc)), acc_scale * acc, a, start, scale1, 1.0, bits, variant)[0]
        delta = 1.0 if variant == "paper" else 2 / levels
        expected = np.concatenate([[0.0], delta / a * scale1, [0.0]])[places]
        np.testing.assert_allclose(slope, expected, rtol=1e-12)
        assert ((slope == 0) == ((places == 0) | (places == levels + 1))).all() and 0 < (slope == 0).sum() < len(acc)
        assert np.abs(np.diff(bounds) * (scale1 * acc_scale) - a).max() < scale1 * acc_scale


def real_gradients(g, x, a, start, scale1, scale2, bits, variant):
    inputs = [np.array(value, np.float64) for value in (x, a, start, scale1, scale2)]
    out = n2uq_quantize.forward(*inputs, bits=bits, variant=variant)
    return n2uq_quantize.backward(g, out, *inputs, bits=bits, variant=variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_gradients_are_the_real_ones_where_bounds_are_multiples_of_the_accumulators_unit(bits, variant):
    """Lengths of powers of two round nothing: equal to the bit in the paper's variant (2 / K is no float). Other lengths: half a unit."""
    rng, fraction_bits, format = np.random.default_rng(bits), 12, IntFormat(11)
    for exact in (True, False):
        levels, acc = 2**bits - 1, every(format)
        lengths = 2**rng.integers(3, 7, levels) if exact else rng.integers(20, 1200 // levels, levels)
        first, scale1, acc_scale, scale2, g_scale = -int(rng.integers(200, 500)), 2.0, 2.0**-9, 0.75, 2.0**-6
        bounds = np.concatenate([[first], first + np.cumsum(lengths)])
        a, start = lengths * scale1 * acc_scale, first * scale1 * acc_scale
        assert (n2uq.segments(a, start, scale1, acc_scale, bits=bits, variant=variant) == bounds).all()
        thresholds = n2uq.integer_thresholds(a, start, scale1, acc_scale, bits=bits, acc_format=format, variant=variant)
        g = rng.integers(-4096, 4096, len(acc))
        found = n2uq.backward(g, acc, thresholds[None], bounds, *n2uq.slopes(bounds, fraction_bits), bits=bits,
                              fraction_bits=fraction_bits, reached=n2uq.REACHED[variant], dx_format=S32)
        real = real_gradients(g * g_scale, acc_scale * acc, a, start, scale1, scale2, bits, variant)
        delta = 1.0 if variant == "paper" else 2 / levels
        unit = g_scale * scale2 * delta / 2.0**fraction_bits
        units = (unit / acc_scale, unit / (scale1 * acc_scale), unit / (scale1 * acc_scale), unit / scale1, g_scale * delta)
        for integers, one, expected in zip(found[:5], units, real, strict=True):
            own = 0 if exact and variant == "paper" else 1e-12 * np.abs(expected).max()  # error of the floats
            assert np.abs(integers * one - np.reshape(expected, -1)).max() <= own + (0 if exact else one * 0.5000001)
            assert np.abs(integers).max() > 1000


def by_definition(g, acc, bounds, fraction_bits, reached):
    """da, dstart, dscale1 element by element: the derivative of clip((acc - d_{k-1}) / L_k, 0, 1), summed over k; in Fractions."""
    lengths = [high - low for low, high in itertools.pairwise(bounds)]
    da, dstart, dscale1 = [Fraction(0)] * len(lengths), Fraction(0), Fraction(0)
    for slope, v in zip(g, acc, strict=True):
        for k, length in enumerate(lengths):
            inside = bounds[k] <= v < bounds[k + 1] if reached == "at_or_above" else bounds[k] < v <= bounds[k + 1]
            if inside:
                da[k] -= slope * Fraction(v - bounds[k], length**2)
                for earlier in range(k):
                    da[earlier] -= Fraction(slope, length)
                dstart -= Fraction(slope, length)
                dscale1 += Fraction(slope * v, length)
    return [round(value * 2**fraction_bits) for value in (*da, dstart, dscale1)]


@given(st.lists(st.tuples(st.integers(-2**15, 2**15), st.integers(-60, 60)), max_size=20), st.integers(-50, 20),
       st.lists(st.integers(1, 40), min_size=3, max_size=7).filter(lambda lengths: len(lengths) in (3, 7)),
       st.integers(0, 20), st.sampled_from(REACHED))
def test_parameters_learn_by_the_derivative_of_the_expectation(pairs, first, lengths, fraction_bits, reached):
    g, acc = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    bounds = list(itertools.accumulate(lengths, initial=first))
    thresholds = np.array([bounds[1:]])
    found = n2uq.backward(g, acc, thresholds, bounds, *n2uq.slopes(bounds, fraction_bits), bits=len(lengths).bit_length(),
                          fraction_bits=fraction_bits, reached=reached, dx_format=S32)
    assert [*found.da.tolist(), *found.dstart.tolist(), *found.dscale1.tolist()] == by_definition(g, acc, bounds, fraction_bits, reached)
    assert found.sums.dtype == found.moments.dtype == found.da.dtype == np.int64


def test_halfway_gradients_go_to_even():
    """dstart is minus half the gradient, in a segment of length 2."""
    for g, expected in ((1, 0), (3, -2), (-1, 0), (-3, 2), (5, -2)):
        found = n2uq.backward([g], [4], [[3, 5, 7]], [2, 4, 6, 8], *n2uq.slopes([2, 4, 6, 8], 0), bits=2, fraction_bits=0,
                              reached="above", dx_format=S32)
        assert found.dstart.tolist() == [expected]


def test_input_gradients_are_the_slope_to_31_bits_on_every_length():
    lengths = np.arange(1, 5000)
    multiplier, shift = n2uq.slopes(np.concatenate([[0], np.cumsum(lengths)]), 16)
    for length, m, s in zip(lengths.tolist(), multiplier.tolist(), shift.tolist(), strict=True):
        assert abs(Fraction(m, 2**s) * length / 2**16 - 1) <= Fraction(1, 2**31)


def test_sums_near_the_ends_of_int64_are_exact_and_beyond_them_an_error():
    bounds, g = [0, 2**30, 2**31 - 3, 2**31 - 2], np.full(4, 2**30)
    acc = np.array([2**30 - 1, 2**30 - 1, 5, 2**31 - 4])
    _, moments = n2uq.sums(g, acc, n2uq.segment(acc, bounds, "at_or_above"), bounds)
    assert moments.tolist() == [2**30 * (2 * (2**30 - 1) + 5), 2**30 * (2**30 - 4), 0]
    with pytest.raises(ValueError, match="expected sums of g"):
        n2uq.sums(8 * g, acc, n2uq.segment(acc, bounds, "at_or_above"), bounds)
    with pytest.raises(ValueError, match=r"sums of g .* expected codes of s48"):
        n2uq.sums([2**48], [0], np.array([1]), [0, 1, 2, 3])


A3 = [0.5, 0.5, 0.5]


@pytest.mark.parametrize("call, message", [
    (lambda: n2uq.integer_thresholds([1.0, 1.0], 0, 1, 1, bits=2, acc_format=S32), r"a has shape \(2,\): expected \[3\]"),
    (lambda: n2uq.integer_thresholds([1.0, np.nan, 1], 0, 1, 1, bits=2, acc_format=S32), "a is nan"),
    (lambda: n2uq.integer_thresholds(A3, 0, -1.0, 1, bits=2, acc_format=S32), "scale1 = -1.0: expected a positive"),
    (lambda: n2uq.integer_thresholds(A3, 0, 1, 0.0, bits=2, acc_format=S32), "acc_scale = 0.0: expected a positive"),
    (lambda: n2uq.integer_thresholds(A3, 0, 1, 1e-12, bits=2, acc_format=S32), "thresholds reach from .* expected codes of s32"),
    (lambda: n2uq.integer_thresholds(A3, 0, 1, 1, bits=2, acc_format=IntFormat(8), variant="ours"), "variant = 'ours'"),
    (lambda: n2uq.segments(A3, 0, 1, 1e-12, bits=2), "bounds reach from .* expected codes of s32"),
    (lambda: n2uq.segments([0.3, 0.1, 0.05], -0.3, 1, 1e-10, bits=2), "bounds reach from -3000000000 to .* expected codes of s32"),
    (lambda: n2uq.segments(A3, 0, 1, 1.0, bits=2), "bounds 1 and 2 are 1 and 1: expected bounds that rise"),
    (lambda: n2uq.forward([1], [[1, 0, 2]], bits=2, reached="above"), "thresholds fall somewhere"),
    (lambda: n2uq.forward([1], [[0, 1]], bits=2, reached="above"), r"shape \(1, 2\): expected \(1, 3\)"),
    (lambda: n2uq.forward(np.zeros((2, 4), int), np.zeros((2, 3), int), bits=2, reached="above"), r"expected \(1, 3\) or \(4, 3\)"),
    (lambda: n2uq.forward([1], [[0, 1, 2]], bits=2, reached="over"), "reached = 'over': expected one of at_or_above, above"),
    (lambda: n2uq.segment([1], [0, 1, 1, 2], "above"), "bounds 1 and 2 are 1 and 1"),
])
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
