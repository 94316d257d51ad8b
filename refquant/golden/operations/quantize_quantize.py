"""quantize.quantize: y = saturate(round(x / scale) + zero_point), reals to codes, per tensor or along an axis."""
from __future__ import annotations

from refquant.golden.families import ends, reals
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
from refquant.golden.operation import FLAGS, Operation
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import quantize_codes
from refquant.integers.rounding import MODES
from refquant.scalar import quantize as scalar


def tensors(attrs):
    return {"in_x": attrs["x_format"], "in_scale": attrs["x_format"], "out_y": IntFormat.parse(attrs["format"]),
            "flags_y": FLAGS}


def reference(attrs, inputs):
    codes, flags = quantize_codes(inputs["in_x"], **arguments(attrs, inputs))
    return {"out_y": codes, "flags_y": flags}


def element(attrs, inputs, tensor, index, note):
    code, flags = scalar.quantize(**scalar_arguments(attrs, inputs, index), note=note)
    return {"out_y": code, "flags_y": flags}


OPERATION = Operation(
    "quantize.quantize", "reals to codes", ATTRIBUTES, tensors, reference, element,
    quantize_stimuli("quantize.quantize", tuple(MODES)), (*roundings(), *MUTANTS, *ends.OF_CODES, reals.CAST_OVERFLOWS),
    operands, SEMANTICS)
