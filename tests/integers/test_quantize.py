"""Quantization: every code of the small formats, and binary32 and binary64 rebuilt from Fractions."""
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers import (
    Fixed,
    IntFormat,
    Stochastic,
    dequantize,
    fake_quantize,
    quantize,
    quantize_codes,
    ste_gradient,
)
from refquant.integers.rounding import MODES, Frozen
from refquant.scalar import quantize as scalar

S8, U8, S8N, S32 = IntFormat(8), IntFormat(8, signed=False), IntFormat(8, narrow=True), IntFormat(32)
KINDS = (True,), (True, True), (False,)  # signed, narrow, unsigned
SMALL = [IntFormat(bits, *kind) for bits in range(2, 9) for kind in KINDS]
FORMATS = SMALL + [IntFormat(bits, *kind) for bits in (12, 16, 25, 31, 32) for kind in KINDS]
FLOATS = {32: np.float32, 64: np.float64}
precisions = pytest.mark.parametrize("precision", FLOATS)


def fl(value, precision):
    """The float nearest to a Fraction, as a Fraction or an infinity: Python's round() is half even."""
    if value == 0 or isinstance(value, float):
        return value
    bits, lowest, top = {32: (24, -149, 2**128), 64: (53, -1074, 2**1024)}[precision]
    e = max(value.numerator.bit_length() - value.denominator.bit_length() - bits, lowest)
    e += abs(value) >= Fraction(2) ** (e + bits)
    rounded = round(value / Fraction(2) ** e) * Fraction(2) ** e
    if abs(rounded) >= top:
        return math.inf if value > 0 else -math.inf
    return rounded


def test_the_rebuilt_floats_are_those_of_the_machine():
    rng = np.random.default_rng(0)
    for x, y in rng.integers(0, 2**32, (300, 2), dtype=np.uint32).view(np.float32):
        if np.isfinite(x) and np.isfinite(y) and y != 0:
            with np.errstate(over="ignore"):
                assert fl(Fraction(float(x)) / Fraction(float(y)), 32) == float(x / y)
    for x in (Fraction(1, 3), Fraction(10) ** 300 / 7, Fraction(1, 10**320), -Fraction(2, 3)):
        assert fl(x, 64) == float(x)


def expected_code(x, scale, zero_point, format, precision, division, zero_point_at, overflow):
    """Half even only: the rest is tested against the scalar model."""
    x, scale = Fraction(x), Fraction(scale)
    u = fl(x / scale, precision) if division == "divide" else fl(x * fl(1 / scale, precision), precision)
    if zero_point_at == "before" and not isinstance(u, float):
        u = fl(u + zero_point, precision)
    if isinstance(u, float):
        return format.qmax if u > 0 else format.qmin
    code = round(u) + (zero_point if zero_point_at == "after" else 0)
    if overflow == "saturate":
        return sorted((format.qmin, code, format.qmax))[1]
    return (code - format.qmin + format.narrow) % 2**format.bits + format.qmin - format.narrow


@precisions
@pytest.mark.parametrize("format", SMALL, ids=str)
def test_every_code_of_every_small_format_comes_back(format, precision):
    codes = np.arange(format.qmin, format.qmax + 1)
    for scale, zero_point in itertools.product((0.1, 1.0, 3e-7, 12345.678), (0, 3, -5, format.qmax)):
        values = dequantize(Fixed(codes, scale, format, zero_point), FLOATS[precision])
        assert values.dtype == FLOATS[precision]
        for place in ("after", "before"):
            back = quantize(values, scale, format, zero_point=zero_point, zero_point_at=place)
            assert (back.codes == codes).all() and back.codes.dtype == format.dtype
        again = fake_quantize(values, scale, format, zero_point=zero_point)
        assert again.dtype == FLOATS[precision] and (again == values).all()


