"""The quantizers' passes over large tensors, compiled: each element is read once and gives its code, or its gradient.

    u = ((x - start) / divisor + before) * times + after          five operations, each rounded on its own
    u <- min(max(u, low), high)                                   NaN counted, and out of harm's way of the integers
    half_even     code = rint(u) + plus
    stochastic    code = floor((floor(2^n u) + r) / 2^n) + plus   r: n random bits

The bounds are integers, so no rounding leaves them. In the stochastic one everything is exact: u is below 2^31, n at
most 16, and powers of two only scale. It is floor(u + r / 2^n) for a u cut to n bits beyond the point, which is what
`refquant.integers.Stochastic` computes from the fraction alone.

Codes are written as the unsigned integers of their bits, so that a format's sign needs no machine code of its own.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from refquant.compiling import compiled
from refquant.integers import IntFormat, PhiloxRounding, Stochastic, philox_bits
from refquant.integers.rounding import half_even

if TYPE_CHECKING:
    from refquant.quantizers.grid import Units

MOST_BITS, MOST_RANDOM_BITS = 16, 16  # of a code, and of its rounding


def codes(x: np.ndarray, units: Units, format: IntFormat, rounding: Any, plus: int) -> np.ndarray | None:
    """The codes of `refquant.quantizers.grid.on_grid`; None where they are not for these loops, or an error is due."""
    low, high = format.qmin - plus, format.qmax - plus
    if format.bits > MOST_BITS or max(-low, high) >= 1 << 31 or units.divisor == 0:
        return None
    out = np.empty(x.shape, format.dtype)
    how = (units.start, units.divisor, units.before, units.times, units.after, low, high, plus)
    arguments = (flat(x), *(float(number) for number in how), unsigned(out))
    if rounding is half_even:
        nans = _half_even(*arguments)
    elif isinstance(rounding, PhiloxRounding | Stochastic) and rounding.n <= MOST_RANDOM_BITS:
        nans = _stochastic(*arguments, _random_bits(rounding, x.shape), 2.0**rounding.n)
    else:
        return None
    return None if nans else out


def passed(g: np.ndarray, x: np.ndarray, low: float, high: float) -> np.ndarray:
    """``g`` where ``x`` is within [low, high], else 0."""
    out = np.empty(x.shape)
    _passed(flat(g), flat(x), float(low), float(high), out.reshape(-1))
    return out


def flat(x: np.ndarray) -> np.ndarray:
    """``x`` as contiguous float64 in one dimension."""
    return np.ascontiguousarray(x, np.float64).reshape(-1)


def unsigned(codes: np.ndarray) -> np.ndarray:
    """The bits of contiguous ``codes`` in one dimension, as unsigned integers of their size."""
    return codes.reshape(-1).view(f"u{codes.itemsize}")


def _random_bits(rounding: PhiloxRounding | Stochastic, shape: tuple[int, ...]) -> np.ndarray:
    bits = (rounding.rbits if isinstance(rounding, Stochastic)
            else philox_bits(rounding.n, shape, rounding.seed, rounding.tensor, rounding.step))
    return np.ascontiguousarray(np.broadcast_to(bits, shape), np.uint16).reshape(-1)


@compiled
def _half_even(x, start, divisor, before, times, after, low, high, plus, codes):
    nans = 0
    for i in range(x.size):
        u = ((x[i] - start) / divisor + before) * times + after
        nans += u != u
        u = u if u > low else low
        u = u if u < high else high
        codes[i] = np.int32(np.rint(u) + plus)
    return nans


@compiled
def _stochastic(x, start, divisor, before, times, after, low, high, plus, codes, bits, patterns):
    nans, chance = 0, 1 / patterns
    for i in range(x.size):
        u = ((x[i] - start) / divisor + before) * times + after
        nans += u != u
        u = u if u > low else low
        u = u if u < high else high
        drawn = np.float64(np.int32(bits[i]))  # by way of 32 bits, which processors convert side by side
        codes[i] = np.int32(np.floor((np.floor(u * patterns) + drawn) * chance) + plus)
    return nans


@compiled
def _passed(g, x, low, high, out):
    for i in range(x.size):
        out[i] = g[i] if (x[i] >= low) & (x[i] <= high) else 0.0
