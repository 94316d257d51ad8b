"""Codes as compiled convolutions take them, and where their results go.

    place       out[b, i, r + p * stride, q + t * stride] = c[i, b, p, t]      a product as images, or their phase
    turn        out[j, i] = c[i, j]
"""
from __future__ import annotations

import numpy as np

from refquant.compiling import compiled
from refquant.gemm import kernels
from refquant.gemm.packing import turned
from refquant.gemm.taps import Axis, layout
from refquant.gemm.tile import LANES, QUADS
from refquant.gemm.windows import ROOM, spread, windows


class Codes:
    """Images or weights, all bytes or all int16: their bits, contiguous, and the code of zero."""

    def __init__(self, values: np.ndarray, zero: int):
        self.bits = np.ascontiguousarray(values).view(kernels.UNSIGNED[values.itemsize])
        self.values, self.shape, self.zero = values, values.shape, zero
        self.padding = self.bits.dtype.type(zero & 0xff)  # 16 bits are centred: their zero is 0
        self.first = kernels.unsigned(values, zero)
        self.second = kernels.signed(values, zero) if QUADS and values.itemsize == 1 else self.first


class Padded:
    """Room for some images of some channels of x, spread for a kernel that moves over them so."""

    def __init__(self, x: Codes, images: int, channels: int, rows: Axis, columns: Axis):
        self.x, self.flat, self.layout = x, x.bits.reshape(-1), layout(rows, columns)
        down, across, self.channel, taps = self.layout
        self.image = channels * self.channel
        self.starts = (np.arange(channels)[:, None] * self.channel + taps).reshape(-1)
        self.codes = np.empty(images * self.image + ROOM, x.bits.dtype)
        self.how = (down.begins, across.begins, rows.stride, columns.stride, down.length, across.length, x.padding,
                    self.codes)

    def take(self, b0: int, b1: int, c0: int, c1: int) -> None:
        """Spread the images b0 to b1 and channels c0 to c1."""
        spread(self.flat, *self.x.shape[1:], b0, b1, c0, c1, *self.how)


def turned_weights(w: Codes, groups: int, down: list[int], right: list[int]) -> np.ndarray:
    """[groups, C/groups, O/groups * taps]: the weights by input channel, of these rows and columns of the kernel."""
    o, inputs, height, width = w.shape
    all_taps, each = height * width, o // groups
    taps = (np.array(down)[:, None] * width + right).reshape(-1)
    outputs = np.arange(each) * (inputs * all_taps)
    rows, length = (outputs, all_taps) if len(taps) == all_taps else ((outputs[:, None] + taps).reshape(-1), 1)
    starts = (np.arange(groups)[:, None] * (each * inputs) + np.arange(inputs)).reshape(-1) * all_taps
    codes, count = np.empty(w.bits.size + ROOM, w.bits.dtype), each * len(taps)
    codes[:-ROOM] = w.bits.reshape(-1)
    out = np.empty(groups * inputs * count + ROOM, w.bits.dtype)
    windows(codes, starts, rows, length, 0, count, out)
    return out[:-ROOM].reshape(groups, inputs, count)


@compiled
def place(c, out, b0, i0, r, q, row_stride, column_stride):
    """c [channels, images, P, Q] into the images from b0, the channels from i0 on."""
    for i in range(c.shape[0]):
        for b in range(c.shape[1]):
            for p in range(c.shape[2]):
                row, line = c[i, b, p], out[b0 + b, i0 + i, r + p * row_stride]
                if column_stride == 1:
                    for t in range(len(row)):
                        line[q + t] = row[t]
                else:
                    for t in range(len(row)):
                        line[q + t * column_stride] = row[t]


@compiled
def turn(c, out):
    """int32 c [m, n] into out [n, m]."""
    m, n = c.shape
    flat, result = c.reshape(-1), out.reshape(-1)
    for i in range(0, m - LANES + 1, LANES):
        for j in range(0, n - LANES + 1, LANES):
            turned(flat, i * n + j, n, result, j * m + i, m)
    for i in range(m):
        for j in range(n // LANES * LANES if i < m // LANES * LANES else 0, n):
            out[j, i] = c[i, j]