@pytest.mark.parametrize("format", SMALL, ids=str)
def test_every_interval_ends_where_it_should(format):
    """x in quarters of a code: the nearest code, ties even, the rest saturated."""
    quarters = np.arange(4 * format.qmin - 20, 4 * format.qmax + 21)
    for dtype, scale in itertools.product(FLOATS.values(), (1.0, 0.125)):
        codes = quantize((quarters * 0.25 * scale).astype(dtype), scale, format).codes
        nearest = [round(Fraction(q, 4)) for q in quarters.tolist()]
        assert codes.tolist() == [sorted((format.qmin, code, format.qmax))[1] for code in nearest]


@given(st.data(), st.sampled_from([32, 64]), st.sampled_from(FORMATS), st.sampled_from(["divide", "reciprocal"]),
       st.sampled_from(["after", "before"]), st.sampled_from(["saturate", "wrap"]))
def test_codes_equal_exact_fractions(data, precision, format, division, zero_point_at, overflow):
    scale = data.draw(st.floats(2.0**-100, 2.0**100, width=32) | st.floats(2.0**-10, 2.0**10, width=32))
    near = st.integers(-300, 300).map(lambda k: float(FLOATS[precision](k / 2 * scale)))
    x = data.draw(st.lists(near | st.floats(allow_nan=False, allow_infinity=False, width=precision), max_size=8))
    zero_point = data.draw(st.integers(-300, 300))
    got = quantize_codes(np.array(x, FLOATS[precision]), scale, format, zero_point=zero_point, division=division,
                         zero_point_at=zero_point_at, overflow=overflow)[0]
    assert got.dtype == format.dtype
    how = precision, division, zero_point_at, overflow
    assert got.tolist() == [expected_code(v, scale, zero_point, format, *how) for v in x]


@given(st.data(), st.sampled_from([32, 64]), st.sampled_from(FORMATS), st.sampled_from(["divide", "reciprocal"]),
       st.sampled_from(["after", "before"]), st.sampled_from(["saturate", "wrap"]),
       st.sampled_from([*MODES, "stochastic"]))
def test_codes_and_flags_equal_the_scalar_model(data, precision, format, division, zero_point_at, overflow, rounding):
    scale = data.draw(st.sampled_from([1.0, 0.5, 0.25]) | st.floats(2.0**-20, 2.0**20, width=32))
    near = st.integers(-1200, 1200).map(lambda k: float(FLOATS[precision](k / 4 * scale)))
    x = data.draw(near | st.floats(allow_nan=False, width=precision))
    zero_point = data.draw(st.integers(-300, 300))
    if overflow == "wrap":
        format = IntFormat(format.bits, format.signed)
    n = data.draw(st.integers(1, 62))
    r = data.draw(st.integers(0, 2**n - 1))
    how = {"division": division, "zero_point_at": zero_point_at, "overflow": overflow}
    random = {"rbits": r, "n": n} if rounding == "stochastic" else {}
    code, flags = quantize_codes(FLOATS[precision](x), scale, format, zero_point=zero_point, **how,
                                 rounding=Stochastic(r, n) if random else rounding)
    assert (code, flags) == scalar.quantize(x, scale, zero_point, format.bits, format.signed, format.narrow,
                                            precision=precision, rounding=rounding, **random, **how)


def test_flags_by_hand():
    x = [0.25, 0.5, 127.0, 127.4, 127.5, -128.5, -129.0, np.inf, -np.inf]
    codes, flags = quantize_codes(x, 1.0, S8)
    assert codes.tolist() == [0, 0, 127, 127, 127, -128, -128, 127, -128]
    assert flags.tolist() == [1, 3, 0, 1, 3 + 8, 3, 4, 8, 4]
    assert quantize_codes([0.25, 0.75, 1.0], 1.0, S8, rounding=Stochastic(2, 2))[1].tolist() == [1, 1 + 32, 0]


