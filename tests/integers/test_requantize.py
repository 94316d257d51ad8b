"""Requantization: each flavour against Fractions and against the published C, written out on Python ints."""
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers import IntFormat, Stochastic, multiplier_from_scale, requantize, requantize_codes
from refquant.integers.requantize import ALIASES, FLAVOURS, parameters
from refquant.integers.rounding import MODES
from refquant.scalar import requantize as scalar

S8, S32, S64 = IntFormat(8), IntFormat(32), IntFormat(64)
HALF = Fraction(1, 2)
INT32 = -(2**31), 2**31 - 1
ACCS = sorted({sign * (1 << k) + d for k in (0, 1, 7, 8, 15, 23, 24, 30) for d in (-1, 0, 1) for sign in (-1, 1)}
              | {*INT32, INT32[0] + 1, 0, 12345, -12345, 987654321, -987654321})
MULTIPLIERS = [0, 1, 3, 2**16, 2**24 - 1, 2**30, 2**30 + 1, 1431655765, 0x7FFEFFFF, 0x7FFF0000, 0x7FFF8000, 2**31 - 1]
INTEGER_FLAVOURS = ("tosa_single", "tosa_double", "tflite_double", "ruy_double", "mul16", "rndnu")


def c_divide(a, b):
    """C's division truncates."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def gemmlowp_high_mul(a, b):
    """SaturatingRoundingDoublingHighMul, fixedpoint.h, for a and b that are not both INT32_MIN."""
    nudge = 1 << 30 if a * b >= 0 else 1 - (1 << 30)
    return c_divide(a * b + nudge, 1 << 31)


def gemmlowp_divide_by_pot(x, exponent):
    """RoundingDivideByPOT, fixedpoint.h."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if x & mask > threshold else 0)


def tflite_double(acc, multiplier, shift):
    """MultiplyByQuantizedMultiplier, kernels/internal/common.cc, double rounding; its shift is 31 - ours, at most 0."""
    return gemmlowp_divide_by_pot(gemmlowp_high_mul(acc, multiplier), shift - 31)


def tflite_single(acc, multiplier, shift):
    """MultiplyByQuantizedMultiplier with TFLITE_SINGLE_ROUNDING."""
    return (acc * multiplier + (1 << (shift - 1))) >> shift


def tosa_apply_scale_32(acc, multiplier, shift, double_round):
    """The pseudocode of TOSA's apply_scale_32."""
    rounding = 1 << (shift - 1)
    if double_round and shift > 31:
        rounding += (1 << 30) if acc >= 0 else -(1 << 30)
    return (acc * multiplier + rounding) >> shift


def ruy_double(acc, multiplier, shift):
    """ruy, apply_multiplier.cc, MultiplyByQuantizedMultiplier in its reference form: both steps add half and shift."""
    high = (acc * multiplier + (1 << 30)) >> 31
    exponent = shift - 31
    return (high + ((1 << exponent) >> 1)) >> exponent


