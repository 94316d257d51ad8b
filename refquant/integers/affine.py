"""Scale and zero point of a range of reals: three named conventions.

    gemmlowp    [min(a, 0), max(b, 0)] holds 0 exactly, at a zero point inside the format:
                scale = (b - a) / (qmax - qmin),  zero_point = half_away(clip(qmin - a / scale, qmin, qmax))
    min_max     [a, b] as it is; the zero point may fall outside the format:
                scale = (b - a) / (qmax - qmin),  zero_point = half_away(qmin - a / scale)
    symmetric   [-c, c] with zero point 0 (unsigned: the middle code 2^(bits-1)):
                scale = c / qmax                  (unsigned: c / (2^(bits-1) - 1))

With a narrow format, symmetric uses every code and no other. gemmlowp is the scheme of google/gemmlowp,
doc/quantization.md; a range of zero width has scale 1 there and under symmetric.
All in float64; each function takes one range or an array of them, one a channel.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers.fixed import check_zero_point
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import half_away

__all__ = ["gemmlowp", "min_max", "symmetric"]


def gemmlowp(range_min: ArrayLike, range_max: ArrayLike, format: IntFormat):
    """``(scale, zero_point)`` of the range widened to hold 0: a float and an int, or arrays [C].

    range_min, range_max : reals, one number each, or one a channel [C].
    format : of the codes.

    Raises ValueError for a range that is not finite or is reversed, one so narrow that its scale would be 0, or a
    zero point outside int32 (of a wide format).

    Source: google/gemmlowp, doc/quantization_example.cc, which is the scheme Banner 2018 names, for any format; scale 1
    for [0, 0] is refquant's own.
    """
    low, high = _check(range_min, range_max)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = _scale(high - low, format.qmax - format.qmin)
    zero_point = half_away(np.clip(format.qmin - low / scale, format.qmin, format.qmax))
    return _pair(scale, zero_point)


def min_max(range_min: ArrayLike, range_max: ArrayLike, format: IntFormat):
    """``(scale, zero_point)`` of the range itself: a float and an int, or arrays [C].

    range_min, range_max : reals, one number each, or one a channel [C].
    format : of the codes.

    Raises ValueError for a range that is not finite, has no width, or lies so far from 0 that its zero point is
    outside int32.

    Source: Banner 2018, the authors' code, for the scale; it subtracts the real minimum, and rounding that to a zero
    point is refquant's own.
    """
    low, high = _check(range_min, range_max)
    if not (low < high).all():
        raise ValueError(f"range [{range_min!r}, {range_max!r}]: expected range_min < range_max")
    scale = _scale(high - low, format.qmax - format.qmin)
    return _pair(scale, half_away(format.qmin - low / scale))


def symmetric(max_abs: ArrayLike, format: IntFormat):
    """``(scale, zero_point)`` of ``[-max_abs, max_abs]``: a float and an int, or arrays [C].

    max_abs : reals, 0 or more, one number or one a channel [C].
    format : of the codes. The zero point is 0, or the middle code when unsigned.

    Raises ValueError for a max_abs that is negative or not finite, or so small that its scale would be 0; or an
    unsigned format above 31 bits, whose middle code is outside int32.

    Source: Kim 2024, the authors' code (its scale c / (2^(bits-1) - 1)), and TFLite's int8 weights; unsigned is
    refquant's own.
    """
    _, high = _check(0.0, max_abs)
    middle = 0 if format.signed else 1 << (format.bits - 1)
    return _pair(_scale(high, format.qmax - middle), np.broadcast_to(np.float64(middle), np.shape(high)))


def _scale(width: np.ndarray, codes: int) -> np.ndarray:
    scale = np.where(width > 0, width / codes, 1.0)
    if (scale == 0).any():
        raise ValueError(f"range of width {width.min()}: its scale is below the smallest float64")
    return scale


def _pair(scale: np.ndarray, zero_point: np.ndarray):
    if scale.ndim == 0:
        return float(scale), int(check_zero_point(np.int64(_within_int64(zero_point))))
    return scale, check_zero_point(_within_int64(zero_point).astype(np.int64))


def _within_int64(zero_point: np.ndarray) -> np.ndarray:
    return np.clip(zero_point, -(2.0**62), 2.0**62)


def _check(range_min: ArrayLike, range_max: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.asarray(range_min, np.float64), np.asarray(range_max, np.float64)
    with np.errstate(over="ignore"):
        if not (np.isfinite(low).all() and np.isfinite(high).all() and np.isfinite(high - low).all()):
            raise ValueError(f"range [{range_min!r}, {range_max!r}]: expected finite numbers a finite distance apart")
    if not (low <= high).all():
        raise ValueError(f"range [{range_min!r}, {range_max!r}]: expected range_min <= range_max (0 <= max_abs)")
    return low, high