def test_three_billion_is_127():
    for dtype in FLOATS.values():
        assert quantize(dtype(3e9), 1.0, S8).codes == 127 and quantize(dtype(-3e9), 1.0, S8).codes == -128
        assert quantize(dtype(3e9), 1.0, S32).codes == 2**31 - 1 and quantize(dtype(-3e9), 1.0, U8).codes == 0
        assert quantize(dtype(3e38), 1.0, S8).codes == 127
    assert quantize(1e300, 1e-300, S8, zero_point=-100).codes == 127  # the quotient is infinite


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_infinities_saturate_whatever_the_policy(overflow):
    for format, dtype, place in itertools.product((S8, U8, S8N, S32), FLOATS.values(), ("after", "before")):
        codes, flags = quantize_codes(np.array([np.inf, -np.inf], dtype), 0.1, format, zero_point=5,
                                      zero_point_at=place, overflow=overflow)
        assert codes.tolist() == [format.qmax, format.qmin] and flags.tolist() == [8, 4]


def test_wrap_is_modulo_two_to_the_bits():
    x = np.array([127, 128, 255, 256, -129, 3e9, -3e9, 2.0**40 + 7, 2.0**80])
    codes, flags = quantize_codes(x, 1.0, S8, overflow="wrap")
    assert codes.tolist() == [(int(v) + 128) % 256 - 128 for v in x]
    assert flags.tolist() == [0, 8, 8, 8, 4, 8, 4, 8, 8]
    codes = quantize_codes(x, 1.0, S8, overflow="wrap", zero_point=-3)[0]
    assert codes.tolist() == [(int(v) - 3 + 128) % 256 - 128 for v in x]


def test_a_wrapped_narrow_format_is_the_full_one():
    x = np.array([-128.0, -127.0, -129.0, 128.0])
    codes, flags = quantize_codes(x, 1.0, S8N, overflow="wrap")
    assert codes.tolist() == [-128, -127, 127, -128]
    assert flags.tolist() == [0, 0, 4, 8]  # -128 did not wrap


def test_quantize_can_wrap_into_a_narrow_format():
    assert quantize([-128.0], 1.0, S8N, overflow="wrap").codes.tolist() == [-128]


def test_the_two_divisions_differ():
    x = np.float32(0.75) * np.arange(-200, 200, dtype=np.float32)
    scale = np.float32(0.3)
    divided, multiplied = (quantize(x, scale, S32, division=d).codes for d in ("divide", "reciprocal"))
    for codes, division in ((divided, "divide"), (multiplied, "reciprocal")):
        how = 32, division, "after", "saturate"
        assert codes.tolist() == [expected_code(v, float(scale), 0, S32, *how) for v in x.tolist()]
    assert (divided != multiplied).any()


def test_the_two_places_of_the_zero_point_differ_on_ties():
    assert quantize([0.5, 1.5, 2.5], 1.0, S8, zero_point=1).codes.tolist() == [1, 3, 3]
    assert quantize([0.5, 1.5, 2.5], 1.0, S8, zero_point=1, zero_point_at="before").codes.tolist() == [2, 2, 4]


def test_a_large_zero_point_is_added_exactly_or_refused():
    """fl(u + zero_point) is one rounding, of the exact sum: 2^24 + 3 is a tie in float32, and goes to 2^24 + 4."""
    codes, _ = quantize_codes(np.float32(1), 1.0, S32, zero_point=2**24 + 2, zero_point_at="before")
    assert codes == 2**24 + 4
    assert quantize_codes(np.float32(1), 1.0, S32, zero_point=2**24 + 1)[0] == 2**24 + 2
    assert quantize_codes(1.0, 1.0, S32, zero_point=2**24 + 1, zero_point_at="before")[0] == 2**24 + 2


