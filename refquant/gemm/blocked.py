"""The fast product: blocks that stay in the caches, packed (`packing`), multiplied tile by tile (`tile`).

    for each run of ``block`` terms of the contraction      so that what is packed stays in the second cache
        pack that part of b into panels of TILE_COLUMNS
        for each chunk of about CHUNK rows of a
            pack the chunk
            for each panel, for each TILE_ROWS rows: the tile, into c (the first block), or beside c and added

With bytes multiplied as they are (quads), a word of a holds u = a + s and one of b holds v = b + t (s, t: what made a
unsigned and b signed, and the zero points), and the sum wanted follows from the sum of u v:

    sum of a b = sum (u - s)(v - t) = sum u v  -  s sum v  -  t sum u  +  K s t

Pairs have room for the differences themselves. All sums are modulo 2^32: whether they are the sums themselves is known
before (`kernels`).
"""
from __future__ import annotations

import numpy as np
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
from refquant.threads import in_parts

CHUNK = 16 * TILE_ROWS  # rows of a that are packed at a time
SMALL_CHUNK = 1 << 12  # words that fit the first cache, however they lie
ALL_PANELS = 1 << 62
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
def pack_panel(b, b_where, b_along, b_flip, b_minus, n, k0, count, panel, wide, base, runs, packed):
    """One panel of b's rows k0 to k0 + count; ``packed`` begins with column ``base``."""
    terms = terms_of(b)
    words = (count + terms - 1) // terms
    j0 = first_column(panel, wide)
    width, at = TILE_COLUMNS if panel < wide else LANES, (j0 - base) * words
    columns = min(width, n - j0)
    if columns < width:
        packed[at:at + width * words] = 0
    if b_along:
        pack_along(b, b_where, k0, count, j0, columns, b_flip, b_minus, terms, runs, packed, at, width)
    else:
        pack_across(b, b_where, k0, count, j0, columns, b_flip, b_minus, terms, packed, at, width)


@register_jitable
def start_columns(packed, words, p0, p1, wide, base, count, a_minus, b_minus, starts):
    """For quads, what the sums of each column start with: ``-a_minus`` times its own sum, and the constant term."""
    for panel in range(p0, p1):
        first = first_column(panel, wide) - base
        width = TILE_COLUMNS if panel < wide else LANES
        column_sums(packed[first * words:(first + width) * words], width, starts[first:first + width])
    for j in range(len(starts)):
        starts[j] = np.int32(count * a_minus * b_minus - a_minus * starts[j])


@register_jitable
def column_sums(packed, width, sums):
    """The sum of the signed bytes of each column of a panel."""
    sums[:] = 0
    for at in range(0, len(packed), width):
        row = packed[at:at + width]
        for j in range(width):
            word = row[j]
            sums[j] = np.int32(sums[j] + np.int8(word) + np.int8(word >> 8) + np.int8(word >> 16) + np.int8(word >> 24))


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
def pack_chunk(a, a_where, a_along, a_flip, a_minus, i0, rows, k0, count):
    """``(chunk, row, step)``: rows i0 to i0 + rows of a; word w of row r is ``chunk[r * row + w * step]``."""
    terms = terms_of(a)
    words = (count + terms - 1) // terms
    if not a_along:
        step = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
        chunk = np.empty(words * step, np.uint32)
        pack_across(a, a_where, k0, count, i0, rows, a_flip, a_minus, terms, chunk, 0, step)
        return chunk, 1, step
    apart = a_where[i0 + 1] - a_where[i0] if rows > 1 else 0
    one_run = apart == count == words * terms and rows * words <= SMALL_CHUNK
    row = words if one_run else words + 16  # rows a power of two apart compete for the same lines of the cache
    chunk = np.empty((rows + TILE_ROWS) * row, np.uint32)
    if one_run:
        pack_run(a, a_where[i0], rows * count, a_flip, a_minus, terms, chunk, 0)
    else:
        for r in range(rows):
            pack_run(a, a_where[i0 + r] + k0, count, a_flip, a_minus, terms, chunk, r * row)
    return chunk, row, 1


@register_jitable
def tile(quads, wide, chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row):
    """The tile of this kind and width."""
    if QUADS:
        if quads and wide:
            wide_quads(chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row)
            return
        if quads:
            narrow_quads(chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row)
            return
    if wide:
        wide_pairs(chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row)
    else:
        narrow_pairs(chunk, at, row, step, packed, panel, words, first, first_at, first_row, out, out_at, out_row)


