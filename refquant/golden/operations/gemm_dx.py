"""gemm.dx: the input gradient of y = x @ w: dx = requantize((g - zg) @ (w - zw)^T), g [M, N], w [K, N], dx [M, K]."""
from __future__ import annotations

from refquant.gemm import matmul
from refquant.golden.families import product_mutants, products
from refquant.golden.families.corners import FLAVOURS, ROUNDINGS
from refquant.golden.families.gemm_stimuli import gemm_stimuli
from refquant.golden.mutants import operand
from refquant.scalar import product as scalar


def accumulate(attrs, inputs):
    return matmul(inputs["in_g"], inputs["in_w"].T, a_zero_point=attrs["g_zero_point"],
                  b_zero_point=attrs["w_zero_point"], accumulator=products.accumulator(attrs))


def accumulate_element(attrs, inputs, index, note):
    return scalar.gemm_dx(inputs["in_g"], inputs["in_w"], *index, zero_point_g=attrs["g_zero_point"],
                          zero_point_w=attrs["w_zero_point"], bits=attrs["accumulator_bits"],
                          overflow=attrs["accumulator_overflow"], note=note)


def terms(attrs, inputs, index):
    return {"g": inputs["in_g"][index[0]], "w": inputs["in_w"][index[1]]}


MUTANTS = (
    *product_mutants.end_dropped("w", 1, "term"),
    operand("w_not_transposed", "w is not transposed: g @ w instead of g @ w^T", "in_w", product_mutants.transposed),
    operand("g_transposed", "g is read transposed, as for the weight gradient", "in_g", product_mutants.transposed),
    product_mutants.first_for_all("g", 0),
    product_mutants.second_tile("rows", 16, g=0), product_mutants.second_tile("columns", 16, w=0),
    product_mutants.second_tile("terms", 64, g=1, w=1),
)

OPERATION = products.operation(
    "gemm.dx", "the input gradient of a matrix product, requantized",
    products.Product(("g", "w"), accumulate, accumulate_element, channel_axis=1, terms=terms, attributes={},
                     terms_of=("w", (1,))),
    gemm_stimuli("dx", accumulate, 1, FLAVOURS, ROUNDINGS), MUTANTS, FLAVOURS, ROUNDINGS)
