"""Compiled integer products, equal to `reference` on everything.

Rows run in parallel, the contraction in the middle, columns innermost: the inner loop runs along contiguous memory,
so it vectorises. Zero points are subtracted first. No sum depends on the number of threads, since each element is
summed by one of them, in order.
"""
from __future__ import annotations

import numpy as np
from numba import config, prange

from refquant.compiling import compiled, threads_for
from refquant.integers.accumulator import Accumulator

NOT_COMPILED = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]
ROWS = 4  # rows of a tile: each row of b that is read serves this many


def matmul_total(a, b, za, zb, bias, accumulator: Accumulator) -> tuple[np.ndarray, np.ndarray]:
    """The exact totals, fitted into ``accumulator`` at the end: the policies wrap and saturate_final."""
    a, b = a.astype(np.int32) - za.astype(np.int32), b.astype(np.int32) - zb.astype(np.int32)
    largest = _max_abs(a) * _max_abs(b)
    total = np.empty((a.shape[0], b.shape[1]), np.int64)
    terms = (2**31 - 1) // max(largest, 1)  # so many products of this size fit int32
    with threads_for(a.size * b.shape[1]):
        if terms >= 256 and max(_max_abs(a), _max_abs(b)) < 1 << 15:
            _sum_int32(a.astype(np.int16), b.astype(np.int16), bias.astype(np.int64), terms, total)
        else:
            _sum_int64(a, b, bias.astype(np.int64), total)
    return accumulator.fit(total)


def matmul_running(a, b, za, zb, bias, accumulator: Accumulator) -> tuple[np.ndarray, np.ndarray]:
    """Saturated after every addition, in the order of k."""
    a, b = a.astype(np.int32) - za.astype(np.int32), b.astype(np.int32) - zb.astype(np.int32)
    format = accumulator.format
    held = np.empty((a.shape[0], b.shape[1]), np.int64)
    overflowed = np.empty(held.shape, np.bool_)
    start = format.saturate(bias).astype(np.int64)
    with threads_for(a.size * b.shape[1]):
        _sum_saturating(a, b, start, start != bias, np.int64(format.qmin), np.int64(format.qmax), held, overflowed)
    return held.astype(format.dtype), overflowed


def _max_abs(x: np.ndarray) -> int:
    return int(np.abs(x).max(initial=0))


@compiled(parallel=True)
def _sum_int32(a, b, start, terms, total):
    """total[i, j] = start[j] + a[i] . b[:, j]; int16 operands, summed ``terms`` at a time in int32."""
    m, k = a.shape
    n = b.shape[1]
    for tile in prange((m + ROWS - 1) // ROWS):
        i0 = tile * ROWS
        rows = min(ROWS, m - i0)
        part = np.empty((ROWS, n), np.int32)
        x = np.zeros(ROWS, np.int32)
        for r in range(rows):
            total[i0 + r] = start
        for k0 in range(0, k, terms):
            part[:] = 0
            for p in range(k0, min(k0 + terms, k)):
                for r in range(rows):
                    x[r] = a[i0 + r, p]
                x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
                for j in range(n):
                    y = np.int32(b[p, j])
                    part[0, j] = np.int32(part[0, j] + x0 * y)
                    part[1, j] = np.int32(part[1, j] + x1 * y)
                    part[2, j] = np.int32(part[2, j] + x2 * y)
                    part[3, j] = np.int32(part[3, j] + x3 * y)
            for r in range(rows):
                for j in range(n):
                    total[i0 + r, j] += part[r, j]


@compiled(parallel=True)
def _sum_int64(a, b, start, total):
    """total[i, j] = start[j] + a[i] . b[:, j]; int32 operands of at most 18 bits."""
    m, k = a.shape
    n = b.shape[1]
    for i in prange(m):
        for j in range(n):
            total[i, j] = start[j]
        for p in range(k):
            x = np.int64(a[i, p])
            for j in range(n):
                total[i, j] += x * b[p, j]


@compiled(parallel=True)
def _sum_saturating(a, b, start, start_overflowed, low, high, held, overflowed):
    """held[i, j] saturated to [low, high] after every addition."""
    m, k = a.shape
    n = b.shape[1]
    for i in prange(m):
        for j in range(n):
            held[i, j] = start[j]
            overflowed[i, j] = start_overflowed[j]
        for p in range(k):
            x = np.int64(a[i, p])
            for j in range(n):
                exact = held[i, j] + x * b[p, j]
                fitted = min(max(exact, low), high)
                overflowed[i, j] |= fitted != exact
                held[i, j] = fitted
