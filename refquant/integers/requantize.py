"""Accumulators to codes: multiply by scale = multiplier * 2^-shift and round; `requantize_codes` lists the ways."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers import flags as flag
from refquant.integers.fixed import along, check_axis, check_scale, check_zero_point
from refquant.integers.formats import IntFormat, as_int64, check_int64, extremes
from refquant.integers.kernels import worth_compiling
from refquant.integers.quantize import (
    OVERFLOWS,
    ZERO_POINT_AT,
    add_zero_point,
    check_width,
    choice,
    codes_in_format,
    into_format,
)
from refquant.integers.rounding import check_shift, floor, half_away, half_even, half_up, named

# What others call these flavours, besides the names in the table below.
ALIASES = {"tflite_double": "tosa_double"}

SHIFT_MAX = 62


def requantize(acc: ArrayLike, multiplier: ArrayLike | None = None, shift: ArrayLike | None = None, *, flavour: str,
               scale: ArrayLike | None = None, axis: int | None = None, zero_point: ArrayLike = 0,
               zero_point_at: str = "after", rounding=None, format: IntFormat | None = None,
               overflow: str = "saturate") -> np.ndarray:
    """The codes of ``acc`` (any shape) in the format's dtype: `requantize_codes` without the flags. The arguments
    (multiplier, shift, flavour, scale, axis, zero_point, zero_point_at, rounding, format, overflow) are as there.

    Raises what `requantize_codes` raises.

    Source: as there."""
    given = _checked(acc, multiplier, shift, flavour, scale, axis, zero_point, zero_point_at, rounding, format,
                     overflow)
    codes = _compiled(given) if overflow == "saturate" and worth_compiling(given.acc.size) else None
    return _plain(given, flags=False)[0] if codes is None else codes


def requantize_codes(acc: ArrayLike, multiplier: ArrayLike | None = None, shift: ArrayLike | None = None, *,
                     flavour: str, scale: ArrayLike | None = None, axis: int | None = None,
                     zero_point: ArrayLike = 0, zero_point_at: str = "after", rounding=None,
                     format: IntFormat | None = None, overflow: str = "saturate") -> tuple[np.ndarray, np.ndarray]:
    """``(codes, flags)`` of ``acc``, in its shape: the format's dtype, and uint8 as in `refquant.integers.flags`.

    With p = acc * multiplier, exact, and e = shift - 31, ``flavour`` is one of

        tosa_single   half_up(p / 2^shift)                                    TOSA RESCALE, SINGLE_ROUND
        tosa_double   half_away(half_up(p / 2^31) / 2^e); e <= 0: as single   TOSA DOUBLE_ROUND = TFLite, gemmlowp
        ruy_double    half_up(half_up(p / 2^31) / 2^e);   e <= 0: as single   ruy's older Arm kernels
        mul16         half_up(acc * m16 / 2^(shift-16)), m16 = min((multiplier + 2^15) >> 16, 2^15 - 1)   TFLM, int64
        rndnu         half_up(p / 2^shift), multiplier of 24 bits             XNNPACK
        fp32_rint     half_even(fl(fl(acc) * scale)) in float32               ONNX Runtime, XNNPACK
        fp32_round    half_away(fl(fl(acc) * scale)) in float32
        shift         any rounding of acc / 2^shift                           power-of-two scales

    and code = saturate(that + zero_point), or the zero point joins the value that enters the last rounding.

    acc : integers of any shape, within int32 (mul16: 48 bits; shift: int64).
    multiplier, shift : one number, or with ``axis`` one a channel [C]; shift 1..62 (mul16 17..62; shift 0..62, and no
        multiplier), multiplier 0..2^31 - 1 (rndnu: 2^24 - 1). See `multiplier_from_scale`.
    scale : float32, one number or [C], for the fp32 flavours in place of the two.
    zero_point, zero_point_at : within int32, one number or [C]; added "after" the rounding or "before" it.
    rounding : for the shift flavour: a mode, its name, or `Stochastic`.
    format, overflow : of the codes (fp32 flavours: at most 32 bits); int8 unless given; "saturate" or "wrap".

    Raises ValueError naming what is missing, superfluous, unknown or out of range; TypeError for floats as integers.

    Source: those named ("tflite_double" is "tosa_double"). gemmlowp's nudge of 1 - 2^30 for negative products and C's
    truncating division together round ties up. Where TFLite would shift left first (shift below 31), its int32 may
    overflow; here the product is exact."""
    return _plain(_checked(acc, multiplier, shift, flavour, scale, axis, zero_point, zero_point_at, rounding, format,
                           overflow), flags=True)


@dataclass(frozen=True, eq=False)
class _Given:
    """Checked arguments: [] or [channels] where channels may differ, None where the flavour takes none."""

    acc: np.ndarray
    multiplier: Any
    shift: Any
    flavour: str
    scale: Any
    axis: int | None
    zero_point: np.ndarray
    zero_point_at: str
    rounding: Any
    format: IntFormat
    overflow: str

    def along(self, array):
        return along(array, self.axis, self.acc.ndim)


def _checked(acc, multiplier, shift, flavour, scale, axis, zero_point, zero_point_at, rounding, format,
             overflow) -> _Given:
    flavour = ALIASES.get(flavour, flavour)
    choice("flavour", flavour, (*FLAVOURS, *ALIASES))
    choice("zero_point_at", zero_point_at, ZERO_POINT_AT)
    choice("overflow", overflow, OVERFLOWS)
    acc = check_int64(acc, "acc")
    axis = check_axis(axis, acc.ndim)
    _check_arguments(flavour, multiplier=multiplier, shift=shift, scale=scale, rounding=rounding)
    acc_bits, shift_min, multiplier_bits = LIMITS[flavour]
    if not IntFormat(acc_bits).contains(acc):
        raise ValueError(f"acc runs from {acc.min()} to {acc.max()}: {flavour} takes {acc_bits} bits")

    def channels(array):
        if array.ndim and (axis is None or array.shape != (acc.shape[axis],)):
            raise ValueError(f"a per-channel argument has shape {array.shape}: expected one number, or with axis one "
                             f"for each index along it; acc has shape {acc.shape}, axis is {axis}")
        return array

    zero_point = channels(check_zero_point(zero_point))
    if scale is not None:
        scale = channels(check_scale(scale, np.float32))
    else:
        shift = channels(check_shift(np.asarray(shift), shift_min, SHIFT_MAX))
        if multiplier is None:
            rounding = named(rounding)
        else:
            multiplier = channels(_check_multiplier(multiplier, multiplier_bits))
    return _Given(acc, multiplier, shift, flavour, scale, axis, zero_point, zero_point_at, rounding,
                  IntFormat(8) if format is None else format, overflow)


def _plain(given: _Given, flags: bool) -> tuple[np.ndarray, Any]:
    """``(codes, flags)``, by NumPy; None for flags not asked for."""
    acc, zero_point = given.acc.astype(np.int64, copy=False), given.along(given.zero_point)
    after = zero_point * (given.zero_point_at == "after")
    before = zero_point - after
    if given.scale is not None:
        product, rounded = _fp32(given.flavour, acc, given.along(given.scale), before)
        if not flags:
            return codes_in_format(rounded, after, given.format, given.overflow), None
        codes, ends = into_format(rounded, after, given.format, given.overflow)
        return codes, ends | flag.of_real(product)
    shift = given.along(given.shift)
    if given.multiplier is None:
        exact = shift == 0  # nothing is rounded: the zero point can wait until the codes are in reach
        rounded, said = _shift(acc, shift, np.where(exact, 0, before), given.rounding, flags)
        after = np.where(exact, zero_point, after)
    else:
        rounded, said = FLAVOURS[given.flavour](acc, given.along(given.multiplier), shift, before, flags)
    if IntFormat(63).contains(rounded):
        codes = rounded + after
    else:  # the sum may not fit int64
        codes = np.asarray(np.add(rounded.astype(object), np.asarray(after, object)), object)
    if flags:
        said = said | flag.of_codes(codes, given.format, given.overflow)
    return (given.format.wrap(codes) if given.overflow == "wrap" else given.format.saturate(codes)), said


def _compiled(given: _Given) -> np.ndarray | None:
    """The codes by a compiled kernel; None where there is none for these arguments."""
    from refquant.integers.kernels import serving  # imports Numba

    if given.zero_point_at == "before":
        return None
    if given.acc.dtype != np.int32 and not IntFormat(32).contains(given.acc):
        return None
    acc = given.acc.astype(np.int32, copy=False)
    how = given.zero_point, given.format, given.axis
    if given.scale is not None:
        check_width(given.format)
        codes, _ = serving.real_codes(acc, given.scale, *how, FP32[given.flavour], divide=False, before=False)
        return codes
    if given.multiplier is None:
        return serving.shifted_codes(acc, given.shift, given.rounding, *how)
    # of mul16, acc * m16 / 2^(shift-16) is acc * (m16 * 2^16) / 2^shift
    multiplier = _reduced(given.multiplier) << 16 if given.flavour == "mul16" else given.multiplier
    return serving.scaled_codes(acc, multiplier, given.shift, given.flavour, *how)


def _single(acc, multiplier, shift, plus, flags):
    product = acc * multiplier
    return half_up.shift(product, shift, plus), flag.of_shift(product, shift) if flags else None


def _double(second):
    def flavour(acc, multiplier, shift, plus, flags):
        product = acc * multiplier
        first, rest, once = half_up.shift(product, 31), np.maximum(shift - 31, 0), shift <= 31
        rounded = np.where(once, half_up.shift(product, shift, plus), second.shift(first, rest, plus))
        return rounded, np.where(once, flag.of_shift(product, shift), flag.of_shift(first, rest)) if flags else None
    return flavour


def _mul16(acc, multiplier, shift, plus, flags):
    return _single(acc, _reduced(multiplier), shift - 16, plus, flags)


def _reduced(multiplier):
    return np.minimum((multiplier + (1 << 15)) >> 16, 0x7FFF)


def _fp32(flavour, acc, scale, plus):
    with np.errstate(over="ignore"):
        product = add_zero_point(acc.astype(np.float32) * scale, plus)
    return product, FP32[flavour](product)


def _shift(acc, shift, plus, rounding, flags):
    rounded = rounding.shift(acc, shift, plus)
    if not flags:
        return rounded, None
    said = flag.of_shift(acc, shift)
    if rounding.name == "stochastic":
        said = said | flag.of_chance(rounded, floor.shift(acc, shift, plus), rounding)
    return rounded, said


FP32 = {"fp32_rint": half_even, "fp32_round": half_away}

FLAVOURS = {"tosa_single": _single, "tosa_double": _double(half_away), "ruy_double": _double(half_up), "mul16": _mul16,
            "rndnu": _single, "fp32_rint": _fp32, "fp32_round": _fp32, "shift": _shift}

LIMITS = dict.fromkeys(FLAVOURS, (32, 1, 31))  # bits of acc, smallest shift, bits of the multiplier
LIMITS |= {"mul16": (48, 17, 31), "rndnu": (32, 1, 24), "shift": (64, 0, 0)}


def parameters(flavour: str) -> tuple[str, ...]:
    """The arguments a flavour is given its scale by: multiplier and shift, scale, or shift and rounding."""
    return {"fp32_rint": ("scale",), "fp32_round": ("scale",), "shift": ("shift", "rounding")}.get(
        ALIASES.get(flavour, flavour), ("multiplier", "shift"))


def _check_arguments(flavour: str, **given) -> None:
    wanted = parameters(flavour)
    for name, value in given.items():
        if (value is None) == (name in wanted):
            state = "missing" if value is None else "superfluous"
            raise ValueError(f"{name} is {state}: flavour {flavour} takes {' and '.join(wanted)}")


def _check_multiplier(multiplier: ArrayLike, bits: int) -> np.ndarray:
    array = as_int64(multiplier, "multiplier")
    low, high = extremes(array)
    if low < 0 or high >= 1 << bits:
        raise ValueError(f"multiplier runs from {low} to {high}: expected 0 to 2^{bits} - 1")
    return array
