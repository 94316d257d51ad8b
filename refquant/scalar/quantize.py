"""Real numbers to codes and back; fl is one correctly rounded operation in the precision of x and scale (32 or 64).

u    = fl(x / scale)            division "divide"
u    = fl(x * fl(1 / scale))    division "reciprocal"
code = into format(round(u) + zero_point)        zero_point_at "after"
code = into format(round(fl(u + zero_point)))    zero_point_at "before"
x'   = fl(fl(code - zero_point) * scale)         dequantize

Straight-through gradient of x' by x, for the incoming gradient g: g if qmin <= v <= qmax, else 0, where
v = fl(u + zero_point)                           mask "clip": not rounded
v = round(u) + zero_point                        mask "round"
"""
from . import floats
from .formats import into_format, limits
from .rounding import round_fraction, round_with_flags
from .steps import require_word, silent

__all__ = ["dequantize", "fake_quantize", "quantize", "ste_gradient"]


def quantize(x, scale, zero_point, bits, signed, narrow=False, *, precision, rounding="half_even", rbits=None, n=None,
             division="divide", zero_point_at="after", overflow="saturate", note=silent):
    """(code, flags) of one real in a format of 2 ... 32 bits; flags 1 inexact, 2 a tie, 4 low, 8 high, 32 up by chance.

    x, scale : one float each, of ``precision``; x may be infinite, scale is positive and finite.
    zero_point : one int, in units of codes.
    bits, signed, narrow : the format; bits 2 ... 32.
    precision : 32 or 64.
    rounding : one of the ten modes, or "stochastic" by the n-bit number ``rbits``.
    rbits, n : 0 ... 2^n - 1, and n, 1 ... 63.
    division : "divide" or "reciprocal".
    zero_point_at : "after" the rounding or "before" it.
    overflow : "saturate" or "wrap".
    note : told each step as a line of text.

    An infinite x or u is qmax or qmin under both overflows, with the flag 8 or 4, and is not rounded.

    Raises ValueError for NaN, for an x or scale that is no float of ``precision``, for a scale that is not positive and
    finite, for 0 * infinity (0 times an infinite reciprocal), for a format or random bits outside their ranges, and for
    an unknown word.

    Source: ONNX QuantizeLinear ("divide", half_even, "after"); "reciprocal" is torch's fake quantization.
    """
    require_word(zero_point_at, ("after", "before"), "zero_point_at")
    _require_bits(bits)
    x, scale = _operands(x, scale, precision)
    u = _over_scale(x, scale, precision, division, note)
    if zero_point_at == "before":
        u = floats.add(u, zero_point, precision, note=note)
    if floats.is_infinite(u):
        return into_format(u, bits, signed, narrow, overflow, note=note)
    code, flags = round_with_flags(u, rounding, rbits, n, note=note)
    if zero_point_at == "after":
        code += zero_point
        note(f"+ zero point {zero_point} = {code}")
    code, range_flags = into_format(code, bits, signed, narrow, overflow, note=note)
    return code, flags | range_flags


def dequantize(code, scale, zero_point, *, precision, note=silent):
    """fl(fl(code - zero_point) * scale), one Python float: +0.0 for code = zero_point.

    code, zero_point : one int each.
    scale : one float of ``precision``, positive and finite.
    precision : 32 or 64.
    note : told each step as a line of text.

    Raises ValueError for a scale that is no such float, and for another precision.

    Source: ONNX DequantizeLinear.
    """
    _, scale = _operands(0, scale, precision)
    difference = floats.nearest_float(code - zero_point, precision)
    note(f"code {code} - zero point {zero_point} = {code - zero_point}")
    return float(floats.multiply(difference, scale, precision, note=note))


def fake_quantize(x, scale, zero_point, bits, signed, narrow=False, *, precision, note=silent, **how):
    """dequantize(quantize(x)), one Python float.

    x, scale, zero_point, bits, signed, narrow, precision : one number each, as in `quantize`.
    note : told each step as a line of text.
    how : the other arguments of `quantize`, by name.

    Raises ValueError as `quantize`.

    Source: ONNX QuantizeLinear, then DequantizeLinear.
    """
    code, _ = quantize(x, scale, zero_point, bits, signed, narrow, precision=precision, note=note, **how)
    return dequantize(code, scale, zero_point, precision=precision, note=note)


def ste_gradient(g, x, scale, zero_point, bits, signed, narrow=False, *, precision, mask, rounding="half_even",
                 division="divide", note=silent):
    """The straight-through gradient of one element: g where x lies in the codes' range, both ends included, else 0.

    g : one number, the gradient of the dequantized value.
    x, scale, zero_point, bits, signed, narrow, precision, division : as in `quantize`.
    mask : "clip" compares the unrounded x / scale + zero_point with qmin and qmax, "round" the rounded one.
    rounding : one of the ten modes, of mask "round" only.
    note : told each step as a line of text.

    Raises ValueError as `quantize`, and for "stochastic", which has no part in a mask.

    Source: mask "round" with half_even and division "reciprocal" is torch's fake quantization; "clip" is the derivative
    of clip(x).
    """
    require_word(mask, ("clip", "round"), "mask")
    _require_bits(bits)
    x, scale = _operands(x, scale, precision)
    v = _over_scale(x, scale, precision, division, note)
    if mask == "clip":
        v = floats.add(v, zero_point, precision, note=note)
    elif not floats.is_infinite(v):
        v = round_fraction(v, rounding, note=note) + zero_point
        note(f"+ zero point {zero_point} = {v}")
    qmin, qmax = limits(bits, signed, narrow)
    inside = qmin <= v <= qmax
    gradient = g if inside else 0
    note(f"{'inside' if inside else 'outside'} [{qmin}, {qmax}]: gradient {gradient}")
    return gradient


def _over_scale(x, scale, precision, division, note):
    require_word(division, ("divide", "reciprocal"), "division")
    if division == "divide":
        return floats.divide(x, scale, precision, note=note)
    return floats.multiply(x, floats.divide(1, scale, precision, note=note), precision, note=note)


def _operands(x, scale, precision):
    """x and scale, exact; ValueError as `quantize` says."""
    x, scale = floats.require_float(x, precision, "x"), floats.require_float(scale, precision, "scale")
    if floats.is_infinite(scale) or scale <= 0:
        raise ValueError(f"scale {scale} is not positive and finite")
    return x, scale


def _require_bits(bits):
    if bits > 32:
        raise ValueError(f"a real is quantized to at most 32 bits, not {bits}")
