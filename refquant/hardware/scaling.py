"""Scales in integers: a number becomes another by one multiplication, one shift and one named rounding.

    scaled(v, multiplier, shift)    round(v * multiplier / 2^shift)     the product exact
    divide(a, b)                    round(a / b)

A scale is a (multiplier, shift) pair, multiplier * 2^-shift with 31 significant bits. One that multiplies tensors comes
from `refquant.integers.multiplier_from_scale`, whose shift a shifter can hold (1..62); one that only takes part in
the computation of others, as the scale of a gradient does, from `rounded_scale`, whose shift is a byte (0..255).
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from refquant.hardware import checks
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.rounding import Rounding, check_shift, half_even, named
from refquant.integers.stochastic import Stochastic

__all__ = ["divide", "rounded_scale", "scale_value", "scaled"]

BITS = 31  # significant bits of a scale
MOST_SHIFT = 255
S64 = IntFormat(64)
Scale = tuple[int, int]


def scaled(v: ArrayLike, multiplier: ArrayLike, shift: ArrayLike,
           rounding: str | Rounding | Stochastic = half_even) -> np.ndarray:
    """``v * multiplier / 2^shift`` rounded once to integers: int64. The product is exact, however wide.

    v, multiplier, shift : integers, any shapes that broadcast; shift 0..63.
    rounding : a mode, its name, or `Stochastic`, whose random bits broadcast too.

    Raises OverflowError where the result leaves int64, ValueError for other shapes, another shift and an unknown
    rounding, TypeError for what is not integers.

    Source: refquant's own; with half_up it is what TOSA's RESCALE does with SINGLE_ROUND.
    """
    random = {"rbits": rounding.rbits} if isinstance(rounding, Stochastic) else {}
    checks.broadcast(v=v, multiplier=multiplier, shift=shift, **random)
    v, multiplier = np.broadcast_arrays(as_int64(v, "v"), as_int64(multiplier, "multiplier"))
    if _largest(v) * _largest(multiplier) < 1 << 63:
        return named(rounding).shift(v * multiplier, shift)
    product = np.multiply(v, multiplier, dtype=object)
    shift = check_shift(shift)
    below = np.asarray(np.right_shift(product, shift, dtype=object))
    remainder = product - np.left_shift(below, shift, dtype=object)
    if S64.contains(below):
        floor = below.astype(np.int64)
        with np.errstate(over="ignore"):
            result = named(rounding).shift(np.asarray(remainder, np.int64), shift, plus=floor)
        if (result >= floor).all():  # 2^63 would be -2^63
            return result
    raise OverflowError(f"v * multiplier / 2^shift reaches from {below.min()} to {below.max()}: expected int64")


def _largest(values: np.ndarray) -> int:
    return max(-int(values.min(initial=0)), int(values.max(initial=0)))


def divide(a: ArrayLike, b: ArrayLike, rounding: str | Rounding = half_even) -> np.ndarray:
    """``a / b`` rounded once to integers: int64.

    a, b : integers, any shapes that broadcast; b 1 to 2^62 - 1.  rounding : a mode or its name.

    Raises ValueError for other shapes, another b and an unknown rounding, TypeError for what is not integers.

    Source: refquant's own.
    """
    checks.broadcast(a=a, b=b)
    a, b = np.broadcast_arrays(as_int64(a, "a"), as_int64(b, "b"))
    if b.size and not 0 < int(b.min()) <= int(b.max()) < 1 << 62:
        raise ValueError(f"b holds values from {int(b.min())} to {int(b.max())}: expected 1 to 2^62 - 1")
    below, remainder = np.divmod(a, b)
    up = named(rounding).goes_up(2 * remainder < b, 2 * remainder == b, below < 0, (below & 1) != 0)
    return below + ((remainder != 0) & up)


def rounded_scale(scale: Fraction) -> Scale:
    """``(multiplier, shift)`` of ``scale``, one number: 2^30 <= multiplier < 2^31, rounded half away; shift 0..255.

    Raises ValueError for what is no positive Fraction or integer, and for one whose shift would be another.

    Source: refquant's own, for scales that only take part in others.
    """
    if not isinstance(scale, Fraction | int) or scale <= 0:
        raise ValueError(f"scale = {scale!s}: expected a positive number, a Fraction")
    shift = BITS + scale.denominator.bit_length() - scale.numerator.bit_length()
    while True:  # at most three times: the lengths give the exponent but for one
        doubled = 2 * scale * Fraction(2) ** shift
        multiplier = (doubled.numerator + doubled.denominator) // (2 * doubled.denominator)
        if multiplier >= 1 << BITS:
            shift -= 1
        elif multiplier < 1 << (BITS - 1):
            shift += 1
        else:
            break
    if not 0 <= shift <= MOST_SHIFT:
        raise ValueError(f"scale = {scale}: its shift is {shift}: expected 0 to {MOST_SHIFT}")
    return multiplier, shift


def scale_value(scale: Scale) -> Fraction:
    """The one number that ``scale``, a (multiplier, shift) pair, stands for, a Fraction: multiplier * 2^-shift exactly.

    Raises nothing of its own.

    Source: refquant's own.
    """
    return scale[0] / Fraction(2) ** scale[1]