def test_float32_takes_the_scale_rounded_to_float32():
    fixed = quantize(np.float32(0.35), 0.1, S8)
    assert fixed.scale == np.float32(0.1) and fixed.scale.dtype == np.float32
    x = np.arange(-60, 60, dtype=np.float32) / np.float32(20)
    assert quantize(x, 0.1, S8).codes.tolist() == [
        round(fl(Fraction(v) / Fraction(float(np.float32(0.1))), 32)) for v in x.tolist()]
    assert quantize([0.35], 0.1, S8).scale.dtype == np.float64


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_per_channel_is_per_tensor_slice_by_slice(axis):
    x = np.random.default_rng(1).normal(0, 30, (3, 4, 5)).astype(np.float32)
    size = x.shape[axis]
    scale, zero_point = np.linspace(0.1, 0.9, size), np.arange(size) - 2
    how = {"division": "reciprocal", "rounding": "half_away", "zero_point_at": "before"}
    fixed = quantize(x, scale, S8, zero_point=zero_point, axis=axis, **how)
    assert fixed.axis == axis % 3
    faked = fake_quantize(x, scale, S8, zero_point=zero_point, axis=axis, **how)
    gradient = ste_gradient(x, x, scale, S8, zero_point=zero_point, axis=axis)
    for k in range(size):
        part, alone = np.take(x, k, axis), {"scale": scale[k], "format": S8, "zero_point": zero_point[k]}
        assert (np.take(fixed.codes, k, axis) == quantize(part, **alone, **how).codes).all()
        assert (np.take(faked, k, axis) == fake_quantize(part, **alone, **how)).all()
        assert (np.take(gradient, k, axis) == ste_gradient(part, part, **alone)).all()


def test_dequantize_rounds_the_difference_first():
    for code, zero_point in ((2**24 + 1, 0), (2**31 - 1, 1), (2**31 - 1, -(2**31)), (-(2**31), 2**31 - 1), (5, 7)):
        fixed = Fixed([code], 0.3, S32, zero_point)
        for precision, dtype in FLOATS.items():
            scale = Fraction(float(dtype(0.3)))
            assert dequantize(fixed, dtype)[0] == fl(fl(Fraction(code - zero_point), precision) * scale, precision)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.floats(2.0**-60, 2.0**60, width=32))
def test_dequantize_equals_the_scalar_model(code, zero_point, scale):
    fixed = Fixed([code], scale, S32, zero_point)
    for precision, dtype in FLOATS.items():
        assert dequantize(fixed, dtype)[0] == scalar.dequantize(code, scale, zero_point, precision=precision)


def test_dequantize_takes_at_most_32_bits():
    with pytest.raises(ValueError, match="format = s33: expected at most 32 bits"):
        dequantize(Fixed([1], 1.0, IntFormat(33)))


def test_fake_quantize_lands_on_the_grid():
    x = np.linspace(-20, 20, 401)
    y = fake_quantize(x, 0.125, S8, zero_point=7)
    assert (y == dequantize(quantize(x, 0.125, S8, zero_point=7), np.float64)).all()
    assert set((y / 0.125 + 7).tolist()) <= set(range(-128, 128))
    inside = (x >= (-128 - 7) * 0.125) & (x <= (127 - 7) * 0.125)
    assert (np.abs(y - x)[inside] <= 0.0625).all()


@precisions
@pytest.mark.parametrize("format", SMALL, ids=str)
def test_the_mask_clip_passes_up_to_both_ends(format, precision):
    dtype = FLOATS[precision]
    for scale, zero_point in itertools.product((0.5, 4.0), (0, 2)):
        low, high = dtype((format.qmin - zero_point) * scale), dtype((format.qmax - zero_point) * scale)
        x = np.array([low, high, low - dtype(scale / 4), high + dtype(scale / 4), (low + high) / 2, np.inf, -np.inf],
                     dtype)
        got = ste_gradient(np.full(7, 3, dtype), x, scale, format, zero_point=zero_point)
        assert got.dtype == dtype and got.tolist() == [3, 3, 0, 0, 3, 0, 0]


