"""Rounding a real u to an integer: ten named modes, and stochastic rounding.

Every mode returns floor(u) or floor(u) + 1, and integers stay. With f = floor(u) and h = the sign of u - (f + 1/2):
  half_even  up if h > 0, or h = 0 and f is odd         floor  never up
  half_away  up if h > 0, or h = 0 and f >= 0 (u > 0)   ceil   up
  half_up    up if h >= 0                               trunc  up if f < 0 (u < 0)
  half_down  up if h > 0                                away   up if f >= 0 (u > 0)
  half_zero  up if h > 0, or h = 0 and f < 0 (u < 0)    odd    up if f is even

A right shift of v by s rounds u = v / 2^s. Stochastic rounding with the n-bit number r: floor(u + r / 2^n).
"""
from fractions import Fraction

from .steps import require_word, show, silent

__all__ = ["chance_flag", "round_fraction", "round_shift", "round_with_flags", "rounding_flags", "stochastic_fraction",
           "stochastic_shift"]

INEXACT, TIE, BY_CHANCE = 1, 2, 32

# f: the floor of the real; h: positive above halfway, 0 on a tie. Asked only for reals that are no integers.
GOES_UP = {
    "half_even": lambda f, h: h > 0 or (h == 0 and f % 2 == 1),
    "half_away": lambda f, h: h > 0 or (h == 0 and f >= 0),
    "half_up": lambda f, h: h >= 0,
    "half_down": lambda f, h: h > 0,
    "half_zero": lambda f, h: h > 0 or (h == 0 and f < 0),
    "floor": lambda f, h: False,
    "ceil": lambda f, h: True,
    "trunc": lambda f, h: f < 0,
    "away": lambda f, h: f >= 0,
    "odd": lambda f, h: f % 2 == 0,
}


def round_fraction(value, rounding, *, note=silent):
    """One real rounded to an integer, by one of the ten modes.

    value : one Fraction or int.
    rounding : the mode's name.
    note : told each step as a line of text.

    Raises ValueError for an unknown rounding; "stochastic" is `stochastic_fraction`.

    Source: IEEE 754-2019, section 4.3 (half_even, half_away, floor, ceil, trunc); ap_fixed (half_up, half_down,
    half_zero); RISC-V vxrm's rod (odd); APyTypes' TO_AWAY (away).
    """
    result, remainder = _round_quotient(value.numerator, value.denominator, rounding)
    if note is not silent:
        note(f"{show(value)}, {rounding}: {_describe(remainder, value.denominator)} -> {result}")
    return result


def round_shift(value, shift, rounding, *, note=silent):
    """The integer value / 2^shift, one number, rounded by one of the ten modes.

    value : one int of any size.
    shift : 0 ... 63.
    rounding : the mode's name.
    note : told each step as a line of text.

    Raises ValueError for an unknown rounding and for another shift.

    Source: as `round_fraction`; half_up is TOSA's and XNNPACK's shift, half_away gemmlowp's RoundingDivideByPOT.
    """
    _require_shift(shift)
    result, remainder = _round_quotient(value, 1 << shift, rounding)
    if note is not silent:
        note(f"/ 2^{shift}, {rounding}: {_describe(remainder, 1 << shift)} -> {result}")
    return result


def _round_quotient(value, divisor, rounding):
    """(rounded, remainder) of the integers value / divisor, 0 <= remainder < divisor."""
    require_word(rounding, GOES_UP, "rounding")
    floor, remainder = divmod(value, divisor)
    if remainder and GOES_UP[rounding](floor, 2 * remainder - divisor):
        return floor + 1, remainder
    return floor, remainder


def _describe(remainder, divisor):
    if remainder == 0:
        return "exact"
    return "exact tie" if 2 * remainder == divisor else f"remainder {remainder} of {divisor}"


def stochastic_fraction(value, rbits, n, *, note=silent):
    """floor(value + rbits / 2^n), one int.

    value : one Fraction or int.
    rbits, n : one n-bit number, 0 ... 2^n - 1, and n, 1 ... 63.
    note : told each step as a line of text.

    Raises ValueError unless ``rbits`` is an n-bit number and n is 1 ... 63; None is neither.

    Source: refquant's own form of stochastic rounding: the random bits are given, so that the result can be repeated.
    """
    _require_random(rbits, n)
    total = value + Fraction(rbits, 1 << n)
    result = total.numerator // total.denominator
    if note is not silent:
        note(f"{show(value)} + random {rbits} / 2^{n}, floor -> {result}")
    return result


def stochastic_shift(value, shift, rbits, n, *, note=silent):
    """floor(value / 2^shift + rbits / 2^n), one int, in integers.

    value : one int of any size.
    shift : 0 ... 63.
    rbits, n : one n-bit number, 0 ... 2^n - 1, and n, 1 ... 63.
    note : told each step as a line of text.

    The most significant random bit stands just below the binary point; random bits below the last bit of ``value`` can
    never carry into it and are dropped.

    Raises ValueError for another shift, unless ``rbits`` is an n-bit number, and for another n.

    Source: refquant's own: (value + rbits) >> shift where n = shift, aligned at the binary point for every other n.
    """
    _require_shift(shift)
    _require_random(rbits, n)
    aligned = rbits << shift - n if n < shift else rbits >> n - shift
    result = (value + aligned) >> shift
    note(f"+ random {rbits} of 2^{n}, aligned {aligned}, / 2^{shift}, floor -> {result}")
    return result


def rounding_flags(value, *, note=silent):
    """Flags of one real that enters a rounding: 1 if it is no integer, 2 more if it is halfway between two.

    value : one Fraction.
    note : told each step as a line of text.

    Raises nothing of its own.

    Source: refquant's own flags, INEXACT and TIE of refquant.integers.flags.
    """
    flags = INEXACT * (value.denominator != 1) + TIE * (value.denominator == 2)
    note(f"{'inexact' if flags else 'exact'}{', a tie' if flags & TIE else ''}")
    return flags


def round_with_flags(value, rounding, rbits=None, n=None, *, note=silent):
    """(rounded, flags) of one real; flags as `rounding_flags`, and 32 as `chance_flag`.

    value : one Fraction.
    rounding : one of the ten modes, or "stochastic".
    rbits, n : of "stochastic", as in `stochastic_fraction`.
    note : told each step as a line of text.

    Raises ValueError for an unknown rounding, and with "stochastic" as `stochastic_fraction`.

    Source: as `round_fraction` and `rounding_flags`.
    """
    if rounding != "stochastic":
        return round_fraction(value, rounding, note=note), rounding_flags(value)
    rounded = stochastic_fraction(value, rbits, n, note=note)
    return rounded, rounding_flags(value) | chance_flag(value, rounded)


def chance_flag(value, rounded):
    """32 if the stochastic result of one real differs from its floor, else 0.

    value, rounded : one Fraction, and the int that it became.

    Raises nothing of its own.

    Source: refquant's own flag, ROUNDED_UP_BY_CHANCE of refquant.integers.flags.
    """
    return BY_CHANCE * (rounded != value.numerator // value.denominator)


def _require_shift(shift):
    if not 0 <= shift <= 63:
        raise ValueError(f"shift {shift} outside 0 ... 63")


def _require_random(rbits, n):
    if n is None or not 1 <= n <= 63:
        raise ValueError(f"number of random bits {n} outside 1 ... 63")
    if rbits is None or not 0 <= rbits < 1 << n:
        raise ValueError(f"random bits {rbits} are no {n}-bit number")
