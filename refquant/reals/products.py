"""The float64 matrix product in one fixed order, the same bits on every machine: full precision's product.

    c[i, j] = ((0 + a[i, 0] b[0, j]) + a[i, 1] b[1, j]) + ...      each product and each sum rounded on its own

A matrix library adds in an order that depends on the machine, and may fuse a multiplication with an addition.
"""
from __future__ import annotations

import numpy as np


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a`` [M, K] times ``b`` [K, N], float64 [M, N]; compiled where it pays, with equal bits.

    Raises ValueError for shapes that do not fit.

    Source: refquant's own order, that of k, nothing fused: a library's order depends on the machine.
    """
    a, b = np.ascontiguousarray(a, np.float64), np.ascontiguousarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"a has shape {a.shape} and b has shape {b.shape}: expected [M, K] and [K, N]")
    if a.shape[0] * b.size >= 1 << 12:
        from refquant.reals import kernels  # imports Numba

        if not kernels.NOT_COMPILED:
            return kernels.matmul(a, b)
    return in_order(a, b)


def in_order(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`matmul`, one step of the contraction after another, in NumPy."""
    c = np.zeros((a.shape[0], b.shape[1]))
    for k in range(a.shape[1]):
        c += a[:, k:k + 1] * b[k]
    return c
