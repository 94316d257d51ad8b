"""Reals to codes and back.

    codes = saturate(round(x / scale) + zero_point)        division="divide", zero_point_at="after"    (ONNX)
    codes = saturate(round(x * (1 / scale)) + zero_point)  division="reciprocal"                        (torch)
    codes = saturate(round(x / scale + zero_point))        zero_point_at="before"
    value = scale * (codes - zero_point)

Every step is one operation in x's own precision, float32 or float64, rounded half to even as IEEE 754 does; float32
input takes the scale rounded to float32. So the bits do not depend on the machine.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers import flags as flag
from refquant.integers.fixed import Fixed, along, check_axis, check_scale, check_zero_point
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.rounding import as_reals, floor, half_even, named

DIVISIONS = ("divide", "reciprocal")
ZERO_POINT_AT = ("after", "before")
OVERFLOWS = ("saturate", "wrap")
MASKS = ("clip", "round")


def quantize(x: ArrayLike, scale, format: IntFormat, *, zero_point=0, axis: int | None = None, **how) -> Fixed:
    """``x`` as a Fixed tensor; infinities saturate, whatever the overflow policy.

    x : float32 or float64, any shape.  scale, zero_point : per tensor, or with ``axis`` one a channel.
    format : at most 32 bits.  how : see `quantize_codes`.

    Raises
    ------
    ValueError
        For NaN in ``x``, a scale that is not positive and finite (in x's precision), or an unknown choice.
    """
    x = as_reals(x)
    codes, _ = quantize_codes(x, scale, format, zero_point=zero_point, axis=axis, **how)
    if how.get("overflow") == "wrap":  # a narrow format wraps like its full one
        format = IntFormat(format.bits, format.signed)
    return Fixed(codes, check_scale(scale, x.dtype), format, zero_point, axis)


def quantize_codes(x: ArrayLike, scale, format: IntFormat, *, zero_point=0, axis: int | None = None,
                   rounding=half_even, division: str = "divide", zero_point_at: str = "after",
                   overflow: str = "saturate") -> tuple[np.ndarray, np.ndarray]:
    """``(codes, flags)`` of ``x``: the codes of `quantize` and what happened to each (`refquant.integers.flags`).

    rounding : a mode, its name, or `Stochastic`.  division : "divide" or "reciprocal".
    zero_point_at : "after" or "before" rounding.  overflow : "saturate" or "wrap" (modulo 2^bits, for experiments).
    """
    rounding = named(rounding)
    choice("zero_point_at", zero_point_at, ZERO_POINT_AT)
    choice("overflow", overflow, OVERFLOWS)
    u, zero_point = _divided(x, scale, zero_point, axis, division)
    entering = add_zero_point(u, zero_point) if zero_point_at == "before" else u
    rounded = rounding(entering)
    codes, flags = into_format(rounded, zero_point * (zero_point_at == "after"), format, overflow)
    return codes, flags | flag.of_real(entering) | flag.of_chance(rounded, floor(entering), rounding)


def into_format(rounded: np.ndarray, plus: np.ndarray, format: IntFormat,
                overflow: str) -> tuple[np.ndarray, np.ndarray]:
    """``(codes, flags)`` of ``rounded`` (whole reals) plus integers, fitted into ``format``; infinities saturate."""
    _check_width(format)
    infinite = np.isinf(rounded)
    # beyond 2^60 every code saturates, and a wrapped one depends on the value modulo 2^32 alone
    whole = np.clip(rounded.astype(np.float64), -(2.0**60), 2.0**60).astype(np.int64) + plus
    codes, flags = format.saturate(whole), flag.of_codes(whole, format, overflow)
    if overflow == "wrap":
        modulo = np.fmod(np.where(infinite, 0, rounded).astype(np.float64), 2.0**32).astype(np.int64)
        codes = np.where(infinite, codes, format.wrap(modulo + plus))
    return codes, flags


def dequantize(fixed: Fixed, dtype=np.float32) -> np.ndarray:
    """``scale * (codes - zero_point)`` in ``dtype`` (float32 or float64): the difference is rounded to it first."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype = {dtype}: expected float32 or float64")
    _check_width(fixed.format)
    ndim = fixed.codes.ndim
    difference = as_int64(fixed.codes, "codes") - along(np.asarray(fixed.zero_point), fixed.axis, ndim)
    with np.errstate(over="ignore"):
        return difference.astype(dtype) * along(check_scale(fixed.scale, dtype), fixed.axis, ndim)


