"""conv.dw: a convolution's weight gradient, from x [B, C, H, W] and g [B, O, OH, OW] to dw [O, C/groups, KH, KW]."""
from __future__ import annotations

from refquant.gemm import conv_weight_gradient
from refquant.golden import schema
from refquant.golden.families import conv_mutants, product_mutants, products
from refquant.golden.families.conv_stimuli import GEOMETRY, conv_stimuli, geometry, keywords
from refquant.golden.families.conv_terms import dw_terms
from refquant.golden.families.corners import FLAVOURS, ROUNDINGS
from refquant.golden.mutants import output
from refquant.scalar import convolution as scalar

SIZE = {"type": "array", "items": schema.integer(1, 2**20), "minItems": 2, "maxItems": 2}


def accumulate(attrs, inputs):
    return conv_weight_gradient(inputs["in_x"], inputs["in_g"], tuple(attrs["kernel"]), geometry(attrs),
                                x_zero_point=attrs["x_zero_point"], g_zero_point=attrs["g_zero_point"],
                                accumulator=products.accumulator(attrs))


def accumulate_element(attrs, inputs, index, note):
    return scalar.conv_dw(inputs["in_x"], inputs["in_g"], index, **keywords(attrs), zero_point_x=attrs["x_zero_point"],
                          zero_point_g=attrs["g_zero_point"], bits=attrs["accumulator_bits"],
                          overflow=attrs["accumulator_overflow"], note=note)


MUTANTS = (
    *conv_mutants.GEOMETRY_MUTANTS, conv_mutants.PADDING_MUTANT, conv_mutants.groups_interleaved("in_x"),
    output("kernel_rotated", "the gradient comes out rotated",
           lambda attrs, inputs, results: {name: array[:, :, ::-1, ::-1] for name, array in results.items()}),
    *product_mutants.end_dropped("g", 0, "image"),
    conv_mutants.first_image_only("g"),
    product_mutants.second_tile("outputs", 16, g=1), product_mutants.second_tile("channels", 16, x=1),
)

OPERATION = products.operation(
    "conv.dw", "a convolution's weight gradient, requantized",
    products.Product(("x", "g"), accumulate, accumulate_element, channel_axis=0, terms=dw_terms,
                     attributes=GEOMETRY | {"kernel": SIZE}, terms_of=("g", (0, 2, 3))),
    conv_stimuli("dw", accumulate, 0, FLAVOURS, ROUNDINGS), MUTANTS, FLAVOURS, ROUNDINGS)
