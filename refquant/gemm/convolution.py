"""Convolution and its gradients: four sums, each an integer matrix product of gathered operands.

    x [B, C, H, W]   w [O, C/groups, KH, KW]   y, g [B, O, OH, OW]
    h = p * stride - padding + i * dilation     the input row that output row p meets kernel row i at (columns alike)

    forward          y[b,o,p,q]  = bias[o] + sum over c,i,j of  x[b,c,h,v] * w[o,c,i,j]     patches of x  @  w
    input gradient   dx[b,c,h,v] =           sum over o,i,j of  g[b,o,p,q] * w[o,c,i,j]     patches of g  @  w
    weight gradient  dw[o,c,i,j] =           sum over b,p,q of  g[b,o,p,q] * x[b,c,h,v]     g  @  patches of x
    bias gradient    db[o]       =           sum over b,p,q of  g[b,o,p,q]                  g  @  ones

Zero points are subtracted first, so that padding, and in the input gradient every place where no output meets a kernel
element, is 0 and adds nothing. Products are added in the order of the indices under the sum.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refquant.gemm.geometry import DENSE, Geometry, check_shapes, input_positions, output_positions
from refquant.gemm.product import INT32_WRAP, check_bias, check_operand, check_zero_points, multiply
from refquant.integers.accumulator import Accumulator

Product = tuple[np.ndarray, np.ndarray]


def conv(x: ArrayLike, w: ArrayLike, geometry: Geometry = DENSE, *, x_zero_point: int = 0, w_zero_point: ArrayLike = 0,
         bias: ArrayLike | None = None, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [B, O, OH, OW] of the convolution of ``x`` with ``w``.

    x [B, C, H, W], w [O, C/groups, KH, KW], w_zero_point one integer or [O], bias [O]; operands, accumulator and
    errors as in `matmul`.
    """
    x, w = _centred(x, "x", x_zero_point), _centred(w, "w", w_zero_point)
    check_shapes(x.shape, w.shape, geometry)
    rows, columns = input_positions(geometry, x.shape[2:], w.shape[2:])
    bias = check_bias(bias, len(w))
    parts = [_product(_patches(xs, rows, columns), ws.reshape(len(ws), -1).T, accumulator, bs)
             for xs, ws, bs in zip(*(_split(array, axis, geometry) for array, axis in ((x, 1), (w, 0), (bias, 0))),
                                   strict=True)]
    return _images(parts, len(x), len(rows), len(columns))


def conv_input_gradient(g: ArrayLike, w: ArrayLike, size: tuple[int, int], geometry: Geometry = DENSE, *,
                        g_zero_point: int = 0, w_zero_point: int = 0, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [B, C, H, W]: what the output gradient ``g`` [B, O, OH, OW] says of x; size: (H, W)."""
    g, w = _centred(g, "g", g_zero_point), _centred(w, "w", w_zero_point)
    check_shapes((len(g), w.shape[1] * geometry.groups, *size), w.shape, geometry, g.shape)
    rows, columns = output_positions(geometry, size, w.shape[2:], g.shape[2:])
    parts = [_product(_patches(gs, rows, columns), ws.transpose(0, 2, 3, 1).reshape(-1, ws.shape[1]), accumulator)
             for gs, ws in zip(_split(g, 1, geometry), _split(w, 0, geometry), strict=True)]
    return _images(parts, len(g), *size)


def conv_weight_gradient(x: ArrayLike, g: ArrayLike, kernel: tuple[int, int], geometry: Geometry = DENSE, *,
                         x_zero_point: int = 0, g_zero_point: int = 0,
                         accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [O, C/groups, KH, KW]: what ``g`` [B, O, OH, OW] says of w; kernel: (KH, KW)."""
    x, g = _centred(x, "x", x_zero_point), _centred(g, "g", g_zero_point)
    shape = (g.shape[1], x.shape[1] // geometry.groups, *kernel)
    check_shapes(x.shape, shape, geometry, g.shape)
    rows, columns = input_positions(geometry, x.shape[2:], kernel)
    parts = [_product(_channels_first(gs), _patches(xs, rows, columns), accumulator)
             for xs, gs in zip(_split(x, 1, geometry), _split(g, 1, geometry), strict=True)]
    acc, overflowed = (np.concatenate(part).reshape(shape) for part in zip(*parts, strict=True))
    return acc, overflowed


def conv_bias_gradient(g: ArrayLike, *, g_zero_point: int = 0, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [O]: the sum of ``g`` [B, O, OH, OW] over images and positions."""
    gradient = _channels_first(_centred(g, "g", g_zero_point))
    acc, overflowed = _product(gradient, np.ones((gradient.shape[1], 1), np.int32), accumulator)
    return acc[:, 0], overflowed[:, 0]


def _centred(values: ArrayLike, name: str, zero_point: ArrayLike) -> np.ndarray:
    """``values``, four-dimensional, less their zero point (for w, one or one for each output channel), in int32."""
    array = check_operand(values, name)
    if array.ndim != 4:
        raise ValueError(f"{name} has shape {array.shape}: expected four dimensions")
    outer = len(array) if name == "w" else 1
    points = check_zero_points(zero_point, f"{name}_zero_point", outer, array.shape[1])
    return array.astype(np.int32) - points.astype(np.int32).reshape(-1, 1, 1, 1)


def _product(a: np.ndarray, b: np.ndarray, accumulator: Accumulator, bias: np.ndarray | None = None) -> Product:
    no_rows, no_columns = np.zeros((len(a), 1), np.int64), np.zeros(b.shape[1], np.int64)
    return multiply(a, b, no_rows, no_columns, no_columns if bias is None else bias, accumulator)


def _patches(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[B*P*Q, C*KH*KW]: for each place (p, q), what the kernel sees there; 0 where a position is -1."""
    patches = images[:, :, rows[:, None, :, None], columns[None, :, None, :]]  # [B, C, P, Q, KH, KW]
    inside = (rows >= 0)[:, None, :, None] & (columns >= 0)[None, :, None, :]
    b, c, p, q, kh, kw = patches.shape
    return (patches * inside).transpose(0, 2, 3, 1, 4, 5).reshape(b * p * q, c * kh * kw)


def _channels_first(g: np.ndarray) -> np.ndarray:
    """[O, B*OH*OW]."""
    b, o, oh, ow = g.shape
    return g.transpose(1, 0, 2, 3).reshape(o, b * oh * ow)


def _images(parts: list[Product], batch: int, height: int, width: int) -> Product:
    """Products [B*H*W, channels], one a group, as one [B, channels, H, W]."""
    joined = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    acc, overflowed = (np.ascontiguousarray(part.reshape(batch, height, width, part.shape[1]).transpose(0, 3, 1, 2))
                       for part in joined)
    return acc, overflowed


def _split(array: np.ndarray, axis: int, geometry: Geometry) -> list[np.ndarray]:
    return np.split(array, geometry.groups, axis)
