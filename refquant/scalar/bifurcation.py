"""The two copies of an output gradient (Banner, Hubara, Hoffer, Soudry 2018, arXiv 1805.11046, section 4).

g_input  = saturate(floor(g * multiplier / 2^shift + rbits / 2^n), s<bits>)     few bits, for the input gradient
g_weight = saturate(round(g * multiplier / 2^shift), s16)                       for the weight gradient

Each copy has its own multiplier and shift. The products of a layer are then those of `product` or `convolution`:
dx from g_input in an accumulator of 32 bits, dw from g_weight in one of 48, both wrapping.
"""
from .formats import saturate
from .scaling import scaled
from .steps import silent

__all__ = ["input_copy", "weight_copy"]

WEIGHT_BITS = 16


def input_copy(g, multiplier, shift, rbits, n, bits, *, note=silent):
    """The code, one int of ``bits`` signed bits, of one gradient that the input gradient sees.

    g, multiplier, shift : one int each, shift 0 ... 255; multiplier * 2^-shift is g's scale over the copy's.
    rbits, n : the random number, 0 ... 2^n - 1, and n, 1 ... 63.
    bits : 2 ... 64; the paper has 8.
    note : told each step as a line of text.

    Raises ValueError for a shift, bits or n outside these, and for random bits that do not fit.

    Source: Banner 2018, section 4: the copy for g_{l-1} is rounded stochastically. The paper's is GEMMLOWP's, affine;
    symmetric is refquant's own, for products without zero points.
    """
    return saturate(scaled(g, multiplier, shift, "stochastic", rbits, n, note=note), bits, True, note=note)


def weight_copy(g, multiplier, shift, rounding, *, note=silent):
    """The code, one int of 16 signed bits, of one gradient that the weight gradient sees.

    g, multiplier, shift : one int each, shift 0 ... 255; multiplier * 2^-shift is g's scale over the copy's.
    rounding : one of the ten modes.
    note : told each step as a line of text.

    Raises ValueError for a shift outside 0 ... 255, and for an unknown rounding.

    Source: Banner 2018, abstract: 16 bits (its section 4 says float, and so does the authors' code).
    """
    return saturate(scaled(g, multiplier, shift, rounding, note=note), WEIGHT_BITS, True, note=note)
