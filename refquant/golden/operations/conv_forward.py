"""conv.forward: y = requantize(x * w + bias), x [B, C, H, W], w [O, C/groups, KH, KW], bias [O], y [B, O, OH, OW]."""
from __future__ import annotations

from refquant.gemm import conv
from refquant.golden.families import conv_mutants, product_mutants, products
from refquant.golden.families.conv_stimuli import GEOMETRY, conv_stimuli, geometry, keywords
from refquant.golden.families.conv_terms import forward_terms
from refquant.scalar import convolution as scalar

FLAVOURS = ("tosa_single", "tosa_double", "ruy_double", "fp32_rint", "fp32_round", "rndnu")
ROUNDINGS = ("half_even",)


def accumulate(attrs, inputs):
    return conv(inputs["in_x"], inputs["in_w"], geometry(attrs), x_zero_point=attrs["x_zero_point"],
                w_zero_point=attrs["w_zero_point"], bias=inputs.get("in_bias"),
                accumulator=products.accumulator(attrs))


def accumulate_element(attrs, inputs, index, note):
    return scalar.conv_forward(inputs["in_x"], inputs["in_w"], index, **keywords(attrs),
                               zero_point_x=attrs["x_zero_point"], zero_point_w=attrs["w_zero_point"],
                               bias=inputs.get("in_bias"), bits=attrs["accumulator_bits"],
                               overflow=attrs["accumulator_overflow"], note=note)


MUTANTS = (
    *conv_mutants.GEOMETRY_MUTANTS, conv_mutants.PADDING_MUTANT, *conv_mutants.KERNEL_MUTANTS,
    conv_mutants.kernel_rotated("kernel_rotated", "the kernel is rotated, as a convolution in mathematics has it"),
    conv_mutants.groups_interleaved("in_x"),
    *product_mutants.end_dropped("w", 1, "channel"),
    product_mutants.second_tile("outputs", 16, w=0), product_mutants.second_tile("channels", 16, x=1, w=1),
)

OPERATION = products.operation(
    "conv.forward", "a convolution with zero points and bias, requantized",
    products.Product(("x", "w"), accumulate, accumulate_element, channel_axis=1, terms=forward_terms,
                     attributes=GEOMETRY, has_bias=True, terms_of=("w", (1, 2, 3))),
    conv_stimuli("forward", accumulate, 1, FLAVOURS, ROUNDINGS), MUTANTS, FLAVOURS, ROUNDINGS)
