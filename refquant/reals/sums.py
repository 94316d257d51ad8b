"""Sums and means of float64 in one fixed order, the same bits on every machine.

    total(x):  the first half added to the second, place by place, until one is left; a place without a partner joins
               the first. Every step is one rounded addition, so the order does not depend on vector units or threads,
               and the error grows with log2(n) only.
"""
from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from refquant.reals.large import large

Axes = int | tuple[int, ...] | None
LONG = 16  # numbers a row, from which on a compiled loop over rows pays


def total(x: ArrayLike, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """The sum of ``x`` over ``axis`` (one, several, or all), float64; 0 where there is nothing to add.

    x : reals, any shape.
    axis : one axis, a tuple of different ones, whose elements are added in that order, or None for all.
    keepdims : keep the axes, of length 1.

    Raises ValueError for an axis that x does not have.

    Source: refquant's own order of pairwise summation: the bits do not depend on vector units or threads.
    """
    x = np.asarray(x, np.float64)
    axes, rest = _split(axis, x.ndim)
    kept = tuple(x.shape[d] for d in rest)
    rows = _rows(x.shape, axes, rest) if large(x) and x.flags.c_contiguous else None
    if rows:
        from refquant.reals import halving  # imports Numba

        out = halving.totals(x, *rows).reshape(kept)[()]
    else:
        out = in_halves(x.transpose(*axes, *rest).reshape(-1, *kept) if x.size else np.zeros((1, *kept)))
    return out.reshape([1 if d in axes else n for d, n in enumerate(x.shape)]) if keepdims else out


def in_halves(values: np.ndarray) -> np.ndarray:
    """The sum over the first axis [n, ...], n >= 1, in NumPy."""
    values = np.ascontiguousarray(values)
    while len(values) > 1:
        half = len(values) // 2
        added = values[:half] + values[half:2 * half]
        if len(values) % 2:
            added[0] += values[-1]
        values = added
    return values[0]


def mean(x: ArrayLike, axis: Axes = None, keepdims: bool = False) -> np.ndarray:
    """`total` of ``x`` divided by how many there are (at least one), float64.

    x : reals, any shape.
    axis, keepdims : as in `total`.

    Raises ValueError where there is nothing to average, or for an axis that x does not have.

    Source: refquant's own order of summation, that of `total`.
    """
    x = np.asarray(x, np.float64)
    return total(x, axis, keepdims) / count(x.shape, axis)


def sample_variance(x: ArrayLike) -> float:
    """The squared distances of all elements of ``x`` (any shape) from their mean, divided by N - 1: one number.

    Raises ValueError for fewer than two elements.

    Source: Jin 2019, the authors' code (torch.std, N - 1), in the order of `total`.
    """
    x = np.asarray(x, np.float64)
    if x.size < 2:
        raise ValueError(f"x has shape {x.shape}: expected at least two elements to take a variance of")
    difference = x - mean(x)
    return float(total(difference * difference) / (x.size - 1))


def count(shape: tuple[int, ...], axis: Axes = None) -> int:
    """How many elements of an array of ``shape`` are added for one element of its sum over ``axis``: one number.

    shape : a tuple.
    axis : one, several different ones, or None for all.

    Raises ValueError where there are none to average, or for an axis that the shape does not have.

    Source: refquant's own, the n of `mean`.
    """
    axes, _ = _split(axis, len(shape))
    n = 1
    for d in axes:
        n *= shape[d]
    if n == 0:
        raise ValueError(f"x has shape {shape}: expected at least one element to average")
    return n


def unbroadcast(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``g`` summed down to ``shape``, from which it was broadcast: the gradient of broadcasting.

    g : an array of reals, any shape that an array of ``shape`` broadcasts to.

    Returns an array of ``shape``: ``g`` itself where it has it.

    Raises ValueError for a shape that does not broadcast to g's.

    Source: the rules of NumPy's broadcasting, transposed; added as by `total`.
    """
    if g.shape == shape:
        return g
    new = g.ndim - len(shape)
    stretched = tuple(d + new for d, n in enumerate(shape) if n == 1 and g.shape[d + new] != 1)
    return total(g, (*range(new), *stretched)).reshape(shape)


def _split(axis: Axes, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes to sum over, and the others."""
    axes = tuple(range(ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if any(not -ndim <= d < ndim for d in axes):
        raise ValueError(f"axis = {axis}: expected {-ndim} to {ndim - 1} for {ndim} dimensions")
    axes = tuple(d % ndim for d in axes)
    return axes, tuple(d for d in range(ndim) if d not in axes)


def _rows(shape: tuple[int, ...], axes: tuple[int, ...], rest: tuple[int, ...]) -> tuple[int, ...] | None:
    """The sum over ``axes`` as `refquant.reals.halving.totals` takes it; None where it finds no long rows in pairs.

    The axes that are kept must be neighbours: images stand before them, places behind. One image is cut into halves.
    """
    low, high = (rest[0], rest[-1] + 1) if rest else (0, 0)
    images, channels, places = (math.prod(part) for part in (shape[:low], shape[low:high], shape[high:]))
    if axes != (*range(low), *range(high, len(shape))) or (images if images > 1 else places) % 2:
        return None
    if images > 1:
        rows = images // 2, channels, places, channels * places, places
    else:
        rows = 1, channels, places // 2, places // 2, places
    return rows if rows[2] >= LONG else None
