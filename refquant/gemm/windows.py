"""What a convolution's kernel sees, gathered into a matrix of codes [taps, outputs] that a product can multiply.

    spread      images, padded with the code of zero and cut into phases as `taps` lays them out
    windows     windows[k, j] = the code that output j meets at tap k, for some of the outputs

Both only copy, and a row of a few codes is copied as whole vectors: what one writes too much the next overwrites, so
rows are written in order, and flat arrays have ROOM behind what is meant. (Users' images have not: their end is
copied code by code.)
"""
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import register_jitable

from refquant.compiling import compiled
from refquant.gemm.tile import address, in_every_lane, intrinsic, load, shuffled, store

VECTOR = 16  # codes that are copied at once
ROOM = 64  # codes behind the last of a flat array, which vectors may reach


def _copy(stride: int):
    @intrinsic
    def copy(typing, x, at, out, to):
        """``out[to:to + VECTOR] = x[at::stride][:VECTOR]`` of flat arrays of one type."""
        def generate(context, builder, signature, arguments):
            (x, at, out, to), type = arguments, ir.IntType(signature.args[0].dtype.bitwidth)
            codes = load(builder, address(context, builder, signature.args[0], x, at),
                         ir.VectorType(type, VECTOR * stride))
            some = shuffled(builder, codes, codes, range(0, VECTOR * stride, stride))
            store(builder, some, address(context, builder, signature.args[2], out, to))
            return context.get_dummy_value()
        return types.void(x, at, out, to), generate
    return copy


copy_vector, copy_alternate = _copy(1), _copy(2)


@intrinsic
def fill_vector(typing, code, out, to):
    """``out[to:to + VECTOR] = code``."""
    def generate(context, builder, signature, arguments):
        code, out, to = arguments
        vector = in_every_lane(builder, code, ir.VectorType(code.type, VECTOR))
        store(builder, vector, address(context, builder, signature.args[1], out, to))
        return context.get_dummy_value()
    return types.void(code, out, to), generate


@register_jitable
def inside(begin, stride, length, size):
    """``(first, last)``: which of the inputs begin, begin + stride, ... (``length`` of them) are from 0 to ``size``."""
    first = min(length, max(0, (stride - 1 - begin) // stride))
    return first, max(first, min(length, (size - 1 - begin) // stride + 1))


@compiled
def spread(x, channels, height, line, b0, b1, c0, c1, row_begins, column_begins, row_stride, column_stride, length,
           width, zero, out):
    """Images b0 to b1, channels c0 to c1 of x [B, channels, height, line], all flat; length, width: of a phase."""
    to = 0
    for image in range(b0, b1):
        for channel in range(c0, c1):
            plane = (image * channels + channel) * height
            for h0 in row_begins:
                top, bottom = inside(h0, row_stride, length, height)
                for v0 in column_begins:
                    left, right = inside(v0, column_stride, width, line)
                    count, gap = right - left, width - right + left  # gap: from one row's last code to the next's first
                    end = to + length * width
                    for i in range(to, to + top * width + left, VECTOR):
                        fill_vector(zero, out, i)
                    for t in range(top, bottom):
                        here = to + t * width + left
                        at = (plane + h0 + t * row_stride) * line + v0 + left * column_stride
                        if column_stride > 2 or at + (count + VECTOR) * column_stride > len(x):
                            for i in range(count):
                                out[here + i] = x[at + i * column_stride]
                        elif column_stride == 2:
                            for i in range(0, count, VECTOR):
                                copy_alternate(x, at + 2 * i, out, here + i)
                        else:
                            for i in range(0, count, VECTOR):
                                copy_vector(x, at + i, out, here + i)
                        for i in range(here + count, here + count + gap, VECTOR):
                            fill_vector(zero, out, i)
                    for i in range(to + bottom * width + left, end, VECTOR):
                        fill_vector(zero, out, i)
                    to = end


@compiled
def windows(x, starts, rows, width, j0, j1, out):
    """The outputs j0 to j1, ``width`` of them a row, at every tap: from flat x into flat ``out`` [taps, j1 - j0].

    Tap k meets the first output of row r at ``starts[k] + rows[r]``.
    """
    vectors = (j1 - j0) // VECTOR + 2 * ((j1 - 1) // width - j0 // width) + 2
    come, go, count = np.empty(vectors, np.int64), np.empty(vectors, np.int64), 0
    for r in range(j0 // width, (j1 + width - 1) // width):
        for j in range(max(j0, r * width), min(j1, (r + 1) * width), VECTOR):
            come[count], go[count] = rows[r] + j - r * width, j - j0
            count += 1
    for k in range(len(starts)):
        start, to = starts[k], k * (j1 - j0)
        for i in range(count):
            copy_vector(x, start + come[i], out, to + go[i])
