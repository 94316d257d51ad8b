"""How inputs are chosen: named sets, and draws that are the same on every machine.

    zeros  all_max  all_min       one code everywhere
    max_then_minus_ones           the largest code once, then -1 (unsigned: 1): a sum that swings
    single_bit                    one power of two a tensor row, each bit in turn, the sign bit included
    alternating                   largest, smallest, largest, ...
    ramp                          every code in order, then again
    random                        half uniform, half from the edges: qmin, qmax, 0, their neighbours

Sets made by an operation for its own corners: ties, saturation, accumulator_limits, zero_point_edges, exhaustive,
natural (digits through fixed filters and a trained layer).
"""
from __future__ import annotations

import math
import zlib

import numpy as np

from refquant.integers.formats import IntFormat
from refquant.integers.randombits import philox_bits

Shape = tuple[int, ...]


class Draw:
    """Random numbers for one case, keyed by the suite's seed and the case's name; each draw is a stream of its own."""

    def __init__(self, seed: int, name: str):
        self.seed, self.tensor, self.step = seed, zlib.crc32(name.encode()), 0

    def words(self, n: int, shape: Shape) -> np.ndarray:
        """``n`` random bits (1..64) an element, unsigned."""
        self.step += 1
        return philox_bits(n, shape, self.seed, self.tensor, self.step)

    def integers(self, low: int, high: int, shape: Shape = ()) -> np.ndarray:
        """int64 from ``low`` to ``high``, both included; a span of at most 2^32."""
        span = high - low + 1
        words = self.words(31, shape).astype(np.uint64)
        return (low + ((words * np.uint64(span)) >> np.uint64(31)).astype(np.int64)).astype(np.int64)

    def pick(self, values, shape: Shape = ()) -> np.ndarray:
        """Elements of ``values``, each as likely."""
        values = np.asarray(values)
        return values[self.integers(0, len(values) - 1, shape)]

    def codes(self, format: IntFormat, shape: Shape, set: str = "random") -> np.ndarray:
        """Codes of ``format`` chosen as ``set`` says, in the format's dtype."""
        if set == "random":
            uniform = format.wrap(self.words(format.bits, shape))
            edges = self.pick(format.saturate([format.qmin, format.qmin + 1, -1, 0, 1, format.qmax - 1, format.qmax]),
                              shape)
            return format.saturate(np.where(self.words(1, shape) == 1, uniform, edges))
        return SETS[set](format, shape)

    def uniform(self, format: IntFormat, shape: Shape) -> np.ndarray:
        """Codes of ``format``, each as likely."""
        return format.saturate(self.integers(format.qmin, format.qmax, shape))


def _filled(format: IntFormat, shape: Shape, code: int) -> np.ndarray:
    return np.full(shape, code, format.dtype)


def _max_then_minus_ones(format: IntFormat, shape: Shape) -> np.ndarray:
    codes = _filled(format, shape, -1 if format.signed else 1)
    codes.reshape(-1)[:1] = format.qmax
    return codes


def _single_bit(format: IntFormat, shape: Shape) -> np.ndarray:
    codes = np.zeros(math.prod(shape), np.int64)
    width = shape[-1] if shape else 1
    for row in range(len(codes) // max(width, 1)):
        codes[row * width + row % width] = 1 << (row % format.bits)
    return format.saturate(format.wrap(codes)).reshape(shape)


def _alternating(format: IntFormat, shape: Shape) -> np.ndarray:
    index = np.arange(math.prod(shape)).reshape(shape)
    return np.where(index % 2 == 0, format.qmax, format.qmin).astype(format.dtype)


def _ramp(format: IntFormat, shape: Shape) -> np.ndarray:
    index = np.arange(math.prod(shape)).reshape(shape)
    return (format.qmin + index % (format.qmax - format.qmin + 1)).astype(format.dtype)


SETS = {
    "zeros": lambda format, shape: _filled(format, shape, 0),
    "all_max": lambda format, shape: _filled(format, shape, format.qmax),
    "all_min": lambda format, shape: _filled(format, shape, format.qmin),
    "max_then_minus_ones": _max_then_minus_ones,
    "single_bit": _single_bit,
    "alternating": _alternating,
    "ramp": _ramp,
}
