"""Convolution and its gradients in 32 bits, where a bound proves that enough: the sums of `gather`, the fastest way.

    forward          y  = w times the windows of x
    input gradient   dx = w, turned, times the windows of g at each phase of x's places: no zeros are multiplied
    weight gradient  dw = g times the windows of x, in parts that fit 32 bits

Groups of few channels are convolved directly (`direct`), others as products (`windowed`). Each function returns None
where a sum might need more, or the order of its terms matters: then `gather` serves.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from refquant.gemm import choice, direct, kernels, windowed
from refquant.gemm.geometry import Geometry
from refquant.gemm.images import Codes, turned_weights
from refquant.gemm.taps import Axis, of_gradient, of_input
from refquant.gemm.tile import QUADS
from refquant.integers.accumulator import Accumulator
from refquant.threads import threads_for

FEW = 16 if QUADS else 32  # result channels in a group that are sooner added directly than packed for a product
FEW_OF_GRADIENT, FEW_TAPS = 8, 9  # the same of a weight gradient, where few taps are a product of few rows
SHORT = 32  # outputs that are too few to be added as one run
CODES = 1 << 22  # codes of windows in memory at a time

Operand = tuple[np.ndarray, int]  # integers of at most 16 bits, or int32 less their zero point; the zero point
Result = tuple[np.ndarray, np.ndarray] | None


def forward(x: Operand, w: Operand, bias: np.ndarray | None, size: tuple[int, int], geometry: Geometry,
            accumulator: Accumulator) -> Result:
    """[B, O, OH, OW]; size: (OH, OW), bias: int64 [O]."""
    def sums(w: Codes, x: Codes, terms: int) -> np.ndarray:
        out = np.empty((x.shape[0], w.shape[0], *size), np.int32)
        weights = w.bits.reshape(geometry.groups, w.shape[0] // geometry.groups, -1)
        _correlate(x, w, weights, *_axes(size, w.shape[2:], geometry), out, (0, 0), (1, 1))
        return out
    return _proved(w, x, w[0][0].size, bias, accumulator, sums)


def input_gradient(g: Operand, w: Operand, size: tuple[int, int], geometry: Geometry,
                   accumulator: Accumulator) -> Result:
    """[B, C, H, W] for size (H, W)."""
    def sums(w: Codes, g: Codes, terms: int) -> np.ndarray:
        strides, shape = geometry.stride, (g.shape[0], w.shape[1] * geometry.groups, *size)
        out = np.empty(shape, np.int32) if strides == (1, 1) else np.zeros(shape, np.int32)
        phases = [[of_gradient(n, r, *axis) for r in range(min(axis[1], n))] for n, *axis in
                  zip(size, w.shape[2:], strides, geometry.dilation, geometry.padding[::2], strict=True)]
        for r, (rows, down) in enumerate(phases[0]):
            for q, (columns, right) in enumerate(phases[1]):
                if down and right:  # else no output meets these places
                    weights = turned_weights(w, geometry.groups, down, right)
                    _correlate(g, w, weights, rows, columns, out, (r, q), strides)
        return out
    return _proved(w, g, w[0].size // (w[0].shape[1] * geometry.groups), None, accumulator, sums)


def weight_gradient(x: Operand, g: Operand, kernel: tuple[int, int], geometry: Geometry,
                    accumulator: Accumulator) -> Result:
    """[O, C/groups, KH, KW] for kernel (KH, KW)."""
    def sums(g: Codes, x: Codes, terms: int) -> np.ndarray:
        rows, columns = _axes(g.shape[2:], kernel, geometry)
        (b, o), outputs, inputs = g.shape[:2], rows.outputs * columns.outputs, x.shape[1] // geometry.groups
        taps = inputs * kernel[0] * kernel[1]
        way = _way(o // geometry.groups <= FEW_OF_GRADIENT or taps <= FEW_TAPS, outputs)
        images = max(1, min(terms, CODES // taps if way is windowed else terms) // outputs)
        total = np.zeros((o, taps), np.int32 if b * outputs <= terms else np.int64)
        for b0 in range(0, b, images):
            b1 = min(b, b0 + images)
            total += way.contract(x, g, geometry.groups, rows, columns, b0, b1,
                                  threads_for((b1 - b0) * outputs * o * taps))
        return total.reshape(o, inputs, *kernel)
    outputs = g[0].shape[2] * g[0].shape[3]
    return _proved(g, x, len(g[0]) * outputs, None, accumulator, sums, outputs)


def _proved(a: Operand, b: Operand, k: int, bias: np.ndarray | None, accumulator: Accumulator,
            sums: Callable[[Codes, Codes, int], np.ndarray], at_once: int | None = None) -> Result:
    """The accumulators of ``sums``, each of k products, where those of ``at_once`` (all, unless given) fit 32 bits."""
    (x, zx), (y, zy) = a, b
    chosen = choice.choice(x.reshape(-1, k), y, zx, zy, bias, accumulator)
    if chosen.kernel == "planes":
        total = _planes(choice.centred(x, zx), choice.centred(y, zy), sums, at_once or k)
        return None if total is None else _with(bias, total, chosen, accumulator)
    terms = k * ((1 << 31) - 1) // max(chosen.bound, 1) if chosen.kernel == "blocks" else k
    if chosen.kernel not in ("int32", "few_rows", "blocks") or terms < (at_once or k):
        return None
    if not all(v.itemsize == 1 and choice.RANGES[v.dtype][0] <= z <= choice.RANGES[v.dtype][1] for v, z in (a, b)):
        x, y, zx, zy = kernels.as_int16(x, zx), kernels.as_int16(y, zy), 0, 0
    return _with(bias, sums(Codes(x, zx), Codes(y, zy), terms), chosen, accumulator)


def _with(bias: np.ndarray | None, total: np.ndarray, chosen: choice.Choice, accumulator: Accumulator) -> Result:
    """The accumulators of these sums and a bias [O]."""
    if bias is not None:
        total += bias.astype(total.dtype)[:, None, None]
    return kernels.fitted(total, chosen, accumulator)


def _planes(x: np.ndarray, y: np.ndarray, sums: Callable[[Codes, Codes, int], np.ndarray],
            at_once: int) -> np.ndarray | None:
    """``sums`` of wide operands by their planes, where those of ``at_once`` products fit 32 bits."""
    total: Any = 0
    for (high_x, part_x), (high_y, part_y) in itertools.product(kernels.planes(x), kernels.planes(y)):
        terms = ((1 << 31) - 1) // max(choice.largest(part_x) * choice.largest(part_y), 1)
        if terms < at_once:
            return None
        codes = Codes(part_x.astype(np.int16), 0), Codes(part_y.astype(np.int16), 0)
        total = total + (sums(*codes, terms).astype(np.int64) << high_x + high_y)
    return total


def _correlate(x: Codes, w: Codes, weights: np.ndarray, rows: Axis, columns: Axis, out: np.ndarray,
               begins: tuple[int, int], strides: tuple[int, int]) -> None:
    way = _way(weights.shape[1] <= FEW, rows.outputs * columns.outputs)
    threads = threads_for(len(out) * weights.size * rows.outputs * columns.outputs)
    way.correlate(x, w, weights, rows, columns, out, begins, strides, threads)


def _way(few: bool, outputs: int) -> ModuleType:
    return direct if few and outputs >= SHORT else windowed


def _axes(size: tuple[int, ...], kernel: tuple[int, ...], geometry: Geometry) -> tuple[Axis, Axis]:
    rows, columns = (of_input(*axis) for axis in zip(size, kernel, geometry.stride, geometry.dilation,
                                                     geometry.padding[::2], strict=True))
    return rows, columns
