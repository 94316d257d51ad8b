"""Stochastic rounding as a pure function of a value and its random bits.

    result = floor(u + r / 2^n)        r: n random bits, uniform on [0, 2^n)

On an integer v shifted right by s, r's most significant bit stands just below the binary point:

    result = (v + r * 2^(s-n)) >> s    for n <= s

The result is floor(u) or floor(u) + 1, and over all 2^n patterns the results sum to floor(u * 2^n): to u * 2^n
exactly, so that the rounding is unbiased, whenever u has no bits beyond the n that r reaches.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers.formats import as_integers
from refquant.integers.randombits import check_count, philox_bits
from refquant.integers.rounding import as_reals, split


@dataclass(frozen=True, eq=False)
class Stochastic:
    """Rounding by random bits, like a `Rounding`: reals ``x`` to ``floor(x + rbits / 2^n)``, integers by `shift`.

    rbits : unsigned integers below 2^n, of any shape that broadcasts against what is rounded.
    n : how many random bits, 1..63.

    Raises ValueError for n outside 1..63, or rbits outside 0..2^n - 1; TypeError for rbits that are not integers.

    Source: Gupta 2015 (the expectation is the value), as Banner 2018, sec. 4, asks for gradients. That the bits are an
    argument, and floor(u + r / 2^n), is refquant's own.
    """

    rbits: np.ndarray
    n: int
    name = "stochastic"

    def __post_init__(self):
        check_count(self.n)
        array = as_integers(self.rbits, "rbits")
        if array.size and not 0 <= int(array.min()) <= int(array.max()) < 1 << self.n:
            raise ValueError(f"rbits holds values from {int(array.min())} to {int(array.max())}: "
                             f"expected 0 to 2^{self.n} - 1")
        object.__setattr__(self, "rbits", array.astype(np.int64))

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """``floor(x + rbits / 2^n)`` of the exact sum, in x's float dtype; infinities and NaN stay.

        x : reals, any shape.

        Raises TypeError like `Rounding`, ValueError for a shape that rbits does not fit.
        """
        x = as_reals(x)
        with np.errstate(invalid="ignore"):
            whole = np.trunc(x)
            fraction = np.where(np.isfinite(x), x - whole, 0).astype(np.float64)
        units = np.floor(np.ldexp(fraction, self.n)).astype(np.int64)  # of 2^-n, in [-2^n, 2^n)
        half_sum = (units >> 1) + (self.rbits >> 1) + (units & self.rbits & 1)  # of units + rbits, which may not fit
        return whole + (half_sum >> (self.n - 1)).astype(x.dtype)

    def shift(self, values: ArrayLike, shift: ArrayLike, plus: ArrayLike = 0) -> np.ndarray:
        """``plus + values / 2^shift`` rounded by the random bits, int64; all of them broadcast.

        values, shift, plus : integers, as for `Rounding.shift`, whose errors these are.
        """
        values, amount, remainder, _ = split(values, shift)
        rbits, s, n = self.rbits.astype(np.uint64), amount.astype(np.uint64), np.uint64(self.n)
        # a short r moves up to the binary point; of a long one the top s bits matter
        aligned = np.where(s >= n, rbits << (np.maximum(s, n) - n), rbits >> (n - np.minimum(s, n)))
        return (values >> amount) + plus + ((remainder + aligned) >> s).astype(np.int64)


@dataclass(frozen=True)
class PhiloxRounding:
    """`Stochastic` with bits of its own for whatever shape it rounds: those that Philox gives for (seed, tensor, step).

    So a tensor's rounding does not depend on what was rounded before it, nor on threads. It rounds reals of any shape;
    integers are not shifted by it.

    seed, tensor, step : whose bits, as in `philox_bits`.
    n : how many random bits an element, 1..63.

    Raises ValueError for a number out of range, when it is called.

    Source: Salmon et al. 2011 (`philox_bits`) and `Stochastic`.
    """

    seed: int
    tensor: int
    step: int
    n: int = 16
    name = "stochastic"

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """``x`` (reals, any shape) rounded to whole numbers, in x's float dtype."""
        return Stochastic(philox_bits(self.n, np.shape(x), self.seed, self.tensor, self.step), self.n)(x)
