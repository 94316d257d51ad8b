"""gemm.forward: y = requantize((a - za) @ (b - zb) + bias), a [M, K], b [K, N], bias [N], y [M, N]."""
from __future__ import annotations

from refquant.gemm import matmul
from refquant.golden.families import product_mutants, products
from refquant.golden.families.corners import ALL_FLAVOURS, ALL_ROUNDINGS
from refquant.golden.families.gemm_stimuli import gemm_stimuli
from refquant.golden.mutants import operand
from refquant.scalar import product as scalar


def accumulate(attrs, inputs):
    return matmul(inputs["in_a"], inputs["in_b"], a_zero_point=attrs["a_zero_point"],
                  b_zero_point=attrs["b_zero_point"], bias=inputs.get("in_bias"),
                  accumulator=products.accumulator(attrs))


def accumulate_element(attrs, inputs, index, note):
    return scalar.gemm_forward(inputs["in_a"], inputs["in_b"], *index, zero_point_a=attrs["a_zero_point"],
                               zero_point_b=attrs["b_zero_point"], bias=inputs.get("in_bias"),
                               bits=attrs["accumulator_bits"], overflow=attrs["accumulator_overflow"], note=note)


def terms(attrs, inputs, index):
    bias = {"bias": inputs["in_bias"][index[1]]} if "in_bias" in inputs else {}
    return {"a": inputs["in_a"][index[0]], "b": inputs["in_b"][:, index[1]]} | bias


MUTANTS = (
    *product_mutants.end_dropped("b", 0, "term"),
    operand("a_transposed", "a is read transposed", "in_a", product_mutants.transposed),
    operand("b_transposed", "b is read transposed", "in_b", product_mutants.transposed),
    product_mutants.first_for_all("a", 0),
    product_mutants.second_tile("rows", 16, a=0), product_mutants.second_tile("columns", 16, b=1),
    product_mutants.second_tile("terms", 64, a=1, b=0),
)

OPERATION = products.operation(
    "gemm.forward", "an integer matrix product with zero points and bias, requantized",
    products.Product(("a", "b"), accumulate, accumulate_element, channel_axis=1, terms=terms, attributes={},
                     has_bias=True, terms_of=("b", (0,))),
    gemm_stimuli("forward", accumulate, 1, ALL_FLAVOURS, ALL_ROUNDINGS), MUTANTS, ALL_FLAVOURS, ALL_ROUNDINGS)
