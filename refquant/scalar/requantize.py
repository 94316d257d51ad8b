"""An accumulator to an output code, by a real scale multiplier * 2^-shift in integers, or by a binary32 scale.

With p = acc * multiplier, every flavour ends in one last rounding of an integer divided by a power of two:
  tosa_single              half_up(p / 2^shift)
  tosa_double              half_away(half_up(p / 2^31) / 2^(shift-31)); as tosa_single for shift <= 31 (tflite_double)
  ruy_double               half_up(half_up(p / 2^31) / 2^(shift-31)); as tosa_single for shift <= 31
  mul16                    half_up(acc * m16 / 2^(shift-16)), m16 = (multiplier + 2^15) >> 16, at most 0x7FFF
  rndnu                    half_up(p / 2^shift), multiplier < 2^24
  shift                    round(acc / 2^shift), any rounding
or of a real:
  fp32_rint, fp32_round    half_even | half_away(fl32(fl32(acc) * scale))
zero_point_at "after": the zero point is added to the rounded number, "before": to the number that enters the last
rounding. The sum is then saturated or wrapped.

Sources: TOSA apply_scale_32; gemmlowp SaturatingRoundingDoublingHighMul, RoundingDivideByPOT; ruy; XNNPACK.
"""
from fractions import Fraction

from . import floats
from .formats import into_format, limits
from .rounding import chance_flag, round_fraction, round_shift, round_with_flags, rounding_flags, stochastic_shift
from .steps import require_word, show, silent

__all__ = ["multiplier_from_scale", "requantize"]

LEAST_SHIFT = {"tosa_single": 1, "tosa_double": 1, "tflite_double": 1, "ruy_double": 1, "mul16": 17, "rndnu": 1,
               "shift": 0}
FP32_ROUNDING = {"fp32_rint": "half_even", "fp32_round": "half_away"}
ACC_BITS = {"mul16": 48, "shift": 64}  # every other flavour takes 32


def requantize(acc, *, flavour, multiplier=None, shift=None, scale=None, zero_point=0, zero_point_at="after", bits=8,
               signed=True, narrow=False, overflow="saturate", rounding=None, rbits=None, n=None, note=silent):
    """(code, flags) of one accumulator; flags 1 and 2 speak of the number that enters the last rounding.

    acc : one int of 32 bits; of 48 for mul16, of 64 for shift.
    flavour : one of the nine above.
    multiplier, shift : one int each, of the integer flavours: 0 ... 2^31 - 1 (rndnu: 2^24 - 1; shift takes none), and
        1 ... 62 (mul16: from 17; shift: from 0).
    scale : one binary32 number, positive and finite, of the fp32 flavours.
    zero_point, zero_point_at : one int, "after" the last rounding or "before" it.
    bits, signed, narrow, overflow : the code's format, and "saturate" or "wrap".
    rounding : of shift: one of the ten modes, or "stochastic" by the n-bit number ``rbits``.
    rbits, n : 0 ... 2^n - 1, and n, 1 ... 63.
    note : told each step as a line of text.

    Flags 4 and 8: saturated or wrapped low and high; 32: up by chance.

    Raises ValueError for an unknown word, for an acc, multiplier, shift or scale that the flavour does not take, and
    for a format or random bits outside their ranges.

    Source: TOSA RESCALE; gemmlowp and TFLite (tosa_double); ruy; TFLite Micro (mul16); XNNPACK (rndnu, fp32_rint); the
    last two steps as in ONNX QuantizeLinear.
    """
    require_word(flavour, (*LEAST_SHIFT, *FP32_ROUNDING), "flavour")
    require_word(zero_point_at, ("after", "before"), "zero_point_at")
    low, high = limits(ACC_BITS.get(flavour, 32), True)
    if not low <= acc <= high:
        raise ValueError(f"acc {acc} outside [{low}, {high}] of {flavour}")
    before = zero_point if zero_point_at == "before" else 0
    if flavour in FP32_ROUNDING:
        code, flags = _by_float(acc, flavour, scale, before, note)
    else:
        _require_scale(flavour, multiplier, shift)
        code, flags = _by_integers(acc, flavour, multiplier, shift, before, rounding, rbits, n, note)
    if zero_point_at == "after":
        code += zero_point
        note(f"+ zero point {zero_point} = {code}")
    code, range_flags = into_format(code, bits, signed, narrow, overflow, note=note)
    return code, flags | range_flags


