"""The float64 product compiled: equal to `refquant.reals.products.in_order`, bit for bit.

Rows run in parallel; each element is summed by one thread, in the order of k. Four steps of k stand in one loop body,
so that an element is loaded and stored once for four, and the inner loop runs along contiguous memory: it vectorises
over columns, which leaves every sum's order as it is. Nothing is fused: the compiler may not without being told to.
"""
from __future__ import annotations

import numpy as np
from numba import config, prange
from numba.extending import register_jitable

from refquant.compiling import compiled

NOT_COMPILED = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b`` of contiguous float64 matrices that fit."""
    c = np.zeros((a.shape[0], b.shape[1]))
    (_parallel if a.shape[0] * b.size >= 1 << 17 else _serial)(a, b, c)
    return c


@register_jitable
def _row(a, b, c):
    """c += a @ b for one row: a [K], b [K, N], c [N]."""
    steps, n = b.shape
    for k in range(0, steps - steps % 4, 4):
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        for j in range(n):
            c[j] = (((c[j] + a0 * b[k, j]) + a1 * b[k + 1, j]) + a2 * b[k + 2, j]) + a3 * b[k + 3, j]
    for k in range(steps - steps % 4, steps):
        for j in range(n):
            c[j] = c[j] + a[k] * b[k, j]


@compiled
def _serial(a, b, c):
    for i in range(len(a)):
        _row(a[i], b, c[i])


@compiled(parallel=True)
def _parallel(a, b, c):
    for i in prange(len(a)):
        _row(a[i], b, c[i])
