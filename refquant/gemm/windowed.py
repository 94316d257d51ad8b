"""Convolutions as fast products of gathered windows.

    correlate   out [M, outputs] = weights [M, taps]  windows [taps, outputs]
    contract    dw  [taps, O]    = windows [taps, outputs]  g [outputs, O]         then turned

Windows are gathered for as many outputs at a time as the caches hold: never all of them. Small images are taken several
at a time, since a product of few columns is slow; the windows of a kernel of 1 x 1 that does not skip are the image.
"""
from __future__ import annotations

import numpy as np

from refquant.gemm.blocked import ALL_PANELS, BLOCK, product
from refquant.gemm.images import Codes, Padded, place, turn
from refquant.gemm.taps import Axis
from refquant.gemm.tile import TILE_COLUMNS
from refquant.gemm.windows import ROOM, windows
from refquant.threads import in_parts

CHUNK = 1 << 24  # multiplications that make a chunk of images worth its overhead
STRIP = 1 << 18  # codes of windows at a time


class Seen:
    """The windows of some images and channels, no more than ``images`` and ``channels``."""

    def __init__(self, x: Codes, images: int, channels: int, rows: Axis, columns: Axis):
        self.x, self.outputs = x, rows.outputs * columns.outputs
        self.whole = images == 1 and (rows, columns) == (Axis(x.shape[2], 1, (0,)), Axis(x.shape[3], 1, (0,)))
        if self.whole:
            self.starts = np.arange(channels) * self.outputs
            return
        self.padded = Padded(x, images, channels, rows, columns)
        self.starts, width = self.padded.starts, self.padded.layout.columns.length
        begins = np.arange(images)[:, None] * self.padded.image
        if width > columns.outputs:
            self.rows, self.width = (begins + np.arange(rows.outputs) * width).reshape(-1), columns.outputs
        else:  # rows with nothing between them are one
            self.rows, self.width = begins.reshape(-1), self.outputs

    def take(self, b0: int, b1: int, c0: int, c1: int) -> None:
        """The images b0 to b1 and the channels c0 to c1 are meant from now on."""
        if self.whole:
            self.codes = self.x.bits[b0, c0:c1].reshape(c1 - c0, self.outputs)
        else:
            self.padded.take(b0, b1, c0, c1)

    def at(self, j0: int, j1: int, t0: int, t1: int) -> tuple[np.ndarray, np.ndarray]:
        """The windows of the outputs j0 to j1 and the taps t0 to t1, and where each tap's output 0 would be in them."""
        if self.whole:
            return self.codes, self.starts[t0:t1]
        count, width = t1 - t0, j1 - j0
        out = np.empty(count * width + ROOM, self.padded.codes.dtype)
        windows(self.padded.codes, self.starts[t0:t1], self.rows, self.width, j0, j1, out)
        return out[:-ROOM].reshape(count, width), np.arange(-j0, count * width - j0, width)


def correlate(x: Codes, w: Codes, weights: np.ndarray, rows: Axis, columns: Axis, out: np.ndarray,
              begins: tuple[int, int], strides: tuple[int, int], threads: int) -> None:
    """Into ``out`` [B, groups * M, H, W], from ``begins`` on in ``strides``, with weights [groups, M, taps] of w."""
    groups, m, taps = weights.shape
    b, outputs, inputs = len(out), rows.outputs * columns.outputs, x.shape[1] // groups
    images = max(1, min(b, CHUNK // (m * taps * outputs)))
    step = max(1, STRIP // (taps * TILE_COLUMNS))
    direct = images == 1 and strides == (1, 1)
    tasks = [(k, b0) for b0 in range(0, b, images) for k in range(groups)]
    side_by_side = threads if len(tasks) >= threads else 1
    where = np.arange(m) * taps

    def some(first: int, last: int) -> None:
        seen = Seen(x, images, inputs, rows, columns)
        room = None if direct else np.empty(m * images * outputs, np.int32)
        for k, b0 in tasks[first:last]:
            b1 = min(b, b0 + images)
            n = (b1 - b0) * outputs
            seen.take(b0, b1, k * inputs, (k + 1) * inputs)
            c = (out[b0, k * m:(k + 1) * m] if room is None else room[:m * n]).reshape(m, n)

            def strips(p0: int, p1: int, k: int = k, n: int = n, c: np.ndarray = c) -> None:
                for p in range(p0, p1, step):
                    end = min(p1, p + step)
                    j0, j1 = p * TILE_COLUMNS, min(n, end * TILE_COLUMNS)
                    product(weights[k], where, True, *w.first, *seen.at(j0, j1, 0, taps), False, *x.second, taps,
                            BLOCK, c, 0, m, p, ALL_PANELS if j1 == n else end)
            in_parts(strips, -(-n // TILE_COLUMNS), threads // side_by_side)
            if not direct:
                place(c.reshape(m, b1 - b0, rows.outputs, columns.outputs), out, b0, k * m, *begins, *strides)
    in_parts(some, len(tasks), side_by_side)


def contract(x: Codes, g: Codes, groups: int, rows: Axis, columns: Axis, b0: int, b1: int, threads: int) -> np.ndarray:
    """int32 [O, taps], summed over the images b0 to b1."""
    o, n = g.shape[1], (b1 - b0) * rows.outputs * columns.outputs
    each, inputs = o // groups, x.shape[1] // groups
    taps = inputs * len(rows.places) * len(columns.places)
    gradient = np.ascontiguousarray(g.bits[b0:b1].transpose(1, 0, 2, 3)).reshape(groups, each, n)
    out, where = np.empty((o, taps), np.int32), np.arange(each) * n
    side_by_side = threads if groups >= threads else 1

    def some(first: int, last: int) -> None:
        seen = Seen(x, b1 - b0, inputs, rows, columns)
        c = np.empty((taps, each), np.int32)
        for k in range(first, last):
            seen.take(b0, b1, k * inputs, (k + 1) * inputs)

            def part(t0: int, t1: int, k: int = k) -> None:
                matrix, begins = seen.at(0, n, t0, t1)
                product(matrix, begins, True, *x.first, gradient[k], where, True, *g.second, n, BLOCK, c[t0:t1],
                        0, t1 - t0, 0, ALL_PANELS)
            in_parts(part, taps, threads // side_by_side)
            turn(c, out[k * each:(k + 1) * each])
    in_parts(some, groups, side_by_side)
    return out
