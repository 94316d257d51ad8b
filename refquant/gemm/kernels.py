"""Which compiled kernel computes a product exactly, and the slow exact ones; all equal to `reference` on everything.

Whether a sum can leave 32 bits is decided before it is made, from a bound on every partial sum:

    |bias| + k * max|a - za| * max|b - zb|

int32     the bound is below 2^31: sums modulo 2^32 are the sums themselves                        (`blocked`)
few_rows  the same, for one or two rows: b is read where it lies                                   (`few_rows`)
blocks    the contraction is cut into blocks that fit 32 bits, and these are added in 64           (`blocked`)
planes    an operand so wide that a block would be only a few terms is cut too: x = 256 high + low, each by blocks
running   saturated after every addition, or an error at the first partial sum that does not fit: in the order of k

int32 and blocks serve every policy whose outcome the exact total decides, and, where the bound shows that no partial
sum can leave the accumulator, every policy.
"""
from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np

from refquant.compiling import NOT_COMPILED as NOT_COMPILED
from refquant.compiling import compiled
from refquant.gemm.blocked import ALL_PANELS, BLOCK, on_threads, product
from refquant.gemm.few_rows import few_rows
from refquant.gemm.product import ZeroPoint
from refquant.gemm.tile import QUADS
from refquant.integers.accumulator import Accumulator
from refquant.threads import in_parts, threads_for

FEWEST_TERMS = 16  # of a block worth its overhead
FEW_ROWS = 2
EVERYTHING = slice(None)
RANGES = {np.dtype(t): (int(np.iinfo(t).min), int(np.iinfo(t).max))
          for t in (np.int8, np.uint8, np.int16, np.uint16, np.int32)}


