"""Reals to codes and back.

    codes = saturate(round(x / scale) + zero_point)        division="divide", zero_point_at="after"    (ONNX)
    codes = saturate(round(x * (1 / scale)) + zero_point)  division="reciprocal"                        (torch)
    codes = saturate(round(x / scale + zero_point))        zero_point_at="before"
    value = scale * (codes - zero_point)

Every step is one operation in x's own precision, float32 or float64, rounded half to even as IEEE 754 does; float32
input takes the scale rounded to float32. So the bits do not depend on the machine.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers import flags as flag
from refquant.integers.fixed import Fixed, along, check_axis, check_scale, check_zero_point
from refquant.integers.formats import IntFormat
from refquant.integers.kernels import worth_compiling
from refquant.integers.rounding import as_reals, floor, half_even, named

DIVISIONS = ("divide", "reciprocal")
ZERO_POINT_AT = ("after", "before")
OVERFLOWS = ("saturate", "wrap")
MASKS = ("clip", "round")
_FAR = np.float64(2.0**60)


def quantize(x: ArrayLike, scale, format: IntFormat, *, zero_point=0, axis: int | None = None, rounding=half_even,
             division: str = "divide", zero_point_at: str = "after", overflow: str = "saturate") -> Fixed:
    """``x`` as a `Fixed`, codes = saturate(round(x / scale) + zero_point); infinities saturate under either overflow.

    x : float32 or float64 (integers and float16 become float64), any shape.
    scale, zero_point : per tensor (one number), or with ``axis`` one a channel [C].  format : at most 32 bits.
    rounding : a mode, its name, or `Stochastic`.  division : "divide", or "reciprocal": x * (1 / scale).
    zero_point_at : "after" or "before" rounding.  overflow : "saturate" or "wrap" (modulo 2^bits, for experiments).

    Raises ValueError for NaN in ``x``, a scale (or its reciprocal, where used) that is not positive and finite in x's
    precision, a zero point outside int32 (or that float32, where it adds it, does not hold), a shape that does not fit,
    a wider format, or an unknown choice; TypeError for an x of no reals, or a zero point of no integers.

    Source: ONNX QuantizeLinear; torch (division="reciprocal"); gemmlowp's own example (zero_point_at="before").
    """
    rounding = _choices(rounding, zero_point_at, overflow, format)
    given = _checked(x, scale, zero_point, axis, division)
    codes = None
    if overflow == "saturate" and worth_compiling(given.x.size):
        codes = _compiled(given, format, rounding, zero_point_at)
    if codes is None:
        _, rounded, after = _rounded(given, rounding, zero_point_at)
        codes = codes_in_format(rounded, after, format, overflow)
    if overflow == "wrap":  # a narrow format wraps like its full one
        format = IntFormat(format.bits, format.signed)
    return Fixed.trusted(codes, given.scale, format, given.zero_point, given.axis)


def quantize_codes(x: ArrayLike, scale, format: IntFormat, *, zero_point=0, axis: int | None = None,
                   rounding=half_even, division: str = "divide", zero_point_at: str = "after",
                   overflow: str = "saturate") -> tuple[np.ndarray, np.ndarray]:
    """``(codes, flags)`` of ``x``: the codes of `quantize` and what happened to each (`refquant.integers.flags`).

    x, scale, format, zero_point, axis, rounding, division, zero_point_at, overflow : as for `quantize`; x any shape.

    Raises what `quantize` raises.

    Source: as for `quantize`; the flags are refquant's own."""
    rounding = _choices(rounding, zero_point_at, overflow, format)
    entering, rounded, after = _rounded(_checked(x, scale, zero_point, axis, division), rounding, zero_point_at)
    codes, flags = into_format(rounded, after, format, overflow)
    flags = flags | flag.of_real(entering)
    if rounding.name == "stochastic":
        flags = flags | flag.of_chance(rounded, floor(entering), rounding)
    return codes, flags


def _choices(rounding, zero_point_at: str, overflow: str, format: IntFormat):
    rounding = named(rounding)
    choice("zero_point_at", zero_point_at, ZERO_POINT_AT)
    choice("overflow", overflow, OVERFLOWS)
    check_width(format)
    return rounding


def _rounded(given: _Given, rounding, zero_point_at: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(what enters the rounding, what comes out, what is still to be added)``."""
    u, zero_point = given.units(), given.along(given.zero_point)
    entering = add_zero_point(u, zero_point) if zero_point_at == "before" else u
    return entering, rounding(entering), zero_point * (zero_point_at == "after")


def _compiled(given: _Given, format: IntFormat, rounding, zero_point_at: str) -> np.ndarray | None:
    """The codes by a compiled kernel; None where there is none for these arguments."""
    from refquant.integers.kernels.serving import real_codes  # imports Numba

    before = zero_point_at == "before"
    if before:
        check_addable(given.zero_point, given.x.dtype)
    codes, nan = real_codes(given.x, given.step, given.zero_point, format, given.axis, rounding, given.divide, before)
    if nan:
        _check_no_nan(given.x)
    return codes


def into_format(rounded: np.ndarray, plus: np.ndarray, format: IntFormat,
                overflow: str) -> tuple[np.ndarray, np.ndarray]:
    """``(codes, flags)`` of ``rounded`` (whole reals) plus integers, fitted into ``format``; infinities saturate."""
    whole = _whole(rounded) + plus
    return _fitted(rounded, whole, plus, format, overflow), flag.of_codes(whole, format, overflow)


def codes_in_format(rounded: np.ndarray, plus: np.ndarray, format: IntFormat, overflow: str) -> np.ndarray:
    """The codes of `into_format` alone."""
    return _fitted(rounded, _whole(rounded) + plus, plus, format, overflow)


def _fitted(rounded, whole, plus, format: IntFormat, overflow: str) -> np.ndarray:
    check_width(format)
    codes = format.saturate(whole)
    if overflow == "saturate":
        return codes
    infinite = np.isinf(rounded)
    modulo = np.fmod(np.where(infinite, 0, rounded).astype(np.float64), 2.0**32).astype(np.int64)
    return np.where(infinite, codes, format.wrap(modulo + plus))


def _whole(rounded: np.ndarray) -> np.ndarray:
    """As int64; beyond 2^60 every code saturates, and a wrapped one depends on the value modulo 2^32 alone."""
    return rounded.astype(np.float64).clip(-_FAR, _FAR).astype(np.int64)


def dequantize(fixed: Fixed, dtype=np.float32) -> np.ndarray:
    """``scale * (codes - zero_point)`` of ``fixed``, any shape, each step rounded to ``dtype``, float32 or float64.

    Raises ValueError for another dtype, a format above 32 bits, or a scale that is not positive and finite in dtype.

    Source: ONNX DequantizeLinear."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype = {dtype}: expected float32 or float64")
    check_width(fixed.format)
    return fixed.in_precision(dtype)