def test_the_mask_clip_ends_at_the_last_bit():
    for dtype in FLOATS.values():
        x = np.nextafter(np.array([-128, 127], dtype), np.array([-np.inf, np.inf], dtype))
        assert ste_gradient(np.ones(2), x, 1.0, S8).tolist() == [0, 0]
        x = np.nextafter(np.array([-128, 127], dtype), dtype(0))
        assert ste_gradient(np.ones(2), x, 1.0, S8).tolist() == [1, 1]


def test_the_mask_round_reaches_half_a_code_further():
    x = np.array([-128.75, -128.5, -128.25, 127.25, 127.5, 127.75])
    # half_even takes -128.5 to -128, and 127.5 to 128
    assert ste_gradient(np.ones(6), x, 1.0, S8, mask="round").tolist() == [0, 1, 1, 1, 0, 0]
    assert ste_gradient(np.ones(6), x, 1.0, S8, mask="round", rounding="half_zero").tolist() == [0, 1, 1, 1, 1, 0]
    assert ste_gradient(np.ones(6), x, 1.0, S8, mask="clip").tolist() == [0] * 3 + [0] * 3


@given(st.data(), st.sampled_from([32, 64]), st.sampled_from(SMALL), st.sampled_from(["clip", "round"]),
       st.sampled_from(list(MODES)))
def test_masks_equal_the_scalar_model(data, precision, format, mask, rounding):
    scale = data.draw(st.sampled_from([1.0, 0.5]) | st.floats(2.0**-20, 2.0**20, width=32))
    x = data.draw(st.integers(-1200, 1200).map(lambda k: float(FLOATS[precision](k / 4 * scale)))
                  | st.floats(allow_nan=False, width=precision))
    zero_point = data.draw(st.integers(-300, 300))
    got = ste_gradient(FLOATS[precision](7), FLOATS[precision](x), scale, format, zero_point=zero_point, mask=mask,
                       rounding=rounding)
    assert got == scalar.ste_gradient(7, x, scale, zero_point, format.bits, format.signed, format.narrow,
                                      precision=precision, mask=mask, rounding=rounding)


@precisions
@pytest.mark.parametrize("division", ["divide", "reciprocal"])
def test_the_mask_round_stops_what_quantize_saturates(division, precision):
    x = np.arange(-5000, 5000).astype(FLOATS[precision]) / FLOATS[precision](16)
    for scale, zero_point in itertools.product((0.1, 0.3, 0.7, 1.1), (-9, 0, 30)):
        how = {"scale": scale, "format": S8, "zero_point": zero_point, "division": division}
        saturated = quantize_codes(x, **how)[1] & 12 > 0
        assert (ste_gradient(np.ones_like(x), x, mask="round", **how) == ~saturated).all()


def test_the_mask_clip_compares_the_quotient_of_its_division():
    x, scale = np.arange(1, 4000, dtype=np.float32) / np.float32(8), np.float32(3.1)
    masks = [ste_gradient(x, x * scale, scale, IntFormat(9), division=d) > 0 for d in ("divide", "reciprocal")]
    quotients = [[fl(Fraction(v) / Fraction(float(scale)), 32) for v in (x * scale).tolist()],
                 [fl(Fraction(v) * fl(1 / Fraction(float(scale)), 32), 32) for v in (x * scale).tolist()]]
    for mask, quotient in zip(masks, quotients, strict=True):
        assert mask.tolist() == [q <= 255 for q in quotient]


def test_masks_of_wide_formats_in_float32_are_exact():
    """qmax is no float32 there, and must not be rounded to the next one."""
    for bits in (25, 26, 31, 32):
        format, outside = IntFormat(bits), np.float32(2.0 ** (bits - 1))
        assert ste_gradient(np.float32(1), outside, 1.0, format) == 0
        assert ste_gradient(np.float32(1), outside, 1.0, format, mask="round") == 0
        assert ste_gradient(np.float32(1), -outside, 1.0, format) == 1
        assert ste_gradient(np.float32(1), np.nextafter(outside, np.float32(0)), 1.0, format) == 1