def tflm_int64(acc, multiplier, shift):
    """TFLite Micro, MultiplyByQuantizedMultiplier(int64_t x, ...)."""
    reduced = (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF
    total_shift = 15 - (31 - shift)
    return (acc * reduced + (1 << (total_shift - 1))) >> total_shift


def xnnpack_rndnu(acc, scale):
    """XNNPACK, qs8-requantization, rndnu: the scale's mantissa and exponent, added half, arithmetic shift."""
    bits, = struct.unpack("<I", struct.pack("<f", scale))
    multiplier, shift = (bits & 0x007FFFFF) | 0x00800000, 127 + 23 - (bits >> 23)
    return (acc * multiplier + (1 << (shift - 1))) >> shift


def fl32(x):
    """A binary64 number rounded once more to binary32."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def xnnpack_fp32(acc, scale, zero_point, rounded):
    """XNNPACK, qs8-requantization, fp32: a product of two binary32 numbers is exact in binary64."""
    product = fl32(fl32(float(acc)) * scale)
    return int(min(max(rounded(product), -128 - zero_point), 127 - zero_point)) + zero_point


def half_up(v):
    return math.floor(v + HALF)


def half_away(v):
    return half_up(v) if v >= 0 else -half_up(-v)


def by_fractions(flavour, acc, multiplier, shift):
    p = Fraction(acc * multiplier)
    if flavour == "mul16":
        return half_up(Fraction(acc * min(half_up(Fraction(multiplier, 2**16)), 2**15 - 1), 2 ** (shift - 16)))
    if flavour in ("tosa_double", "tflite_double", "ruy_double") and shift > 31:
        second = half_up if flavour == "ruy_double" else half_away
        return second(Fraction(half_up(p / 2**31), 2 ** (shift - 31)))
    return half_up(p / 2**shift)


def grid(flavour):
    """ACCS down, every multiplier and shift across, as (acc, multiplier, shift, arguments of requantize)."""
    low, top = (17, 2**31) if flavour == "mul16" else (1, 2**24 if flavour == "rndnu" else 2**31)
    pairs = [(m, s) for m in MULTIPLIERS if m < top for s in range(low, 63)]
    multipliers, shifts = (np.array(column) for column in zip(*pairs, strict=True))
    acc = np.broadcast_to(np.array(ACCS)[:, None], (len(ACCS), len(pairs)))
    return pairs, requantize_codes(acc, multipliers, shifts, flavour=flavour, axis=1, format=S64)


@pytest.mark.parametrize("flavour", INTEGER_FLAVOURS)
def test_edges_by_fractions(flavour):
    pairs, (codes, flags) = grid(flavour)
    assert codes.dtype == np.int64
    for acc, row in zip(ACCS[::3], codes.tolist()[::3], strict=True):
        assert row == [by_fractions(flavour, acc, m, s) for m, s in pairs]
    assert set(np.unique(flags).tolist()) == {0, 1, 3}


LITERAL = {
    "tosa_single": [tflite_single, lambda a, m, s: tosa_apply_scale_32(a, m, s, False)],
    "tosa_double": [lambda a, m, s: tosa_apply_scale_32(a, m, s, True),
                    lambda a, m, s: tflite_double(a, m, s) if s >= 31 else tflite_single(a, m, s)],
    "ruy_double": [lambda a, m, s: ruy_double(a, m, s) if s >= 31 else tflite_single(a, m, s)],
    "mul16": [tflm_int64],
}


@pytest.mark.parametrize("flavour", LITERAL)
def test_edges_by_the_published_code(flavour):
    pairs, (codes, _) = grid(flavour)
    for literal in LITERAL[flavour]:
        for acc, row in zip(ACCS, codes.tolist(), strict=True):
            assert row == [literal(acc, m, s) for m, s in pairs]


@given(st.sampled_from(list(LITERAL)), st.integers(*INT32), st.integers(0, 2**31 - 1), st.integers(17, 62))
def test_anything_by_the_published_code(flavour, acc, multiplier, shift):
    got = requantize(acc, multiplier, shift, flavour=flavour, format=S64)
    assert got == by_fractions(flavour, acc, multiplier, shift)
    assert all(got == literal(acc, multiplier, shift) for literal in LITERAL[flavour])


def test_mul16_takes_48_bits():
    for acc in (-(2**47), 2**47 - 1, -(2**47) + 1, 2**46 + 12345):
        for multiplier in MULTIPLIERS:
            for shift in (17, 30, 46, 47, 62):
                got = requantize(acc, multiplier, shift, flavour="mul16", format=S64)
                assert got == tflm_int64(acc, multiplier, shift) == by_fractions("mul16", acc, multiplier, shift)


@given(st.integers(*INT32), st.floats(2.0**-32, 1.0, width=32, exclude_max=True))
def test_rndnu_by_xnnpack(acc, scale):
    multiplier, shift = multiplier_from_scale(scale, 24)
    assert requantize(acc, multiplier, shift, flavour="rndnu", format=S64) == xnnpack_rndnu(acc, scale)


@given(st.lists(st.integers(*INT32) | st.integers(-1000, 1000), min_size=1, max_size=8),
       st.floats(2.0**-32, 256.0, width=32) | st.sampled_from([0.5, 0.25, 1.0]), st.integers(-128, 127))
def test_fp32_by_xnnpack(accs, scale, zero_point):
    for flavour, rounded in (("fp32_rint", round), ("fp32_round", lambda x: half_away(Fraction(x)))):
        got = requantize(accs, scale=scale, flavour=flavour, zero_point=zero_point)
        assert got.tolist() == [xnnpack_fp32(acc, scale, zero_point, rounded) for acc in accs]


def test_fp32_rounds_the_accumulator_first():
    # 2^24 + 1 is no binary32 number: a tie, to 2^24; 2^24 + 3 goes to 2^24 + 4
    assert requantize([2**24 + 1, 2**24 + 3], scale=1.0, flavour="fp32_rint", format=S32).tolist() == [2**24, 2**24 + 4]
    assert requantize([1, 3, 5, -1], scale=0.5, flavour="fp32_rint").tolist() == [0, 2, 2, 0]
    assert requantize([1, 3, 5, -1], scale=0.5, flavour="fp32_round").tolist() == [1, 2, 3, -1]


def test_an_infinite_fp32_product_saturates():
    for flavour in ("fp32_rint", "fp32_round"):
        codes, flags = requantize_codes([*INT32], scale=3e38, flavour=flavour)
        assert codes.tolist() == [-128, 127] and flags.tolist() == [4, 8]


def test_an_infinite_fp32_product_saturates_under_wrap_too():
    codes, flags = requantize_codes([*INT32], scale=3e38, flavour="fp32_rint", overflow="wrap")
    assert codes.tolist() == [-128, 127] and flags.tolist() == [4, 8]


def test_fp32_flavours_reach_at_most_32_bits():
    with pytest.raises(ValueError, match="format = s40: expected at most 32 bits"):
        requantize(1, scale=1.0, flavour="fp32_rint", format=IntFormat(40))


def test_a_large_zero_point_joins_an_fp32_product_in_one_rounding():
    how = {"scale": 1.0, "flavour": "fp32_rint", "format": S32}
    assert requantize(1, **how, zero_point=2**24 + 2, zero_point_at="before") == 2**24 + 4  # the tie 2^24 + 3
    assert requantize(1, **how, zero_point=2**24 + 1) == 2**24 + 2
    with pytest.raises(ValueError, match=r"zero_point = 16777217: .* 2\^24, to be added in float32"):
        requantize(1, **how, zero_point=2**24 + 1, zero_point_at="before")


@pytest.mark.parametrize("mode", MODES)
def test_shift_is_any_rounding(mode):
    acc = np.arange(-600, 601)
    for shift in (0, 1, 3, 8, 62):
        got = requantize(acc, shift=shift, flavour="shift", rounding=mode, format=S64)
        assert got.tolist() == [int(MODES[mode](v / 2**shift)) for v in acc.tolist()]
    ends = np.array([-(2**63), 2**63 - 1])
    assert (requantize(ends, shift=62, flavour="shift", rounding=MODES[mode],
                       format=S64) == MODES[mode].shift(ends, 62)).all()


def test_shift_by_random_bits_sums_to_the_accumulator():
    acc = np.arange(-600, 601)
    got, flags = requantize_codes(acc, shift=5, flavour="shift", rounding=Stochastic(np.arange(32)[:, None], 5),
                                  format=S64)
    assert (got.sum(axis=0) == acc).all()
    assert ((flags & 32 > 0) == (got != acc >> 5)).all()
    assert ((flags & 1 > 0) == (acc % 32 != 0)).all() and ((flags & 2 > 0) == (acc % 32 == 16)).all()


def test_shift_at_the_ends_of_int64_does_not_wrap():
    for place in ("after", "before"):
        for acc, zero_point, code in ((2**63 - 1, 1, 127), (-(2**63), -1, -128)):
            assert requantize(acc, shift=0, flavour="shift", rounding="floor", zero_point=zero_point,
                              zero_point_at=place) == code


@pytest.mark.parametrize("place", ["after", "before"])
@pytest.mark.parametrize("flavour", [*INTEGER_FLAVOURS, "shift"])
@given(data=st.data())
def test_codes_and_flags_equal_the_scalar_model(flavour, place, data):
    acc = data.draw(st.integers(*INT32) | st.integers(-3000, 3000))
    shift = data.draw(st.integers(17, 62) | st.integers(30, 40))
    format = data.draw(st.sampled_from([S8, IntFormat(8, narrow=True), IntFormat(8, False), IntFormat(4), IntFormat(16),
                                        S64]))
    overflow = data.draw(st.sampled_from(["saturate"] if format.narrow else ["saturate", "wrap"]))
    how = {"flavour": flavour, "zero_point": data.draw(st.integers(-200, 200)), "zero_point_at": place,
           "overflow": overflow}
    random = {}
    if flavour == "shift":
        mode = data.draw(st.sampled_from([*MODES, "stochastic"]))
        shift %= 20
        if mode == "stochastic":
            n = data.draw(st.integers(1, 62))
            random = {"rbits": data.draw(st.integers(0, 2**n - 1)), "n": n}
        given_how = {"shift": shift, "rounding": Stochastic(**random) if random else mode}
        theirs = {"shift": shift, "rounding": mode, **random}
    else:
        limit = 2**24 - 1 if flavour == "rndnu" else 2**31 - 1
        multipliers = st.integers(0, limit) | st.integers(0, 31).map(lambda k: min(1 << k, limit))
        given_how = theirs = {"multiplier": data.draw(multipliers), "shift": shift}
    code, flags = requantize_codes(acc, **given_how, **how, format=format)
    assert code.dtype == format.dtype
    assert (code, flags) == scalar.requantize(acc, **theirs, **how, bits=format.bits, signed=format.signed,
                                              narrow=format.narrow)


@given(st.sampled_from(["fp32_rint", "fp32_round"]), st.sampled_from(["after", "before"]), st.integers(-200, 200),
       st.integers(*INT32) | st.integers(-3000, 3000),
       st.sampled_from([1.0, 0.5, 0.25]) | st.floats(2.0**-120, 2.0**90, width=32))
def test_fp32_codes_and_flags_equal_the_scalar_model(flavour, place, zero_point, acc, scale):
    how = {"flavour": flavour, "zero_point": zero_point, "zero_point_at": place, "scale": scale}
    assert requantize_codes(acc, **how) == scalar.requantize(acc, **how)


def test_the_place_of_the_zero_point_matters_to_ties_below_zero():
    # -1/2: half_away takes it to -1, after; with the zero point 1 before, 1/2 goes to 1
    double = {"flavour": "tosa_double", "multiplier": 2**30, "shift": 32, "zero_point": 1}
    assert requantize(-2, **double) == 0 and requantize(-2, **double, zero_point_at="before") == 1
    # half_even's tie depends on whether the sum is even
    even = {"flavour": "shift", "shift": 1, "rounding": "half_even", "zero_point": 1}
    assert requantize([1, 3], **even).tolist() == [1, 3]
    assert requantize([1, 3], **even, zero_point_at="before").tolist() == [2, 2]


def test_the_place_of_the_zero_point_does_not_matter_to_half_up():
    acc = np.arange(-5000, 5000)
    for flavour in ("tosa_single", "ruy_double", "mul16"):
        codes = [requantize(acc, 3 * 2**28, 36, flavour=flavour, zero_point=-7,
                            zero_point_at=place) for place in ("after", "before")]
        assert (codes[0] == codes[1]).all()


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_per_channel_is_per_tensor_slice_by_slice(axis):
    acc = np.random.default_rng(2).integers(-(2**20), 2**20, (4, 5, 6))
    size = acc.shape[axis]
    multiplier, shift, zero_point = 2**30 + 12345 * np.arange(size), 40 + np.arange(size) % 3, np.arange(size) - 2
    scale = np.linspace(0.001, 0.1, size).astype(np.float32)
    for flavour, by in (("tosa_double", {"multiplier": multiplier, "shift": shift}),
                        ("mul16", {"multiplier": multiplier, "shift": shift}),
                        ("fp32_rint", {"scale": scale}), ("shift", {"shift": shift - 30})):
        more = {"flavour": flavour, "rounding": "half_even" if flavour == "shift" else None}
        codes, flags = requantize_codes(acc, axis=axis, zero_point=zero_point, **by, **more)
        for k in range(size):
            alone = {name: value[k] for name, value in by.items()}
            one, one_flags = requantize_codes(np.take(acc, k, axis), zero_point=zero_point[k], **alone, **more)
            assert (np.take(codes, k, axis) == one).all() and (np.take(flags, k, axis) == one_flags).all()


def test_single_and_double_rounding_differ_on_exactly_one_in_256():
    """At shift 38 the second rounding moves the tie by 2^30 in 2^38: 0.39 % of all products, always by one.

    With a multiplier 2^22 * odd, 2^16 successive accumulators meet every multiple of 2^22 modulo 2^38 once.
    """
    for factor in (257, 383, 511):
        for first in (0, -(2**16), 12345 * 2**16, -(2**31)):
            acc = np.arange(first, first + 2**16)
            single = requantize(acc, factor << 22, 38, flavour="tosa_single", format=S64)
            double = requantize(acc, factor << 22, 38, flavour="tosa_double", format=S64)
            apart = double - single
            assert np.count_nonzero(apart) == 2**16 // 256
            assert set(np.unique(apart).tolist()) == ({0, 1} if first >= 0 else {-1, 0})


def test_single_and_double_rounding_differ_on_0_39_percent_of_typical_accumulators():
    rng = np.random.default_rng(3)
    acc, multiplier = rng.normal(0, 2**14, (64, 2**13)).astype(np.int64), rng.integers(2**30, 2**31, 64)
    single = requantize(acc, multiplier, 38, flavour="tosa_single", axis=0, format=S64)
    double = requantize(acc, multiplier, 38, flavour="tosa_double", axis=0, format=S64)
    share = np.count_nonzero(single != double) / acc.size
    assert abs(share - 1 / 256) < 4 * math.sqrt(1 / 256 / acc.size)
    assert np.abs(single - double).max() == 1


def test_up_to_shift_31_the_double_flavours_round_once():
    acc = np.array(ACCS)
    for shift in range(1, 32):
        single = requantize(acc, 1431655765, shift, flavour="tosa_single", format=S64)
        for flavour in ("tosa_double", "ruy_double"):
            assert (requantize(acc, 1431655765, shift, flavour=flavour, format=S64) == single).all()


def test_the_two_double_flavours_differ_on_negative_ties_alone():
    # acc / 4 after the first, exact rounding
    acc = np.arange(-16, 17)
    tosa, ruy = (requantize(acc, 2**30, 32, flavour=f) for f in ("tosa_double", "ruy_double"))
    high = [half_up(Fraction(a, 2)) for a in acc.tolist()]
    assert (tosa != ruy).tolist() == [h < 0 and h % 2 == 1 for h in high]


def test_flags_of_saturation_and_wrap():
    for overflow, codes in (("saturate", [127, -128, 127, -128]), ("wrap", [127, -128, -128, 127])):
        got, flags = requantize_codes([127, -128, 128, -129], shift=0, flavour="shift", rounding="floor",
                                      overflow=overflow)
        assert got.tolist() == codes and flags.tolist() == [0, 0, 8, 4]


def test_a_wrapped_narrow_format_is_the_full_one():
    got, flags = requantize_codes([-127, -128, -129], shift=0, flavour="shift", rounding="floor", overflow="wrap",
                                  format=IntFormat(8, narrow=True))
    assert got.tolist() == [-127, -128, 127] and flags.tolist() == [0, 0, 4]  # -128 did not wrap


def test_codes_are_int8_unless_told_otherwise():
    assert requantize(5, shift=0, flavour="shift", rounding="floor").dtype == np.int8
    assert requantize(5, shift=0, flavour="shift", rounding="floor", format=IntFormat(4, False)).dtype == np.uint8


def test_flavours_and_their_parameters():
    assert set(FLAVOURS) == {*INTEGER_FLAVOURS, "fp32_rint", "fp32_round", "shift"} - set(ALIASES)
    assert parameters("tflite_double") == parameters("rndnu") == ("multiplier", "shift")
    assert parameters("fp32_rint") == parameters("fp32_round") == ("scale",)
    assert parameters("shift") == ("shift", "rounding")


INTEGER = {"multiplier": 2**30, "shift": 31, "flavour": "tosa_single"}
SHIFT = {"shift": 3, "rounding": "floor", "flavour": "shift"}


@pytest.mark.parametrize("call, words", [
    (lambda: requantize(1, 2, 3, flavour="fast"), ["flavour = 'fast'", *FLAVOURS, *ALIASES]),
    (lambda: requantize(1, shift=3, flavour="tosa_single"),
     ["multiplier is missing", "tosa_single takes multiplier and shift"]),
    (lambda: requantize(1, 3, flavour="mul16"), ["shift is missing", "mul16 takes multiplier and shift"]),
    (lambda: requantize(1, flavour="fp32_rint"), ["scale is missing", "fp32_rint takes scale"]),
    (lambda: requantize(1, 5, scale=1.0, flavour="fp32_rint"), ["multiplier is superfluous", "takes scale"]),
    (lambda: requantize(1, **SHIFT | {"rounding": None}), ["rounding is missing", "shift takes shift and rounding"]),
    (lambda: requantize(1, multiplier=5, **SHIFT), ["multiplier is superfluous", "shift and rounding"]),
    (lambda: requantize(1, **INTEGER, rounding="floor"), ["rounding is superfluous", "multiplier and shift"]),
    (lambda: requantize(1, **INTEGER, scale=1.0), ["scale is superfluous", "multiplier and shift"]),
    (lambda: requantize(2**31, **INTEGER), ["acc", str(2**31), "tosa_single takes 32 bits"]),
    (lambda: requantize(-(2**31) - 1, scale=1.0, flavour="fp32_rint"),
     ["acc", str(-(2**31) - 1), "fp32_rint takes 32 bits"]),
    (lambda: requantize(2**47, 1, 17, flavour="mul16"), ["acc", str(2**47), "mul16 takes 48 bits"]),
    (lambda: requantize(np.uint64(2**63), **SHIFT), ["acc", str(2**63), "below 2^63"]),
    (lambda: requantize(1, **INTEGER | {"shift": 0}), ["shift = 0", "1 to 62"]),
    (lambda: requantize(1, **INTEGER | {"shift": 63}), ["shift = 63", "1 to 62"]),
    (lambda: requantize(1, 1, 16, flavour="mul16"), ["shift = 16", "17 to 62"]),
    (lambda: requantize(1, **SHIFT | {"shift": -1}), ["shift = -1", "0 to 62"]),
    (lambda: requantize(1, **INTEGER | {"multiplier": 2**31}), ["multiplier", str(2**31), "0 to 2^31 - 1"]),
    (lambda: requantize(1, **INTEGER | {"multiplier": -1}), ["multiplier", "-1", "0 to 2^31 - 1"]),
    (lambda: requantize(1, 2**24, 31, flavour="rndnu"), ["multiplier", str(2**24), "0 to 2^24 - 1"]),
    (lambda: requantize(1, scale=0.0, flavour="fp32_rint"), ["scale = 0.0", "positive finite"]),
    (lambda: requantize([1, 2], **INTEGER | {"shift": [31, 32]}),
     ["shape (2,)", "one number, or with axis", "axis is None"]),
    (lambda: requantize([1, 2], **INTEGER, zero_point=[1, 2, 3], axis=0),
     ["shape (3,)", "acc has shape (2,)", "axis is 0"]),
    (lambda: requantize([1], **INTEGER, axis=1), ["axis = 1", "-1 to 0"]),
    (lambda: requantize(1, **INTEGER, zero_point=2**31), ["zero_point", str(2**31), "int32"]),
    (lambda: requantize(1, **INTEGER, zero_point_at="end"), ["zero_point_at = 'end'", "after, before"]),
    (lambda: requantize(1, **INTEGER, overflow="error"), ["overflow = 'error'", "saturate, wrap"]),
    (lambda: requantize(1, **SHIFT | {"rounding": "up"}), ["rounding = 'up'", "half_even"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_a_scale_too_large_for_float32_is_a_value_error():
    with pytest.raises(ValueError, match="scale"):
        requantize(5, scale=1e39, flavour="fp32_rint")


def test_accumulators_are_integers():
    with pytest.raises(TypeError, match="acc has dtype float64: expected integers"):
        requantize(0.5, **INTEGER)
