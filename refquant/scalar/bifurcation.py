"""The two copies of an output gradient (Banner, Hubara, Hoffer, Soudry 2018, arXiv 1805.11046, section 4).

g_input  = saturate(floor(g * multiplier / 2^shift + rbits / 2^n), s<bits>)     few bits, for the input gradient
g_weight = saturate(round(g * multiplier / 2^shift), s16)                       for the weight gradient

Each copy has its own multiplier and shift. The products of a layer are then those of `product` or `convolution`:
dx from g_input in an accumulator of 32 bits, dw from g_weight in one of 48, both wrapping.
"""
from .formats import saturate
from .scaling import scaled
from .steps import silent

WEIGHT_BITS = 16


def input_copy(g, multiplier, shift, rbits, n, bits, *, note=silent):
    """The code of `bits` signed bits that the input gradient sees, rounded by the n-bit number rbits."""
    return saturate(scaled(g, multiplier, shift, "stochastic", rbits, n, note=note), bits, True, note=note)


def weight_copy(g, multiplier, shift, rounding, *, note=silent):
    """The code of 16 signed bits that the weight gradient sees."""
    return saturate(scaled(g, multiplier, shift, rounding, note=note), WEIGHT_BITS, True, note=note)
