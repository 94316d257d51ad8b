"""Reals as multiplier * 2^-shift in integers, and the two roundings the five methods' integer forms are made of.

scaled(v, multiplier, shift) = round(v * multiplier / 2^shift)     one rounding of the exact product
divide(a, b)                 = round(a / b)                        one rounding of the exact quotient
ratio(q)                     : multiplier * 2^-shift ~ q, 31 significant bits, half_away; shift 1 ... 62
rounded_scale(q)             : the same, 2^30 <= multiplier < 2^31 for every q; shift 0 ... 255

round is one of the ten modes of `rounding`; scaled also takes "stochastic".
"""
from fractions import Fraction

from . import floats
from .requantize import multiplier_from_scale
from .rounding import round_fraction, stochastic_fraction
from .steps import show, silent

__all__ = ["divide", "exact_scaled", "ratio", "rounded_scale", "scaled"]

MOST_SHIFT = 255  # what an unsigned byte holds


def scaled(v, multiplier, shift, rounding, rbits=None, n=None, *, note=silent):
    """v * multiplier / 2^shift, one number, rounded once to an integer.

    v, multiplier : one int each, of any size.
    shift : 0 ... 255.
    rounding : one of the ten modes, or "stochastic" by the n-bit number ``rbits``.
    rbits, n : 0 ... 2^n - 1, and n, 1 ... 63.
    note : told each step as a line of text.

    Raises ValueError for a shift outside 0 ... 255, an unknown rounding, and random bits that do not fit.

    Source: chapters/hardware/training_steps.md, "Arithmetic"; with half_up, TOSA RESCALE's SINGLE_ROUND.
    """
    real = exact_scaled(v, multiplier, shift, note=note)
    if rounding == "stochastic":
        return stochastic_fraction(real, rbits, n, note=note)
    return round_fraction(real, rounding, note=note)


def exact_scaled(v, multiplier, shift, *, note=silent):
    """The Fraction v * multiplier / 2^shift, one number, which `scaled` rounds.

    v, multiplier : one int each, of any size.
    shift : 0 ... 255.
    note : told each step as a line of text.

    Raises ValueError for a shift outside 0 ... 255.

    Source: chapters/hardware/training_steps.md, "Arithmetic".
    """
    _require_shift(shift)
    note(f"{v} x {multiplier} = {v * multiplier}, / 2^{shift}")
    return Fraction(v * multiplier, 1 << shift)


def divide(a, b, rounding="half_even", *, note=silent):
    """The quotient a / b of two ints, rounded once to an integer.

    a, b : one int each, b above 0.
    rounding : one of the ten modes.
    note : told each step as a line of text.

    Raises ValueError unless b > 0, and for an unknown rounding.

    Source: chapters/hardware/training_steps.md, "Arithmetic".
    """
    if b <= 0:
        raise ValueError(f"divisor {b} is not positive")
    note(f"{a} / {b}")
    return round_fraction(Fraction(a, b), rounding, note=note)


def ratio(fraction, *, note=silent):
    """(multiplier, shift) of one positive number, two ints, with 31 significant bits down to 2^-32 and fewer below.

    fraction : one Fraction or int; below 2^-63 the multiplier becomes 0.
    note : told each step as a line of text.

    Raises ValueError for one that is not positive, or so large (2^30 and more) that the shift would fall below 1.

    Source: TFLite's QuantizeMultiplier, computed exactly, for shifts 1 ... 62: `multiplier_from_scale` of `requantize`.
    """
    return multiplier_from_scale(fraction, note=note)


def rounded_scale(fraction, *, note=silent):
    """(multiplier, shift) of one positive number, two ints, always with 31 significant bits: 2^30 <= multiplier < 2^31.

    fraction : one Fraction or int.
    note : told each step as a line of text.

    Raises ValueError for one that is not positive, and where the shift would leave 0 ... 255.

    Source: chapters/hardware/training_steps.md, "Arithmetic": the scales of tensors, whose shift one byte holds.
    """
    if fraction <= 0:
        raise ValueError(f"scale {fraction} is not positive")
    shift = 30 - floats.exponent(fraction)  # 2^30 <= fraction * 2^shift < 2^31
    multiplier = round_fraction(fraction * Fraction(2) ** shift, "half_away")
    if multiplier == 1 << 31:
        multiplier, shift = 1 << 30, shift - 1
    _require_shift(shift)
    note(f"scale {show(fraction)} ~ {multiplier} / 2^{shift}")
    return multiplier, shift


def _require_shift(shift):
    if not 0 <= shift <= MOST_SHIFT:
        raise ValueError(f"shift {shift} outside 0 ... {MOST_SHIFT}")
