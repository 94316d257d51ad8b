"""gemm.db: the bias gradient of y = x @ w + b: db = requantize(sum over rows of (g - zg)), g [M, N], db [N]."""
from __future__ import annotations

import numpy as np

from refquant.gemm import matmul
from refquant.golden.families import product_mutants, products
from refquant.golden.families.corners import FLAVOURS, ROUNDINGS
from refquant.golden.families.gemm_stimuli import gemm_stimuli
from refquant.golden.mutants import operand
from refquant.scalar import product as scalar


def accumulate(attrs, inputs):
    g = inputs["in_g"]
    acc, overflowed = matmul(g.T, np.ones((len(g), 1), np.int8), a_zero_point=attrs["g_zero_point"],
                             accumulator=products.accumulator(attrs))
    return acc[:, 0], overflowed[:, 0]


def accumulate_element(attrs, inputs, index, note):
    return scalar.gemm_db(inputs["in_g"], *index, zero_point_g=attrs["g_zero_point"], bits=attrs["accumulator_bits"],
                          overflow=attrs["accumulator_overflow"], note=note)


def terms(attrs, inputs, index):
    return {"g": inputs["in_g"][:, index[0]]}


MUTANTS = (
    *product_mutants.end_dropped("g", 0, "term"),
    product_mutants.second_tile("columns", 16, g=1), product_mutants.second_tile("terms", 64, g=0),
    operand("wrong_axis", "the sum runs over the columns instead of the rows", "in_g", product_mutants.transposed),
)

OPERATION = products.operation(
    "gemm.db", "the bias gradient of a matrix product, requantized",
    products.Product(("g",), accumulate, accumulate_element, channel_axis=0, terms=terms, attributes={}),
    gemm_stimuli("db", accumulate, 0, FLAVOURS, ROUNDINGS), MUTANTS, FLAVOURS, ROUNDINGS)
