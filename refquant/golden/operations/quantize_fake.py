"""quantize.fake: y = scale * (codes of x - zero_point): quantized and dequantized, reals to reals."""
from __future__ import annotations

from refquant.golden.families.quantize_stimuli import (
    ATTRIBUTES,
    MUTANTS,
    SEMANTICS,
    arguments,
    operands,
    quantize_stimuli,
    scalar_arguments,
)
from refquant.golden.mutants import roundings
from refquant.golden.operation import Operation
from refquant.integers.quantize import fake_quantize
from refquant.scalar import quantize as scalar

ROUNDINGS = ("half_even", "half_away", "half_up", "floor")


def tensors(attrs):
    return {"in_x": attrs["x_format"], "in_scale": attrs["x_format"], "out_y": attrs["x_format"]}


def reference(attrs, inputs):
    return {"out_y": fake_quantize(inputs["in_x"], **arguments(attrs, inputs))}


def element(attrs, inputs, tensor, index, note):
    return {"out_y": scalar.fake_quantize(**scalar_arguments(attrs, inputs, index), note=note)}


OPERATION = Operation(
    "quantize.fake", "reals quantized and dequantized again", ATTRIBUTES, tensors, reference, element,
    quantize_stimuli("quantize.fake", ROUNDINGS), (*roundings(ROUNDINGS), *MUTANTS), operands, SEMANTICS)
