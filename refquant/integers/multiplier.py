"""(multiplier, shift) from a real scale, exactly: no float rounding on the way.

    scale = f * 2^e, 1/2 <= f < 1;   multiplier = half_away(f * 2^bits),   shift = bits - e

so that scale is nearly multiplier * 2^-shift, with ``bits`` significant bits: 31 for TOSA and TFLite
(QuantizeMultiplier), 24 for rndnu, whose multiplier is a float32's mantissa. A multiplier that rounds up to 2^bits is
halved and the shift lowered by one. A shift above 62 is held at 62, where the multiplier keeps fewer bits.
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers.requantize import SHIFT_MAX


def multiplier_from_scale(scale: ArrayLike | Fraction, bits: int = 31):
    """``(multiplier, shift)`` with scale = multiplier * 2^-shift, nearly: two ints for one scale, or int64 arrays [N].

    scale : a positive finite number, a Fraction, or an array [N] of them.
    bits : of the multiplier, 2 to 31.

    The shift is 1..62. Of a scale below 2^(bits-63) the multiplier keeps fewer bits, and below 2^-63 none: it is 0.

    Raises ValueError for bits outside 2..31, or a scale that is not positive and finite, or so large that the shift
    would be below 1.

    Source: TFLite, QuantizeMultiplier (31 bits; its own shift is 31 minus this one); XNNPACK's rndnu (24 bits).
    """
    if not 2 <= bits <= 31:
        raise ValueError(f"bits = {bits!r}: expected 2 to 31")
    if isinstance(scale, Fraction) or np.ndim(scale) == 0:
        return _one(scale, bits)
    pairs = [_one(s, bits) for s in np.asarray(scale).tolist()]
    multipliers, shifts = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(multipliers, np.int64), np.array(shifts, np.int64)


def _one(scale, bits: int) -> tuple[int, int]:
    try:
        exact = Fraction(scale) if isinstance(scale, Fraction | int) else Fraction(float(scale))
    except (OverflowError, TypeError, ValueError):
        exact = Fraction(0)
    if exact <= 0:
        raise ValueError(f"scale = {scale!r}: expected a positive finite number")
    # 2^e is the smallest power of two above the scale
    e = exact.numerator.bit_length() - exact.denominator.bit_length()
    e += exact >= Fraction(2) ** e
    multiplier, shift = _half_away(exact * Fraction(2) ** (bits - e)), bits - e
    if multiplier == 1 << bits:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift > SHIFT_MAX:
        multiplier, shift = _half_away(exact * 2**SHIFT_MAX), SHIFT_MAX
    if shift < 1:
        raise ValueError(f"scale = {scale!r}: its shift is {shift}: expected a scale below 2^{bits - 1}")
    return multiplier, shift


def _half_away(positive: Fraction) -> int:
    return (2 * positive.numerator + positive.denominator) // (2 * positive.denominator)
