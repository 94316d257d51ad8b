"""PACT and CG-PACT on an accumulator, one element at a time (Jin, Yang, Liao 2019, arXiv 1912.10207).

y = alpha q(clip(x, 0, alpha) / alpha),  q(u) = round(a u) / a,  a = 2^bits - 1,  x = acc_scale * acc.
With multiplier * 2^-shift ~ a acc_scale / alpha and alpha_acc the least acc of acc_scale * acc >= alpha:

code   = saturate(round(acc * multiplier / 2^shift), u<bits>)
slope  = 1 between, where 0 < acc < alpha_acc; 0 elsewhere                  dx = slope * g
error  = code * 2^F - round(acc * multiplier / 2^(shift - F)) between; 0 elsewhere
dalpha = sum at acc >= alpha_acc of g * a * 2^F + (calibrated) sum between of g * error

The error is q(u) - u and dalpha the gradient, both times a * 2^F; F = fraction_bits, at most shift.
"""
from .formats import into_format, saturate
from .rounding import rounding_flags
from .scaling import exact_scaled, scaled
from .steps import note_some, silent

__all__ = ["alpha_gradient", "code", "slope_and_error"]


def code(acc, multiplier, shift, bits, rounding, *, note=silent):
    """(code, flags) of one accumulator: round(acc * multiplier / 2^shift) in u<bits>.

    acc : one int.
    multiplier, shift : one int each, for a acc_scale / alpha; shift 0 ... 255.
    bits : of the code, 2 ... 64.
    rounding : one of the ten modes.
    note : told each step as a line of text.

    Flags: 1 inexact, 2 a tie (both of acc * multiplier / 2^shift), 4 below 0, 8 above the top code.

    Raises ValueError for bits or a shift outside these, and for an unknown rounding.

    Source: Jin 2019, alpha q_k(x~ / alpha), the scale alpha / a left out; the integers are refquant's own.
    """
    rounded = scaled(acc, multiplier, shift, rounding, note=note)
    level, flags = into_format(rounded, bits, False, False, "saturate", note=note)
    return level, flags | rounding_flags(exact_scaled(acc, multiplier, shift), note=note)


def slope_and_error(acc, alpha_acc, multiplier, shift, *, bits, fraction_bits, rounding, note=silent):
    """(slope, error) of one accumulator, two ints: dx is slope * g, and the error is q(u) - u times a 2^F.

    acc, alpha_acc : one int each; alpha_acc is the least accumulator that is clipped.
    multiplier, shift, bits, rounding : as in `code`.
    fraction_bits : F, 0 ... shift.
    note : told each step as a line of text.

    Raises ValueError for another ``fraction_bits``, and between 0 and alpha_acc as `code`.

    Source: Jin 2019, CG-PACT: the straight-through derivatives of alpha q_k(clip(x, 0, alpha) / alpha).
    """
    if not 0 <= fraction_bits <= shift:
        raise ValueError(f"fraction_bits {fraction_bits} outside 0 ... {shift}, the shift")
    if not 0 < acc < alpha_acc:
        note(f"acc {acc} is not between 0 and {alpha_acc}: slope 0, error 0")
        return 0, 0
    level = saturate(scaled(acc, multiplier, shift, rounding, note=note), bits, False, note=note)
    fine = scaled(acc, multiplier, shift - fraction_bits, rounding, note=note)
    error = (level << fraction_bits) - fine
    note(f"acc {acc} lies between 0 and {alpha_acc}: slope 1, error {level} x 2^{fraction_bits} - {fine} = {error}")
    return 1, error


def alpha_gradient(gs, accs, alpha_acc, multiplier, shift, *, bits, fraction_bits, calibrated, rounding, note=silent):
    """dalpha, one int: the gradient of alpha times a 2^F, summed over all elements.

    gs, accs : one row of N ints each: gradients of the output, and accumulators.
    alpha_acc, multiplier, shift, bits, fraction_bits, rounding : as in `slope_and_error`.
    calibrated : whether the elements between 0 and alpha count (CG-PACT) or only those above (PACT).
    note : told each step as a line of text.

    Raises ValueError if the two N differ, and where some acc below alpha_acc is calibrated as `slope_and_error`.

    Source: Jin 2019: the derivative of the sum of g y by alpha, without an average or a factor.
    """
    one = (1 << bits) - 1 << fraction_bits

    def weight(acc):
        if acc >= alpha_acc:
            return one
        if not calibrated:
            return 0
        return slope_and_error(acc, alpha_acc, multiplier, shift, bits=bits, fraction_bits=fraction_bits,
                               rounding=rounding)[1]

    weights = [weight(acc) for acc in accs]
    total = sum(g * by for g, by in zip(gs, weights, strict=True))
    note_some(len(gs), lambda i: f"acc {accs[i]}: g {gs[i]} x {weights[i]} = {gs[i] * weights[i]}", note)
    note(f"sum over {len(gs)} elements: {total}")
    return total
