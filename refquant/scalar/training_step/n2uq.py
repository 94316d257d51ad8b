"""N2UQ's step: conv2's weights and all activations in 3 bits, the activations by intervals that are learned.

weights      symmetric(W, 8 bits); conv2: `n2uq`'s, "paper", scale 1 / 7
activation   d_0 = start, d_i = d_{i-1} + a_i, T_i = d_{i-1} + a_i / 2, in 2^-12;  u = scale1 * 2^-12 * acc scale
             thresholds = ceil(T_i * 2^-12 / u);  bounds = half_even(d_i * 2^-12 / u), each raised to 1 above the last
             y = the number of thresholds at or below acc, scale scale2 * 2^-12
gradients    symmetric(g, 16 bits), for both
W's          dw; conv2: per filter of N weights, M = sum |W|: 0 where |W| 4 N > 7 M, else half_even(dw 4 N 2^12 / (7 M))
             (a filter of zeros: dw 2^12)
back         `n2uq`'s backward with F = 12: g at dx scale * y scale * 2^-12 / acc scale
learned      a, scale1, scale2, positive, and start, s32 in 2^-12. With one = dx scale * y scale * 2^-12, gradients of a
             and start are at one / u, of scale1 at one / (scale1 * 2^-12), of scale2 at dx scale
"""
from fractions import Fraction
from itertools import accumulate, pairwise
from math import ceil

from .. import n2uq
from ..formats import saturate
from ..rounding import round_fraction
from ..scaling import divide, ratio
from ..steps import show, silent
from . import copies
from .descent import LEAST, ONE, learned, positive
from .nested import at, flat, position, shape_of
from .record import Quantity, once

NARROW = "conv2"  # the layer with weights in 3 bits
BITS, TOP = 3, 7
FRACTION = 12
REACHED = "at_or_above"


def weights(step, layer):
    w, name = step.state[f"{layer}_w"], f"{layer}_w_codes"
    if layer != NARROW:
        return copies.symmetric(step, name, Quantity(w, Fraction(1, ONE)), 8)
    shape = shape_of(w)
    of_filter = once(lambda output, note: n2uq.weight_codes(flat(w[output]), BITS, "half_even", note=note))
    return step.quantity(name, shape, lambda index, note: of_filter(index[0], note)[position(index[1:], shape[1:])],
                         Fraction(1, TOP))


def activation(step, layer, acc):
    unit = _unit(step, layer, acc)
    starts = _starts(step, layer)
    middles = [Fraction(low + high, 2) for low, high in pairwise(starts)]

    def thresholds(note):
        note(f"ceilings of {', '.join(show(middle / ONE) for middle in middles)} over {show(unit)}")
        return [saturate(ceil(middle / ONE / unit), 32, True) for middle in middles]

    def bounds(note):
        note(f"{', '.join(show(Fraction(d, ONE)) for d in starts)} over {show(unit)}, half_even, rising")
        rounded = [saturate(round_fraction(d / ONE / unit, "half_even"), 32, True) for d in map(Fraction, starts)]
        return list(accumulate(rounded, lambda last, bound: max(bound, last + 1)))

    row = step.whole(f"{layer}_thresholds", (TOP,), thresholds)
    step.whole(f"{layer}_bounds", (TOP + 1,), bounds)
    return step.quantity(
        f"{layer}_y_codes", shape_of(acc.numbers),
        lambda index, note: n2uq.code(at(acc.numbers, index), row, REACHED, note=note),
        Fraction(positive(step, f"{layer}_scale2")[0], ONE))


def gradients(step, layer, g):
    wide = copies.wide(step, layer, g)
    return wide, wide


def weight_gradient(step, layer, dw):
    if layer != NARROW:
        return dw
    w = step.state[f"{layer}_w"]
    filters = [flat(one) for one in w]
    magnitudes = [n2uq.magnitude(one) for one in filters]

    def gradient(index, note):
        number, passed = at(w, index), at(dw.numbers, index)
        total, count = TOP * magnitudes[index[0]], (1 << BITS - 1) * len(filters[index[0]])
        note(f"weight {number}, of its filter 4 N = {count}, 7 M = {total}; dw {passed}")
        if total == 0:
            return passed * ONE
        return 0 if abs(number) * count > total else divide(passed * count * ONE, total, note=note)

    return step.quantity(f"{layer}_w_gradient", shape_of(w), gradient, dw.scale)


def activation_gradient(step, layer, acc, y, dx):
    unit, (scale1,) = _unit(step, layer, acc), positive(step, f"{layer}_scale1")
    thresholds, bounds = step.tensors[f"{layer}_thresholds"], step.tensors[f"{layer}_bounds"]
    gs, accs = flat(dx.numbers), flat(acc.numbers)
    constants = [ratio(Fraction(1 << FRACTION, high - low)) for low, high in pairwise(bounds)]
    multipliers, shifts = zip(*constants, strict=True)
    totals, moments = n2uq.sums(gs, accs, bounds, REACHED)
    one = dx.scale * y.scale / (1 << FRACTION)

    def parameters(note):
        if note is not silent:
            n2uq.sums(gs, accs, bounds, REACHED, note=note)
        return n2uq.parameter_gradients(totals, moments, bounds, FRACTION, note=note)

    for name, gradients, scale, least in (
            ("a", lambda note: parameters(note)[0], one / unit, LEAST),
            ("start", lambda note: [parameters(note)[1]], one / unit, None),
            ("scale1", lambda note: [parameters(note)[2]], one * ONE / scale1, LEAST),
            ("scale2", lambda note: [n2uq.output_scale_gradient(gs, accs, thresholds, REACHED, note=note)], dx.scale,
             LEAST)):
        learned(step, f"{layer}_{name}", gradients, scale, least=least)

    def g(index, note):
        return n2uq.input_gradient(at(dx.numbers, index), at(acc.numbers, index), bounds, multipliers, shifts,
                                   reached=REACHED, dx_format="s32", rounding="half_even", note=note)

    return step.quantity(f"{layer}_g", shape_of(acc.numbers), g, one / acc.scale)


def _unit(step, layer, acc):
    """u, what one of the accumulators is worth to the intervals."""
    return Fraction(positive(step, f"{layer}_scale1")[0], ONE) * acc.scale


def _starts(step, layer):
    """d_0 ... d_7."""
    return list(accumulate(positive(step, f"{layer}_a"), initial=step.state[f"{layer}_start"][0]))
