"""What can be said of one output element, as bits of a mask.

INEXACT and TIE speak of the value that enters the last rounding: that it is not an integer, that it lies exactly
halfway between two. SATURATED_* speak of the code before it was saturated (or wrapped).
"""
from __future__ import annotations

import numpy as np

from refquant.integers.formats import IntFormat
from refquant.integers.rounding import split

INEXACT, TIE, SATURATED_LOW, SATURATED_HIGH, ACCUMULATOR_OVERFLOW, ROUNDED_UP_BY_CHANCE = (1 << i for i in range(6))
NAMES = {INEXACT: "inexact", TIE: "tie", SATURATED_LOW: "saturated low", SATURATED_HIGH: "saturated high",
         ACCUMULATOR_OVERFLOW: "accumulator overflow", ROUNDED_UP_BY_CHANCE: "rounded up by chance"}


def names(mask: int) -> list[str]:
    """The names of the bits set in ``mask``."""
    return [name for bit, name in NAMES.items() if mask & bit]


def flag(condition: np.ndarray, bit: int) -> np.ndarray:
    """uint8: ``bit`` where ``condition`` holds, else 0."""
    return np.multiply(condition, np.uint8(bit))


def of_real(x: np.ndarray) -> np.ndarray:
    """INEXACT and TIE of reals; infinities are neither."""
    with np.errstate(invalid="ignore"):
        fraction = np.abs(x - np.trunc(x))
        return flag(fraction > 0, INEXACT) | flag(fraction == 0.5, TIE)


def of_shift(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """INEXACT and TIE of ``values / 2^shift``."""
    _, _, remainder, half = split(values, shift)
    return flag(remainder != 0, INEXACT) | flag((remainder == half) & (half != 0), TIE)


def of_codes(codes: np.ndarray, format: IntFormat, overflow: str) -> np.ndarray:
    """SATURATED_LOW and SATURATED_HIGH of codes that are yet to be saturated, or wrapped, into ``format``."""
    if overflow == "wrap":  # a narrow format wraps like its full one
        format = IntFormat(format.bits, format.signed)
    return flag(codes < format.qmin, SATURATED_LOW) | flag(codes > format.qmax, SATURATED_HIGH)


def of_chance(rounded: np.ndarray, floor: np.ndarray, rounding) -> np.ndarray:
    """ROUNDED_UP_BY_CHANCE where a stochastic ``rounding`` left the floor."""
    return flag((rounded != floor) & (rounding.name == "stochastic"), ROUNDED_UP_BY_CHANCE)
