"""Sums of shifted images in vector registers: `tile`'s multiplication without packing.

    add_shifted   out[r, j] = start[r] + sum over taps t of  weight[r, t] x[at + shift[t] + j]     many places j at once
    dot_shifted   out[l]    = the part of  sum over j of  g[j] x[at + j]  that falls to lane l

Two taps, or two places, make a word of two int16. Taps are put together in registers, from two rows of the image, and
serve some rows r of weights.
"""
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from refquant.gemm.tile import (
    I16,
    I32,
    I64,
    LANES,
    VECTOR,
    VECTORS,
    address,
    forward,
    in_every_lane,
    intrinsic,
    load,
    multiply_add,
    shuffled,
    store,
)

ROWS = 4
PLACES, ROW_PLACES = VECTORS * LANES, 4 * LANES  # at once, for ROWS rows of weights and for one


def codes(builder, pointer, dtype, count: int):
    """``count`` codes of this type from a byte pointer on."""
    return load(builder, pointer, ir.VectorType(ir.IntType(dtype.bitwidth), count))


def widened(builder, vector, dtype):
    """Codes as int16."""
    if dtype.bitwidth == 16:
        return vector
    return (builder.sext if dtype.signed else builder.zext)(vector, ir.VectorType(I16, vector.type.count))


def _add_shifted(rows: int, places: int):
    zipped = [i for pair in zip(range(places), range(places, 2 * places), strict=True) for i in pair]

    @intrinsic
    def add_shifted(typing, x, at, shifts, weights, weights_at, pairs, starts, starts_at, out, to, out_row):
        """Flat arrays: x int8, uint8 or int16, shifts int64 [2 pairs], weights uint32 [rows, pairs], starts int32.

        Row r of the sums goes to ``to + r * out_row`` of out, int32.
        """
        def generate(context, builder, signature, arguments):
            def place(position, element):
                return address(context, builder, signature.args[position], arguments[position], element)

            dtype, pairs, vectors = signature.args[0].dtype, arguments[5], range(places // LANES)
            sums = []
            for r in range(rows):
                start = load(builder, place(6, builder.add(arguments[7], I64(r))), I32)
                sums.append([cgutils.alloca_once_value(builder, in_every_lane(builder, start)) for _ in vectors])
            begins = [place(3, builder.add(arguments[4], builder.mul(pairs, I64(r)))) for r in range(rows)]
            with cgutils.for_range(builder, pairs, intp=I64) as loop:
                taps = []
                for t in range(2):
                    shift = load(builder, place(2, builder.add(builder.mul(loop.index, I64(2)), I64(t))), I64)
                    taps.append(codes(builder, place(0, builder.add(arguments[1], shift)), dtype, places))
                both = [shuffled(builder, taps[0], taps[1], zipped[2 * LANES * v:2 * LANES * (v + 1)]) for v in vectors]
                words = [builder.bitcast(widened(builder, part, dtype), VECTOR) for part in both]
                for begin, cells in zip(begins, sums, strict=True):
                    weight = load(builder, forward(builder, begin, builder.mul(loop.index, I64(4))), I32)
                    weight = in_every_lane(builder, weight)
                    for word, cell in zip(words, cells, strict=True):
                        builder.store(multiply_add(builder, builder.load(cell), weight, word, False), cell)
            for r, cells in enumerate(sums):
                row = place(8, builder.add(arguments[9], builder.mul(arguments[10], I64(r))))
                for v, cell in enumerate(cells):
                    store(builder, builder.load(cell), forward(builder, row, I64(4 * LANES * v)))
            return context.get_dummy_value()
        return types.void(x, at, shifts, weights, weights_at, pairs, starts, starts_at, out, to, out_row), generate
    return add_shifted


add_rows, add_row = _add_shifted(ROWS, PLACES), _add_shifted(1, ROW_PLACES)


@intrinsic
def dot_shifted(typing, g, x, at, steps, out):
    """Flat arrays: g int16, x int8, uint8 or int16, out int32 [LANES]; each of ``steps`` takes 2 LANES places."""
    def generate(context, builder, signature, arguments):
        dtype, (g, x, at, steps, out) = signature.args[1].dtype, arguments
        total = cgutils.alloca_once_value(builder, in_every_lane(builder, I32(0)))
        with cgutils.for_range(builder, steps, intp=I64) as loop:
            along = builder.mul(loop.index, I64(2 * LANES))
            place = address(context, builder, signature.args[1], x, builder.add(at, along))
            word = builder.bitcast(widened(builder, codes(builder, place, dtype, 2 * LANES), dtype), VECTOR)
            other = load(builder, address(context, builder, signature.args[0], g, along))
            builder.store(multiply_add(builder, builder.load(total), other, word, False), total)
        store(builder, builder.load(total), address(context, builder, signature.args[4], out, I64(0)))
        return context.get_dummy_value()
    return types.void(g, x, at, steps, out), generate
