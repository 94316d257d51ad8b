"""Backward through a learned clip, compiled: the gradient of x and the sum of the clip's, each element read once.

The rules are those of `refquant.quantizers.int4` and `refquant.quantizers.sat`. The sum is that of
`refquant.reals.total`: the terms of the first half are added to those of the second as they are made, and `halved`
goes on. Codes of up to 8 bits come as unsigned bytes; ``flip`` = 128 turns the byte of a signed one into its code +
128, and ``zero_point`` takes that off again.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.extending import register_jitable

from refquant.compiling import compiled
from refquant.integers import Fixed
from refquant.quantizers.kernels import flat, unsigned
from refquant.reals.halving import halved


def int4(g: np.ndarray, out: Fixed, x: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.float64]:
    """``(gradient of x, the clip's)`` between the levels low = -high or 0, and high: the clip."""
    return _both(_int4, g, out, x, low, high)


def cg_pact(g: np.ndarray, out: Fixed, x: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.float64]:
    """The same for CG-PACT, whose ends do not pass the gradient."""
    return _both(_cg_pact, g, out, x, low, high)


def takes(out) -> bool:
    """Whether ``out`` has codes for these loops: two or more, of one scale and at most 8 bits."""
    return isinstance(out, Fixed) and out.axis is None and out.codes.itemsize == 1 and out.codes.size > 1


def _both(loop: Callable, g: np.ndarray, out: Fixed, x: np.ndarray, low: float, high: float):
    g_x, added = np.empty(x.shape), np.empty(x.size // 2)
    flip = 128 if out.format.signed else 0
    codes = unsigned(np.ascontiguousarray(out.codes))
    total = loop(flat(g), flat(x), codes, float(out.scale), np.uint8(flip), np.int32(flip + out.zero_point), float(low),
                 float(high), -1.0 if low < 0 else 0.0, g_x.reshape(-1), added)
    return g_x, np.float64(total)


@register_jitable
def _int4_at(i, g, x, codes, scale, flip, zero_point, low, high, below, g_x):
    """Element i's term; its gradient goes into ``g_x``."""
    v = x[i]
    value = scale * np.float64(np.int32(np.int32(codes[i] ^ flip) - zero_point))
    slope = value / high - v / high
    slope = below if v < low else slope
    slope = 1.0 if v > high else slope
    g_x[i] = 0.0 if (v < low) | (v > high) else g[i]
    return g[i] * slope


@register_jitable
def _cg_pact_at(i, g, x, codes, scale, flip, zero_point, low, high, below, g_x):
    v = x[i]
    value = scale * np.float64(np.int32(np.int32(codes[i] ^ flip) - zero_point))
    slope = (value - v) / high
    slope = below if v <= low else slope
    slope = 1.0 if v >= high else slope
    g_x[i] = 0.0 if (v <= low) | (v >= high) else g[i]
    return g[i] * slope


@compiled
def _int4(g, x, codes, scale, flip, zero_point, low, high, below, g_x, added):
    half = added.size
    for i in range(half):
        first = _int4_at(i, g, x, codes, scale, flip, zero_point, low, high, below, g_x)
        added[i] = first + _int4_at(i + half, g, x, codes, scale, flip, zero_point, low, high, below, g_x)
    for i in range(2 * half, x.size):
        added[0] += _int4_at(i, g, x, codes, scale, flip, zero_point, low, high, below, g_x)
    return halved(added)


@compiled
def _cg_pact(g, x, codes, scale, flip, zero_point, low, high, below, g_x, added):
    half = added.size
    for i in range(half):
        first = _cg_pact_at(i, g, x, codes, scale, flip, zero_point, low, high, below, g_x)
        added[i] = first + _cg_pact_at(i + half, g, x, codes, scale, flip, zero_point, low, high, below, g_x)
    for i in range(2 * half, x.size):
        added[0] += _cg_pact_at(i, g, x, codes, scale, flip, zero_point, low, high, below, g_x)
    return halved(added)
