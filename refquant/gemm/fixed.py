"""Products of Fixed tensors: the scales multiply, once for each output channel.

    sum over k of sa (a - za) * sb[j] (b - zb) = sa sb[j] * (integer sum)

A scale that differed along the contraction would stand inside the sum and could not be taken out of it: the integer
product would mean nothing. Such operands are refused.
"""
from __future__ import annotations

import numpy as np

from refquant.gemm.convolution import conv
from refquant.gemm.geometry import DENSE, Geometry
from refquant.gemm.product import INT32_WRAP, matmul
from refquant.integers.accumulator import Accumulator
from refquant.integers.fixed import Fixed


def matmul_fixed(a: Fixed, b: Fixed, *, bias: np.ndarray | None = None,
                 accumulator: Accumulator = INT32_WRAP) -> Fixed:
    """``a @ b`` as accumulators: a Fixed of the accumulator's format, zero point 0.

    a [M, K], per tensor or per row (axis 0). b [K, N], per tensor or per column (axis 1). Not both per channel: the
    result carries one scale, or one a row or column.
    Raises ValueError for a scale along the contraction; otherwise as `matmul`.
    """
    _refuse_contraction(a, "a", 1)
    _refuse_contraction(b, "b", 0)
    rows, columns = _per_channel(a), _per_channel(b)
    if rows and columns:
        raise ValueError("a is per row and b per column: expected at most one of them per channel, since the product "
                         "carries scales along one axis")
    codes, _ = matmul(a.codes, b.codes, a_zero_point=a.zero_point, b_zero_point=b.zero_point, bias=bias,
                      accumulator=accumulator)
    axis = 0 if rows else 1 if columns else None
    return Fixed(codes, np.asarray(a.scale, np.float64) * b.scale, accumulator.format, 0, axis)


def conv_fixed(x: Fixed, w: Fixed, geometry: Geometry = DENSE, *, bias: np.ndarray | None = None,
               accumulator: Accumulator = INT32_WRAP) -> Fixed:
    """The convolution of x [B, C, H, W] (per tensor) with w [O, C/groups, KH, KW] (per tensor or per output channel).

    Returns accumulators [B, O, OH, OW], zero point 0, per channel along axis 1 where w is.
    Raises ValueError for a scale along the contraction (channels, kernel); otherwise as `conv`.
    """
    for axis in (1, 2, 3):
        _refuse_contraction(x, "x", axis)
    if _per_channel(x):
        raise ValueError(f"x has a scale for each index along axis {x.axis}: expected one for the whole tensor, "
                         "since the result carries scales along its channels alone")
    for axis in (1, 2, 3):
        _refuse_contraction(w, "w", axis)
    codes, _ = conv(x.codes, w.codes, geometry, x_zero_point=int(x.zero_point), w_zero_point=w.zero_point, bias=bias,
                    accumulator=accumulator)
    return Fixed(codes, np.asarray(x.scale, np.float64) * w.scale, accumulator.format, 0,
                 1 if _per_channel(w) else None)


def _per_channel(operand: Fixed) -> bool:
    return bool(np.ndim(operand.scale) or np.ndim(operand.zero_point))


def _refuse_contraction(operand: Fixed, name: str, axis: int) -> None:
    if operand.axis == axis and _per_channel(operand):
        raise ValueError(
            f"{name} has a scale for each index along axis {axis}: the product sums over that axis, and a scale that "
            "changes inside the sum cannot be taken out of it. Quantize per tensor, or per channel along an axis "
            "that the product keeps")
