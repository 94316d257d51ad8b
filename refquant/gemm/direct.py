"""Convolutions of few channels, depthwise ones above all, as sums of padded images, shifted.

    sums    out[j] = start + sum over taps k of  weight[k] x[j + shift[k]]      all places j of an image at once
    dots    dw[k]  = sum over j of  g[j] x[j + shift[k]]

A product of so few rows would spend its time in packing. Between the rows of outputs lie places that are no outputs:
`sums` computes them too, and drops them; in `dots` g is 0 there.

Zero points:  sum of w (x - z) = sum of w x - z (sum of w), padding being z.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba.extending import register_jitable

from refquant.compiling import compiled
from refquant.gemm.images import Codes, Padded
from refquant.gemm.shifted import PLACES, ROW_PLACES, ROWS, add_row, add_rows, dot_shifted
from refquant.gemm.taps import Axis
from refquant.gemm.tile import LANES
from refquant.gemm.windows import VECTOR, copy_vector
from refquant.threads import in_parts

CHUNK = 1 << 18  # codes of images at a time


@register_jitable
def crop(total, at, width, rows, columns, out, to, row_stride, column_stride):
    """The places of ``total`` that are outputs, into flat ``out``, as whole vectors where they are overwritten."""
    for p in range(rows):
        if column_stride == 1 and row_stride == columns and (rows - p - 1) * columns >= VECTOR:
            for j in range(0, columns, VECTOR):
                copy_vector(total, at + j, out, to + j)
        else:
            for j in range(columns):
                out[to + j * column_stride] = total[at + j]
        at, to = at + width, to + row_stride


@compiled
def sums(x, image, group, width, shifts, weights, starts, b0, b1, out, plane, begin, row_stride, column_stride, rows,
         columns):
    """For each image, group and its output channels: into flat out [B, groups * M, plane], images b0 to b1.

    x : flat, from image b0 on, ``image`` codes an image, ``group`` codes a group, padded rows of ``width``.
    shifts : [taps], an even number.  weights : [groups, M, taps / 2] words.  starts : [groups, M] int32.
    rows, columns : of outputs; begin, row_stride, column_stride : where they are in a plane.
    """
    groups, m = starts.shape
    pairs, length = weights.shape[2], (rows - 1) * width + columns
    words, first, room = weights.reshape(-1), starts.reshape(-1), length + ROW_PLACES
    total = np.empty(ROWS * room, np.int32)
    for b in range(b0, b1):
        for k in range(groups):
            at = (b - b0) * image + k * group
            for i in range(0, m, ROWS):
                here, to = k * m + i, ((b * groups + k) * m + i) * plane + begin
                if m - i < ROWS:
                    for r in range(m - i):
                        for j in range(0, length, ROW_PLACES):
                            add_row(x, at + j, shifts, words, (here + r) * pairs, pairs, first, here + r, total,
                                    r * room + j, room)
                else:
                    for j in range(0, length, PLACES):
                        add_rows(x, at + j, shifts, words, here * pairs, pairs, first, here, total, j, room)
                for r in range(min(ROWS, m - i)):
                    crop(total, r * room, width, rows, columns, out, to + r * plane, row_stride, column_stride)


@compiled
def dots(x, image, group, width, shifts, zero, g, g_zero, b0, b1, groups, out):
    """Add to out int32 [O, taps] the sums over images b0 to b1 of g [B, O, rows, columns]; x begins with b0."""
    rows, columns = g.shape[2:]
    m, steps = g.shape[1] // groups, ((rows - 1) * width + columns + 2 * LANES - 1) // (2 * LANES)
    gradient = np.zeros(max(steps * 2 * LANES, rows * width), np.int16)
    lanes = np.empty(LANES, np.int32)
    for b in range(b0, b1):
        for k in range(groups):
            at = (b - b0) * image + k * group
            for i in range(k * m, (k + 1) * m):
                sum = np.int32(0)
                for p in range(rows):
                    row, line = g[b, i, p], gradient[p * width:p * width + columns]
                    for j in range(columns):
                        line[j] = np.int16(np.int32(row[j]) - g_zero)
                        sum = np.int32(sum + np.int32(line[j]))
                for t in range(len(shifts)):
                    dot_shifted(gradient, x, at + shifts[t], steps, lanes)
                    dot = np.int32(out[i, t] - np.int32(zero * sum))
                    for lane in range(LANES):
                        dot = np.int32(dot + lanes[lane])
                    out[i, t] = dot


def correlate(x: Codes, w: Codes, weights: np.ndarray, rows: Axis, columns: Axis, out: np.ndarray,
              begins: tuple[int, int], strides: tuple[int, int], threads: int) -> None:
    """As `windowed.correlate`."""
    (groups, m, taps), (height, line) = weights.shape, out.shape[2:]
    pairs = np.zeros((groups, m, taps + taps % 2), np.int16)
    np.subtract(weights.view(w.values.dtype), w.zero, out=pairs[..., :taps], dtype=np.int16, casting="unsafe")
    starts = (-x.zero * pairs.sum(axis=2, dtype=np.int64)).astype(np.int32)

    def some(b0: int, b1: int) -> None:
        for b, last, padded, where, shifts in _chunks(x, groups, rows, columns, b0, b1):
            shifts = np.append(shifts, shifts[:taps % 2])  # the last of an odd number has a partner of weight 0
            sums(padded, *where, shifts, pairs.view(np.uint32), starts, b, last, out.reshape(-1),
                 height * line, begins[0] * line + begins[1], strides[0] * line, strides[1], rows.outputs,
                 columns.outputs)
    in_parts(some, len(out), threads)


def contract(x: Codes, g: Codes, groups: int, rows: Axis, columns: Axis, b0: int, b1: int, threads: int) -> np.ndarray:
    """As `windowed.contract`."""
    taps, totals = x.shape[1] // groups * len(rows.places) * len(columns.places), []
    gradient = g.bits.view(g.values.dtype)

    def some(first: int, last: int) -> None:
        total = np.zeros((g.shape[1], taps), np.int32)
        for b, end, padded, where, shifts in _chunks(x, groups, rows, columns, b0 + first, b0 + last):
            dots(padded, *where, shifts, np.int32(x.zero), gradient, np.int32(g.zero), b, end, groups, total)
        totals.append(total)
    in_parts(some, b1 - b0, threads)
    return np.add.reduce(totals)


def _chunks(x: Codes, groups: int, rows: Axis, columns: Axis, b0: int, b1: int) -> Iterator[tuple]:
    """Some images at a time: the first, the one behind the last, their codes, what is where in them, and the shifts."""
    channels = x.shape[1]
    images = max(1, min(b1 - b0, CHUNK // (channels * x.shape[2] * x.shape[3])))
    padded = Padded(x, images, channels, rows, columns)
    codes = padded.codes.view(x.values.dtype)
    where = padded.image, padded.image // groups, padded.layout.columns.length
    for b in range(b0, b1, images):
        last = min(b1, b + images)
        padded.take(b, last, 0, channels)
        yield b, last, codes, where, padded.starts[:len(padded.starts) // groups]