def test_the_gradient_keeps_its_dtype():
    for dtype in (np.float32, np.float64, np.int32):
        assert ste_gradient(np.ones(2, dtype), np.zeros(2, np.float32), 1.0, S8).dtype == dtype


def test_frozen_rounding_quantizes():
    """`named` takes Frozen; at the point where it was measured it rounds like its mode."""
    x = np.array([0.375, 1.75, -2.5])
    assert quantize(x, 1.0, S8, rounding=Frozen("half_even")).codes.tolist() == [0, 2, -2]


@pytest.mark.parametrize("call, words", [
    (lambda: quantize([0.0, np.nan], 1.0, S8), ["x is NaN", "(1,)"]),
    (lambda: quantize(np.array([[0, 1], [np.nan, 2]], np.float32), 1.0, S8), ["x is NaN", "(1, 0)"]),
    (lambda: ste_gradient(1.0, np.nan, 1.0, S8), ["x is NaN"]),
    (lambda: fake_quantize(np.nan, 1.0, S8), ["x is NaN"]),
    (lambda: quantize([1.0], 0.0, S8), ["scale = 0.0", "positive finite"]),
    (lambda: quantize(np.float32([1.0]), 1e-60, S8), ["scale = 1e-60", "positive finite number in float32"]),
    (lambda: quantize([1.0], [1.0, -1.0], S8, axis=0), ["scale = -1.0", "positive finite"]),
    (lambda: quantize([1.0, 2.0], [1.0, 2.0], S8),
     ["scale has shape (2,)", "one number, or with axis", "axis is None"]),
    (lambda: quantize([1.0, 2.0], 1.0, S8, zero_point=[1, 2, 3], axis=0),
     ["zero_point has shape (3,)", "(2,)", "axis is 0"]),
    (lambda: quantize([1.0], 1.0, S8, zero_point=2**31), ["zero_point", str(2**31), "int32"]),
    (lambda: quantize(np.float32(1), 1.0, S32, zero_point=2**24 + 1, zero_point_at="before"),
     ["zero_point = 16777217", "2^24", "float32"]),
    (lambda: ste_gradient(np.float32(1), np.float32(1), 1.0, S32, zero_point=2**25 + 1),
     ["zero_point = 33554433", "2^24", "float32"]),
    (lambda: quantize(np.float32(0), 1e-40, S8, division="reciprocal"), ["scale = 9.99", "reciprocal", "float32"]),
    (lambda: quantize(0.0, 1e-320, S8, division="reciprocal"), ["scale = 1e-320", "reciprocal", "float64"]),
    (lambda: quantize([1.0], 1.0, S8, axis=1), ["axis = 1", "-1 to 0"]),
    (lambda: quantize([1.0], 1.0, IntFormat(33)), ["format = s33", "at most 32 bits"]),
    (lambda: quantize([1.0], 1.0, S8, rounding="up"), ["rounding = 'up'", "half_even"]),
    (lambda: quantize([1.0], 1.0, S8, division="/"), ["division = '/'", "divide, reciprocal"]),
    (lambda: quantize([1.0], 1.0, S8, zero_point_at="end"), ["zero_point_at = 'end'", "after, before"]),
    (lambda: quantize([1.0], 1.0, S8, overflow="error"), ["overflow = 'error'", "saturate, wrap"]),
    (lambda: ste_gradient([1.0], [1.0], 1.0, S8, mask="all"), ["mask = 'all'", "clip, round"]),
    (lambda: dequantize(Fixed([1], 1.0, S8), np.float16), ["dtype = float16", "float32 or float64"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_a_scale_too_large_for_float32_is_a_value_error():
    with pytest.raises(ValueError, match="scale"):
        quantize(np.float32([1.0]), 1e39, S8)
