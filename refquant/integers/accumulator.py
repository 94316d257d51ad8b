"""Accumulators: signed registers that sum an initial value (the bias) and products, in order; how wide they must be."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.quantize import choice

OVERFLOWS = ("wrap", "saturate_running", "saturate_final", "error")


@dataclass(frozen=True)
class Accumulator:
    """A signed accumulator: sums an initial value [...] (the bias) and products [..., K], in order.

    bits : 8 to 64.
    overflow : what happens to a sum that does not fit, and when an element counts as overflowed:

        wrap               the exact total modulo 2^bits (two's complement); overflow: the total does not fit
        saturate_running   saturated after every addition, the initial value first; overflow: any of them saturated
        saturate_final     the exact total, saturated once; overflow: it saturated
        error              OverflowError when the initial value or any partial sum does not fit

    Raises ValueError for other bits, or an unknown overflow.

    Source: refquant's own names. wrap is what a register of two's complement does (ONNX MatMulInteger allows it at 32
    bits); saturate_running is the saturating multiply-accumulate of signal processors.
    """

    bits: int = 32
    overflow: str = "wrap"

    def __post_init__(self):
        if isinstance(self.bits, bool) or not isinstance(self.bits, int | np.integer) or not 8 <= self.bits <= 64:
            raise ValueError(f"bits = {self.bits!r}: expected 8 to 64 for an accumulator")
        choice("overflow", self.overflow, OVERFLOWS)

    @property
    def format(self) -> IntFormat:
        """The format of the register: signed, of ``bits``."""
        return IntFormat(int(self.bits))

    def sum(self, products: ArrayLike, initial: ArrayLike = 0) -> tuple[np.ndarray, np.ndarray]:
        """Sum ``products`` [..., K] over the last axis, in order, starting from ``initial`` [...], all integers.

        Returns ``(codes, overflowed)``: the format's dtype, and booleans, both [...].

        Raises ValueError when exact partial sums could leave int64 or shapes do not fit, TypeError for floats, and
        OverflowError under "error".
        """
        products, initial = _exact(products, initial)
        if self.overflow == "saturate_running":
            return self._running(products, initial)
        partial = initial[..., None] + np.cumsum(products, axis=-1)
        if self.overflow == "error":
            self._raise_if_outside(partial, initial)
        return self.fit(partial[..., -1] if products.shape[-1] else initial)

    def fit(self, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(codes, overflowed)`` of exact int64 ``total``, any shape: wrapped, or saturated under every other policy.

        Returns the format's dtype, and booleans.

        Raises TypeError for floats; nothing for a total that does not fit.
        """
        format = self.format
        codes = format.wrap(total) if self.overflow == "wrap" else format.saturate(total)
        return codes, codes != total

    def _running(self, products, initial):
        format = self.format
        held = format.saturate(initial).astype(np.int64)
        overflowed = held != initial
        for k in range(products.shape[-1]):
            total = held + products[..., k]
            held = np.clip(total, format.qmin, format.qmax)
            overflowed |= held != total
        return held.astype(format.dtype), overflowed

    def _raise_if_outside(self, partial, initial):
        low, high = _extremes(partial, initial)
        if low < self.format.qmin or high > self.format.qmax:
            raise OverflowError(f"partial sums run from {low} to {high}: an accumulator of {self.bits} bits holds "
                                f"{self.format.qmin} to {self.format.qmax}; {_bits(low, high)} bits would do")


def least_safe_bits(products: ArrayLike, initial: ArrayLike = 0) -> int:
    """The fewest bits of a signed accumulator that holds ``initial`` and every partial sum of ``products`` [..., K].

    products, initial : integers; initial [...] or one number, before the first product. Sums run over the last axis.

    Returns one number for all sums together; 1 where nothing but 0 occurs.

    Raises ValueError when exact partial sums could leave int64 or shapes do not fit, and TypeError for floats.

    Source: refquant's own: the width of the largest and the smallest in two's complement.
    """
    products, initial = _exact(products, initial)
    return _bits(*_extremes(initial[..., None] + np.cumsum(products, axis=-1), initial))


def safe_bits(a: IntFormat, b: IntFormat, terms: int, a_zero_point: int = 0, b_zero_point: int = 0,
              initial_max_abs: int = 0) -> int:
    """The fewest bits that hold every partial sum of ``terms`` products, whatever the codes of formats a and b are.

    a, b : the operands' formats.
    terms : how many products a sum has.
    a_zero_point, b_zero_point : one number each, subtracted from the codes before they are multiplied.
    initial_max_abs : the largest size of the number that a sum starts from.

    Raises nothing of its own.

    Source: refquant's own: the products of the formats' ends, ``terms`` times.
    """
    ends = [(x - a_zero_point) * (y - b_zero_point) for x in (a.qmin, a.qmax) for y in (b.qmin, b.qmax)]
    return _bits(min(0, *ends) * terms - initial_max_abs, max(0, *ends) * terms + initial_max_abs)


def _exact(products, initial):
    products = as_int64(products, "products")
    if products.ndim == 0:
        raise ValueError("products is one number: expected [..., K], to be summed over the last axis")
    shape = np.broadcast_shapes(products.shape[:-1], np.shape(initial))
    initial = np.broadcast_to(as_int64(initial, "initial"), shape)
    products = np.broadcast_to(products, (*shape, products.shape[-1]))
    largest = max((abs(int(products.min())), abs(int(products.max()))) if products.size else (0, 0))
    start = max((abs(int(initial.min())), abs(int(initial.max()))) if initial.size else (0, 0))
    if largest * products.shape[-1] + start >= 1 << 63:
        raise ValueError(f"{products.shape[-1]} products up to {largest} and an initial value up to {start} "
                         "could leave int64: expected partial sums below 2^63")
    return products, initial


def _extremes(partial, initial) -> tuple[int, int]:
    every = [x for x in (partial, initial) if x.size]
    return min((int(x.min()) for x in every), default=0), max((int(x.max()) for x in every), default=0)


def _bits(low: int, high: int) -> int:
    return max((~low if low < 0 else low).bit_length(), (~high if high < 0 else high).bit_length()) + 1
