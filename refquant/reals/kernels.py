"""The float64 product compiled: equal to `refquant.reals.products.in_order`, bit for bit.

Each element is summed in the order of k. Two rows and four steps of k stand in one loop body, so that an element of c
is loaded and stored once for four steps, and one of b is loaded once for two rows; the inner loop runs along contiguous
memory: it vectorises over columns, which leaves every sum's order as it is. Steps are taken in blocks, whose part of b
stays in a cache while all rows pass. Nothing is fused: the compiler may not without being told to.
"""
from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from refquant.compiling import NOT_COMPILED as NOT_COMPILED
from refquant.compiling import compiled
from refquant.threads import in_parts, threads_for

BLOCK = 256  # steps of k


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b`` of contiguous float64 matrices that fit; where that pays, on threads with rows of their own."""
    c = np.zeros((a.shape[0], b.shape[1]))
    in_parts(lambda first, last: _add_product(a[first:last], b, c[first:last]), len(a), threads_for(len(a) * b.size))
    return c


@compiled
def _add_product(a, b, c):
    """c += a @ b: a [M, K], b [K, N], c [M, N]."""
    rows, steps = a.shape
    unused = np.empty(b.shape[1])  # the second row of c where there is none
    for start in range(0, steps, BLOCK):
        part = b[start:start + BLOCK]
        for i in range(0, rows, 2):
            other, c_other = (a[i + 1], c[i + 1]) if i + 1 < rows else (a[i], unused)
            _two_rows(a[i][start:start + BLOCK], other[start:start + BLOCK], part, c[i], c_other)


@register_jitable
def _two_rows(a, other, b, c, c_other):
    """c += a @ b and c_other += other @ b: a, other [K], b [K, N], c, c_other [N]."""
    steps, n = b.shape
    for k in range(0, steps - steps % 4, 4):
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        o0, o1, o2, o3 = other[k], other[k + 1], other[k + 2], other[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        for j in range(n):
            c[j] = (((c[j] + a0 * b0[j]) + a1 * b1[j]) + a2 * b2[j]) + a3 * b3[j]
            c_other[j] = (((c_other[j] + o0 * b0[j]) + o1 * b1[j]) + o2 * b2[j]) + o3 * b3[j]
    for k in range(steps - steps % 4, steps):
        a0, o0, b0 = a[k], other[k], b[k]
        for j in range(n):
            c[j] = c[j] + a0 * b0[j]
            c_other[j] = c_other[j] + o0 * b0[j]
