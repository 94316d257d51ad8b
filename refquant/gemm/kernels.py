"""The compiled products, each exact where `choice` picks it; all equal to `reference` on everything."""
from __future__ import annotations

import functools
import itertools

import numpy as np

from refquant.compiling import NOT_COMPILED as NOT_COMPILED
from refquant.compiling import compiled
from refquant.gemm.blocked import ALL_PANELS, BLOCK, on_threads, product
from refquant.gemm.choice import Choice, centred, largest, terms_within_int32
from refquant.gemm.few_rows import few_rows
from refquant.gemm.product import ZeroPoint
from refquant.gemm.tile import QUADS
from refquant.integers.accumulator import Accumulator
from refquant.threads import in_parts, threads_for

EVERYTHING = slice(None)


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
