"""Which compiled kernel computes a product exactly, decided before it is made, from a bound on every partial sum:

    |bias| + k * max|a - za| * max|b - zb|

int32     the bound is below 2^31: sums modulo 2^32 are the sums themselves
few_rows  the same, for one or two rows
blocks    the contraction is cut into blocks that fit 32 bits, and these are added in 64
planes    an operand so wide that a block would be only a few terms is cut too: x = 256 high + low, each by blocks
running   saturated after every addition, or an error at the first partial sum that does not fit: in the order of k

int32 and blocks serve every policy whose outcome the exact total decides, and, where the bound shows that no partial
sum can leave the accumulator, every policy.
"""
from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from refquant.gemm.blocked import BLOCK
from refquant.gemm.product import ZeroPoint
from refquant.gemm.tile import QUADS
from refquant.integers.accumulator import Accumulator

FEWEST_TERMS = 16  # of a block worth its overhead
FEW_ROWS = 2
RANGES = {np.dtype(t): (int(np.iinfo(t).min), int(np.iinfo(t).max))
          for t in (np.int8, np.uint8, np.int16, np.uint16, np.int32)}


class Choice(NamedTuple):
    """The kernel for a product, and the bound that proves it exact."""

    kernel: str
    bound: int
    terms: int = BLOCK  # of a block
    quads: bool = False  # whether an instruction multiplies four bytes a lane, or two 16-bit numbers

    def __str__(self) -> str:
        names = {"int32": f"int32, by {'quads of bytes' if self.quads else 'pairs'}",
                 "blocks": f"int64, in blocks of {self.terms} terms", "planes": "int64, by planes of 8 bits"}
        return f"{names.get(self.kernel, self.kernel)}: no partial sum exceeds {self.bound}"


def choice(a: np.ndarray, b: np.ndarray, za: ZeroPoint, zb: ZeroPoint, bias: np.ndarray | None,
           accumulator: Accumulator) -> Choice:
    """The kernel for these operands: from what their types can hold, or where that is too much, from what they do."""
    if bias is None and type(za) is type(zb) is int:
        chosen = _by_type(a.dtype, b.dtype, min(len(a), FEW_ROWS + 1), a.shape[1], za, zb, accumulator)
        if chosen is not None:
            return chosen
    start = 0 if bias is None else int(np.abs(bias).max(initial=0))
    in_bytes = a.itemsize == b.itemsize == 1 and type(za) is type(zb) is int
    return _choice(_ends(a, za), _ends(b, zb), len(a), a.shape[1], start, in_bytes, accumulator)


@functools.lru_cache(maxsize=256)
def _by_type(a: np.dtype, b: np.dtype, rows: int, k: int, za: int, zb: int, accumulator: Accumulator) -> Choice | None:
    """The choice that holds for every matrix of these types, if that is a kernel in int32."""
    low_a, high_a, low_b, high_b = *RANGES[a], *RANGES[b]
    in_bytes = a.itemsize == b.itemsize == 1
    chosen = _choice((za - low_a, high_a - za), (zb - low_b, high_b - zb), rows, k, 0, in_bytes, accumulator)
    return chosen if chosen.kernel in ("int32", "few_rows") else None


def _choice(ends_a: tuple[int, int], ends_b: tuple[int, int], rows: int, k: int, start: int, in_bytes: bool,
            accumulator: Accumulator) -> Choice:
    """ends: how far an operand, less its zero point, reaches below and above 0. start: the largest |bias|.

    in_bytes: whether both operands are bytes with one zero point each.
    """
    product_of_ends = max(ends_a) * max(ends_b)
    bound = start + k * product_of_ends
    if accumulator.overflow in ("saturate_running", "error") and bound > accumulator.format.qmax:
        return Choice("running", bound)
    int16 = max(ends_a[0], ends_b[0]) <= 1 << 15 and max(ends_a[1], ends_b[1]) < 1 << 15
    if bound < 1 << 31 and int16:
        few = in_bytes and rows <= FEW_ROWS
        return Choice("few_rows" if few else "int32", bound, quads=QUADS and in_bytes)
    terms = terms_within_int32(product_of_ends)
    return Choice("blocks" if int16 and terms >= FEWEST_TERMS else "planes", bound, terms)


def terms_within_int32(size: int) -> int:
    """How many products of this size a block may add up."""
    return min(((1 << 31) - 1) // max(size, 1) // 4 * 4, BLOCK)


def _ends(x: np.ndarray, zero_point: ZeroPoint) -> tuple[int, int]:
    """How far x - zero_point reaches below and above 0."""
    if x.size == 0:
        return 0, 0
    difference = x if type(zero_point) is int else centred(x, zero_point)
    minus = zero_point if type(zero_point) is int else 0
    return minus - int(difference.min()), int(difference.max()) - minus


def largest(x: np.ndarray) -> int:
    """The largest |x|."""
    return max(_ends(x, 0))


def centred(x: np.ndarray, zero_point: ZeroPoint) -> np.ndarray:
    """``x`` less its zero points (one, or an array that broadcasts), int32."""
    return x.astype(np.int32) - np.asarray(zero_point, np.int32)
