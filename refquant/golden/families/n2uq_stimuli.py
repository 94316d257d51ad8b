"""Thresholds and segments of N2UQ in integers, as learning leaves them: short where accumulators are dense."""
from __future__ import annotations

import numpy as np

from refquant.gemm import Geometry, conv
from refquant.golden.families import natural
from refquant.golden.stimuli import Draw, Shape
from refquant.integers.formats import IntFormat

REACHED = ("at_or_above", "above")
S32 = IntFormat(32)


def learned_bounds(draw: Draw, bits: int, span: int) -> np.ndarray:
    """s32 [K + 1]: bounds of K segments around 0, ``span`` long together or a little less, the outer ones longest."""
    levels = (1 << bits) - 1
    outward = 1 + np.abs(2 * np.arange(levels) - levels + 1)
    shares = outward * draw.integers(500, 1500, (levels,))
    lengths = np.maximum(shares * span // int(shares.sum()), 1)
    ends = np.cumsum(lengths)
    return np.concatenate([[0], ends]).astype(np.int32) - np.int32(ends[-1] // 2)


def middles(bounds: np.ndarray, reached: str) -> np.ndarray:
    """s32 [1, K]: the thresholds amid the segments; a half goes where the real threshold would send each integer."""
    total = bounds[:-1].astype(np.int64) + bounds[1:]
    return (-(-total // 2) if reached == "at_or_above" else total // 2).astype(np.int32)[None]


def near(places: np.ndarray, format: IntFormat) -> np.ndarray:
    """Each of ``places``, its two neighbours, and the ends of the format."""
    around = (np.unique(places).astype(np.int64)[:, None] + [-1, 0, 1]).reshape(-1)
    return np.unique(format.saturate(np.concatenate([around, [format.qmin, format.qmax, -1, 0, 1]])))


def spread(draw: Draw, bounds: np.ndarray, format: IntFormat, shape: Shape) -> np.ndarray:
    """Accumulators over the segments and an eighth of their length beyond each end."""
    margin = max(1, int(bounds[-1] - bounds[0]) // 8)
    return format.saturate(draw.integers(int(bounds[0]) - margin, int(bounds[-1]) + margin, shape))


def digit_edges(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Accumulators s32 [count, 8, 8, 8] of the edge filters on digits, and a gradient s32 of the digits' shape.

    The gradient is the trained layer's for its input, [count, 1, 8, 8].
    """
    x, labels = natural.images(count)
    layer = natural.trained_layer().astype(np.int64)
    g = natural.output_gradient(x, labels, natural.trained_layer()).astype(np.int64) @ layer.T
    acc, _ = conv(x, natural.EDGE_FILTERS, Geometry(padding=1))
    return S32.saturate(acc), S32.saturate(g.reshape(x.shape))


def filling(acc: np.ndarray, bits: int) -> np.ndarray:
    """s32 [1, K]: thresholds that make all codes about equally frequent in ``acc``, as learning roughly does."""
    ordered = np.sort(acc, axis=None)
    levels = (1 << bits) - 1
    return ordered[(np.arange(levels) + 1) * ordered.size >> bits].astype(np.int32)[None]
