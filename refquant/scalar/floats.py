"""Correctly rounded binary32 and binary64 arithmetic, from integers (IEEE 754-2019, roundTiesToEven).

With p significand bits (24 | 53) and the smallest subnormal 2^lowest (2^-149 | 2^-1074), the floats around a real v,
2^e <= |v| < 2^(e+1), are the multiples of unit = 2^max(e - p + 1, lowest): v / unit is rounded half to even.
A result of 2^128 | 2^1024 or more is an infinity, as if the exponent had no upper bound.

Finite numbers are Fractions, infinities are floats. There is one zero, without a sign, and no NaN.
"""
import math
from fractions import Fraction

from .rounding import round_fraction
from .steps import show, silent

__all__ = ["add", "divide", "exact", "exponent", "is_infinite", "multiply", "nearest_float", "require_float"]

BINARY = {32: (24, -149, 128), 64: (53, -1074, 1024)}  # significand bits, lowest exponent, overflow exponent


def exact(value):
    """The Fraction that one number is; infinities stay floats.

    value : one float, int or Fraction.

    Raises ValueError for NaN.

    Source: IEEE 754-2019, section 3.3: every finite float is a sum of powers of two.
    """
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("NaN has no value")
        if math.isinf(value):
            return value
    return Fraction(value)


def is_infinite(value):
    """Whether one number that `exact` or an operation of this module returned is an infinity: whether it is a float.

    value : one Fraction, or an infinite float.

    Raises nothing of its own.

    Source: refquant's own: finite numbers are Fractions here.
    """
    return isinstance(value, float)


def nearest_float(value, precision, *, note=silent):
    """The float nearest to one number, ties to even: a Fraction, or an infinite float on overflow.

    value : one float, int or Fraction; infinities stay.
    precision : 32 or 64.
    note : told each step as a line of text.

    Raises ValueError for NaN and for another precision.

    Source: IEEE 754-2019, section 4.3.1, roundTiesToEven, with gradual underflow.
    """
    if precision not in BINARY:
        raise ValueError(f"unknown precision {precision!r}: one of 32, 64")
    significand, lowest, overflow = BINARY[precision]
    value = exact(value)
    if is_infinite(value) or value == 0:
        return value
    unit = max(exponent(value) - significand + 1, lowest)
    multiple = round_fraction(_scaled(value, -unit), "half_even")
    if multiple.bit_length() + unit > overflow:
        result = math.inf if value > 0 else -math.inf
    else:
        result = _scaled(Fraction(multiple), unit)
    if note is not silent:
        note(f"binary{precision} nearest to {show(value)}: {show(result)}")
    return result


def require_float(value, precision, what):
    """`exact` of one number that is a float of ``precision`` already.

    value : one float, int or Fraction.
    precision : 32 or 64.
    what : what the error calls the number.

    Raises ValueError where no float of ``precision`` is equal to it, for NaN, and for another precision.

    Source: IEEE 754-2019, section 3.3.
    """
    value = exact(value)
    if nearest_float(value, precision) != value:
        raise ValueError(f"{what} {show(value)} is no binary{precision} number")
    return value


def divide(x, y, precision, *, note=silent):
    """fl(x / y), one number: the exact quotient, rounded once.

    x, y : one float, int or Fraction each; infinities too.
    precision : 32 or 64.
    note : told each step as a line of text.

    Raises ZeroDivisionError for y = 0, whatever x, as there is no sign of zero; ValueError for infinity / infinity, for
    NaN and for another precision.

    Source: IEEE 754-2019, section 5.4.1, division, without signed zeros, NaN and exceptions.
    """
    x, y = exact(x), exact(y)
    if y == 0:
        raise ZeroDivisionError(f"{show(x)} / 0")
    if is_infinite(x) and is_infinite(y):
        raise ValueError("infinity / infinity is not a number")
    if is_infinite(x):
        quotient = x * _sign(y)
    else:
        quotient = Fraction(0) if is_infinite(y) else x / y
    return _told(x, "/", y, quotient, precision, note)


def multiply(x, y, precision, *, note=silent):
    """fl(x * y), one number: the exact product, rounded once.

    x, y : one float, int or Fraction each; infinities too.
    precision : 32 or 64.
    note : told each step as a line of text.

    Raises ValueError for 0 * infinity, for NaN and for another precision.

    Source: IEEE 754-2019, section 5.4.1, multiplication, without signed zeros and NaN.
    """
    x, y = exact(x), exact(y)
    if not is_infinite(x) and not is_infinite(y):
        return _told(x, "x", y, x * y, precision, note)
    if x == 0 or y == 0:
        raise ValueError("0 * infinity is not a number")
    return _told(x, "x", y, _sign(x) * _sign(y) * math.inf, precision, note)


def add(x, y, precision, *, note=silent):
    """fl(x + y), one number: the exact sum, rounded once.

    x, y : one float, int or Fraction each; infinities too.
    precision : 32 or 64.
    note : told each step as a line of text.

    Raises ValueError for infinity - infinity, for NaN and for another precision.

    Source: IEEE 754-2019, section 5.4.1, addition, without signed zeros and NaN.
    """
    x, y = exact(x), exact(y)
    if is_infinite(x) and y == -x:
        raise ValueError("infinity - infinity is not a number")
    total = x if is_infinite(x) else y if is_infinite(y) else x + y
    return _told(x, "+", y, total, precision, note)


def _told(x, sign, y, exact_result, precision, note):
    result = nearest_float(exact_result, precision)
    if note is not silent:
        note(f"{show(x)} {sign} {show(y)} in binary{precision} = {show(result)}")
    return result


def exponent(value):
    """e with 2^e <= |value| < 2^(e+1).

    value : one Fraction or int other than 0, which has no exponent and is not refused.

    Raises nothing of its own.

    Source: IEEE 754-2019, section 5.3.3, logB.
    """
    numerator, denominator = abs(value.numerator), value.denominator
    e = numerator.bit_length() - denominator.bit_length()
    below = (numerator << max(-e, 0)) < (denominator << max(e, 0))
    return e - below


def _scaled(value, e):
    """value * 2^e."""
    return Fraction(value.numerator << max(e, 0), value.denominator << max(-e, 0))


def _sign(value):
    return (value > 0) - (value < 0)
