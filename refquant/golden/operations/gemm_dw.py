"""gemm.dw: the weight gradient of y = x @ w: dw = requantize((x - zx)^T @ (g - zg)), x [M, K], g [M, N], dw [K, N]."""
from __future__ import annotations

from refquant.gemm import matmul
from refquant.golden.families import product_mutants, products
from refquant.golden.families.corners import FLAVOURS, ROUNDINGS
from refquant.golden.families.gemm_stimuli import gemm_stimuli
from refquant.golden.mutants import operand
from refquant.scalar import product as scalar


def accumulate(attrs, inputs):
    return matmul(inputs["in_x"].T, inputs["in_g"], a_zero_point=attrs["x_zero_point"],
                  b_zero_point=attrs["g_zero_point"], accumulator=products.accumulator(attrs))


def accumulate_element(attrs, inputs, index, note):
    return scalar.gemm_dw(inputs["in_x"], inputs["in_g"], *index, zero_point_x=attrs["x_zero_point"],
                          zero_point_g=attrs["g_zero_point"], bits=attrs["accumulator_bits"],
                          overflow=attrs["accumulator_overflow"], note=note)


def terms(attrs, inputs, index):
    return {"x": inputs["in_x"][:, index[0]], "g": inputs["in_g"][:, index[1]]}


MUTANTS = (
    *product_mutants.end_dropped("g", 0, "term"),
    operand("x_not_transposed", "x is not transposed: x @ g instead of x^T @ g", "in_x", product_mutants.transposed),
    operand("g_transposed", "g is read transposed, as for the input gradient", "in_g", product_mutants.transposed),
    product_mutants.result_transposed("g^T @ x instead of x^T @ g: the result is transposed"),
    product_mutants.first_for_all("x", 1),
    product_mutants.second_tile("rows", 16, x=1), product_mutants.second_tile("columns", 16, g=1),
    product_mutants.second_tile("terms", 64, x=0, g=0),
)

OPERATION = products.operation(
    "gemm.dw", "the weight gradient of a matrix product, requantized",
    products.Product(("x", "g"), accumulate, accumulate_element, channel_axis=1, terms=terms, attributes={},
                     terms_of=("g", (0,))),
    gemm_stimuli("dw", accumulate, 1, FLAVOURS, ROUNDINGS), MUTANTS, FLAVOURS, ROUNDINGS)
