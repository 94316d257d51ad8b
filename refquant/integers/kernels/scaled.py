"""Accumulators to codes in one pass over memory, 32 bits wide wherever 32 bits hold the value.

With p = acc * multiplier, by the flavours of `refquant.integers.requantize`:

    single    q = (p + 2^(shift-1)) >> min(shift, 32)         r = q >> (shift - 32)
    double    q = (p + 2^30) >> 31                            r = (((q + away) >> (shift - 32)) + 1) >> 1

the latter for shifts above 31; away is -1 where q < 0 for half_away, else 0. Of a product shifted by at most 32 the
lower 32 bits are the same whether zeros or signs move in. They are all of q: of its 64 bits when shift is 31 or more;
else because acc is clipped to +-reach first, reach = 2^(30 + shift) / multiplier, where |r| is from 2^29 to 2^31 and
every code saturates.

A right shift by itself rounds up when the remainder is beyond one of two limits, as the floor is odd or is negative:

    r = (acc >> shift) + (acc mod 2^shift > limit)

    code = clip(r, qmin - zero_point, qmax - zero_point) + zero_point

Kernels fill ``out`` [size] from ``acc`` [size], int32, both in C order. What channels differ in are the rows of
``numbers``, int32 [row, channels]; ends: qmin and qmax, int32; rows and columns: `refquant.integers.kernels.layout`.
"""
from __future__ import annotations

import functools

import numpy as np
from numba.extending import register_jitable

from refquant.compiling import compiled
from refquant.integers.kernels.shifts import shift_left, shift_right

SINGLE, DOUBLE_UP, DOUBLE_AWAY = range(3)


@functools.cache
def by_row(steps: int, high: bool):
    """The kernel of a flavour; numbers: reach, multiplier, shift, zero point.  high : every shift is 32 or more."""
    @compiled
    def kernel(acc, numbers, ends, row, out):
        qmin, qmax = ends
        for r in range(acc.size // row):
            here = slice(r * row, (r + 1) * row)
            values, codes = acc[here], out[here]
            reach, multiplier, shift, zero_point = numbers[:, r % numbers.shape[1]]
            for i in range(row):
                scaled = _scaled(values[i], reach, multiplier, shift, steps, high)
                codes[i] = _code(scaled, qmin, qmax, zero_point)
    return kernel


@functools.cache
def by_column(steps: int, high: bool):
    """As `by_row`; element i has the numbers i mod channels."""
    @compiled
    def kernel(acc, numbers, ends, out):
        (qmin, qmax), period = ends, numbers.shape[1]
        reach, multiplier, shift, zero_point = numbers[0], numbers[1], numbers[2], numbers[3]
        for start in range(0, acc.size, period):
            values, codes = acc[start:start + period], out[start:start + period]
            for i in range(values.size):
                scaled = _scaled(values[i], reach[i], multiplier[i], shift[i], steps, high)
                codes[i] = _code(scaled, qmin, qmax, zero_point[i])
    return kernel


@compiled
def shifted_by_row(acc, numbers, which, ends, row, out):
    """numbers: shift, limits where floor & which is 0 and where it is not, zero point."""
    qmin, qmax = ends
    for r in range(acc.size // row):
        here = slice(r * row, (r + 1) * row)
        values, codes = acc[here], out[here]
        shift, limit, other, zero_point = numbers[:, r % numbers.shape[1]]
        for i in range(row):
            codes[i] = _code(_shifted(values[i], shift, limit, other, which), qmin, qmax, zero_point)


@compiled
def shifted_by_column(acc, numbers, which, ends, out):
    """As `shifted_by_row`; element i has the numbers i mod channels."""
    (qmin, qmax), period = ends, numbers.shape[1]
    shift, limit, other, zero_point = numbers[0], numbers[1], numbers[2], numbers[3]
    for start in range(0, acc.size, period):
        values, codes = acc[start:start + period], out[start:start + period]
        for i in range(values.size):
            codes[i] = _code(_shifted(values[i], shift[i], limit[i], other[i], which), qmin, qmax, zero_point[i])


@register_jitable
def _scaled(acc, reach, multiplier, shift, steps, high):
    """r of the table above."""
    if not high:
        acc = acc if acc > ~reach else np.int32(~reach)
        acc = acc if acc < reach else reach
    most = np.int32(32 if steps == SINGLE else 31)
    first = most if high else min(shift, most)
    nudge = np.int64(1) << np.int64((shift if steps == SINGLE else first) - 1)
    product = np.int64(acc) * np.int64(multiplier) + nudge
    q = np.int32(np.uint64(product) >> np.uint64(first))
    rest = shift - 32 if high else max(shift - 32, 0)
    if steps == SINGLE:
        return shift_right(q, rest)
    away = shift_right(q, 31) if steps == DOUBLE_AWAY else np.int32(0)
    second = shift_right(np.int32(shift_right(np.int32(q + away), rest) + 1), 1)
    return second if high or shift > 31 else q


@register_jitable
def _shifted(acc, shift, limit, other, which):
    floor = shift_right(acc, shift)
    remainder = np.int32(acc - shift_left(floor, shift))
    return np.int32(floor + np.int32(remainder > (other if floor & which else limit)))


@register_jitable
def _code(r, qmin, qmax, zero_point):
    low, high = np.int32(qmin - zero_point), np.int32(qmax - zero_point)
    r = r if r > low else low
    return np.int32((r if r < high else high) + zero_point)
