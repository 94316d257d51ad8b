"""gemm.bifurcated: both gradients of y = x @ w, dx = g_input @ (w - zw)^T and dw = (x - zx)^T @ g_weight.

g_input and g_weight are two copies of g [M, N]; x [M, K], w [K, N]; dx [M, K], dw [K, N].
"""
from __future__ import annotations

from refquant.gemm import matmul
from refquant.golden.families import bifurcation, bifurcation_mutants, product_mutants
from refquant.golden.families.bifurcation_stimuli import of_product
from refquant.golden.mutants import operand, output
from refquant.scalar import product as scalar


def accumulate_dx(attrs, inputs, copy, accumulator):
    return matmul(copy, inputs["in_w"].T, b_zero_point=attrs["w_zero_point"], accumulator=accumulator)[0]


def accumulate_dw(attrs, inputs, copy, accumulator):
    return matmul(inputs["in_x"].T, copy, a_zero_point=attrs["x_zero_point"], accumulator=accumulator)[0]


def dx_element(attrs, inputs, copy, index, bits, note):
    return scalar.gemm_dx(copy, inputs["in_w"], *index, zero_point_w=attrs["w_zero_point"], bits=bits, note=note)[0]


def dw_element(attrs, inputs, copy, index, bits, note):
    return scalar.gemm_dw(inputs["in_x"], copy, *index, zero_point_x=attrs["x_zero_point"], bits=bits, note=note)[0]


def terms(attrs, inputs, index):
    return {"g": inputs["in_g"][index[0]], "rbits_g": inputs["rbits_g"][index[0]], "w": inputs["in_w"][index[1]]}


LAYER = bifurcation.Layer({"dx": accumulate_dx, "dw": accumulate_dw}, {"dx": dx_element, "dw": dw_element}, terms, {})

MUTANTS = (
    *product_mutants.end_dropped("w", 1, "output"), *product_mutants.end_dropped("x", 0, "row"),
    operand("w_not_transposed", "w is not transposed: g @ w instead of g @ w^T", "in_w", product_mutants.transposed),
    operand("x_not_transposed", "x is not transposed: x @ g instead of x^T @ g", "in_x", product_mutants.transposed),
    output("dw_transposed", "g^T @ x instead of x^T @ g: dw is transposed",
           lambda attrs, inputs, results: results | {"out_dw": results["out_dw"].T.reshape(results["out_dw"].shape)}),
)

OPERATION = bifurcation.operation(
    "gemm.bifurcated", "both gradients of a matrix product, from two copies of the output gradient", LAYER,
    of_product(LAYER), (*MUTANTS, *bifurcation_mutants.of_layer(LAYER)))
