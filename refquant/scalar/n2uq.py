"""N2UQ on accumulators and its weights, one element at a time (Liu et al. 2022, arXiv 2111.14826).

K = 2^bits - 1 thresholds; bounds d_0 < ... < d_K with lengths L_k = d_k - d_{k-1}, all in the accumulator's unit.
A number d is reached where d <= acc ("at_or_above", the paper) or d < acc ("above", the authors' code).

code    = number of thresholds reached
segment = number of bounds reached: k = 1 ... K inside, 0 below and K + 1 above all of them
dx      = saturate(round(g multiplier_k / 2^shift_k), dx_format) in segment k, multiplier_k 2^-shift_k ~ 2^F / L_k
P_k     = sum of g in segment k,   M_k = sum of g (acc - d_{k-1}) in segment k
da_k    = round(-2^F (M_k / L_k^2 + sum over j > k of P_j / L_j))
dstart  = round(-2^F sum of P_j / L_j)
dscale1 = round( 2^F sum of (M_j + d_{j-1} P_j) / L_j)                      these three half_even, rounded once
dscale2 = sum of g code

The first three are 2^F times the derivatives of sum g E(c acc) by L_k, by d_0 and, at c = 1, by c, where
E(acc) = sum over i of clip((acc - d_{i-1}) / L_i, 0, 1). In the paper's unit z = b1 acc_scale acc they come as
dL/da_k = b2 Delta g_scale / (b1 acc_scale 2^F) da_k, dstart alike, and dL/db1 = b2 Delta g_scale / (b1 2^F) dscale1.

Weights, per filter of N numbers, M = sum |w|:
code    = 2 min(max(round((w 2^(bits-1) N + K M) / (2 M)), 0), K) - K       all zeros: 2 round(K / 2) - K
scale   = 1 / K ("paper"), M / (N 2^(bits-1)) in units of w ("authors")     all zeros: 1 / K
"""
from fractions import Fraction
from itertools import pairwise

from .formats import parse, saturate
from .rounding import round_fraction
from .scaling import divide, ratio, scaled
from .steps import note_some, require_word, silent

__all__ = ["code", "input_gradient", "magnitude", "output_scale_gradient", "parameter_gradients", "segment", "sums",
           "weight_codes", "weight_scale"]


def code(acc, thresholds, reached, *, note=silent):
    """How many of the thresholds one accumulator reaches: a code 0 ... K.

    acc : one int.
    thresholds : one row of K ints.
    reached : "at_or_above" or "above".
    note : told each step as a line of text.

    Raises ValueError for another word of ``reached``.

    Source: Liu 2022, eq. 2, "at_or_above"; the authors' code, "above".
    """
    count = _reached(acc, thresholds, reached)
    if note is not silent:
        note(f"acc {acc} reaches {count} of the thresholds {thresholds} ({reached})")
    return count


def segment(acc, bounds, reached, *, note=silent):
    """How many of the bounds one accumulator reaches: its segment 1 ... K, or 0 (below) or K + 1 (above) outside all.

    acc : one int.
    bounds : one row of K + 1 ints.
    reached : "at_or_above" or "above".
    note : told each step as a line of text.

    Raises ValueError for another word of ``reached``.

    Source: Liu 2022, Theorem 1 (G-STE): the segments [d_{i-1}, d_i); "above" is the authors' code.
    """
    count = _reached(acc, bounds, reached)
    inside = 0 < count < len(bounds)
    place = f"segment {count}, {bounds[count - 1]} ... {bounds[count]}" if inside else "no segment"
    note(f"acc {acc} lies in {place} ({reached})")
    return count


def input_gradient(g, acc, bounds, multipliers, shifts, *, reached, dx_format, rounding, note=silent):
    """dx of one element, an int in dx_format; 0 outside all segments.

    g, acc : one int each.
    bounds : one row of K + 1 ints.
    multipliers, shifts : one row of K ints each, for 2^F / L_k; shifts 0 ... 255.
    reached : "at_or_above" or "above".
    dx_format : a name such as s8.
    rounding : one of the ten modes.
    note : told each step as a line of text.

    Raises ValueError for another word of ``reached``, and inside a segment for a shift outside 0 ... 255, an unknown
    rounding and an unknown format.

    Source: Liu 2022, Theorem 1 (G-STE): the derivative of E by the input, 1 / a_i inside segment i.
    """
    k = segment(acc, bounds, reached, note=note)
    if not 0 < k < len(bounds):
        return 0
    rounded = scaled(g, multipliers[k - 1], shifts[k - 1], rounding, note=note)
    return saturate(rounded, *parse(dx_format), note=note)


def sums(gs, accs, bounds, reached, *, note=silent):
    """(P, M): for each segment the sum of g, and of g times the distance from its lower bound; two rows of K ints.

    gs, accs : one row of N ints each: gradients of the output, and accumulators.
    bounds : one row of K + 1 rising ints.
    reached : "at_or_above" or "above".
    note : told each step as a line of text.

    Raises ValueError if the two N differ, unless the bounds rise, and for another word of ``reached``.

    Source: derived from Liu 2022, Theorem 1: what the gradients of `parameter_gradients` have in common.
    """
    lengths = _lengths(bounds)
    totals, moments = [0] * len(lengths), [0] * len(lengths)
    for g, acc in zip(gs, accs, strict=True):
        k = segment(acc, bounds, reached)
        if 0 < k < len(bounds):
            totals[k - 1] += g
            moments[k - 1] += g * (acc - bounds[k - 1])
    note_some(len(totals), lambda k: f"segment {k + 1}, from {bounds[k]}: sum of g {totals[k]}, moment {moments[k]}",
              note)
    return totals, moments


