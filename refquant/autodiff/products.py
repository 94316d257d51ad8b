"""Products: matrix, linear, convolution. Two Fixed operands make an integer product, forward and backward.

    forward          y  = x w         a sum over inputs
    input gradient   dx = q_x(g) w    a sum over outputs     q_x, q_w: the layer's gradient quantizers, functions of the
    weight gradient  dw = q_w(g) x    a sum over the batch   output gradient; two different ones are a bifurcation

Codes are multiplied and summed in an accumulator that cannot overflow; the scales multiply the total, once. A sum of
Fixed tensors is multiplied part by part. A real operand on either side makes the real product, in a fixed order.

A weight with one scale per output channel cannot be summed over outputs with integers alone, so its scale moves over to
the gradient before that is quantized:  sum over o of g[o] s[o] w[o]  (`moved_scale`).
"""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from refquant import reals as real
from refquant.autodiff.engine import Op
from refquant.autodiff.values import FixedSum, parts, reals
from refquant.gemm import Geometry, conv_fixed, gather, matmul_fixed
from refquant.gemm.fixed import (
    conv_input_gradient_fixed,
    conv_weight_gradient_fixed,
    exact_accumulator,
    transposed,
)
from refquant.gemm.geometry import DENSE
from refquant.integers import Fixed
from refquant.integers.fixed import along


@dataclass(frozen=True)
class Call:
    """One integer product: which, of what, with which sums.

    operation : gemm.forward, gemm.dx, gemm.dw, conv.forward, conv.dx or conv.dw.
    a, b : the `Fixed` operands, in the order of the product: [M, K] and [K, N], or images and kernels of four axes.
    accumulators : the sums, a `Fixed` of the accumulator's format, in the product's shape.
    geometry : of a convolution, else None.

    Raises nothing of its own.

    Source: refquant's own, the entry of a trace (`recorded`).
    """

    operation: str  # gemm.forward, gemm.dx, gemm.dw, conv.forward, conv.dx, conv.dw
    a: Fixed
    b: Fixed
    accumulators: Fixed
    geometry: Geometry | None = None


BOTH = (True, True)  # gradients

_calls: ContextVar[list[Call] | None] = ContextVar("calls", default=None)


@contextlib.contextmanager
def recorded() -> Iterator[list[Call]]:
    """The integer products made while the ``with`` block runs, in order, a list of `Call`; an inner block has its own.

    Raises nothing of its own.

    Source: refquant's own, so that a training step can be checked product by product.
    """
    calls: list[Call] = []
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


@Op.taking_fixed
def matmul(a, b, *, input_gradient=None, weight_gradient=None):
    """``a`` [M, K] times ``b`` [K, N], float64 [M, N]; an integer product where both are Fixed.

    a, b : reals, Fixed, or sums of Fixed; a per tensor or per row, b per tensor or per column, not both per channel.
    input_gradient, weight_gradient : the gradient quantizers, for a's gradient and for b's: functions of the output
        gradient [M, N] that return a Fixed, a sum of Fixed, or reals; None leaves it real.

    Backward: the derivative of the product of the values, of the output gradient as its quantizers give it.

    Raises ValueError for shapes that do not fit, operands above 16 bits, sums that 64 bits might not hold, or a scale
    along a contraction: of this product, or of an integer product in the backward, which wants operands per tensor.

    Source: Banner 2018, eq. 5-7; two different quantizers are its gradient bifurcation (sec. 4).
    """
    return _matmul("gemm.forward", a, b)


@matmul.def_backward
def matmul_backward(g, out, a, b, *, needed=BOTH, input_gradient=None, weight_gradient=None):
    for_a, for_b = _quantized(needed, input_gradient, weight_gradient, g, g)
    return _matmul("gemm.dx", for_a, _turned(b)), _matmul("gemm.dw", _turned(a), for_b)


@Op.taking_fixed
def linear(x, w, *, input_gradient=None, weight_gradient=None):
    """``x`` [B, in] times the transpose of ``w`` [out, in], float64 [B, out]; an integer product where both are Fixed.

    x : reals, Fixed, or a sum of Fixed; per tensor.
    w : likewise; per tensor, or per output: axis 0 (a zero point for each output only if input_gradient gives reals).
    input_gradient, weight_gradient : functions of the output gradient [B, out], as for `matmul`; with a scale for each
        output the former is given ``g`` of `moved_scale`.

    Backward: as for `matmul`.

    Raises what `matmul` does.

    Source: as for `matmul`; the moved scale is refquant's own.
    """
    return _matmul("gemm.forward", x, _turned(w))


@linear.def_backward
def linear_backward(g, out, x, w, *, needed=BOTH, input_gradient=None, weight_gradient=None):
    g_moved, w_moved = (g, w) if input_gradient is None else moved_scale(g, w)
    for_x, for_w = _quantized(needed, input_gradient, weight_gradient, g_moved, g)
    return _matmul("gemm.dx", for_x, w_moved), _matmul("gemm.dw", _turned(for_w), x)