def multiplier_from_scale(scale, bits=31, *, note=silent):
    """(multiplier, shift), two ints: scale ~ multiplier * 2^-shift, the top bit of the multiplier set if shift < 62.

    scale : one positive float, taken exactly, or a Fraction. Below 2^(bits-63) the shift stays 62 and bits are lost.
    bits : significant bits of the multiplier: 31, or 24 for rndnu.
    note : told each step as a line of text.

    Raises ValueError for a scale that is not positive and finite, or so large that the shift would fall below 1.

    Source: TFLite's QuantizeMultiplier, half_away, without its float rounding; the limit of 62 is refquant's own.
    """
    real = floats.exact(scale)
    if floats.is_infinite(real) or real <= 0:
        raise ValueError(f"scale {scale} is not positive and finite")
    exponent = floats.exponent(real) + 1  # real = f * 2^exponent, 1/2 <= f < 1
    multiplier = round_fraction(real * Fraction(2) ** (bits - exponent), "half_away")
    if multiplier == 1 << bits:
        multiplier, exponent = 1 << bits - 1, exponent + 1
    shift = bits - exponent
    if shift > 62:
        multiplier, shift = round_fraction(real * 2**62, "half_away"), 62
    if shift < 1:
        raise ValueError(f"scale {show(real)} needs shift {shift}, below 1")
    note(f"scale {show(real)} ~ {multiplier} / 2^{shift}")
    return multiplier, shift


def _by_float(acc, flavour, scale, before, note):
    """(rounded, flags); an infinite product comes back as it is, without flags."""
    if scale is None:
        raise ValueError(f"{flavour} takes a scale")
    scale = floats.require_float(scale, 32, "scale")
    if floats.is_infinite(scale) or scale <= 0:
        raise ValueError(f"scale {scale} is not positive and finite")
    value = floats.multiply(floats.nearest_float(acc, 32, note=note), scale, 32, note=note)
    if before:
        value = floats.add(value, before, 32, note=note)
    if floats.is_infinite(value):
        return value, 0
    return round_with_flags(value, FP32_ROUNDING[flavour], note=note)


def _by_integers(acc, flavour, multiplier, shift, before, rounding, rbits, n, note):
    """(rounded, flags) of the last rounding, with the zero point `before` added to what enters it."""
    value, shift, rounding = _last_rounding(acc, flavour, multiplier, shift, rounding, note)
    if before:
        value += before << shift
        note(f"+ zero point {before} x 2^{shift} = {value}")
    real = Fraction(value, 1 << shift)
    if rounding != "stochastic":
        return round_shift(value, shift, rounding, note=note), rounding_flags(real)
    rounded = stochastic_shift(value, shift, rbits, n, note=note)
    return rounded, rounding_flags(real) | chance_flag(real, rounded)


def _last_rounding(acc, flavour, multiplier, shift, rounding, note):
    """(integer, shift, rounding): what the flavour rounds last."""
    if flavour == "shift":
        note(f"acc {acc}")
        return acc, shift, rounding
    if flavour == "mul16":
        multiplier = min(multiplier + (1 << 15) >> 16, 0x7FFF)
        note(f"multiplier reduced to 16 bits: {multiplier}")
        shift -= 16
    product = acc * multiplier
    note(f"acc {acc} x multiplier {multiplier} = {product}")
    if flavour in ("tosa_double", "tflite_double", "ruy_double") and shift > 31:
        last = "half_up" if flavour == "ruy_double" else "half_away"
        return round_shift(product, 31, "half_up", note=note), shift - 31, last
    return product, shift, "half_up"


def _require_scale(flavour, multiplier, shift):
    """ValueError unless the integer flavour takes this multiplier and shift."""
    if shift is None or not LEAST_SHIFT[flavour] <= shift <= 62:
        raise ValueError(f"shift {shift} outside {LEAST_SHIFT[flavour]} ... 62 of {flavour}")
    most = (1 << 24 if flavour == "rndnu" else 1 << 31) - 1
    if flavour != "shift" and (multiplier is None or not 0 <= multiplier <= most):
        raise ValueError(f"multiplier {multiplier} outside 0 ... {most} of {flavour}")