class Choice(NamedTuple):
    """The kernel for a product, and the bound that proves it exact."""

    kernel: str
    bound: int
    terms: int = BLOCK  # of a block

    def __str__(self) -> str:
        names = {"int32": f"int32, by {'quads of bytes' if QUADS else 'pairs'}",
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
    few = len(a) <= FEW_ROWS and a.itemsize == b.itemsize == 1 and type(za) is type(zb) is int
    return _choice(_ends(a, za), _ends(b, zb), a.shape[1], start, few, accumulator)


@functools.lru_cache(maxsize=256)
def _by_type(a: np.dtype, b: np.dtype, rows: int, k: int, za: int, zb: int, accumulator: Accumulator) -> Choice | None:
    """The choice that holds for every matrix of these types, if that is a kernel in int32."""
    low_a, high_a, low_b, high_b = *RANGES[a], *RANGES[b]
    few = rows <= FEW_ROWS and a.itemsize == b.itemsize == 1
    chosen = _choice((za - low_a, high_a - za), (zb - low_b, high_b - zb), k, 0, few, accumulator)
    return chosen if chosen.kernel in ("int32", "few_rows") else None


def _choice(ends_a: tuple[int, int], ends_b: tuple[int, int], k: int, start: int, few: bool,
            accumulator: Accumulator) -> Choice:
    """ends: how far an operand, less its zero point, reaches below and above 0. start: the largest |bias|."""
    product_of_ends = max(ends_a) * max(ends_b)
    bound = start + k * product_of_ends
    if accumulator.overflow in ("saturate_running", "error") and bound > accumulator.format.qmax:
        return Choice("running", bound)
    int16 = max(ends_a[0], ends_b[0]) <= 1 << 15 and max(ends_a[1], ends_b[1]) < 1 << 15
    if bound < 1 << 31 and int16:
        return Choice("few_rows" if few else "int32", bound)
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


def multiply(a: np.ndarray, b: np.ndarray, za: ZeroPoint, zb: ZeroPoint, bias: np.ndarray | None,
             accumulator: Accumulator, chosen: Choice) -> tuple[np.ndarray, np.ndarray]:
    """``(acc, overflowed)`` of `refquant.gemm.matmul` by the kernel that `choice` found for these arguments."""
    if chosen.kernel == "running":
        return _running(a, b, za, zb, bias, accumulator)
    total = _TOTALS[chosen.kernel](a, b, za, zb, chosen)
    if bias is not None:
        total += bias.astype(total.dtype)
    return fitted(total, chosen, accumulator)


def fitted(total: np.ndarray, chosen: Choice, accumulator: Accumulator) -> tuple[np.ndarray, np.ndarray]:
    """``(acc, overflowed)`` of exact totals, bias included."""
    if chosen.bound < 1 << accumulator.bits - 1:
        held = total if accumulator.bits == 32 and total.itemsize == 4 else total.astype(accumulator.format.dtype)
        return held, np.zeros(total.shape, np.bool_)
    return accumulator.fit(total.astype(np.int64, copy=False))


def _int32(a, b, za, zb, chosen: Choice) -> np.ndarray:
    if not (a.itemsize == b.itemsize == 1 and type(za) is type(zb) is int):
        a, b, za, zb = as_int16(a, za), as_int16(b, zb), 0, 0
    return _blocked(a, b, za, zb)


def _few_rows(a, b, za, zb, chosen: Choice) -> np.ndarray:
    out = np.empty((len(a), b.shape[1]), np.int32)
    b, across = _as_it_lies(b)
    few_rows(np.ascontiguousarray(a).view(np.uint8), *unsigned(a, za), b.view(np.uint8), across, *unsigned(b, zb), out)
    return out


def _blocks(a, b, za, zb, chosen: Choice) -> np.ndarray:
    a, b = as_int16(a, za), as_int16(b, zb)
    total = np.zeros((len(a), b.shape[1]), np.int64)
    for k0 in range(0, a.shape[1], chosen.terms):
        total += _blocked(a, b, 0, 0, slice(k0, min(k0 + chosen.terms, a.shape[1])))
    return total


def _planes(a, b, za, zb, chosen: Choice) -> np.ndarray:
    total = np.zeros((len(a), b.shape[1]), np.int64)
    for (high_a, x), (high_b, y) in itertools.product(planes(centred(a, za)), planes(centred(b, zb))):
        terms = terms_within_int32(largest(x) * largest(y))
        total += _blocks(x, y, 0, 0, Choice("blocks", chosen.bound, terms)) << high_a + high_b
    return total


def planes(x: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """``x``, of at most 18 bits, as parts of at most 10 bits, each with its shift; x itself if it is one."""
    return [(0, x)] if largest(x) < 1 << 10 else [(8, x >> 8), (0, x & 255)]


def largest(x: np.ndarray) -> int:
    """The largest |x|."""
    return max(_ends(x, 0))


_TOTALS = {"int32": _int32, "few_rows": _few_rows, "blocks": _blocks, "planes": _planes}


def _blocked(a: np.ndarray, b: np.ndarray, za: int, zb: int, part: slice = EVERYTHING) -> np.ndarray:
    """`blocked.product` of two matrices of bytes, or of int16, or of a ``part`` of the contraction."""
    (m, k), n = a.shape, b.shape[1]
    x, a_along = _as_it_lies(a)
    y, b_across = _as_it_lies(b)
    a_where = _every(k, m) if a_along else _every(m, k)
    b_where = _every(n, k) if b_across else _every(k, n)
    if part is not EVERYTHING:
        k = part.stop - part.start
        a_where = a_where + part.start if a_along else a_where[part]
        b_where = b_where[part] if b_across else b_where + part.start
    word, out = UNSIGNED[a.itemsize], np.empty((m, n), np.int32)
    operands = (x.view(word), a_where, a_along, *unsigned(a, za), y.view(word), b_where, not b_across,
                *(signed(b, zb) if QUADS and b.itemsize == 1 else unsigned(b, zb)), k, BLOCK)
    threads = threads_for(m * k * n)
    if threads == 1:
        product(*operands, out, 0, m, 0, ALL_PANELS)
    else:
        on_threads(operands, out, threads)
    return out


def _as_it_lies(x: np.ndarray) -> tuple[np.ndarray, bool]:
    """``x``, or else its transpose, contiguous, and whether it is x; copied only where it is neither."""
    if x.flags.c_contiguous:
        return x, True
    return (x.T, False) if x.flags.f_contiguous else (np.ascontiguousarray(x), True)


UNSIGNED = {1: np.uint8, 2: np.uint16}
SIGN, NO_SIGN, NO_FLIP = np.uint8(128), np.uint8(0), np.uint16(0)


def unsigned(x: np.ndarray, zero_point: int) -> tuple[np.unsignedinteger, int]:
    """``(flip, minus)``: an element less its zero point is ``(its bits ^ flip) - minus``, the bits read as unsigned.

    (Of int16, the low 16 bits of that.)
    """
    if x.itemsize > 1:
        return NO_FLIP, zero_point
    return (SIGN, zero_point + 128) if x.dtype == np.int8 else (NO_SIGN, zero_point)


def signed(x: np.ndarray, zero_point: int) -> tuple[np.unsignedinteger, int]:
    """As `unsigned` for bytes, the flipped bits read as signed."""
    return (SIGN, zero_point - 128) if x.dtype == np.uint8 else (NO_SIGN, zero_point)


@functools.lru_cache(maxsize=64)
def _every(stride: int, count: int) -> np.ndarray:
    """The multiples of ``stride``: where the rows of a matrix lie."""
    return np.arange(count) * stride


def centred(x: np.ndarray, zero_point: ZeroPoint) -> np.ndarray:
    """``x`` less its zero points (one, or an array that broadcasts), int32."""
    return x.astype(np.int32) - np.asarray(zero_point, np.int32)


def as_int16(x: np.ndarray, zero_point: ZeroPoint) -> np.ndarray:
    """`centred` where it fits int16; ``x`` itself where that is the same."""
    if type(zero_point) is int and zero_point == 0:
        return x.astype(np.int16, copy=False)
    return centred(x, zero_point).astype(np.int16)


def _running(a, b, za, zb, bias, accumulator: Accumulator) -> tuple[np.ndarray, np.ndarray]:
    """Saturated after every addition, in the order of k."""
    format = accumulator.format
    held = np.empty((len(a), b.shape[1]), np.int64)
    overflowed = np.empty(held.shape, np.bool_)
    bias = np.zeros(held.shape[1], np.int64) if bias is None else bias
    start = format.saturate(bias).astype(np.int64)
    a, b = np.ascontiguousarray(centred(a, za)), np.ascontiguousarray(centred(b, zb))
    in_parts(lambda first, last: _sum_saturating(a[first:last], b, start, start != bias, format.qmin, format.qmax,
                                                 held[first:last], overflowed[first:last]),
             len(a), threads_for(a.size * b.shape[1]))
    return held.astype(format.dtype), overflowed


@compiled
def _sum_saturating(a, b, start, start_overflowed, low, high, held, overflowed):
    """held[i, j] saturated to [low, high] after every addition."""
    m, k = a.shape
    n = b.shape[1]
    for i in range(m):
        for j in range(n):
            held[i, j] = start[j]
            overflowed[i, j] = start_overflowed[j]
        for p in range(k):
            x = np.int64(a[i, p])
            for j in range(n):
                exact = held[i, j] + x * b[p, j]
                fitted = min(max(exact, low), high)
                overflowed[i, j] |= fitted != exact
                held[i, j] = fitted
