"""Copies of a tensor v in few bits, by its own range.

symmetric   H = max |v|, or 1 where that is 0;  qmax = 2^(bits-1) - 1
            code = saturate(half_even(v * ratio(qmax / H)), -qmax ... qmax)                 scale of v * H / qmax
affine      low = min(v, 0), high = max(v, 0), size = high - low, or 1 where that is 0
            zero_point = half_away(-low * 255 / size)
            code = saturate(round(v * ratio(255 / size)) + zero_point, 0 ... 255)           scale of v * size / 255
round is half_even, or stochastic where there are random bits.
"""
from fractions import Fraction

from ..formats import saturate
from ..scaling import divide, ratio, scaled
from .nested import at, flat, shape_of
from .record import Quantity

WIDE_BITS, RANDOM_BITS = 16, 16
TOP = 255


def symmetric(step, name, v, bits):
    """Record the codes of the Quantity v and their scale, and return both."""
    highest, qmax = max(map(abs, flat(v.numbers))) or 1, (1 << bits - 1) - 1
    multiplier, shift = ratio(Fraction(qmax, highest))
    told = f"largest magnitude {highest}, code {qmax}: {multiplier} / 2^{shift}"
    step.told(f"{name}_highest", [highest], told)
    step.ratio(name, multiplier, shift)

    def code(index, note):
        note(told)
        return saturate(scaled(at(v.numbers, index), multiplier, shift, "half_even", note=note), bits, True, True,
                        note=note)

    return step.quantity(name, shape_of(v.numbers), code, v.scale * highest / qmax)


def wide(step, layer, g):
    """The 16-bit copy of a layer's gradient, `<layer>_g_wide`."""
    return symmetric(step, f"{layer}_g_wide", g, WIDE_BITS)


def affine(step, name, v, rbits=None):
    """Record the 8-bit codes of the Quantity v, their zero point and their scale, and return them."""
    numbers = flat(v.numbers)
    low, high = min(0, *numbers), max(0, *numbers)
    size = high - low or 1
    multiplier, shift = ratio(Fraction(TOP, size))
    told = f"range [{low}, {high}], size {size}: {multiplier} / 2^{shift}"
    step.told(f"{name}_range", [low, high], told)
    step.ratio(name, multiplier, shift)
    zero_point, = step.whole(f"{name}_zero_point", (1,),
                             lambda note: [divide(-low * TOP, size, "half_away", note=note)])

    def code(index, note):
        note(told)
        centered = rounded(at(v.numbers, index), multiplier, shift, rbits, index, note)
        note(f"+ zero point {zero_point} = {centered + zero_point}")
        return saturate(centered + zero_point, 8, False, note=note)

    codes = step.quantity(name, shape_of(v.numbers), code, v.scale * size / TOP)
    return Quantity(codes.numbers, codes.scale, zero_point)


def rounded(number, multiplier, shift, rbits, index, note):
    """number * multiplier / 2^shift, rounded by the random bits at index, or half_even where there are none."""
    if rbits is None:
        return scaled(number, multiplier, shift, "half_even", note=note)
    return scaled(number, multiplier, shift, "stochastic", at(rbits, index), RANDOM_BITS, note=note)
