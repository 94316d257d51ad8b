"""Which kernel serves a call, and with what parameters; for some combinations there is none, and the answer is None."""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from refquant.integers.formats import IntFormat, extremes
from refquant.integers.kernels import codes as of_codes
from refquant.integers.kernels import reals, scaled
from refquant.integers.kernels.layout import Layout, layout
from refquant.integers.randombits import key_schedule, lane_dtype, stream
from refquant.integers.rounding import MODES, Rounding
from refquant.integers.stochastic import PhiloxRounding, Stochastic

INT32, FLOAT64 = np.dtype(np.int32), np.dtype(np.float64)
SIGNED = {size: np.dtype(f"i{size}") for size in (1, 2, 4)}


def real_codes(x: np.ndarray, step: np.ndarray, zero_point: np.ndarray, format: IntFormat, axis: int | None,
               rounding: Any, divide: bool, before: bool) -> tuple[np.ndarray | None, bool]:
    """``(codes, whether a NaN is in x)`` of reals (or int32, multiplied in step's precision); step: to divide or not.

    The arguments of `refquant.integers.quantize.quantize`, checked.
    """
    least, most = (0, 0) if before else extremes(zero_point)
    low, high = format.qmin - most, format.qmax - least
    if low < -(1 << 31) or high >= 1 << 31:
        return None, False
    place = layout(x.shape, axis)
    u = step.dtype if -low <= 1 << 24 and high <= 1 << 24 else FLOAT64  # where low and high are exact
    kernel, more = _by_rounding(rounding, place, x.shape, divide, max(-low, high), u)
    if kernel is None:
        return None, False
    one = zero_point if zero_point.ndim else int(zero_point)  # Python computes sooner than NumPy with one number
    after, plus = (0, one) if before else (one, 0)
    codes = np.empty(x.shape, format.dtype)
    nan = kernel(np.ascontiguousarray(x).reshape(-1), place.spread(step.dtype, step, plus),
                 place.spread(u, format.qmin - after, format.qmax - after), place.spread(INT32, after)[0], *more,
                 _stored(codes))
    return codes, nan


def scaled_codes(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, flavour: str, zero_point: np.ndarray,
                 format: IntFormat, axis: int | None) -> np.ndarray | None:
    """The codes of int32 accumulators by a flavour that multiplies by integers."""
    if not _within(format, zero_point):
        return None
    steps = {"tosa_double": scaled.DOUBLE_AWAY, "ruy_double": scaled.DOUBLE_UP}.get(flavour, scaled.SINGLE)
    high = extremes(shift)[0] >= 32
    place = layout(acc.shape, axis)
    numbers = place.spread(INT32, 0 if high else _reach(multiplier, shift), multiplier, shift, zero_point)
    kernel = (scaled.by_row if place.by_row else scaled.by_column)(steps, high)
    return _filled(kernel, acc, format, place, numbers)


