"""Philox4x32-10 compiled: eight counters at a time in the lanes of vectors, words stored in the documented order.

    (c0, c1, c2, c3)  <-  (high(M1 c2) ^ c1 ^ k0,  low(M1 c2),  high(M0 c0) ^ c3 ^ k1,  low(M0 c0))

A word is the lower half of a 64-bit lane; what stands in the upper half never matters, and is cleared only where a
product is formed: so LLVM finds the 32 x 32 -> 64 bit multiplication that every vector unit has. The compiler does not
find it in a plain loop, whose 64-bit product it takes to be slow; hence the vectors are written out here.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from refquant.compiling import compiled
from refquant.integers.randombits import MULTIPLIERS

LANES = 8  # counters in a tile
WORDS = 2 * LANES  # 64-bit words in a tile

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_I64, LANES)


@compiled
def fill(words, tensor, step, keys):
    """``words`` [multiple of WORDS], uint64: the blocks 0, 1, ..., two 64-bit words each, lower first."""
    draw(words, np.uint64(0), tensor, step, keys)


@register_jitable
def draw(words, first, tensor, step, keys):
    """As `fill`, from the block ``first`` on, a multiple of LANES."""
    for tile in range(words.size // WORDS):
        _tile(words[tile * WORDS:], first + np.uint64(tile * LANES), tensor, step, keys)


def _written(typingctx, words, first, tensor, step, keys):
    """LANES blocks from ``first`` on into ``words``; ``keys`` uint64 [20], those of round r at 2 r and 2 r + 1."""
    signature = types.void(words, types.uint64, types.uint64, types.uint64, keys)

    def generate(context, builder, signature, arguments):
        words, first, tensor, step, keys = arguments
        out = context.make_array(signature.args[0])(context, builder, words).data
        key = context.make_array(signature.args[4])(context, builder, keys).data
        low, half = _constant([0xFFFFFFFF] * LANES), _constant([32] * LANES)
        m0, m1 = (_constant([int(m)] * LANES) for m in MULTIPLIERS)
        c0 = builder.add(_splat(builder, first), _constant(range(LANES)))
        c1 = builder.lshr(_splat(builder, first), half)
        c2, c3 = _splat(builder, tensor), _splat(builder, step)
        for r in range(10):
            k0, k1 = (_splat(builder, builder.load(builder.gep(key, [_I64(2 * r + i)]))) for i in (0, 1))
            p0, p1 = builder.mul(builder.and_(c0, low), m0), builder.mul(builder.and_(c2, low), m1)
            c0, c1, c2, c3 = (builder.xor(builder.xor(builder.lshr(p1, half), c1), k0), p1,
                              builder.xor(builder.xor(builder.lshr(p0, half), c3), k1), p0)
        lower, upper = (builder.or_(builder.and_(even, low), builder.shl(odd, half))
                        for even, odd in ((c0, c1), (c2, c3)))
        alternating = ir.Constant(ir.VectorType(_I32, WORDS), [i // 2 + i % 2 * LANES for i in range(WORDS)])
        block = builder.shuffle_vector(lower, upper, alternating)
        builder.store(block, builder.bitcast(out, block.type.as_pointer()), align=8)
        return context.get_dummy_value()

    return signature, generate


_tile: Any = intrinsic(_written)


def _constant(values) -> ir.Constant:
    return ir.Constant(_VECTOR, [_I64(v) for v in values])


def _splat(builder, value):
    """``value`` in every lane."""
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))
