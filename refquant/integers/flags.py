"""What can be said of one output element, as bits of a mask, uint8.

INEXACT and TIE speak of the value that enters the last rounding: that it is not an integer, that it lies exactly
halfway between two. SATURATED_* speak of the code before it was saturated (or wrapped).

    INEXACT                 1   it is not an integer
    TIE                     2   it lies exactly halfway between two
    SATURATED_LOW           4   it is below qmin
    SATURATED_HIGH          8   it is above qmax
    ACCUMULATOR_OVERFLOW   16   the accumulator overflowed, as its policy defines it
    ROUNDED_UP_BY_CHANCE   32   random bits made it the integer above, not the one below

`names` says which bits a mask has.
"""
from __future__ import annotations

import numpy as np

from refquant.integers.formats import IntFormat
from refquant.integers.rounding import split

__all__ = [
    "ACCUMULATOR_OVERFLOW", "INEXACT", "NAMES", "ROUNDED_UP_BY_CHANCE", "SATURATED_HIGH", "SATURATED_LOW", "TIE",
    "names", "of_chance", "of_codes", "of_real", "of_shift",
]

INEXACT, TIE, SATURATED_LOW, SATURATED_HIGH, ACCUMULATOR_OVERFLOW, ROUNDED_UP_BY_CHANCE = (1 << i for i in range(6))
"""One bit of a mask; what it says stands above. Source: refquant's own, to tell why implementations differ."""
NAMES = {INEXACT: "inexact", TIE: "tie", SATURATED_LOW: "saturated low", SATURATED_HIGH: "saturated high",
         ACCUMULATOR_OVERFLOW: "accumulator overflow", ROUNDED_UP_BY_CHANCE: "rounded up by chance"}
"""Each bit's name in words. Source: refquant's own, for reports."""


def names(mask: int) -> list[str]:
    """The names of the bits set in ``mask`` (one number), as in `NAMES`.

    Raises nothing of its own; bits that have no name are passed over.

    Source: refquant's own, for reports.
    """
    return [name for bit, name in NAMES.items() if mask & bit]


def flag(condition: np.ndarray, bit: int) -> np.ndarray:
    """uint8: ``bit`` where ``condition`` holds, else 0."""
    return np.multiply(condition, np.uint8(bit))


def of_real(x: np.ndarray) -> np.ndarray:
    """INEXACT and TIE of reals ``x`` (any shape), uint8 of its shape; infinities and NaN are neither.

    Raises nothing of its own.

    Source: refquant's own; INEXACT is IEEE 754's exception of that name, here for rounding to integers.
    """
    with np.errstate(invalid="ignore"):
        fraction = np.abs(x - np.trunc(x))
        return flag(fraction > 0, INEXACT) | flag(fraction == 0.5, TIE)


def of_shift(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """INEXACT and TIE of ``values / 2^shift``, uint8 of their common shape (any).

    values : integers within int64.
    shift : 0..63, one number or any shape that broadcasts.

    Raises ValueError for a shift or a value out of range, TypeError for floats.

    Source: refquant's own, as `of_real`.
    """
    _, _, remainder, half = split(values, shift)
    return flag(remainder != 0, INEXACT) | flag((remainder == half) & (half != 0), TIE)


def of_codes(codes: np.ndarray, format: IntFormat, overflow: str) -> np.ndarray:
    """SATURATED_LOW and SATURATED_HIGH of codes that are yet to be saturated, or wrapped, into ``format``.

    codes : integers, any shape.
    overflow : "saturate" or "wrap": a narrow format wraps like its full one.

    Returns uint8 of codes' shape.

    Raises nothing of its own.

    Source: refquant's own, to tell a code at an end of the format from one that was sent there.
    """
    if overflow == "wrap":  # a narrow format wraps like its full one
        format = IntFormat(format.bits, format.signed)
    return flag(codes < format.qmin, SATURATED_LOW) | flag(codes > format.qmax, SATURATED_HIGH)


def of_chance(rounded: np.ndarray, floor: np.ndarray, rounding) -> np.ndarray:
    """ROUNDED_UP_BY_CHANCE where a stochastic ``rounding`` left the floor, uint8.

    rounded, floor : what came out and the integer below what went in, one shape (any).
    rounding : what was used; any mode but "stochastic" gives 0.

    Raises nothing of its own.

    Source: refquant's own, to show where other random bits could give another code.
    """
    return flag((rounded != floor) & (rounding.name == "stochastic"), ROUNDED_UP_BY_CHANCE)
