"""Reals to codes in one pass over memory.

    u    = clip(x / scale + plus, low, high)      or x * scale, where scale is a reciprocal
    code = round(u) + zero_point                  low and high are whole, so the clip may come first

Clipped reals convert to integers safely. All roundings but two are one rule, with t = trunc(u):

    t + (u - t > up) - (t - u > down)             up, down: beyond which fraction a value leaves t, above and below 0

half_even is rint, odd looks at t. Random bits r of n bits round to floor(u + r / 2^n) = (floor(u 2^n) + r) >> n.

A kernel is made for one division and one rounding when it is first asked for: choices inside a loop hinder the
compiler, and so does a loop that leaves u in memory for another. Kernels fill ``out`` [size] from ``x`` [size], both in
C order, and return whether a NaN is in x; their parameters have the names above:

    steps [2, channels]: scale and plus, in x's precision      limits [2, channels]: low and high, in that of u
    zero_points [channels], int32                              row: how many elements of one channel stand together
"""
from __future__ import annotations

import functools

import numpy as np
from numba.extending import register_jitable

from refquant.compiling import compiled
from refquant.integers.kernels.philox import draw
from refquant.integers.kernels.shifts import shift_right

BLOCK = 1024  # elements that random words are drawn for at once: they stay in the first-level cache
EVEN, OUTWARD, ODD = range(3)


@functools.cache
def by_row(divide: bool, rule: int):
    """The kernel for channels in rows.  leaves : up and down, in the precision of u."""
    @compiled
    def kernel(x, steps, limits, zero_points, row, leaves, out):
        nan, kind, (up, down) = np.int32(0), steps.dtype.type, leaves
        for r in range(x.size // row):
            here, c = slice(r * row, (r + 1) * row), r % zero_points.size
            values, codes = x[here], out[here]
            (scale, plus), (low, high), zero_point = steps[:, c], limits[:, c], zero_points[c]
            for i in range(row):
                v = kind(values[i])
                u = (v / scale if divide else v * scale) + plus
                nan = np.int32(nan | -np.int32(u != u))
                codes[i] = np.int32(_rounded(_clipped(u, low, high), rule, up, down) + zero_point)
        return nan != 0
    return kernel


@functools.cache
def by_column(divide: bool, rule: int):
    """The kernel for channels in columns: element i has the parameters i mod channels."""
    @compiled
    def kernel(x, steps, limits, zero_points, leaves, out):
        nan, kind, (up, down) = np.int32(0), steps.dtype.type, leaves
        scale, plus, low, high = steps[0], steps[1], limits[0], limits[1]
        for start in range(0, x.size, zero_points.size):
            values, codes = x[start:start + zero_points.size], out[start:start + zero_points.size]
            for i in range(values.size):
                v = kind(values[i])
                u = (np.divide(v, scale[i]) if divide else v * scale[i]) + plus[i]
                nan = np.int32(nan | -np.int32(u != u))
                codes[i] = np.int32(_rounded(_clipped(u, low[i], high[i]), rule, up, down) + zero_points[i])
        return nan != 0
    return kernel


@functools.cache
def by_bits(divide: bool):
    """The kernel for channels in rows that rounds by given ``bits`` [size], ``n`` of each."""
    @compiled
    def kernel(x, steps, limits, zero_points, row, bits, n, out):
        nan = np.int32(0)
        for r in range(x.size // row):
            here, c = slice(r * row, (r + 1) * row), r % zero_points.size
            nan |= _by_bits(divide, x[here], steps[:, c], limits[:, c], zero_points[c], bits[here], 0, n, out[here])
        return nan != 0
    return kernel


@functools.cache
def by_philox(divide: bool):
    """The kernel for one channel that rounds by bits of a Philox stream; ``lane`` is of the type that holds ``n``."""
    @compiled
    def kernel(x, steps, limits, zero_points, tensor, step, keys, lane, n, out):
        words = np.empty(BLOCK * lane.itemsize // 8, np.uint64)
        bits, unused = words.view(lane.dtype), 8 * lane.itemsize - n
        nan = np.int32(0)
        for start in range(0, x.size, BLOCK):
            draw(words, np.uint64(start * lane.itemsize // 16), tensor, step, keys)
            here = slice(start, start + BLOCK)
            nan |= _by_bits(divide, x[here], steps[:, 0], limits[:, 0], zero_points[0], bits, unused, n, out[here])
        return nan != 0
    return kernel


@register_jitable
def _by_bits(divide, x, steps, limits, zero_point, bits, unused, n, out):
    """One row, rounded by the upper ``n`` of ``bits``, whose lowest ``unused`` are not taken; whether a NaN is in."""
    nan, (scale, plus), (low, high) = np.int32(0), steps, limits
    units, mask = limits.dtype.type(1 << n), np.int32((1 << n) - 1)
    for i in range(x.size):
        u = (x[i] / scale if divide else x[i] * scale) + plus
        nan = np.int32(nan | -np.int32(u != u))
        whole = np.int32(np.floor(_clipped(u, low, high) * units))
        taken = np.int32(shift_right(np.int32(bits[i]), unused) & mask)
        out[i] = np.int32(shift_right(np.int32(whole + taken), n) + zero_point)
    return nan


@register_jitable
def _clipped(u, low, high):
    """A NaN becomes ``low``: no NaN may reach a conversion."""
    u = u if u > low else low
    return u if u < high else high


@register_jitable
def _rounded(u, rule, up, down):
    """``u``, within int32, rounded to int32."""
    if rule == EVEN:
        return np.int32(np.rint(u))
    t = np.trunc(u)
    if rule == OUTWARD:
        return np.int32(np.int32(t) + np.int32(np.int32(u - t > up) - np.int32(t - u > down)))
    whole, outward = np.int32(t), np.int32(np.int32(u > t) - np.int32(u < t))
    return np.int32(whole + np.int32(outward * np.int32(~whole & 1)))
