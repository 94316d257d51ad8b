"""In-hindsight's 8-bit step: activations and gradients are quantized by ranges kept from the steps before.

weights      symmetric(W, 8 bits)
activation   r = max(acc, 0), by the range y_range in 2^-16
gradients    g, stochastic, by the range g_range in 2^-40, for both
back         g = dx where 0 < acc <= limit, else 0;  limit = floor(high * 2^-16 / acc scale), high of y_range

A tensor v by a range in 2^-F:
  seen = half_even(v's least and greatest * ratio(scale * 2^F));   range = the state, or seen where that is (0, 0)
  low = min(range_min, 0), high = max(range_max, 0), size = high - low, or 1 where that is 0
  zero_point = half_away(-low * 255 / size)
  code = saturate(round(v * ratio(255 * scale * 2^F / size)) + zero_point, u8)                scale size * 2^-F / 255
  the state moves towards seen by momentum 58982 / 2^16; where there was none it becomes seen
"""
from fractions import Fraction

from .. import hindsight
from ..scaling import divide, ratio, scaled
from . import copies
from .descent import ONE
from .nested import at, flat, mapped, shape_of
from .record import Quantity

Y_FRACTION, G_FRACTION = 16, 40
MOMENTUM = 58982
BITS, TOP = 8, 255


def weights(step, layer):
    return copies.symmetric(step, f"{layer}_w_codes", Quantity(step.state[f"{layer}_w"], Fraction(1, ONE)), BITS)


def activation(step, layer, acc):
    positive = mapped(lambda number: max(number, 0), acc.numbers)
    return _by_range(step, f"{layer}_y", Quantity(positive, acc.scale), Y_FRACTION)


def gradients(step, layer, g):
    codes = _by_range(step, f"{layer}_g", g, G_FRACTION, step.rbits[f"{layer}_g"])
    return codes, codes


def weight_gradient(step, layer, dw):
    return dw


def activation_gradient(step, layer, acc, y, dx):
    high = max(step.tensors[f"{layer}_y_range"][1], 0)
    limit = Fraction(high, 1 << Y_FRACTION) / acc.scale // 1

    def g(index, note):
        number, passed = at(acc.numbers, index), at(dx.numbers, index)
        note(f"acc {number}, passed in 1 ... {limit}: {passed}")
        return passed if 0 < number <= limit else 0

    return step.quantity(f"{layer}_g", shape_of(acc.numbers), g, dx.scale)


def _by_range(step, name, v, fraction, rbits=None):
    """Record the codes of the Quantity v by the range `<name>_range`, all about that range, and return them."""
    state, numbers = step.state[f"{name}_range"], flat(v.numbers)

    def ends(note):
        by, shift = ratio(v.scale * 2**fraction)
        return [scaled(end, by, shift, "half_even", note=note) for end in (min(numbers), max(numbers))]

    seen = step.whole(f"{name}_seen", (2,), ends)
    none_yet = state == [0, 0]

    def kept(note):
        note(f"no range yet: {seen} as seen" if none_yet else f"kept from the steps before: {state}")
        return seen if none_yet else state

    used = step.whole(f"{name}_range", (2,), kept)
    low, high = min(used[0], 0), max(used[1], 0)
    size = high - low or 1
    multiplier, shift = ratio(TOP * v.scale * 2**fraction / size)
    told = f"range [{low}, {high}] in 2^-{fraction}, size {size}: {multiplier} / 2^{shift}"
    step.ratio(f"{name}_codes", multiplier, shift)
    zero_point, = step.whole(f"{name}_codes_zero_point", (1,),
                             lambda note: [divide(-low * TOP, size, "half_away", note=note)])

    def code(index, note):
        note(told)
        number = at(v.numbers, index)
        if rbits is None:
            return hindsight.code(number, multiplier, shift, zero_point, BITS, "half_even", note=note)[0]
        return hindsight.code(number, multiplier, shift, zero_point, BITS, "stochastic", at(rbits, index),
                              copies.RANDOM_BITS, note=note)[0]

    def after(note):
        note(f"range {used}, seen {seen}")
        return seen if none_yet else list(hindsight.updated(state, seen, MOMENTUM, 0, note=note))

    codes = step.quantity(f"{name}_codes", shape_of(v.numbers), code, Fraction(size, TOP << fraction))
    step.whole(f"{name}_range_after", (2,), after)
    return Quantity(codes.numbers, codes.scale, zero_point)
