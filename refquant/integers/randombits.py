"""Random bits as data: Philox4x32-10 and a Galois LFSR, element by element.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a counter and a key into
four random words, so any element's bits can be had on their own, in any order, on any number of threads.

    key     = (seed mod 2^32, seed div 2^32)
    counter = (block mod 2^32, block div 2^32, tensor, step)

A block's four words are one 128-bit number, word 0 lowest. An element that needs n bits takes the narrowest lane of
8, 16, 32 or 64 bits that holds them, lanes counted from the lowest bits, and of its lane the n most significant bits:
element i has lane i mod L of block i div L, where a block has L lanes.

The Galois LFSR shifts right; when a 1 falls out, the taps of its polynomial are added. An element that needs n bits
lets it step (n times, unless told otherwise) and takes the n least significant bits of its state.
"""
from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers.kernels import worth_compiling

MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)
LOW32, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)

# Exponents of primitive polynomials over GF(2), without x^width and 1 -> taps below.
POLYNOMIALS = {8: (8, 6, 5, 4), 16: (16, 14, 13, 11), 24: (24, 23, 22, 17), 32: (32, 22, 2, 1)}


def philox4x32(counter: ArrayLike, key: tuple[int, int], rounds: int = 10) -> np.ndarray:
    """Philox4x32 of each counter, of 10 rounds as the standard generator has it.

    counter : integers below 2^32, unchecked, [..., 4], word 0 first.
    key : two integers below 2^32.
    rounds : how many.

    Returns uint32 [..., 4].

    Raises ValueError for a key out of range.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; equal to Random123's philox4x32.
    """
    words = np.moveaxis(np.asarray(counter, np.uint64), -1, 0)
    even, odd = words[::2], words[1::2]  # (c0, c2) and (c1, c3)
    each = (2, *[1] * (words.ndim - 1))
    multipliers = np.reshape(MULTIPLIERS, each)
    for keys in key_schedule(key, rounds).reshape(rounds, *each):
        products = (even * multipliers)[::-1]  # exact: both factors are below 2^32
        even, odd = (products >> HALF) ^ odd ^ keys, products & LOW32
    return np.stack([even[0], odd[0], even[1], odd[1]], axis=-1).astype(np.uint32)


def key_schedule(key: tuple[int, int], rounds: int = 10) -> np.ndarray:
    """The two keys of every round, uint64 [rounds, 2]."""
    start = np.array([_below(k, 32, "key") for k in key], np.uint64)
    return (start + np.arange(rounds, dtype=np.uint64)[:, None] * WEYL) & LOW32


def lane_width(n: int) -> int:
    """Bits of the lane that holds ``n`` random bits: 8, 16, 32 or 64."""
    return next(w for w in (8, 16, 32, 64) if w >= check_count(n, 64))


def lane_dtype(n: int) -> np.dtype:
    """The unsigned NumPy type of ``n`` random bits."""
    return np.dtype(f"uint{lane_width(n)}")


def check_count(n: int, high: int = 63) -> int:
    """``n``, a number of random bits, or a ValueError."""
    if not 1 <= n <= high:
        raise ValueError(f"n = {n!r} random bits: expected 1 to {high}")
    return n