@register_jitable
def multiply_chunk(chunk, row, step, quads, words, rows, n, packed, p0, p1, wide, base, starts, c, c_at, c_row):
    """A packed chunk by the panels p0 to p1, into flat c: row r of column ``base`` is ``c[c_at + r * c_row]``.

    starts : what the sums of each column begin with; like ``packed`` from column ``base`` on.
    """
    place = np.empty(TILE_ROWS * TILE_COLUMNS, np.int32)
    for panel in range(p0, p1):
        j0 = first_column(panel, wide) - base
        width = TILE_COLUMNS if panel < wide else LANES
        columns = min(width, n - base - j0)
        for r in range(0, rows, TILE_ROWS):
            height, at = min(TILE_ROWS, rows - r), c_at + r * c_row + j0
            if height == TILE_ROWS and columns == width:
                tile(quads, panel < wide, chunk, r * row, row, step, packed, j0 * words, words, starts, j0, 0,
                     c, at, c_row)
                continue
            tile(quads, panel < wide, chunk, r * row, row, step, packed, j0 * words, words, starts, j0, 0,
                 place, 0, width)
            for p in range(height):
                for j in range(columns):
                    c[at + p * c_row + j] = place[p * width + j]


@register_jitable
def add_row_sums(chunk, row, step, words, rows, columns, b_minus, c, c_at, c_row):
    """For quads, what b's zero point adds to each row of c: ``-b_minus`` times the sum of a's row."""
    for r in range(rows):
        more = np.int32(-b_minus * row_sum(chunk, r * row, step, words))
        for j in range(c_at + r * c_row, c_at + r * c_row + columns):
            c[j] += more


@register_jitable
def height_of_chunks(m):
    """Rows a chunk, so that all are about as high."""
    chunks = max(1, (m + CHUNK - 1) // CHUNK)
    return max(1, ((m + chunks - 1) // chunks + TILE_ROWS - 1) // TILE_ROWS) * TILE_ROWS


@compiled
def product(a, a_where, a_along, a_flip, a_minus, b, b_where, b_along, b_flip, b_minus, k, block, c, i0, i1, p0, p1):
    """``c`` [m, n] = (a - a_minus) (b - b_minus), int32, modulo 2^32.

    a, b : contiguous, of any shape, both uint8 or both uint16, read by the tables ``a_where``, evenly spaced, and
    ``b_where``, whatever it is (`packing`).  flip : what an element is xored with.
    k : the length of the contraction.  block : how much of it is packed at a time.
    i0, i1, p0, p1 : the part of c to compute: its rows, and which of its `panels_of` columns.
    """
    n = c.shape[1]
    a, b, flat = a.reshape(-1), b.reshape(-1), c.reshape(-1)
    terms = terms_of(a)
    wide, panels = panels_of(n)
    p1 = min(p1, panels)
    base = first_column(p0, wide)
    padded = first_column(p1, wide) - base
    columns = min(n - base, padded)
    packed = np.empty(padded * ((min(block, k) + terms - 1) // terms), np.uint32)
    starts = np.zeros(padded, np.int32)
    runs = np.empty(TILE_COLUMNS * BAND, np.uint32)
    height = height_of_chunks(i1 - i0)
    more = np.empty(height * padded if k > block else 0, np.int32)
    for k0 in range(0, max(k, 1), block):
        count = min(block, k - k0)
        words = (count + terms - 1) // terms
        for panel in range(p0, p1):
            pack_panel(b, b_where, b_along, b_flip, b_minus, n, k0, count, panel, wide, base, runs, packed)
        if QUADS and terms == 4:  # QUADS is a constant: where it is false, nothing of this is compiled
            start_columns(packed, words, p0, p1, wide, base, count, a_minus, b_minus, starts)
        for i in range(i0, i1, height):
            rows = min(height, i1 - i)
            chunk, row, step = pack_chunk(a, a_where, a_along, a_flip, a_minus, i, rows, k0, count)
            out, out_at, out_row = (flat, i * n + base, n) if k0 == 0 else (more, 0, padded)
            multiply_chunk(chunk, row, step, terms == 4, words, rows, n, packed, p0, p1, wide, base, starts,
                           out, out_at, out_row)
            if QUADS and terms == 4 and b_minus != 0:
                add_row_sums(chunk, row, step, words, rows, columns, b_minus, out, out_at, out_row)
            if k0 > 0:
                for r in range(rows):
                    held, added = flat[(i + r) * n + base:(i + r) * n + base + columns], more[r * padded:]
                    for j in range(columns):
                        held[j] += added[j]


def on_threads(operands: tuple, c: np.ndarray, threads: int) -> None:
    """`product` of these operands (all its arguments before c), cut into a part of ``c`` for each thread.

    Columns are cut where there are enough panels: then nothing of b is packed twice.
    """
    m, (_, panels) = len(c), panels_of(c.shape[1])
    if panels >= 2 * threads:
        in_parts(lambda first, last: product(*operands, c, 0, m, first, last), panels, threads)
    else:
        in_parts(lambda first, last: product(*operands, c, first, last, 0, panels), m, threads)