def _reach(multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """2^(30 + shift) / multiplier, of which the largest int32 is enough."""
    largest = (1 << 31) - 1
    bound = (1 << np.minimum(30 + shift, 62)) // np.maximum(multiplier, 1)
    return np.where(shift < 32, np.minimum(bound, largest), largest)


def shifted_codes(acc: np.ndarray, shift: np.ndarray, rounding: Any, zero_point: np.ndarray, format: IntFormat,
                  axis: int | None) -> np.ndarray | None:
    """The codes of int32 accumulators divided by 2^shift."""
    if not _within(format, zero_point) or shift.max() > 31 or not _is_mode(rounding):
        return None
    which, *limits = _limits(rounding.name, shift)
    place = layout(acc.shape, axis)
    numbers = place.spread(INT32, shift, *limits, zero_point)
    kernel = scaled.shifted_by_row if place.by_row else scaled.shifted_by_column
    return _filled(kernel, acc, format, place, numbers, np.int32(which))


def real_values(codes: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int | None) -> np.ndarray | None:
    """``scale * (codes - zero_point)`` in scale's precision."""
    if codes.dtype.itemsize > 2 or max(map(abs, extremes(zero_point))) >= 1 << 30:
        return None
    place = layout(codes.shape, axis)
    values = np.empty(codes.shape, scale.dtype)
    kernel, row = (of_codes.by_row, (place.row,)) if place.by_row else (of_codes.by_column, ())
    kernel(np.ascontiguousarray(codes).reshape(-1), place.spread(scale.dtype, scale)[0],
           place.spread(INT32, zero_point)[0], *row, values.reshape(-1))
    return values


def _within(format: IntFormat, zero_point: np.ndarray) -> bool:
    """Whether codes less their zero point stay clear of the ends of int32."""
    return format.bits <= 16 and max(map(abs, extremes(zero_point))) < 1 << 28


def _filled(kernel, acc: np.ndarray, format: IntFormat, place: Layout, numbers: np.ndarray, *more) -> np.ndarray:
    codes = np.empty(acc.shape, format.dtype)
    row = (place.row,) if place.by_row else ()
    kernel(np.ascontiguousarray(acc).reshape(-1), numbers, *more, np.array([format.qmin, format.qmax], INT32), *row,
           _stored(codes))
    return codes


def _stored(codes: np.ndarray) -> np.ndarray:
    """The memory of ``codes`` as one row of signed integers, so that kernels are not compiled for unsigned ones too."""
    return codes.reshape(-1).view(SIGNED[codes.dtype.itemsize])


def _limits(name: str, shift: np.ndarray) -> tuple:
    """``(which, limit, other)`` of a rounding mode: the names of `refquant.integers.kernels.scaled`."""
    last = (1 << shift) - 1
    half = (last + 1) >> 1
    under = np.maximum(half - 1, 0)
    odd, negative, either = 1, -(1 << 31), 0
    return {"half_even": (odd, half, under), "odd": (odd, 0, last),
            "half_away": (negative, under, half), "half_zero": (negative, half, under),
            "half_up": (either, under, under), "half_down": (either, half, half),
            "floor": (either, last, last), "ceil": (either, 0, 0),
            "trunc": (negative, last, 0), "away": (negative, 0, last)}[name]


def _by_rounding(rounding: Any, place: Layout, shape: tuple[int, ...], divide: bool, reach: int, u: np.dtype):
    """``(kernel, its arguments from the sixth on)``; reach: of the values in units of codes."""
    if _is_mode(rounding):
        rule, leaves = _rule(rounding.name, u)
        if place.by_row:
            return reals.by_row(divide, rule), (place.row, leaves)
        return reals.by_column(divide, rule), (leaves,)
    if isinstance(rounding, Stochastic | PhiloxRounding) and (reach + 1) << rounding.n <= 1 << 31:
        n = np.int32(rounding.n)
        if isinstance(rounding, Stochastic) and rounding.rbits.shape == shape and place.by_row:
            return reals.by_bits(divide), (place.row, np.ascontiguousarray(rounding.rbits).reshape(-1), n)
        if isinstance(rounding, PhiloxRounding) and place.channels == 1:
            key, *numbers = stream(rounding.seed, rounding.tensor, rounding.step)
            return reals.by_philox(divide), (*(np.uint64(number) for number in numbers),
                                             key_schedule(key).reshape(-1), np.empty(1, lane_dtype(rounding.n)), n)
    return None, ()


def _is_mode(rounding: Any) -> bool:
    return isinstance(rounding, Rounding) and MODES.get(rounding.name) is rounding


@functools.cache
def _rule(name: str, dtype: np.dtype) -> tuple[int, np.ndarray]:
    """``(rule, up and down)`` of a rounding mode: the names of `refquant.integers.kernels.reals`."""
    half = dtype.type(0.5)
    under, never = np.nextafter(half, dtype.type(0)), 1
    leaves = {"half_away": (under, under), "half_zero": (half, half), "half_up": (under, half),
              "half_down": (half, under), "floor": (never, 0), "ceil": (0, never), "trunc": (never, never),
              "away": (0, 0)}
    rule = {"half_even": reals.EVEN, "odd": reals.ODD}.get(name, reals.OUTWARD)
    return rule, np.array(leaves.get(name, (0, 0)), dtype)
