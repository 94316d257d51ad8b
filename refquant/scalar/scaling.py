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

MOST_SHIFT = 255  # what an unsigned byte holds


def scaled(v, multiplier, shift, rounding, rbits=None, n=None, *, note=silent):
    """The integer v * multiplier / 2^shift rounded; rounding "stochastic" takes the n-bit number rbits.

    ValueError for a shift outside 0 ... 255, an unknown rounding, and random bits that do not fit.
    """
    real = exact_scaled(v, multiplier, shift, note=note)
    if rounding == "stochastic":
        return stochastic_fraction(real, rbits, n, note=note)
    return round_fraction(real, rounding, note=note)


def exact_scaled(v, multiplier, shift, *, note=silent):
    """The Fraction v * multiplier / 2^shift, which `scaled` rounds. ValueError for a shift outside 0 ... 255."""
    _require_shift(shift)
    note(f"{v} x {multiplier} = {v * multiplier}, / 2^{shift}")
    return Fraction(v * multiplier, 1 << shift)


def divide(a, b, rounding="half_even", *, note=silent):
    """The integers a / b rounded once. ValueError unless b > 0, and for an unknown rounding."""
    if b <= 0:
        raise ValueError(f"divisor {b} is not positive")
    note(f"{a} / {b}")
    return round_fraction(Fraction(a, b), rounding, note=note)


def ratio(fraction, *, note=silent):
    """(multiplier, shift) of a positive Fraction, with 31 significant bits down to 2^-32 and fewer below: shift <= 62.

    ValueError for one that is not positive, or so large (2^30 and more) that the shift would fall below 1.
    """
    return multiplier_from_scale(fraction, note=note)


def rounded_scale(fraction, *, note=silent):
    """(multiplier, shift) of a positive Fraction, always with 31 significant bits.

    ValueError for one that is not positive, and where the shift would leave 0 ... 255.
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
