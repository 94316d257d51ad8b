"""Operands rearranged into the words that the tile multiplies: each holds neighbours along the contraction.

    quads   four bytes    x ^ flip             made unsigned for a, signed for b
    pairs   two int16     (x ^ flip) - minus   the zero point gone, exact

A matrix is a flat array and a table ``where``. Its contraction runs along memory or across it:

    along    element k of column (or row) j is  x[where[j] + k]         a run of elements is a run of words
    across   element k of column (or row) j is  x[where[k] + j]         a row of memory holds one part of many words

a is packed as it lies: runs, row after row, or a strip [words, rows]. b, of which the tile loads whole vectors, always
becomes strips. Where the contraction ends within a word, the rest of the word is 0 and adds nothing.
"""
from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import register_jitable

from refquant.gemm.tile import I16, I64, LANES, VECTOR, address, in_every_lane, intrinsic, load, shuffled, store

BAND = 64  # words of each column that are turned at a time, so that they stay in the first cache


@register_jitable
def part(x, flip, minus, terms):
    """An element as it stands in a word, in the low bits."""
    if terms == 4:
        return np.uint32(np.uint8(x ^ flip))
    return np.uint32(np.uint16(np.int32(x ^ flip) - minus))


@register_jitable
def pack_run(x, at, count, flip, minus, terms, out, to):
    """``count`` elements of x from ``at`` on, as words from ``out[to]`` on."""
    whole, minus = count // terms, np.int32(minus)
    source = x[at:at + count]
    if terms == 4:
        bytes = out[to:to + whole].view(np.uint8)
        for i in range(len(bytes)):
            bytes[i] = np.uint8(source[i] ^ flip)
    else:
        halves = out[to:to + whole].view(np.int16)
        for i in range(len(halves)):
            halves[i] = np.int16(np.int32(source[i] ^ flip) - minus)
    if whole * terms < count:
        word = np.uint32(0)
        for i in range(whole * terms, count):
            word |= part(source[i], flip, minus, terms) << np.uint32((i - whole * terms) * (32 // terms))
        out[to + whole] = word


def _interleaved(terms: int):
    @intrinsic
    def interleaved(typing, x, where, k, j, flip, minus, out, to):
        """LANES words from ``out[to]`` on: parts k, k + 1, ... of the columns j, j + 1, ... of an across matrix."""
        def generate(context, builder, signature, arguments):
            element = ir.IntType(signature.args[0].dtype.bitwidth)
            if terms * element.width > 32:
                return context.get_dummy_value()  # int16 in quads: compiled with the bytes' branch, never run
            rows = []
            for t in range(terms):
                start = load(builder, address(context, builder, signature.args[1], arguments[1],
                                              builder.add(arguments[2], I64(t))), I64)
                place = address(context, builder, signature.args[0], arguments[0], builder.add(start, arguments[3]))
                rows.append(load(builder, place, ir.VectorType(element, LANES)))
            while len(rows) > 1:  # parts to pairs, pairs to quads
                zipped = [i for pair in zip(range(LANES), range(LANES, 2 * LANES), strict=True) for i in pair]
                width = 2 * rows[0].type.element.width
                rows = [builder.bitcast(shuffled(builder, low, high, zipped), ir.VectorType(ir.IntType(width), LANES))
                        for low, high in zip(rows[::2], rows[1::2], strict=True)]
            parts = builder.bitcast(rows[0], ir.VectorType(element, terms * LANES))
            parts = builder.xor(parts, in_every_lane(builder, arguments[4], parts.type))
            if terms == 2:
                halves = ir.VectorType(I16, 2 * LANES)
                parts = builder.zext(parts, halves) if element.width < 16 else parts
                parts = builder.sub(parts, in_every_lane(builder, builder.trunc(arguments[5], I16), halves))
            words = builder.bitcast(parts, VECTOR)
            store(builder, words, address(context, builder, signature.args[6], arguments[6], arguments[7]))
            return context.get_dummy_value()
        return types.void(x, where, k, j, flip, minus, out, to), generate
    return interleaved


interleaved_pairs, interleaved_quads = _interleaved(2), _interleaved(4)


@intrinsic
def turned(typing, x, at, row, out, to, out_row):
    """LANES by LANES words, transposed: row i is at ``at + i * row`` of flat x, and at ``to + i * out_row`` of out."""
    def generate(context, builder, signature, arguments):
        x, at, row, out, to, out_row = arguments
        vectors = [load(builder, address(context, builder, signature.args[0], x,
                                         builder.add(at, builder.mul(row, I64(i))))) for i in range(LANES)]
        size = 1
        while size < LANES:  # quarters of ever larger squares change places
            for i in (i for i in range(LANES) if not i & size):
                low, high = vectors[i], vectors[i + size]
                lanes = range(LANES)
                vectors[i] = shuffled(builder, low, high, [LANES + k - size if k & size else k for k in lanes])
                vectors[i + size] = shuffled(builder, low, high, [LANES + k if k & size else k + size for k in lanes])
            size *= 2
        for i, vector in enumerate(vectors):
            store(builder, vector, address(context, builder, signature.args[3], out,
                                           builder.add(to, builder.mul(out_row, I64(i)))))
        return context.get_dummy_value()
    return types.void(x, at, row, out, to, out_row), generate


@register_jitable
def pack_across(x, where, k0, count, j0, width, flip, minus, terms, out, to, out_width):
    """The elements k0 to k0 + count of ``width`` columns from j0 on, as words [count / terms, out_width]."""
    whole = count // terms
    vectors = width // LANES * LANES
    for w in range(whole):
        for j in range(0, vectors, LANES):
            if terms == 4:
                interleaved_quads(x, where, k0 + 4 * w, j0 + j, flip, minus, out, to + w * out_width + j)
            else:
                interleaved_pairs(x, where, k0 + 2 * w, j0 + j, flip, minus, out, to + w * out_width + j)
    for w in range((count + terms - 1) // terms):
        for j in range(0 if w == whole else vectors, width):
            word = np.uint32(0)
            for t in range(min(terms, count - w * terms)):
                word |= (part(x[where[k0 + w * terms + t] + j0 + j], flip, minus, terms)
                         << np.uint32(t * (32 // terms)))
            out[to + w * out_width + j] = word


@register_jitable
def pack_along(x, where, k0, count, j0, width, flip, minus, terms, runs, out, to, out_width):
    """As `pack_across`, of a matrix that lies along; out_width a multiple of LANES, runs: [out_width, BAND] words."""
    words = (count + terms - 1) // terms
    for w0 in range(0, words, BAND):
        here = min(BAND, words - w0)
        for j in range(width):
            pack_run(x, where[j0 + j] + k0 + w0 * terms, min(here * terms, count - w0 * terms), flip, minus, terms,
                     runs, j * BAND)
        for w in range(0, here - LANES + 1, LANES):
            for j in range(0, width, LANES):
                turned(runs, j * BAND + w, BAND, out, to + (w0 + w) * out_width + j, out_width)
        for w in range(here // LANES * LANES, here):
            for j in range(width):
                out[to + (w0 + w) * out_width + j] = runs[j * BAND + w]
