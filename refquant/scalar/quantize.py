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


def quantize(x, scale, zero_point, bits, signed, narrow=False, *, precision, rounding="half_even", rbits=None, n=None,
             division="divide", zero_point_at="after", overflow="saturate", note=silent):
    """(code, flags) of x in a format of 2 ... 32 bits; rounding "stochastic" takes the n-bit number rbits.

    An infinite x or u is qmax or qmin under both overflows. ValueError for NaN, for an x or scale that is no float
    of `precision`, for a scale that is not positive and finite, and for 0 * infinity (0 times an infinite reciprocal).
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
    """The float fl(fl(code - zero_point) * scale), +0.0 for code = zero_point. ValueError for scale as in quantize."""
    _, scale = _operands(0, scale, precision)
    difference = floats.nearest_float(code - zero_point, precision)
    note(f"code {code} - zero point {zero_point} = {code - zero_point}")
    return float(floats.multiply(difference, scale, precision, note=note))


def fake_quantize(x, scale, zero_point, bits, signed, narrow=False, *, precision, note=silent, **how):
    """The float dequantize(quantize(x)); arguments and errors of `quantize`."""
    code, _ = quantize(x, scale, zero_point, bits, signed, narrow, precision=precision, note=note, **how)
    return dequantize(code, scale, zero_point, precision=precision, note=note)


def ste_gradient(g, x, scale, zero_point, bits, signed, narrow=False, *, precision, mask, rounding="half_even",
                 division="divide", note=silent):
    """g where x lies in the range of the codes, both ends included, else 0. Errors of `quantize`.

    `rounding` serves mask "round" only, which with half_even and division "reciprocal" is torch's fake quantization's.
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