def fake_quantize(x: ArrayLike, scale, format: IntFormat, *, zero_point=0, axis: int | None = None,
                  **how) -> np.ndarray:
    """``x``, any shape, quantized and dequantized again, in x's precision.

    scale, format, zero_point, axis, how : as for `quantize`; how is rounding, division, zero_point_at or overflow.

    Raises what `quantize` raises.

    Source: ONNX QuantizeLinear, then DequantizeLinear; torch's fake quantization with division="reciprocal"."""
    x = as_reals(x)
    return dequantize(quantize(x, scale, format, zero_point=zero_point, axis=axis, **how), x.dtype)


def ste_gradient(g: ArrayLike, x: ArrayLike, scale, format: IntFormat, *, zero_point=0, axis: int | None = None,
                 mask: str = "clip", division: str = "divide", rounding=half_even) -> np.ndarray:
    """The straight-through gradient of `fake_quantize`: ``g`` where ``x`` is in range, else 0, in g's dtype.

    g, x : reals of one shape, any.  scale, format, zero_point, axis, division : as for `quantize`.
    mask : "clip" passes where qmin <= x / scale + zero_point <= qmax, both ends included; "round" compares the
        quotient rounded by ``rounding`` plus the zero point, and so reaches half a code further.

    Raises what `quantize` raises, and ValueError for a zero point that is no float of x's precision.

    Source: Bengio 2013, but 0 outside ("clip"); torch, with division="reciprocal" and half_even ("round")."""
    choice("mask", mask, MASKS)
    given = _checked(x, scale, zero_point, axis, division)
    check_width(format)
    u = given.units()
    u = u if mask == "clip" else named(rounding)(u)
    code = add_zero_point(u, given.along(given.zero_point)).astype(np.float64)
    g = np.asarray(g)
    return np.where((format.qmin <= code) & (code <= format.qmax), g, g.dtype.type(0))


def check_width(format: IntFormat) -> None:
    """A ValueError for a format wider than 32 bits."""
    if format.bits > 32:
        raise ValueError(f"format = {format}: expected at most 32 bits; reals do not reach wider codes exactly")


def choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """A ValueError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} = {value!r}: expected one of {', '.join(allowed)}")


def add_zero_point(u: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """``u + zero_point`` as one operation in u's precision; ValueError for a zero point that is no such float."""
    added = check_addable(zero_point, u.dtype)
    with np.errstate(over="ignore"):
        return u + added


def check_addable(zero_point: np.ndarray, dtype) -> np.ndarray:
    """``zero_point`` in a float type, or a ValueError where it is no such float."""
    added = np.asarray(zero_point).astype(dtype)
    if (added.astype(np.float64) != zero_point).any():
        raise ValueError(f"zero_point = {np.max(np.abs(zero_point))}: expected at most 2^24, to be added in float32")
    return added


@dataclass(frozen=True, eq=False)
class _Given:
    """Checked arguments; scale, zero_point and step (the scale, or its reciprocal to multiply by): [] or [channels]."""

    x: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    step: np.ndarray
    divide: bool
    axis: int | None

    def units(self) -> np.ndarray:
        """``x`` in units of codes. A ValueError names the first NaN."""
        _check_no_nan(self.x)
        with np.errstate(over="ignore"):
            return self.x / self.along(self.step) if self.divide else self.x * self.along(self.step)

    def along(self, array: np.ndarray) -> np.ndarray:
        return along(array, self.axis, self.x.ndim)


def _checked(x, scale, zero_point, axis: int | None, division: str) -> _Given:
    choice("division", division, DIVISIONS)
    x = as_reals(x)
    axis = check_axis(axis, x.ndim)
    step = scale = check_scale(scale, x.dtype)
    zero_point = check_zero_point(zero_point)
    for name, array in (("scale", scale), ("zero_point", zero_point)):
        if array.ndim and (axis is None or array.shape != (x.shape[axis],)):
            raise ValueError(f"{name} has shape {array.shape}: expected one number, or with axis one for each index "
                             f"along it; x has shape {x.shape}, axis is {axis}")
    if division == "reciprocal":
        with np.errstate(over="ignore"):
            step = np.asarray(x.dtype.type(1) / scale)
        if np.isinf(step).any():
            raise ValueError(f"scale = {scale.min()}: its reciprocal is not finite in {x.dtype}")
    return _Given(x, scale, zero_point, step, division == "divide", axis)


def _check_no_nan(x: np.ndarray) -> None:
    if np.isnan(x).any():
        where = tuple(int(i) for i in np.argwhere(np.isnan(x))[0])
        raise ValueError(f"x is NaN at {where}: a NaN has no code")
