"""Integer convolution and its gradients, exact in any accumulator: the products of `refquant.gemm.gather`.

    forward          y[b,o,p,q]  = bias[o] + sum over c,i,j of  x[b,c,h,v] * w[o,c,i,j]
    input gradient   dx[b,c,h,v] =           sum over o,i,j of  g[b,o,p,q] * w[o,c,i,j]
    weight gradient  dw[o,c,i,j] =           sum over b,p,q of  g[b,o,p,q] * x[b,c,h,v]
    bias gradient    db[o]       =           sum over b,p,q of  g[b,o,p,q]

Zero points are subtracted first, so that padding is 0 and adds nothing.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refquant.gemm import gather
from refquant.gemm.geometry import DENSE, Geometry
from refquant.gemm.product import INT32_WRAP, check_bias, check_operand, check_zero_points, multiply
from refquant.integers.accumulator import Accumulator
from refquant.integers.formats import IntFormat

Product = tuple[np.ndarray, np.ndarray]


def conv(x: ArrayLike, w: ArrayLike, geometry: Geometry = DENSE, *, x_zero_point: int = 0, w_zero_point: ArrayLike = 0,
         bias: ArrayLike | None = None, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [B, O, OH, OW] of the convolution of ``x`` with ``w``.

    x [B, C, H, W], w [O, C/groups, KH, KW], w_zero_point one integer or [O], bias [O]; operands, accumulator and
    errors as in `matmul`.
    """
    x, w = _centred(x, "x", x_zero_point), _centred(w, "w", w_zero_point)
    bias = check_bias(bias, len(w))
    acc, overflowed = gather.forward(x, w, geometry, lambda a, b, outputs: multiply(a, b, 0, 0, None if bias is None else bias[outputs],
                                                                          accumulator))
    return acc, overflowed


def conv_input_gradient(g: ArrayLike, w: ArrayLike, size: tuple[int, int], geometry: Geometry = DENSE, *,
                        g_zero_point: int = 0, w_zero_point: int = 0, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [B, C, H, W]: what the output gradient ``g`` [B, O, OH, OW] says of x; size: (H, W)."""
    g, w = _centred(g, "g", g_zero_point), _centred(w, "w", w_zero_point)
    acc, overflowed = gather.input_gradient(g, w, size, geometry, lambda a, b, _: multiply(a, b, 0, 0, None, accumulator))
    return acc, overflowed


def conv_weight_gradient(x: ArrayLike, g: ArrayLike, kernel: tuple[int, int], geometry: Geometry = DENSE, *,
                         x_zero_point: int = 0, g_zero_point: int = 0,
                         accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [O, C/groups, KH, KW]: what ``g`` [B, O, OH, OW] says of w; kernel: (KH, KW)."""
    x, g = _centred(x, "x", x_zero_point), _centred(g, "g", g_zero_point)
    shape = (g.shape[1], x.shape[1] // geometry.groups, *kernel)
    acc, overflowed = gather.weight_gradient(x, g, shape, geometry, lambda a, b, _: multiply(a, b, 0, 0, None, accumulator))
    return acc, overflowed


def conv_bias_gradient(g: ArrayLike, *, g_zero_point: int = 0, accumulator: Accumulator = INT32_WRAP) -> Product:
    """``(acc, overflowed)`` [O]: the sum of ``g`` [B, O, OH, OW] over images and positions."""
    gradient = gather.channels_first(_centred(g, "g", g_zero_point))
    acc, overflowed = multiply(gradient, np.ones((gradient.shape[1], 1), np.int8), 0, 0, None, accumulator)
    return acc[:, 0], overflowed[:, 0]


def _centred(values: ArrayLike, name: str, zero_point: ArrayLike) -> np.ndarray:
    """``values``, four-dimensional, less their zero point (for w, one or one for each output channel).

    In the narrowest type at hand: as they are where there is nothing to subtract.
    """
    array = check_operand(values, name)
    if array.ndim != 4:
        raise ValueError(f"{name} has shape {array.shape}: expected four dimensions")
    outer = len(array) if name == "w" else 1
    points = check_zero_points(zero_point, f"{name}_zero_point", outer, array.shape[1])
    if not np.any(points):
        return array
    centred = array.astype(np.int32) - np.asarray(points, np.int32).reshape(-1, 1, 1, 1)
    return centred.astype(np.int16) if IntFormat(16).contains(centred) else centred
