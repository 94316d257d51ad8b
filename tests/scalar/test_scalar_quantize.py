"""Quantizers: by hand, against the machine's floats, and the words that choose between variants."""
import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.formats import limits, parse
from refquant.scalar.quantize import dequantize, fake_quantize, quantize, ste_gradient

S8 = (8, True)
INF = math.inf


def f32(x):
    """The binary32 nearest to a binary64, by the C cast in struct, which refuses to overflow."""
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(INF, x)


formats = st.sampled_from(["s8", "s8n", "u8", "s4", "u2", "s16", "s32", "u32"]).map(parse)
zero_points = st.integers(-300, 300)


def reals(width):
    near = st.integers(-4096, 4096).map(lambda k: k / 16)
    return st.one_of(near, st.floats(allow_nan=False, width=width))


def scales(width):
    return st.one_of(st.sampled_from([0.125, 0.25, 1.0, 3.0]),
                     st.floats(2.0**-20, 2.0**20, width=width))


@pytest.mark.parametrize("precision", [32, 64])
@given(data=st.data(), format_=formats, zero_point=zero_points, before=st.booleans(), reciprocal=st.booleans())
def test_against_the_machine(precision, data, format_, zero_point, before, reciprocal):
    x, scale = data.draw(reals(precision)), data.draw(scales(precision))
    fl = f32 if precision == 32 else float
    u = fl(x * fl(1 / scale)) if reciprocal else fl(x / scale)
    value = fl(u + zero_point) if before else u
    qmin, qmax = limits(*format_)
    if math.isinf(value):
        expected = (qmax, 8) if value > 0 else (qmin, 4)
    else:
        code = round(value) if before else round(value) + zero_point
        twice = 2 * Fraction(value)
        flags = (Fraction(value).denominator > 1) | 2 * (twice.denominator == 1 and twice % 2 == 1)
        expected = min(max(code, qmin), qmax), flags | 4 * (code < qmin) | 8 * (code > qmax)
    how = {"zero_point_at": "before" if before else "after", "division": "reciprocal" if reciprocal else "divide"}
    assert quantize(x, scale, zero_point, *format_, precision=precision, **how) == expected
    expected_real = fl(fl(expected[0] - zero_point) * scale)
    assert fake_quantize(x, scale, zero_point, *format_, precision=precision, **how) == expected_real


def test_before_and_after_differ_on_ties():
    assert quantize(2.5, 1.0, 1, *S8, precision=32) == (3, 3)
    assert quantize(2.5, 1.0, 1, *S8, precision=32, zero_point_at="before") == (4, 3)
    assert quantize(-2.5, 1.0, 3, *S8, precision=32, rounding="half_away") == (0, 3)
    assert quantize(-2.5, 1.0, 3, *S8, precision=32, rounding="half_away", zero_point_at="before") == (1, 3)


def test_reciprocal_and_divide_differ():
    """41 * fl32(1 / 41) and 49 * fl64(1 / 49) fall just short of 1."""
    for x, precision in ((41.0, 32), (49.0, 64)):
        how = {"precision": precision, "rounding": "floor"}
        assert quantize(x, x, 0, *S8, division="divide", **how) == (1, 0)
        assert quantize(x, x, 0, *S8, division="reciprocal", **how) == (0, 1)


def test_every_rounding_and_overflow():
    assert [quantize(v / 2, 1.0, 0, *S8, precision=64, rounding="odd")[0] for v in (-3, -1, 1, 3)] == [-1, -1, 1, 1]
    assert quantize(130.0, 1.0, 0, *S8, precision=64) == (127, 8)
    assert quantize(130.25, 1.0, 0, *S8, precision=64, overflow="wrap") == (-126, 9)
    assert quantize(-128.0, 1.0, 0, 8, True, True, precision=64) == (-127, 4)
    assert quantize(2.0**100, 1.0, 5, *S8, precision=32, overflow="wrap") == (5, 8)
    assert quantize(2.25, 1.0, 0, *S8, precision=32, rounding="stochastic", rbits=3, n=2) == (3, 1 | 32)
    assert quantize(2.25, 1.0, 0, *S8, precision=32, rounding="stochastic", rbits=2, n=2) == (2, 1)
    assert quantize(-2.5, 1.0, 1, *S8, precision=32, rounding="stochastic", rbits=1, n=1) == (-1, 3 | 32)


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_infinities(overflow):
    for x, scale in ((INF, 1.0), (f32(3e38), f32(1e-3))):
        assert quantize(x, scale, -9, *S8, precision=32, overflow=overflow) == (127, 8)
        assert quantize(-x, scale, 9, *S8, precision=32, overflow=overflow, zero_point_at="before") == (-128, 4)
    tiny = 2.0**-140  # its reciprocal is infinite in binary32
    assert quantize(2.0**-140, tiny, 0, *S8, precision=32) == (1, 0)
    assert quantize(2.0**-140, tiny, 0, *S8, precision=32, division="reciprocal") == (127, 8)


