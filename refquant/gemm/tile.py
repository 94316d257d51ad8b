"""The register tile: where all multiplications of a fast product happen.

    out[p, q] = first[p, q] + sum over w of  a[p, w] . b[w, q]       p < TILE_ROWS, q < a multiple of LANES, mod 2^32

``a`` and ``b`` hold words of 32 bits, each several neighbours along the contraction: four bytes (quads) or two int16
(pairs), and ``.`` multiplies word by word and adds the products of a word's parts. All sums stay in vector registers
while the loop runs over w: for each w the tile loads one row of b's words, and for each row p copies one word of a to
all lanes. So a load serves six or more multiplications, and nothing is stored before the end.

    LANES           words in a vector                    TILE_COLUMNS = LANES * VECTORS, those of a wide tile

`multiply_add` is the only function that knows the machine. It asks what Numba compiles for, which is not always what
the processor has (NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say otherwise), and all its forms give the same bits.
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.registry import cpu_target

intrinsic: Any = extending.intrinsic  # its own annotations count the typing context among a call's arguments

FEATURES = frozenset(cpu_target.target_context.codegen().magic_tuple()[2].split(","))
QUADS = {"+avx512vnni", "+avx512bw"} <= FEATURES  # bytes are multiplied as they are, four to a lane
LANES, TILE_ROWS, VECTORS = (16, 6, 4) if "+avx512bw" in FEATURES else (8, 6, 2)
TILE_COLUMNS = LANES * VECTORS

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
VECTOR = ir.VectorType(I32, LANES)


def multiply_add(builder, total, a, b, quads: bool):
    """Lane by lane ``total`` plus the products of a's and b's parts.

    quads: unsigned bytes of a by signed bytes of b. pairs: signed 16-bit numbers, in terms that LLVM makes one
    multiplication and addition of on every machine that has it (pmaddwd, vpdpwssd).
    """
    if quads:
        dot = ir.FunctionType(VECTOR, [VECTOR] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, dot, "llvm.x86.avx512.vpdpbusd.512"),
                            [total, a, b])
    halves, wide = ir.VectorType(I16, 2 * LANES), ir.VectorType(I32, 2 * LANES)
    products = builder.mul(*(builder.sext(builder.bitcast(x, halves), wide) for x in (a, b)))
    even, odd = (shuffled(builder, products, products, range(start, 2 * LANES, 2)) for start in (0, 1))
    return builder.add(total, builder.add(even, odd))


def shuffled(builder, x, y, chosen):
    """The elements of two vectors that ``chosen`` numbers, x's first."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(chosen)), list(chosen)))


def address(context, builder, type, array, element):
    """A byte pointer to ``array``'s element of this number."""
    return forward(builder, context.make_array(type)(context, builder, array).data,
                   builder.mul(element, I64(type.dtype.bitwidth // 8)))


def forward(builder, pointer, bytes):
    """``pointer`` moved on."""
    return builder.gep(builder.bitcast(pointer, I8.as_pointer()), [bytes])


def load(builder, pointer, type=VECTOR):
    """What lies at a byte pointer, which need not be aligned."""
    value = builder.load(builder.bitcast(pointer, type.as_pointer()))
    value.align = 1
    return value


def store(builder, value, pointer):
    """Put a vector at a byte pointer, which need not be aligned."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = 1


def _tile(vectors: int, quads: bool):
    @intrinsic
    def tile(typing, a, a_at, a_row, a_step, b, b_at, words, first, first_at, first_row, out, out_at, out_row):
        """One tile; all arrays flat: a, b uint32, first, out int32.

        Word w of row p of a is at ``a_at + p * a_row + w * a_step``; b has its words in order from ``b_at`` on.
        Row p of ``first`` starts at ``first_at + p * first_row``, and so for ``out``, which may be the same array.
        """
        def generate(context, builder, signature, arguments):
            def at(position, index):
                return address(context, builder, signature.args[position], arguments[position], index)

            def rows(position):  # where each row of an array starts that is followed by its start and its row
                start, row = arguments[position + 1:position + 3]
                return [at(position, builder.add(start, builder.mul(row, I64(p)))) for p in range(TILE_ROWS)]

            def vector(pointer, q):
                return forward(builder, pointer, I64(4 * LANES * q))

            words, step = arguments[6], builder.mul(arguments[3], I64(4))
            rows_a, panel = rows(0), at(4, arguments[5])
            sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(vectors)] for _ in rows_a]
            for pointer, cells in zip(rows(7), sums, strict=True):
                for q, cell in enumerate(cells):
                    builder.store(load(builder, vector(pointer, q)), cell)
            with cgutils.for_range(builder, words, intp=I64) as loop:
                row_b = forward(builder, panel, builder.mul(loop.index, I64(4 * LANES * vectors)))
                along = builder.mul(loop.index, step)
                columns = [load(builder, vector(row_b, q)) for q in range(vectors)]
                for row, cells in zip(rows_a, sums, strict=True):
                    word = in_every_lane(builder, load(builder, forward(builder, row, along), I32))
                    for column, cell in zip(columns, cells, strict=True):
                        builder.store(multiply_add(builder, builder.load(cell), word, column, quads), cell)
            for pointer, cells in zip(rows(10), sums, strict=True):
                for q, cell in enumerate(cells):
                    store(builder, builder.load(cell), vector(pointer, q))
            return context.get_dummy_value()
        return types.void(a, a_at, a_row, a_step, b, b_at, words, first, first_at, first_row, out, out_at,
                          out_row), generate
    return tile


def in_every_lane(builder, word, type=VECTOR):
    """A vector of one number."""
    nothing = ir.Constant(type, ir.Undefined)
    return shuffled(builder, builder.insert_element(nothing, word, I32(0)), nothing, [0] * type.count)


wide_pairs, narrow_pairs = _tile(VECTORS, False), _tile(1, False)
wide_quads, narrow_quads = (_tile(VECTORS, True), _tile(1, True)) if QUADS else (wide_pairs, narrow_pairs)
