"""Products of Fixed tensors: the scales multiply, once for each output channel.

    sum over k of sa (a - za) * sb[j] (b - zb) = sa sb[j] * (integer sum)

A scale that differed along the contraction would stand inside the sum and could not be taken out of it: the integer
product would mean nothing. Such operands are refused.
"""
from __future__ import annotations

import numpy as np

from refquant.gemm.convolution import conv, conv_input_gradient, conv_weight_gradient
from refquant.gemm.geometry import DENSE, Geometry
from refquant.gemm.product import INT32_WRAP, matmul
from refquant.integers.accumulator import Accumulator, safe_bits
from refquant.integers.fixed import Fixed


def matmul_fixed(a: Fixed, b: Fixed, *, bias: np.ndarray | None = None,
                 accumulator: Accumulator = INT32_WRAP) -> Fixed:
    """``a @ b`` as accumulators [M, N]: a `Fixed` of the accumulator's format, zero point 0.

    a : `Fixed` [M, K], per tensor or per row (axis 0).
    b : `Fixed` [K, N], per tensor or per column (axis 1). Not both per channel: the result carries one scale, or one a
        row or column.
    bias : integers within int32 [N], in units of the result's scale, or None.
    accumulator : as for `matmul`.

    Raises ValueError for a scale or a zero point along the contraction, for both per channel, or for scales whose
    product float64 does not hold; otherwise what `matmul` does.

    Source: google/gemmlowp, doc/quantization.md: the scales multiply the integer sum.
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
    """The convolution of ``x`` with ``w`` as accumulators [B, O, OH, OW]: a `Fixed`, zero point 0, one scale or [O].

    x : `Fixed` [B, C, H, W], per tensor.
    w : `Fixed` [O, C/groups, KH, KW], per tensor or per output channel (axis 0).
    geometry, bias, accumulator : as for `conv`; bias [O] in units of the result's scale.

    Raises ValueError for a scale or a zero point along the contraction (channels, kernel) or the batch; otherwise what
    `conv` does.

    Source: as for `matmul_fixed`.
    """
    _refuse_channels(x, "x")
    for axis in (1, 2, 3):
        _refuse_contraction(w, "w", axis)
    codes, _ = conv(x.codes, w.codes, geometry, x_zero_point=int(x.zero_point), w_zero_point=w.zero_point, bias=bias,
                    accumulator=accumulator)
    return Fixed(codes, np.asarray(x.scale, np.float64) * w.scale, accumulator.format, 0,
                 1 if _per_channel(w) else None)


def conv_input_gradient_fixed(g: Fixed, w: Fixed, size: tuple[int, int], geometry: Geometry = DENSE, *,
                              accumulator: Accumulator = INT32_WRAP) -> Fixed:
    """What the output gradient ``g`` says of x, as accumulators [B, C, H, W]: a `Fixed`, zero point 0.

    g : `Fixed` [B, O, OH, OW], per tensor.
    w : `Fixed` [O, C/groups, KH, KW], per tensor: the sum runs over its output channels.
    size : (H, W).
    geometry, accumulator : as for `conv_input_gradient`.

    Raises ValueError for an operand per channel; otherwise what `conv_input_gradient` does.

    Source: Banner 2018, eq. 5-7, for a convolution; the scales as in `matmul_fixed`.
    """
    _refuse_channels(g, "g")
    _refuse_channels(w, "w")
    codes, _ = conv_input_gradient(g.codes, w.codes, size, geometry, g_zero_point=int(g.zero_point),
                                   w_zero_point=int(w.zero_point), accumulator=accumulator)
    return Fixed(codes, np.asarray(g.scale, np.float64) * w.scale, accumulator.format)


def conv_weight_gradient_fixed(x: Fixed, g: Fixed, kernel: tuple[int, int], geometry: Geometry = DENSE, *,
                               accumulator: Accumulator = INT32_WRAP) -> Fixed:
    """What the output gradient ``g`` says of w, as accumulators [O, C/groups, KH, KW]: a `Fixed`, zero point 0.

    x : `Fixed` [B, C, H, W], per tensor.
    g : `Fixed` [B, O, OH, OW], per tensor: its channels share one zero point here.
    kernel : (KH, KW).
    geometry, accumulator : as for `conv_weight_gradient`.

    Raises ValueError for an operand per channel; otherwise what `conv_weight_gradient` does.

    Source: Banner 2018, eq. 5-7, for a convolution; the scales as in `matmul_fixed`.
    """
    _refuse_channels(x, "x")
    _refuse_channels(g, "g")
    codes, _ = conv_weight_gradient(x.codes, g.codes, kernel, geometry, x_zero_point=int(x.zero_point),
                                    g_zero_point=int(g.zero_point), accumulator=accumulator)
    return Fixed(codes, np.asarray(x.scale, np.float64) * g.scale, accumulator.format)


def transposed(a: Fixed) -> Fixed:
    """The matrix ``a`` [M, K] as [K, M], its scales along with it."""
    return Fixed(a.codes.T, a.scale, a.format, a.zero_point, None if a.axis is None else 1 - a.axis)


def exact_accumulator(a: Fixed, b: Fixed, terms: int) -> Accumulator:
    """The accumulator of 32 bits, or else of 64, that holds every partial sum of ``terms`` products of their codes.

    Raises ValueError when 64 bits might not do.
    """
    zero_points = [(int(np.min(z)), int(np.max(z))) for z in (a.zero_point, b.zero_point)]
    bits = max(safe_bits(a.format, b.format, terms, za, zb) for za in zero_points[0] for zb in zero_points[1])
    if bits > 64:
        raise ValueError(f"{terms} products of {a.format} and {b.format} may need {bits} bits: expected at most 64")
    return Accumulator(32 if bits <= 32 else 64)


def _per_channel(operand: Fixed) -> bool:
    return bool(np.ndim(operand.scale) or np.ndim(operand.zero_point))


def _refuse_contraction(operand: Fixed, name: str, axis: int) -> None:
    if operand.axis == axis and _per_channel(operand):
        raise ValueError(
            f"{name} has a scale for each index along axis {axis}: the product sums over that axis, and a scale that "
            "changes inside the sum cannot be taken out of it. Quantize per tensor, or per channel along an axis "
            "that the product keeps")


def _refuse_channels(operand: Fixed, name: str) -> None:
    for axis in range(1 if name in ("x", "g") else 0, 4):
        _refuse_contraction(operand, name, axis)
    if _per_channel(operand):
        raise ValueError(f"{name} has a scale for each index along axis {operand.axis}: expected one for the whole "
                         "tensor, since the result carries scales along its channels alone")