def test_dequantize():
    assert dequantize(5, 0.5, 1, precision=32) == 2.0
    assert math.copysign(1, dequantize(3, 0.5, 3, precision=32)) == 1
    assert dequantize(16777217, 1.0, 0, precision=32) == 16777216.0
    assert dequantize(16777217, 3.0, 0, precision=32) == 50331648.0  # rounded before the product too
    assert dequantize(16777217, 1.0, 0, precision=64) == 16777217.0
    assert dequantize(-2, f32(3.4e38), 0, precision=32) == -INF
    assert fake_quantize(-0.0, 0.5, 3, *S8, precision=32) == 0.0


def test_ste_masks_at_both_ends():
    """For s4 and scale 1 the codes are -8 ... 7: clip cuts at 7 exactly, round keeps all that rounds to 7."""
    def mask(x, kind, **how):
        return ste_gradient(3, x, 1.0, 0, 4, True, precision=32, mask=kind, **how)

    assert [mask(x, "clip") for x in (-8.25, -8.0, 0.0, 7.0, 7.25, 7.5)] == [0, 3, 3, 3, 0, 0]
    assert [mask(x, "round") for x in (-8.75, -8.5, -8.0, 7.25, 7.5, 7.75)] == [0, 3, 3, 3, 0, 0]
    assert mask(7.5, "round", rounding="half_zero") == 3 and mask(INF, "clip") == mask(-INF, "round") == 0
    assert ste_gradient(-7, 6.5, 1.0, 1, 4, True, precision=32, mask="clip") == 0
    assert ste_gradient(-7, 6.5, 1.0, 1, 4, True, precision=32, mask="round") == -7
    assert ste_gradient(1, -8.0, 1.0, 0, 4, True, True, precision=32, mask="clip") == 0
    assert ste_gradient(1, 2.0**-25, 1.0, 7, 4, True, precision=32, mask="clip") == 1  # fl(7 + 2^-25) = 7
    assert ste_gradient(1, 2.0**-25, 1.0, 7, 4, True, precision=64, mask="clip") == 0


@pytest.mark.parametrize("change", [
    {"x": math.nan}, {"x": 0.1}, {"scale": 0.1}, {"scale": 0.0}, {"scale": -1.0}, {"scale": INF}, {"bits": 33},
    {"precision": 16}, {"rounding": "nearest"}, {"division": "multiply"}, {"zero_point_at": "never"},
    {"overflow": "error"}, {"rounding": "stochastic"}, {"x": 0.0, "scale": 2.0**-140, "division": "reciprocal"}])
def test_errors(change):
    arguments = {"x": 1.0, "scale": 1.0, "zero_point": 0, "bits": 8, "signed": True, "precision": 32}
    quantize(**arguments)
    with pytest.raises(ValueError):
        quantize(**arguments | change)


def test_ste_errors():
    for how in ({"mask": "none"}, {"mask": "round", "rounding": "stochastic"}):
        with pytest.raises(ValueError):
            ste_gradient(1, 1.0, 1.0, 0, 8, True, precision=32, **how)


def test_notes():
    lines = []
    fake_quantize(1.5, 0.5, 3, *S8, precision=32, note=lines.append)
    assert lines == ["1.5 / 0.5 in binary32 = 3.0", "3.0, half_even: exact -> 3", "+ zero point 3 = 6",
                     "saturated to [-128, 127]: 6", "code 6 - zero point 3 = 3", "3.0 x 0.5 in binary32 = 1.5"]
