"""conv.bifurcated: both gradients of a convolution from two copies of g: dx from g_input and w, dw from x and g_weight.

g [B, O, OH, OW], x [B, C, H, W], w [O, C/groups, KH, KW]; dx as x, dw as w.
"""
from __future__ import annotations

from refquant.gemm import conv_input_gradient, conv_weight_gradient
from refquant.golden.families import bifurcation, bifurcation_mutants, conv_mutants, product_mutants
from refquant.golden.families.bifurcation_mutants import only
from refquant.golden.families.bifurcation_stimuli import of_convolution
from refquant.golden.families.conv_stimuli import GEOMETRY, geometry, keywords
from refquant.golden.families.conv_terms import dx_terms
from refquant.golden.mutants import output
from refquant.scalar import convolution as scalar


def accumulate_dx(attrs, inputs, copy, accumulator):
    return conv_input_gradient(copy, inputs["in_w"], inputs["in_x"].shape[2:], geometry(attrs),
                               w_zero_point=attrs["w_zero_point"], accumulator=accumulator)[0]


def accumulate_dw(attrs, inputs, copy, accumulator):
    return conv_weight_gradient(inputs["in_x"], copy, inputs["in_w"].shape[2:], geometry(attrs),
                                x_zero_point=attrs["x_zero_point"], accumulator=accumulator)[0]


def dx_element(attrs, inputs, copy, index, bits, note):
    image = inputs["in_x"][0][0]
    return scalar.conv_dx(copy, inputs["in_w"], index, height=len(image), width=len(image[0]), **keywords(attrs),
                          zero_point_w=attrs["w_zero_point"], bits=bits, note=note)[0]


def dw_element(attrs, inputs, copy, index, bits, note):
    return scalar.conv_dw(inputs["in_x"], copy, index, **keywords(attrs), zero_point_x=attrs["x_zero_point"], bits=bits,
                          note=note)[0]


LAYER = bifurcation.Layer({"dx": accumulate_dx, "dw": accumulate_dw}, {"dx": dx_element, "dw": dw_element}, dx_terms,
                          GEOMETRY)

MUTANTS = (
    *conv_mutants.GEOMETRY_MUTANTS, *conv_mutants.KERNEL_MUTANTS, only("dw", conv_mutants.PADDING_MUTANT),
    conv_mutants.kernel_rotated("kernel_not_rotated", "the kernel is not rotated for the input gradient"),
    output("dw_rotated", "the weight gradient comes out rotated",
           lambda attrs, inputs, results: results | {"out_dw": results["out_dw"][:, :, ::-1, ::-1]}),
    conv_mutants.groups_interleaved("in_x"),
    *product_mutants.end_dropped("w", 0, "output"), *product_mutants.end_dropped("x", 0, "image"),
    conv_mutants.first_image_only("x"),
)

OPERATION = bifurcation.operation(
    "conv.bifurcated", "both gradients of a convolution, from two copies of the output gradient", LAYER,
    of_convolution(LAYER), (*MUTANTS, *bifurcation_mutants.of_layer(LAYER)))
