"""Integer convolution and its gradients, exact in any accumulator: the products of `gather`, or faster (`fast`).

    forward          y[b,o,p,q]  = bias[o] + sum over c,i,j of  x[b,c,h,v] * w[o,c,i,j]
    input gradient   dx[b,c,h,v] =           sum over o,i,j of  g[b,o,p,q] * w[o,c,i,j]
    weight gradient  dw[o,c,i,j] =           sum over b,p,q of  g[b,o,p,q] * x[b,c,h,v]
    bias gradient    db[o]       =           sum over b,p,q of  g[b,o,p,q]

Zero points are subtracted first, so that padding is 0 and adds nothing.
"""
from __future__ import annotations

import functools
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike

from refquant.gemm import gather
from refquant.gemm.geometry import DENSE, Geometry, check_shapes
from refquant.gemm.product import INT32_WRAP, ZeroPoint, check_bias, check_operand, check_zero_points, multiply
from refquant.integers.accumulator import Accumulator
from refquant.integers.formats import IntFormat

FEWEST = 1 << 15  # multiplications worth a compiled kernel

Product = tuple[np.ndarray, np.ndarray]


def conv(x: ArrayLike, w: ArrayLike, geometry: Geometry = DENSE, *, x_zero_point: int = 0, w_zero_point: ArrayLike = 0,
         bias: ArrayLike | None = None, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [B, O, OH, OW] of the convolution of ``x`` with ``w``, their zero points subtracted first:

        y[b,o,p,q] = bias[o] + sum over c, i, j of x[b,c,h,v] * w[o,c,i,j]                 h, v: see `Geometry`

    x : integers of at most 16 bits [B, C, H, W].
    w : likewise [O, C/groups, KH, KW].
    geometry : how the kernel moves; padding is the zero point and adds nothing.
    x_zero_point : one integer of at most 16 bits.
    w_zero_point : likewise, or one for each output channel [O].
    bias : integers within int32 [O], in the accumulator before the first product.
    accumulator : as for `matmul`; the products are added in the order of c, i, j.

    Raises what `matmul` does, and ValueError for a kernel that does not fit the image or its channels.

    Source: ONNX ConvInteger (zero points) and QLinearConv (bias); policies are refquant's own.
    """
    x, w = _operand(x, "x", x_zero_point), _operand(w, "w", w_zero_point)
    bias = check_bias(bias, len(w[0]))
    check_shapes(x[0].shape, w[0].shape, geometry)
    size = geometry.output_size(x[0].shape[2], x[0].shape[3], w[0].shape[2:])
    fast = _fast(len(x[0]) * w[0].size * size[0] * size[1])
    result = fast and fast.forward(x, _one_zero_point(w), bias, size, geometry, accumulator)
    if result:
        return result
    acc, overflowed = gather.forward(_centred(*x), _centred(*w), geometry,
                                     lambda a, b, outputs: multiply(a, b, 0, 0, None if bias is None else bias[outputs],
                                                                    accumulator))
    return acc, overflowed


def conv_input_gradient(g: ArrayLike, w: ArrayLike, size: tuple[int, int], geometry: Geometry = DENSE, *,
                        g_zero_point: int = 0, w_zero_point: int = 0, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [B, C, H, W]: what the output gradient ``g`` says of x, zero points subtracted first:

        dx[b,c,h,v] = sum over o, i, j of g[b,o,p,q] * w[o,c,i,j]                          h, v: see `Geometry`

    g : integers of at most 16 bits [B, O, OH, OW].
    w : likewise [O, C/groups, KH, KW].
    size : (H, W).
    geometry, accumulator : as for `conv`; products in the order of o, i, j.
    g_zero_point : one integer of at most 16 bits.
    w_zero_point : likewise, or one for each output channel [O].

    Raises what `conv` does, and ValueError for a g that is not of the output's shape.

    Source: Banner 2018, eq. 5-7, for a convolution: the derivative of `conv` with respect to its input.
    """
    g, w = _operand(g, "g", g_zero_point), _operand(w, "w", w_zero_point)
    check_shapes((len(g[0]), w[0].shape[1] * geometry.groups, *size), w[0].shape, geometry, g[0].shape)
    fast = _fast(g[0].size * w[0][:1].size)
    result = fast and fast.input_gradient(g, _one_zero_point(w), size, geometry, accumulator)
    if result:
        return result
    acc, overflowed = gather.input_gradient(_centred(*g), _centred(*w), size, geometry,
                                            lambda a, b, _: multiply(a, b, 0, 0, None, accumulator))
    return acc, overflowed


def conv_weight_gradient(x: ArrayLike, g: ArrayLike, kernel: tuple[int, int], geometry: Geometry = DENSE, *,
                         x_zero_point: int = 0, g_zero_point: int = 0,
                         accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [O, C/groups, KH, KW]: what the output gradient ``g`` says of w, less zero points:

        dw[o,c,i,j] = sum over b, p, q of g[b,o,p,q] * x[b,c,h,v]                          h, v: see `Geometry`

    x : integers of at most 16 bits [B, C, H, W].
    g : likewise [B, O, OH, OW].
    kernel : (KH, KW).
    geometry, accumulator : as for `conv`; products in the order of b, p, q.
    x_zero_point, g_zero_point : one integer each, of at most 16 bits.

    Raises what `conv` does, and ValueError for a g that is not of the output's shape.

    Source: Banner 2018, eq. 5-7, for a convolution: the derivative of `conv` with respect to its weight.
    """
    x, g = _operand(x, "x", x_zero_point), _operand(g, "g", g_zero_point)
    shape = (g[0].shape[1], x[0].shape[1] // geometry.groups, *kernel)
    check_shapes(x[0].shape, shape, geometry, g[0].shape)
    fast = _fast(g[0].size * shape[1] * kernel[0] * kernel[1])
    result = fast and fast.weight_gradient(x, g, kernel, geometry, accumulator)
    if result:
        return result
    acc, overflowed = gather.weight_gradient(_centred(*x), _centred(*g), shape, geometry,
                                             lambda a, b, _: multiply(a, b, 0, 0, None, accumulator))
    return acc, overflowed


def conv_bias_gradient(g: ArrayLike, *, g_zero_point: int = 0, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [O]: the sum of ``g`` over images and positions in order.

    g : integers of at most 16 bits [B, O, OH, OW].
    g_zero_point : one integer of at most 16 bits.
    accumulator : as for `matmul`.

    Raises what `matmul` does, and ValueError for a g that has not four dimensions.

    Source: the derivative of `conv` with respect to its bias.
    """
    gradient = gather.channels_first(_centred(*_operand(g, "g", g_zero_point)))
    acc, overflowed = multiply(gradient, np.ones((gradient.shape[1], 1), np.int8), 0, 0, None, accumulator)
    return acc[:, 0], overflowed[:, 0]


def _operand(values: ArrayLike, name: str, zero_point: ArrayLike) -> tuple[np.ndarray, ZeroPoint]:
    """``values``, four-dimensional, and their zero point: one, or for w one for each output channel [O]."""
    array = check_operand(values, name)
    if array.ndim != 4:
        raise ValueError(f"{name} has shape {array.shape}: expected four dimensions")
    outer = len(array) if name == "w" else 1
    return array, check_zero_points(zero_point, f"{name}_zero_point", outer, array.shape[1])


def _centred(array: np.ndarray, points: ZeroPoint) -> np.ndarray:
    """An operand less its zero point, in the narrowest type at hand: as it is where there is nothing to subtract."""
    if not np.any(points):
        return array
    centred = array.astype(np.int32) - np.asarray(points, np.int32).reshape(-1, 1, 1, 1)
    return centred.astype(np.int16) if IntFormat(16).contains(centred) else centred


def _one_zero_point(operand: tuple[np.ndarray, ZeroPoint]) -> tuple[np.ndarray, int]:
    array, points = operand
    return (array, points) if isinstance(points, int) else (_centred(array, points), 0)


def _fast(multiplications: int) -> ModuleType | None:
    """The compiled convolutions, unless there is little to do: then no compiler need wake."""
    if multiplications < FEWEST:
        return None
    fast = _compiled()
    return None if fast.kernels.NOT_COMPILED else fast


@functools.cache
def _compiled() -> ModuleType:
    """The compiled convolutions, which import Numba."""
    from refquant.gemm import fast

    return fast
