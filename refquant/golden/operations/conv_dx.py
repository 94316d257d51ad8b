"""conv.dx: a convolution's input gradient, from g [B, O, OH, OW] and w [O, C/groups, KH, KW] to dx [B, C, H, W]."""
from __future__ import annotations

from refquant.gemm import conv_input_gradient
from refquant.golden import schema
from refquant.golden.families import conv_mutants, product_mutants, products
from refquant.golden.families.conv_stimuli import GEOMETRY, conv_stimuli, geometry, keywords
from refquant.golden.families.conv_terms import dx_terms
from refquant.golden.families.corners import FLAVOURS, ROUNDINGS
from refquant.scalar import convolution as scalar

SIZE = {"type": "array", "items": schema.integer(1, 2**20), "minItems": 2, "maxItems": 2}


def accumulate(attrs, inputs):
    return conv_input_gradient(inputs["in_g"], inputs["in_w"], tuple(attrs["size"]), geometry(attrs),
                               g_zero_point=attrs["g_zero_point"], w_zero_point=attrs["w_zero_point"],
                               accumulator=products.accumulator(attrs))


def accumulate_element(attrs, inputs, index, note):
    return scalar.conv_dx(inputs["in_g"], inputs["in_w"], index, height=attrs["size"][0], width=attrs["size"][1],
                          **keywords(attrs), zero_point_g=attrs["g_zero_point"], zero_point_w=attrs["w_zero_point"],
                          bits=attrs["accumulator_bits"], overflow=attrs["accumulator_overflow"], note=note)


MUTANTS = (
    *conv_mutants.GEOMETRY_MUTANTS, *conv_mutants.KERNEL_MUTANTS,
    conv_mutants.kernel_rotated("kernel_not_rotated", "the kernel is not rotated for the input gradient"),
    conv_mutants.groups_interleaved("in_g"),
    *product_mutants.end_dropped("g", 1, "channel"),
    product_mutants.second_tile("outputs", 16, g=1, w=0), product_mutants.second_tile("channels", 16, w=1),
)

OPERATION = products.operation(
    "conv.dx", "a convolution's input gradient, requantized",
    products.Product(("g", "w"), accumulate, accumulate_element, channel_axis=1, terms=dx_terms,
                     attributes=GEOMETRY | {"size": SIZE}, terms_of=("w", (0, 2, 3))),
    conv_stimuli("dx", accumulate, 1, FLAVOURS, ROUNDINGS), MUTANTS, FLAVOURS, ROUNDINGS)