def parameter_gradients(sums, moments, bounds, fraction_bits, *, note=silent):
    """(da [K], dstart, dscale1): 2^F times the derivatives of sum g E by the lengths, by d_0 and by the input's scale.

    sums, moments : one row of K ints each, P and M.
    bounds : one row of K + 1 rising ints.
    fraction_bits : F, 0 or more.
    note : told each step as a line of text.

    Raises ValueError unless the bounds rise and all lengths agree.

    Source: derived from Liu 2022, Theorem 1 (G-STE); rounding each once, half_even, is refquant's own.
    """
    unit, lengths = Fraction(1 << fraction_bits), _lengths(bounds)
    slopes = [p / Fraction(length) for p, length in zip(sums, lengths, strict=True)]
    own = [m / Fraction(length) ** 2 for m, length in zip(moments, lengths, strict=True)]
    da = [-unit * (own[k] + sum(slopes[k + 1:])) for k in range(len(lengths))]
    dstart = -unit * sum(slopes)
    dscale1 = unit * sum((m + d * p) / Fraction(length)
                         for m, p, d, length in zip(moments, sums, bounds[:-1], lengths, strict=True))
    note(f"P / L: {', '.join(map(str, slopes))};  M / L^2: {', '.join(map(str, own))};  unit 2^{fraction_bits}")
    note("interval gradients, starting from the first:")
    rounded = [round_fraction(value, "half_even", note=note) for value in da]
    note("start's gradient, then the input scale's:")
    return (rounded, round_fraction(dstart, "half_even", note=note), round_fraction(dscale1, "half_even", note=note))


def output_scale_gradient(gs, accs, thresholds, reached, *, note=silent):
    """dscale2, one int: the sum of g code, which is exact.

    gs, accs : one row of N ints each: gradients of the output, and accumulators.
    thresholds : one row of K ints.
    reached : "at_or_above" or "above".
    note : told each step as a line of text.

    Raises ValueError if the two N differ, and for another word of ``reached``.

    Source: derived from Liu 2022: the derivative of b2 Delta q by b2, of the codes themselves.
    """
    codes = [code(acc, thresholds, reached) for acc in accs]
    total = sum(g * level for g, level in zip(gs, codes, strict=True))
    note_some(len(gs), lambda i: f"acc {accs[i]}: g {gs[i]} x code {codes[i]}", note)
    note(f"sum of {len(gs)} products: {total}")
    return total


def magnitude(filter_flat, *, note=silent):
    """M, one int: the sum of |w| of one filter.

    filter_flat : one row of N weights, ints.
    note : told each step as a line of text.

    Raises nothing of its own.

    Source: Liu 2022, section 3.2.3: ||W||_1.
    """
    total = sum(abs(w) for w in filter_flat)
    note(f"sum of |w| over {len(filter_flat)} weights: {total}")
    return total


def weight_codes(filter_flat, bits, rounding, *, note=silent):
    """The codes of one filter: a row of N ints of bits + 1 signed bits, odd, -K ... K.

    filter_flat : one row of N weights, ints.
    bits : n of K = 2^n - 1.
    rounding : one of the ten modes.
    note : told each step as a line of text.

    Raises ValueError for an unknown rounding.

    Source: Liu 2022, section 3.2.3 and appendix A: F_Q(W'), W' = W / sf, sf = K mean|W| / 2^(n-1). For a filter of
    zeros refquant's own: the code of 0.
    """
    total, top, count = magnitude(filter_flat, note=note), (1 << bits) - 1, len(filter_flat)

    def index(w):
        if total == 0:
            return divide(top, 2, rounding)
        return min(max(divide((w * count << bits - 1) + top * total, 2 * total, rounding), 0), top)

    codes = [2 * index(w) - top for w in filter_flat]
    note_some(count, lambda i: f"weight {filter_flat[i]}: code {codes[i]}", note)
    return codes


def weight_scale(filter_flat, bits, variant, *, note=silent):
    """(multiplier, shift) of the scale of one filter's codes, two ints.

    filter_flat : one row of N weights, ints.
    bits : n of K = 2^n - 1.
    variant : "paper" or "authors".
    note : told each step as a line of text.

    Raises ValueError for another ``variant``, and for weights so large that the shift would fall below 1.

    Source: Liu 2022, appendix A: 1 / K; the authors' code multiplies back by sf.
    """
    require_word(variant, ("paper", "authors"), "variant")
    total = magnitude(filter_flat)
    if variant == "paper" or total == 0:
        return ratio(Fraction(1, (1 << bits) - 1), note=note)
    return ratio(Fraction(total, len(filter_flat) << bits - 1), note=note)


def _reached(acc, numbers, reached):
    require_word(reached, ("at_or_above", "above"), "reached")
    return sum(number <= acc if reached == "at_or_above" else number < acc for number in numbers)


def _lengths(bounds):
    lengths = [high - low for low, high in pairwise(bounds)]
    if not lengths or min(lengths) <= 0:
        raise ValueError(f"bounds {bounds} do not rise")
    return lengths
