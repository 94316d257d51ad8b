"""The fast product: blocks that stay in the caches, packed (`packing`), multiplied tile by tile (`tile`).

    for each run of ``block`` terms of the contraction      so that what is packed stays in the second cache
        pack that part of b into panels of TILE_COLUMNS
        for each chunk of about CHUNK rows of a
            pack the chunk
            for each panel, for each TILE_ROWS rows: the tile, from the sums in c and into c

With bytes multiplied as they are (quads), a word of a holds u = a + s and one of b holds v = b + t (s, t: what made a
unsigned and b signed, and the zero points), and the sum wanted follows from the sum of u v:

    sum of a b = sum (u - s)(v - t) = sum u v  -  s sum v  -  t sum u  +  K s t

Pairs have room for the differences themselves. In int32 everything is modulo 2^32. An int64 c adds up blocks so short
that each block's sums are exact in int32.
"""
from __future__ import annotations

import numpy as np
from numba import prange
from numba.extending import register_jitable

from refquant.compiling import compiled
from refquant.gemm.packing import BAND, pack_across, pack_along, pack_run
from refquant.gemm.tile import (
    LANES,
    QUADS,
    TILE_COLUMNS,
    TILE_ROWS,
    narrow_pairs,
    narrow_quads,
    wide_pairs,
    wide_quads,
)

CHUNK = 16 * TILE_ROWS  # rows of a that are packed at a time
SMALL_CHUNK = 1 << 12  # words that fit the first cache, however they lie
BLOCK = 2048  # of the contraction, packed at a time


@register_jitable
def terms_of(x):
    """How many elements of x a word holds."""
    return 4 if QUADS and x.itemsize == 1 else 2