def philox_bits(n: int, shape: int | tuple[int, ...], seed: int, tensor: int = 0, step: int = 0) -> np.ndarray:
    """``n`` random bits (1..64) for every element of a tensor of ``shape``, in C order.

    shape : a tuple, or how many elements.
    seed : below 2^64.
    tensor, step : below 2^32, naming the tensor and the training step the bits are for.

    Each takes the n highest bits of a lane of its own, of 8, 16, 32 or 64 bits: the narrowest that holds n. Lanes
    follow each other from the lowest bits of a block of 128 on.

    Returns an array of ``shape`` in the lane's unsigned type, values in [0, 2^n).

    Raises ValueError for a number out of range.

    Source: Salmon et al. 2011; that (seed, tensor, step) make key and counter, and the lanes, is refquant's own.
    """
    width = lane_width(n)
    count = math.prod(shape) if isinstance(shape, tuple) else shape
    key, *place = stream(seed, tensor, step)
    words = (_compiled_words if worth_compiling(count) else _words)(-(-count * width // 128), key, *place)
    lanes = words.reshape(-1).view(f"<u{width // 8}")[:count]
    if n < width:
        lanes = lanes >> lanes.dtype.type(width - n)
    return lanes.astype(lane_dtype(n), copy=False).reshape(shape)


def stream(seed: int, tensor: int, step: int) -> tuple[tuple[int, int], int, int]:
    """``(key, tensor, step)`` of a stream of random bits, or a ValueError."""
    seed = _below(seed, 64, "seed")
    return (seed & 0xFFFFFFFF, seed >> 32), _below(tensor, 32, "tensor"), _below(step, 32, "step")


def _words(blocks: int, key: tuple[int, int], tensor: int, step: int) -> np.ndarray:
    """The words of the first ``blocks`` counters, in little-endian order: uint32 [blocks, 4]."""
    counter = np.empty((blocks, 4), np.uint64)
    block = np.arange(blocks, dtype=np.uint64)
    counter[:, 0], counter[:, 1] = block & LOW32, block >> HALF
    counter[:, 2], counter[:, 3] = tensor, step
    return philox4x32(counter, key).astype("<u4")


def _compiled_words(blocks: int, key: tuple[int, int], tensor: int, step: int) -> np.ndarray:
    """The words of at least the first ``blocks`` counters: uint64, two a block."""
    from refquant.integers.kernels.philox import WORDS, fill

    words = np.empty(-(-2 * blocks // WORDS) * WORDS, "<u8")
    fill(words, np.uint64(tensor), np.uint64(step), key_schedule(key).reshape(-1))
    return words


def taps(width: int) -> int:
    """The word added when a 1 falls out of a right-shifting Galois LFSR: bit e - 1 for every exponent e."""
    if width not in POLYNOMIALS:
        raise ValueError(f"width = {width!r}: expected one of {', '.join(map(str, POLYNOMIALS))}")
    return sum(1 << (e - 1) for e in POLYNOMIALS[width])


def lfsr_states(width: int, seed: int, count: int, steps: int = 1) -> np.ndarray:
    """``count`` successive states, each ``steps`` after the one before, the first ``steps`` after ``seed``.

    width : 8, 16, 24 or 32.
    seed : 1 .. 2^width - 1 (0 would stay 0).

    Returns uint32 [count].

    Raises ValueError for another width, a seed out of range, or steps below 1.

    Source: a Galois linear-feedback shift register; its primitive polynomials (POLYNOMIALS) are refquant's choice.
    """
    mask, state = taps(width), _below(seed, width, "seed")
    if state == 0:
        raise ValueError("seed = 0: expected a nonzero state; an LFSR never leaves 0")
    if steps < 1:
        raise ValueError(f"steps = {steps!r}: expected 1 or more")
    states = np.empty(count, np.uint32)
    for i in range(count):
        for _ in range(steps):
            state = (state >> 1) ^ (mask if state & 1 else 0)
        states[i] = state
    return states


def lfsr_bits(n: int, shape: int | tuple[int, ...], width: int, seed: int, steps: int | None = None) -> np.ndarray:
    """``n`` random bits (1..width) for every element of ``shape``, in C order: the low bits of `lfsr_states`.

    shape : a tuple, or how many elements.
    width, seed : of the register, as in `lfsr_states`.
    steps : from one element to the next; ``n`` unless given.

    Returns an array of ``shape`` in the smallest unsigned type that holds n bits.

    Raises ValueError for n outside 1..width, and like `lfsr_states`.

    Source: as for `lfsr_states`; which bits are taken is refquant's own.
    """
    check_count(n, width)
    count = math.prod(shape) if isinstance(shape, tuple) else shape
    states = lfsr_states(width, seed, count, n if steps is None else steps)
    return (states & np.uint32((1 << n) - 1)).astype(lane_dtype(n)).reshape(shape)


def _below(value: int, bits: int, name: str) -> int:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name} = {value!r}: expected 0 to 2^{bits} - 1")
    return int(value)