def fake_quantize(x: ArrayLike, scale, format: IntFormat, *, zero_point=0, axis: int | None = None,
                  **how) -> np.ndarray:
    """``x`` quantized and dequantized again, in x's precision; arguments as for `quantize`."""
    x = as_reals(x)
    return dequantize(quantize(x, scale, format, zero_point=zero_point, axis=axis, **how), x.dtype)


def ste_gradient(g: ArrayLike, x: ArrayLike, scale, format: IntFormat, *, zero_point=0, axis: int | None = None,
                 mask: str = "clip", division: str = "divide", rounding=half_even) -> np.ndarray:
    """The straight-through gradient of `fake_quantize`: ``g`` where ``x`` is in range, else 0, in g's dtype.

    mask : "clip" passes where qmin <= x / scale + zero_point <= qmax, both ends included; "round" compares the
    rounded quotient plus the zero point, and so reaches half a code further: torch's fake quantization, when
    ``division`` is "reciprocal" and ``rounding`` half_even.
    """
    choice("mask", mask, MASKS)
    u, zero_point = _divided(x, scale, zero_point, axis, division)
    _check_width(format)
    code = add_zero_point(u if mask == "clip" else named(rounding)(u), zero_point).astype(np.float64)
    g = np.asarray(g)
    return np.where((format.qmin <= code) & (code <= format.qmax), g, g.dtype.type(0))


def _check_width(format: IntFormat) -> None:
    if format.bits > 32:
        raise ValueError(f"format = {format}: expected at most 32 bits; reals do not reach wider codes exactly")


def choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """A ValueError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} = {value!r}: expected one of {', '.join(allowed)}")


def add_zero_point(u: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """``u + zero_point`` as one operation in u's precision; ValueError for a zero point that is no such float."""
    added = np.asarray(zero_point).astype(u.dtype)
    if (added.astype(np.float64) != zero_point).any():
        raise ValueError(f"zero_point = {np.max(np.abs(zero_point))}: expected at most 2^24, to be added in float32")
    with np.errstate(over="ignore"):
        return u + added


def _divided(x, scale, zero_point, axis, division):
    """``(x / scale, zero_point)``, the zero point shaped to broadcast."""
    choice("division", division, DIVISIONS)
    x = as_reals(x)
    if np.isnan(x).any():
        where = tuple(int(i) for i in np.argwhere(np.isnan(x))[0])
        raise ValueError(f"x is NaN at {where}: a NaN has no code")
    axis = check_axis(axis, x.ndim)
    scale, zero_point = check_scale(scale, x.dtype), check_zero_point(zero_point)
    for name, array in (("scale", scale), ("zero_point", zero_point)):
        if array.ndim and (axis is None or array.shape != (x.shape[axis],)):
            raise ValueError(f"{name} has shape {array.shape}: expected one number, or with axis one for each index "
                             f"along it; x has shape {x.shape}, axis is {axis}")
    scale = along(scale, axis, x.ndim)
    with np.errstate(over="ignore"):
        if division == "divide":
            return x / scale, along(zero_point, axis, x.ndim)
        inverse = x.dtype.type(1) / scale
        if np.isinf(inverse).any():
            raise ValueError(f"scale = {scale.min()}: its reciprocal is not finite in {x.dtype}")
        u = x * inverse
    return u, along(zero_point, axis, x.ndim)
