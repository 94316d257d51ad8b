"""conv.db: a convolution's bias gradient: db = requantize(sum over images and positions of (g - zg)), db [O]."""
from __future__ import annotations

from refquant.gemm import conv_bias_gradient
from refquant.golden.families import conv_mutants, product_mutants, products
from refquant.golden.families.conv_stimuli import conv_stimuli
from refquant.golden.families.corners import FLAVOURS, ROUNDINGS
from refquant.golden.mutants import operand
from refquant.scalar import convolution as scalar


def accumulate(attrs, inputs):
    return conv_bias_gradient(inputs["in_g"], g_zero_point=attrs["g_zero_point"],
                              accumulator=products.accumulator(attrs))


def accumulate_element(attrs, inputs, index, note):
    return scalar.conv_db(inputs["in_g"], *index, zero_point_g=attrs["g_zero_point"], bits=attrs["accumulator_bits"],
                          overflow=attrs["accumulator_overflow"], note=note)


def terms(attrs, inputs, index):
    return {"g": inputs["in_g"][:, index[0]].reshape(-1)}


MUTANTS = (
    operand("wrong_axes", "the sum runs over channels instead of images", "in_g",
            lambda g, attrs: g.transpose(1, 0, 2, 3) if g.shape[0] == g.shape[1] else None),
    *product_mutants.end_dropped("g", 0, "image"),
    conv_mutants.first_image_only("g"),
    product_mutants.second_tile("outputs", 16, g=1),
    operand("last_row_dropped", "the last row of positions is not added", "in_g",
            lambda g, attrs: g[:, :, :-1] if g.shape[2] > 1 else None),
)

OPERATION = products.operation(
    "conv.db", "a convolution's bias gradient, requantized",
    products.Product(("g",), accumulate, accumulate_element, channel_axis=0, terms=terms, attributes={}),
    conv_stimuli("db", accumulate, 0, FLAVOURS, ROUNDINGS), MUTANTS, FLAVOURS, ROUNDINGS)
