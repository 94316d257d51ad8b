"""Convolution and its gradients: four sums, each an integer matrix product of gathered operands.

    x [B, C, H, W]   w [O, C/groups, KH, KW]   y, g [B, O, OH, OW]
    h = p * stride - padding + i * dilation     the input row that output row p meets kernel row i at (columns alike)

    forward          y[b,o,p,q]  = bias[o] + sum over c,i,j of  x[b,c,h,v] * w[o,c,i,j]     patches of x  @  w
    input gradient   dx[b,c,h,v] =           sum over o,i,j of  g[b,o,p,q] * w[o,c,i,j]     patches of g  @  w
    weight gradient  dw[o,c,i,j] =           sum over b,p,q of  g[b,o,p,q] * x[b,c,h,v]     g  @  patches of x
    bias gradient    db[o]       =           sum over b,p,q of  g[b,o,p,q]                  g  @  ones

(values less their zero points, products in the order of the indices under the sum). Padding has x's zero point, and
so has, in the input gradient, every place where no output meets that kernel element: both add nothing.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refquant.gemm.geometry import DENSE, Geometry, check_shapes, input_positions, output_positions
from refquant.gemm.product import INT32_WRAP, matmul
from refquant.integers.accumulator import Accumulator
from refquant.integers.formats import as_integers


def conv(x: ArrayLike, w: ArrayLike, geometry: Geometry = DENSE, *, x_zero_point: int = 0,
         w_zero_point: ArrayLike = 0, bias: ArrayLike | None = None,
         accumulator: Accumulator = INT32_WRAP) -> tuple[np.ndarray, np.ndarray]:
    """``(acc, overflowed)`` [B, O, OH, OW] of the convolution of ``x`` with ``w``.

    x [B, C, H, W], w [O, C/groups, KH, KW], w_zero_point one integer or [O], bias [O]; operands, accumulator and
    errors as in `matmul`.
    """
    x, w = _tensor(x, "x"), _tensor(w, "w")
    check_shapes(x.shape, w.shape, geometry)
    rows, columns = input_positions(geometry, x.shape[2:], w.shape[2:])
    bias = np.zeros(len(w), np.int64) if bias is None else as_integers(bias, "bias")
    if bias.shape != (len(w),):
        raise ValueError(f"bias has shape {bias.shape}: expected [{len(w)}], one for each output channel")
    zero_points = as_integers(w_zero_point, "w_zero_point")
    if zero_points.shape not in ((), (len(w),)):
        raise ValueError(f"w_zero_point has shape {zero_points.shape}: expected one integer or [{len(w)}]")
    zero_points = np.broadcast_to(zero_points, (len(w),))
    groups = []
    for xs, ws, bs, zs in zip(_split(x, 1, geometry), _split(w, 0, geometry), _split(bias, 0, geometry),
                              _split(zero_points, 0, geometry), strict=True):
        patches = _patches(xs, rows, columns, x_zero_point)  # [B*OH*OW, C*KH*KW]
        groups.append(matmul(patches, ws.reshape(len(ws), -1).T, a_zero_point=x_zero_point,
                             b_zero_point=zs, bias=bs, accumulator=accumulator))
    return _images(groups, len(x), rows.shape[0], columns.shape[0])


def conv_input_gradient(g: ArrayLike, w: ArrayLike, size: tuple[int, int], geometry: Geometry = DENSE, *,
                        g_zero_point: int = 0, w_zero_point: int = 0,
                        accumulator: Accumulator = INT32_WRAP) -> tuple[np.ndarray, np.ndarray]:
    """``(acc, overflowed)`` [B, C, H, W]: what the output gradient ``g`` [B, O, OH, OW] says of x; size: (H, W)."""
    g, w = _tensor(g, "g"), _tensor(w, "w")
    channels = w.shape[1] * geometry.groups
    check_shapes((len(g), channels, *size), w.shape, geometry, g.shape)
    rows, columns = output_positions(geometry, size, w.shape[2:], g.shape[2:])
    groups = []
    for gs, ws in zip(_split(g, 1, geometry), _split(w, 0, geometry), strict=True):
        patches = _patches(gs, rows, columns, g_zero_point)  # [B*H*W, O*KH*KW]
        kernel = ws.transpose(0, 2, 3, 1).reshape(-1, ws.shape[1])  # [O*KH*KW, C]
        groups.append(matmul(patches, kernel, a_zero_point=g_zero_point, b_zero_point=w_zero_point,
                             accumulator=accumulator))
    return _images(groups, len(g), *size)


def conv_weight_gradient(x: ArrayLike, g: ArrayLike, kernel: tuple[int, int], geometry: Geometry = DENSE, *,
                         x_zero_point: int = 0, g_zero_point: int = 0,
                         accumulator: Accumulator = INT32_WRAP) -> tuple[np.ndarray, np.ndarray]:
    """``(acc, overflowed)`` [O, C/groups, KH, KW]: what ``g`` [B, O, OH, OW] says of w; kernel: (KH, KW)."""
    x, g = _tensor(x, "x"), _tensor(g, "g")
    check_shapes(x.shape, (g.shape[1], x.shape[1] // geometry.groups, *kernel), geometry, g.shape)
    rows, columns = input_positions(geometry, x.shape[2:], kernel)
    groups = []
    for xs, gs in zip(_split(x, 1, geometry), _split(g, 1, geometry), strict=True):
        patches = _patches(xs, rows, columns, x_zero_point)  # [B*OH*OW, C*KH*KW]
        gradient = gs.transpose(1, 0, 2, 3).reshape(gs.shape[1], -1)  # [O, B*OH*OW]
        groups.append(matmul(gradient, patches, a_zero_point=g_zero_point, b_zero_point=x_zero_point,
                             accumulator=accumulator))
    acc, overflowed = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    shape = (g.shape[1], x.shape[1] // geometry.groups, *kernel)
    return acc.reshape(shape), overflowed.reshape(shape)


def conv_bias_gradient(g: ArrayLike, *, g_zero_point: int = 0,
                       accumulator: Accumulator = INT32_WRAP) -> tuple[np.ndarray, np.ndarray]:
    """``(acc, overflowed)`` [O]: the sum of ``g`` [B, O, OH, OW] over images and positions."""
    g = _tensor(g, "g")
    gradient = g.transpose(1, 0, 2, 3).reshape(g.shape[1], -1)
    acc, overflowed = matmul(gradient, np.ones((gradient.shape[1], 1), np.int8), a_zero_point=g_zero_point,
                             accumulator=accumulator)
    return acc[:, 0], overflowed[:, 0]


def _patches(images, rows, columns, fill) -> np.ndarray:
    """[B*P*Q, C*KH*KW]: for each place (p, q), what the kernel sees there; ``fill`` where a position is -1."""
    patches = images[:, :, rows[:, None, :, None], columns[None, :, None, :]]  # [B, C, P, Q, KH, KW]
    outside = (rows < 0)[:, None, :, None] | (columns < 0)[None, :, None, :]
    if outside.any():  # the fill may be a code that the images' dtype cannot hold
        patches = np.where(outside, np.int32(fill), patches)
    b, c, p, q, kh, kw = patches.shape
    return patches.transpose(0, 2, 3, 1, 4, 5).reshape(b * p * q, c * kh * kw)


def _images(groups, batch, height, width) -> tuple[np.ndarray, np.ndarray]:
    """Products [B*H*W, channels], one a group, as one [B, channels, H, W]."""
    joined = (np.concatenate(parts, axis=1) for parts in zip(*groups, strict=True))
    acc, overflowed = (np.ascontiguousarray(part.reshape(batch, height, width, -1).transpose(0, 3, 1, 2))
                       for part in joined)
    return acc, overflowed


def _split(array, axis, geometry) -> list[np.ndarray]:
    return np.split(array, geometry.groups, axis)


def _tensor(values: ArrayLike, name: str) -> np.ndarray:
    array = as_integers(values, name)
    if array.ndim != 4:
        raise ValueError(f"{name} has shape {array.shape}: expected four dimensions")
    return array
