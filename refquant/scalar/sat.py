"""SAT's weights from fixed-point master weights, one at a time (Jin, Yang, Liao 2019, arXiv 1912.10207).

table[j] = round(2^30 tanh(j 2^-f)), j = 0 ... 2^(b-1), for weights w of b bits, value w * 2^-f. With a = 2^bits - 1:

t     = sign(w) table[|w|],  T = max |t| over the tensor
code  = 2 round(a (t + T) / (2 T)) - a                                      value code / a, before the scale
scale = 1 / a                                                               rescale "none"
scale = sqrt(N (N - 1) / (outputs V)),  V = N sum code^2 - (sum code)^2     rescale "constant"
dw    = saturate(round(g (2^30 - floor(t^2 / 2^30)) / T), s32)              T constant, the scale left out

V / (N (N - 1) a^2) is the sample variance of the N values code / a: the constant scale is theirs, 1 / a, over
sqrt(outputs variance). It is taken downwards: multiplier = floor(scale 2^shift), 2^30 <= multiplier < 2^31.
"""
from fractions import Fraction
from math import isqrt

from . import floats
from .formats import saturate
from .scaling import divide, ratio
from .steps import require_word, show, silent

__all__ = ["code", "gradient", "highest", "scale", "variance"]

ONE_BITS = 30  # the table's 2^30 stands for 1


def highest(w_flat, table, *, note=silent):
    """T, one int: the largest |tanh| of a tensor, in units of 2^-30.

    w_flat : one row of N weights, ints.
    table : the tanh of each magnitude, a row of 2^(b-1) + 1 ints.
    note : told each step as a line of text.

    Raises ValueError where it is 0, as there is nothing to divide by, and for a weight that the table does not reach.

    Source: Jin 2019, DoReFa's T = max |tanh W|; the table is refquant's own, for the same bits everywhere.
    """
    largest = max((abs(_bent(w, table)) for w in w_flat), default=0)
    if largest == 0:
        raise ValueError("w is 0 everywhere: expected weights to divide by the largest of")
    note(f"the largest |tanh| of {len(w_flat)} weights: {largest}")
    return largest


def code(w, table, highest, bits, rounding, *, note=silent):
    """The code of one weight, an int of bits + 1 signed bits: odd, -a ... a.

    w : one int.
    table, highest : as the function `highest` takes and returns them.
    bits : k of a = 2^k - 1.
    rounding : one of the ten modes.
    note : told each step as a line of text.

    Raises ValueError for a weight that the table does not reach, a ``highest`` not above 0, and an unknown rounding.

    Source: Jin 2019: Q = 2 q_k((tanh W / T + 1) / 2) - 1, times a.
    """
    top = (1 << bits) - 1
    bent = _bent(w, table, note)
    index = divide(top * (bent + highest), 2 * highest, rounding, note=note)
    note(f"2 x index {index} - {top} = {2 * index - top}")
    return 2 * index - top


def variance(codes_flat, *, note=silent):
    """V, one int: N (N - 1) times the sample variance of the codes.

    codes_flat : one row of N ints.
    note : told each step as a line of text.

    Raises nothing of its own.

    Source: Jin 2019's VAR; the divisor N - 1 is the authors' code's (torch.std).
    """
    count, total, squares = len(codes_flat), sum(codes_flat), sum(code * code for code in codes_flat)
    result = count * squares - total * total
    note(f"{count} codes, sum {total}, sum of squares {squares}: {count} x {squares} - {total}^2 = {result}")
    return result


def scale(codes_flat, outputs, bits, rescale, *, note=silent):
    """(multiplier, shift) of the codes' scale, two ints; see above.

    codes_flat : one row of N ints.
    outputs : w.shape[0] times the kernel's places, an int above 0.
    bits : k of a = 2^k - 1.
    rescale : "none" or "constant".
    note : told each step as a line of text.

    Raises ValueError for another ``rescale``, and with "constant" where the codes are all equal, or only one.

    Source: Jin 2019: Q* = Q / sqrt(n_out VAR[Q]); n_out of a convolution is the authors' code's.
    """
    require_word(rescale, ("none", "constant"), "rescale")
    if rescale == "none":
        return ratio(Fraction(1, (1 << bits) - 1), note=note)
    spread, count = variance(codes_flat, note=note), len(codes_flat)
    if spread == 0:
        raise ValueError("the codes are all equal: expected a variance to divide by")
    squared = Fraction(count * (count - 1), outputs * spread)
    shift = ONE_BITS - floats.exponent(squared) // 2  # 4^30 <= squared * 4^shift < 4^31
    multiplier = isqrt(squared * Fraction(4) ** shift // 1)
    note(f"scale sqrt({show(squared)}) ~ {multiplier} / 2^{shift}, downwards")
    return multiplier, shift


def gradient(g, w, table, highest, rounding, *, note=silent):
    """dw of one weight, an int of 32 signed bits, in the unit of g.

    g : one int, the gradient of Q.
    w, table, highest : as in `code`.
    rounding : one of the ten modes.
    note : told each step as a line of text.

    Raises ValueError for a weight that the table does not reach, a ``highest`` not above 0, and an unknown rounding.

    Source: derived from Jin 2019: G sech^2(W) / T, the derivative of tanh W / T with T constant (the authors' code
    differentiates T too).
    """
    bent = _bent(w, table, note)
    slope = (1 << ONE_BITS) - (bent * bent >> ONE_BITS)
    note(f"slope 2^{ONE_BITS} - floor({bent}^2 / 2^{ONE_BITS}) = {slope}; g {g} x {slope} = {g * slope}")
    return saturate(divide(g * slope, highest, rounding, note=note), 32, True, note=note)


def _bent(w, table, note=silent):
    """tanh w from the table. ValueError for a weight that the table does not reach."""
    if abs(w) >= len(table):
        raise ValueError(f"w {w} outside the table's -{len(table) - 1} ... {len(table) - 1}")
    bent = table[abs(w)] if w >= 0 else -table[-w]
    note(f"tanh of weight {w} by the table: {bent}")
    return bent
