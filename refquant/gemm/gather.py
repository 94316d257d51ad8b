"""Convolution and its gradients as matrix products of gathered operands, whatever multiplies them.

    x [B, C, H, W]   w [O, C/groups, KH, KW]   y, g [B, O, OH, OW]
    h = p * stride - padding + i * dilation     the input row that output row p meets kernel row i at (columns alike)

    forward          y[b,o,p,q]  = sum over c,i,j of  x[b,c,h,v] * w[o,c,i,j]     windows of x  @  w
    input gradient   dx[b,c,h,v] = sum over o,i,j of  g[b,o,p,q] * w[o,c,i,j]     windows of g  @  w
    weight gradient  dw[o,c,i,j] = sum over b,p,q of  g[b,o,p,q] * x[b,c,h,v]     g  @  windows of x

Padding, and in the input gradient every place where no output meets a kernel element, is 0 and adds nothing. Products
are added in the order of the indices under the sum.

``product(a, b, outputs)`` multiplies a [M, K] with b [K, N], where ``outputs`` is the slice of output channels that the
group computes; it returns a tuple of arrays [M, N], and so do these functions, each in its own shape.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from refquant.gemm.geometry import Geometry, check_shapes

Arrays = tuple[np.ndarray, ...]
Product = Callable[[np.ndarray, np.ndarray, slice], Arrays]


def forward(x: np.ndarray, w: np.ndarray, geometry: Geometry, product: Product) -> Arrays:
    """[B, O, OH, OW]."""
    check_shapes(x.shape, w.shape, geometry)
    seen = _windows_of_input(x, w.shape[2:], geometry)
    parts = [product(_rows(seen[:, channels]), w[outputs].reshape(outputs.stop - outputs.start, -1).T, outputs)
             for channels, outputs in _groups(w, geometry)]
    return _images(parts, len(x), *seen.shape[2:4])


def input_gradient(g: np.ndarray, w: np.ndarray, size: tuple[int, int], geometry: Geometry, product: Product) -> Arrays:
    """[B, C, H, W] for size (H, W)."""
    check_shapes((len(g), w.shape[1] * geometry.groups, *size), w.shape, geometry, g.shape)
    seen = _windows_of_gradient(g, size, w.shape[2:], geometry)
    parts = [product(_rows(seen[:, outputs]), w[outputs].transpose(0, 2, 3, 1).reshape(-1, w.shape[1]), outputs)
             for _, outputs in _groups(w, geometry)]
    return _images(parts, len(g), *size)


def weight_gradient(x: np.ndarray, g: np.ndarray, shape: tuple[int, ...], geometry: Geometry,
                    product: Product) -> Arrays:
    """[O, C/groups, KH, KW], which is ``shape``."""
    check_shapes(x.shape, shape, geometry, g.shape)
    seen = _windows_of_input(x, shape[2:], geometry)
    parts = [product(channels_first(g[:, outputs]), _rows(seen[:, channels]), outputs)
             for channels, outputs in _groups(np.empty(shape[:2]), geometry)]
    return tuple(np.concatenate(part).reshape(shape) for part in zip(*parts, strict=True))


def channels_first(g: np.ndarray) -> np.ndarray:
    """[O, B*OH*OW]."""
    return g.transpose(1, 0, 2, 3).reshape(g.shape[1], -1)


def _windows_of_input(x: np.ndarray, kernel: tuple[int, ...], geometry: Geometry) -> np.ndarray:
    """[B, C, OH, OW, KH, KW]: what the kernel sees from each output place."""
    top, bottom, left, right = geometry.padding
    padded = np.zeros((*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right), x.dtype)
    padded[:, :, top:top + x.shape[2], left:left + x.shape[3]] = x
    return _windows(padded, kernel, geometry)[:, :, ::geometry.stride[0], ::geometry.stride[1]]


def _windows_of_gradient(g: np.ndarray, size: tuple[int, int], kernel: tuple[int, ...],
                         geometry: Geometry) -> np.ndarray:
    """[B, O, H, W, KH, KW]: for each input place and kernel element, the gradient of the output they meet at."""
    reach = [d * (k - 1) for d, k in zip(geometry.dilation, kernel, strict=True)]
    spread = np.zeros((*g.shape[:2], size[0] + reach[0], size[1] + reach[1]), g.dtype)
    # output p meets input h at kernel row i where h + reach - i * dilation = p * stride + (reach - padding)
    placed = [_placed(n, s, r - pad, len_) for n, s, r, pad, len_ in
              zip(g.shape[2:], geometry.stride, reach, geometry.padding[::2], spread.shape[2:], strict=True)]
    (rows, to_rows), (columns, to_columns) = placed
    spread[:, :, to_rows, to_columns] = g[:, :, rows, columns]
    return _windows(spread, kernel, geometry)[..., ::-1, ::-1]


def _placed(count: int, stride: int, first: int, length: int) -> tuple[slice, slice]:
    """Which of ``count`` outputs, ``stride`` apart from ``first`` on, lie within ``length`` places, and where."""
    low = max(0, -(first // stride))
    high = max(low, min(count, (length - first - 1) // stride + 1))
    start = first + low * stride
    return slice(low, high), slice(start, start + (high - low) * stride, stride) if high > low else slice(0, 0)


def _windows(images: np.ndarray, kernel: tuple[int, ...], geometry: Geometry) -> np.ndarray:
    """[B, C, P, Q, KH, KW] views of all places that a dilated kernel fits."""
    dilation = geometry.dilation
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    return sliding_window_view(images, extent, axis=(2, 3))[..., ::dilation[0], ::dilation[1]]


def _rows(seen: np.ndarray) -> np.ndarray:
    """[B*P*Q, C*KH*KW]."""
    b, c, p, q, kh, kw = seen.shape
    return seen.transpose(0, 2, 3, 1, 4, 5).reshape(b * p * q, c * kh * kw)


def _images(parts: list[Arrays], batch: int, height: int, width: int) -> Arrays:
    """Products [B*H*W, channels], one a group, as one [B, channels, H, W]."""
    joined = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return tuple(np.ascontiguousarray(part.reshape(batch, height, width, part.shape[1]).transpose(0, 3, 1, 2))
                 for part in joined)


def _groups(w: np.ndarray, geometry: Geometry):
    """For each group, its slice of input channels and of output channels; w [O, C/groups, ...]."""
    each, inputs = len(w) // geometry.groups, w.shape[1]
    for k in range(geometry.groups):
        yield slice(k * inputs, (k + 1) * inputs), slice(k * each, (k + 1) * each)