@register_jitable
def panels_of(n):
    """How many panels n columns make: wide ones, and all; narrow ones where a wide one would be at most half full."""
    wide = (n + TILE_COLUMNS // 2 - 1) // TILE_COLUMNS
    return wide, wide + max(0, n - wide * TILE_COLUMNS + LANES - 1) // LANES


@register_jitable
def first_column(panel, wide):
    """The column that ``panel`` starts with."""
    return panel * TILE_COLUMNS if panel <= wide else wide * TILE_COLUMNS + (panel - wide) * LANES


@register_jitable
def pack_panel(b, b_where, b_along, b_flip, b_minus, n, k0, count, panel, wide, runs, packed, sums):
    """One panel of b's rows k0 to k0 + count; for quads also the sum of each column."""
    terms = terms_of(b)
    words = (count + terms - 1) // terms
    j0 = first_column(panel, wide)
    width = TILE_COLUMNS if panel < wide else LANES
    columns = min(width, n - j0)
    if columns < width:
        packed[j0 * words:(j0 + width) * words] = 0
    if b_along:
        pack_along(b, b_where, k0, count, j0, columns, b_flip, b_minus, terms, runs, packed, j0 * words, width)
    else:
        pack_across(b, b_where, k0, count, j0, columns, b_flip, b_minus, terms, packed, j0 * words, width)
    if terms == 4:
        column_sums(packed[j0 * words:(j0 + width) * words], width, sums[j0:j0 + width])


@register_jitable
def column_sums(packed, width, sums):
    """The sum of the signed bytes of each column of a panel."""
    sums[:] = 0
    for at in range(0, len(packed), width):
        row = packed[at:at + width]
        for j in range(width):
            word = np.int32(row[j])
            sums[j] = np.int32(sums[j] + ((word << 24) >> 24) + ((word << 16) >> 24) + ((word << 8) >> 24)
                               + (word >> 24))


@register_jitable
def row_sum(packed, at, step, words):
    """The sum of the unsigned bytes of a row of a."""
    total = np.int32(0)
    for w in range(words):
        word = packed[at + w * step]
        total = np.int32(total + np.int32(word & 255) + np.int32(word >> 8 & 255) + np.int32(word >> 16 & 255)
                         + np.int32(word >> 24))
    return total


@register_jitable
def pack_chunk(a, a_where, a_along, a_flip, a_minus, k, i0, rows, k0, count):
    """``(chunk, row, step)``: rows i0 to i0 + rows of a; word w of row r is ``chunk[r * row + w * step]``."""
    terms = terms_of(a)
    words = (count + terms - 1) // terms
    if not a_along:
        step = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
        chunk = np.empty(words * step, np.uint32)
        pack_across(a, a_where, k0, count, i0, rows, a_flip, a_minus, terms, chunk, 0, step)
        return chunk, 1, step
    one_run = count == k and k % terms == 0 and rows * words <= SMALL_CHUNK
    row = words if one_run else words + 16  # rows a power of two apart compete for the same lines of the cache
    chunk = np.empty((rows + TILE_ROWS) * row, np.uint32)
    if one_run:
        pack_run(a, i0 * k, rows * k, a_flip, a_minus, terms, chunk, 0)
    else:
        for r in range(rows):
            pack_run(a, (i0 + r) * k + k0, count, a_flip, a_minus, terms, chunk, r * row)
    return chunk, row, 1


@register_jitable
def tile(quads, wide, chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row):
    """The tile of this kind and width."""
    if wide and quads:
        wide_quads(chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row)
    elif wide:
        wide_pairs(chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row)
    elif quads:
        narrow_quads(chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row)
    else:
        narrow_pairs(chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row)


@register_jitable
def multiply_chunk(chunk, row, step, quads, words, i0, rows, n, packed, first, last, wide, starts, add, c):
    """A packed chunk by the panels ``first`` to ``last``, into the rows i0 to i0 + rows of flat c, or added to them.

    starts : what the sums of each column begin with, int32.
    """
    place = np.empty(TILE_ROWS * TILE_COLUMNS, np.int32)
    whole = c.itemsize == 4 and not add
    for panel in range(first, last):
        j0 = first_column(panel, wide)
        width = TILE_COLUMNS if panel < wide else LANES
        columns = min(width, n - j0)
        for r in range(0, rows, TILE_ROWS):
            height, at = min(TILE_ROWS, rows - r), (i0 + r) * n + j0
            if whole and height == TILE_ROWS and columns == width:
                tile(quads, panel < wide, chunk, r * row, row, step, packed, j0 * words, words, starts, j0, 0, c, at, n)
                continue
            tile(quads, panel < wide, chunk, r * row, row, step, packed, j0 * words, words, starts, j0, 0,
                 place, 0, width)
            for p in range(height):
                for j in range(columns):
                    held = c[at + p * n + j] if add else 0
                    c[at + p * n + j] = held + place[p * width + j]


@register_jitable
def add_row_sums(chunk, row, step, words, i0, rows, n, b_minus, c):
    """For quads, what b's zero point adds to each row of c: ``-b_minus`` times the sum of a's row."""
    for r in range(rows):
        more = np.int32(-b_minus * row_sum(chunk, r * row, step, words))
        for j in range((i0 + r) * n, (i0 + r + 1) * n):
            c[j] += more


@register_jitable
def height_of_chunks(m):
    """Rows a chunk, so that all are about as high."""
    chunks = max(1, (m + CHUNK - 1) // CHUNK)
    return max(1, ((m + chunks - 1) // chunks + TILE_ROWS - 1) // TILE_ROWS) * TILE_ROWS


@compiled
def product(a, a_where, a_along, a_flip, a_minus, b, b_where, b_along, b_flip, b_minus, k, block, c):
    """``c`` [m, n] = (a - a_minus) (b - b_minus), in c's arithmetic (int32: modulo 2^32; int64).

    a : flat, [m, k] when it lies along, else [k, m], rows from ``a_where`` on.  b : flat, of the same type (uint8 or
    uint16), with its table ``b_where`` (`packing`).  flip : what an element is xored with.
    k : the length of the contraction.  block : how much of it is packed at a time.
    """
    m, n = c.shape
    flat = c.reshape(-1)
    terms = terms_of(a)
    wide, panels = panels_of(n)
    padded = first_column(panels, wide)
    packed = np.empty(padded * ((min(block, k) + terms - 1) // terms), np.uint32)
    sums, starts = np.zeros(padded, np.int32), np.zeros(padded, np.int32)
    runs = np.empty(TILE_COLUMNS * BAND, np.uint32)
    height = height_of_chunks(m)
    for k0 in range(0, max(k, 1), block):
        count = min(block, k - k0)
        words = (count + terms - 1) // terms
        for panel in range(panels):
            pack_panel(b, b_where, b_along, b_flip, b_minus, n, k0, count, panel, wide, runs, packed, sums)
        if terms == 4:
            for j in range(padded):
                starts[j] = np.int32(count * a_minus * b_minus - a_minus * sums[j])
        for i0 in range(0, m, height):
            rows = min(height, m - i0)
            chunk, row, step = pack_chunk(a, a_where, a_along, a_flip, a_minus, k, i0, rows, k0, count)
            multiply_chunk(chunk, row, step, terms == 4, words, i0, rows, n, packed, 0, panels, wide, starts, k0 > 0,
                           flat)
            if terms == 4 and b_minus != 0:
                add_row_sums(chunk, row, step, words, i0, rows, n, b_minus, flat)


@compiled(parallel=True)
def product_on_threads(a, a_where, a_along, a_flip, a_minus, b, b_where, b_along, b_flip, b_minus, k, block, threads, c):
    """As `product`: the panels are packed on all threads, then each takes chunks, by some of the panels."""
    m, n = c.shape
    flat = c.reshape(-1)
    terms = terms_of(a)
    wide, panels = panels_of(n)
    padded = first_column(panels, wide)
    packed = np.empty(padded * ((min(block, k) + terms - 1) // terms), np.uint32)
    sums, starts = np.zeros(padded, np.int32), np.zeros(padded, np.int32)
    height = height_of_chunks(m)
    chunks = max(1, (m + height - 1) // height)
    parts = min(panels, (4 * threads + chunks - 1) // chunks)
    for k0 in range(0, max(k, 1), block):
        count = min(block, k - k0)
        words = (count + terms - 1) // terms
        for panel in prange(panels):
            runs = np.empty(TILE_COLUMNS * BAND, np.uint32)
            pack_panel(b, b_where, b_along, b_flip, b_minus, n, k0, count, panel, wide, runs, packed, sums)
        if terms == 4:
            for j in range(padded):
                starts[j] = np.int32(count * a_minus * b_minus - a_minus * sums[j])
        for task in prange(chunks * parts):
            i0 = task // parts * height
            rows, which = min(height, m - i0), task % parts
            chunk, row, step = pack_chunk(a, a_where, a_along, a_flip, a_minus, k, i0, rows, k0, count)
            multiply_chunk(chunk, row, step, terms == 4, words, i0, rows, n, packed, which * panels // parts,
                           (which + 1) * panels // parts, wide, starts, k0 > 0, flat)
        if terms == 4 and b_minus != 0:
            for i0 in range(0, m, height):
                rows = min(height, m - i0)
                chunk, row, step = pack_chunk(a, a_where, a_along, a_flip, a_minus, k, i0, rows, k0, count)
                add_row_sums(chunk, row, step, words, i0, rows, n, b_minus, flat)
