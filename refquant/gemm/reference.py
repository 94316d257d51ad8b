"""The integer matrix product, plainly.

    acc[i, j] = bias[j] + sum over k = 0, 1, ... of (a[i, k] - a_zero_point[i]) * (b[k, j] - b_zero_point[j])

in the accumulator's arithmetic. This is the definition; `product` computes the same faster.
"""
from __future__ import annotations

import numpy as np

from refquant.integers.accumulator import Accumulator


def reference_matmul(a, b, a_zero_point, b_zero_point, bias, accumulator: Accumulator) -> tuple[np.ndarray, np.ndarray]:
    """``(acc, overflowed)`` [M, N]: the definition, one row of products at a time; as `matmul` returns them.

    a, b : int64 [M, K] and [K, N], as everything here: arguments are not checked.
    a_zero_point, b_zero_point, bias : [M, 1], [N] and [N], or one number, 0 for none.
    accumulator : as for `matmul`.

    Raises what `Accumulator.sum` does: ValueError when partial sums could leave int64, OverflowError under "error".

    Source: ONNX MatMulInteger, as `matmul`.
    """
    a, b = a - a_zero_point, b - b_zero_point
    acc = np.empty((a.shape[0], b.shape[1]), accumulator.format.dtype)
    overflowed = np.empty(acc.shape, bool)
    for i, row in enumerate(a):  # [K, N] products at a time
        acc[i], overflowed[i] = accumulator.sum((row[:, None] * b).T, bias)
    return acc, overflowed