@Op.taking_fixed
def conv(x, w, *, geometry=DENSE, input_gradient=None, weight_gradient=None):
    """``x`` [B, C, H, W] convolved with ``w`` [O, C/groups, KH, KW], as float64 [B, O, OH, OW].

    Where both are Fixed it is an integer product.

    x : reals, Fixed, or a sum of Fixed; per tensor.
    w : likewise; per tensor, or per output channel: axis 0 (a zero point for each only if input_gradient gives reals).
    geometry : how the kernel moves.
    input_gradient, weight_gradient : functions of the output gradient [B, O, OH, OW], as for `linear`.

    Backward: as for `matmul`.

    Raises what `matmul` does, and ValueError for a kernel that does not fit.

    Source: as for `linear`, with ONNX Conv's geometry.
    """
    terms = int(np.prod(w.shape[1:]))
    return _product("conv.forward", x, w, geometry,
                    lambda p, q: conv_fixed(p, q, geometry, accumulator=exact_accumulator(p, q, terms)),
                    lambda p, q: gather.forward(p, q, geometry, _real_product)[0])


@conv.def_backward
def conv_backward(g, out, x, w, *, needed=BOTH, geometry=DENSE, input_gradient=None, weight_gradient=None):
    size, kernel = x.shape[2:], w.shape[2:]
    outputs, places = int(np.prod((w.shape[0] // geometry.groups, *kernel))), g.size // g.shape[1]
    g_moved, w_moved = (g, w) if input_gradient is None else moved_scale(g, w)
    for_x, for_w = _quantized(needed, input_gradient, weight_gradient, g_moved, g)
    g_x = _product("conv.dx", for_x, w_moved, geometry,
                   lambda p, q: conv_input_gradient_fixed(p, q, size, geometry,
                                                          accumulator=exact_accumulator(p, q, outputs)),
                   lambda p, q: gather.input_gradient(p, q, size, geometry, _real_product)[0])
    g_w = _product("conv.dw", x, for_w, geometry,
                   lambda p, q: conv_weight_gradient_fixed(p, q, kernel, geometry,
                                                           accumulator=exact_accumulator(p, q, places)),
                   lambda p, q: gather.weight_gradient(p, q, w.shape, geometry, _real_product)[0])
    return g_x, g_w


def moved_scale(g: np.ndarray, w) -> tuple[np.ndarray, Any]:
    """``(g s, w / s)`` for a Fixed ``w`` with a scale ``s`` per output (its axis 0, g's axis 1); else both as given.

    g : reals [B, O, ...].
    w : Fixed [O, ...], or reals.

    Raises ValueError for a g that does not broadcast against the scales.

    Source: refquant's own: a scale per output cannot be taken out of a sum over outputs.
    """
    if not scale_per_output(w):
        return g, w
    return g * along(np.asarray(w.scale), 1, g.ndim), Fixed(w.codes, 1.0, w.format, w.zero_point, w.axis)


def scale_per_output(w) -> bool:
    """Whether ``w`` is a Fixed with a scale for each output (its axis 0)."""
    return isinstance(w, Fixed) and np.ndim(w.scale) > 0 and w.axis == 0


def _quantized(needed: tuple[bool, ...], input_gradient: Callable | None, weight_gradient: Callable | None,
               g_moved: np.ndarray, g: np.ndarray):
    """What the input gradient is made of, and the weight gradient: quantized once where one quantizer serves both.

    None for a gradient that is not needed; but a trace holds both, whatever is asked.
    """
    of_x, of_w = needed if _calls.get() is None else BOTH
    for_x = None if not of_x else g_moved if input_gradient is None else input_gradient(g_moved)
    if not of_w:
        return for_x, None
    if of_x and weight_gradient is input_gradient and g_moved is g:
        return for_x, for_x
    return for_x, g if weight_gradient is None else weight_gradient(g)


def _matmul(operation: str, a, b) -> np.ndarray | None:
    return _product(operation, a, b, None,
                    lambda p, q: matmul_fixed(p, q, accumulator=exact_accumulator(p, q, p.shape[1])), real.matmul)


def _product(operation: str, a, b, geometry: Geometry | None, integer: Callable[[Fixed, Fixed], Fixed],
             in_reals: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray | None:
    """The integer products of all parts, added as reals; or the real product where an operand is real.

    None where an operand is None.
    """
    if a is None or b is None:
        return None
    if not (parts(a) and parts(b)):
        return in_reals(reals(a), reals(b))
    calls, products = _calls.get(), []
    for p in parts(a):
        for q in parts(b):
            products.append(integer(p, q))
            if calls is not None:
                calls.append(Call(operation, p, q, products[-1], geometry))
    return FixedSum(tuple(products)).value


def _real_product(a: np.ndarray, b: np.ndarray, outputs: slice) -> tuple[np.ndarray]:
    return real.matmul(a, b),


def _turned(value):
    """A matrix transposed: real, Fixed, or a sum of Fixed; None stays."""
    if value is None:
        return None
    if not parts(value):
        return value.T
    turned = tuple(transposed(part) for part in parts(value))
    return turned[0] if len(turned) == 1 else type(value)(turned)
