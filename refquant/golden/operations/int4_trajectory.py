"""int4.trajectory: steps of gradients [T, N] clipped, rounded stochastically and packed, each by what the last taught.

The arithmetic, and how it follows from the paper's, is in `refquant.hardware.int4`.
"""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import int4_codes, int4_steps, int4_stimuli
from refquant.golden.families.remembering import remembering_case
from refquant.golden.operation import FLAGS, Operation
from refquant.hardware import int4
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_width
from refquant.scalar import int4 as scalar
from refquant.scalar.steps import silent

ATTRIBUTES = {"g_format": {"enum": ["s8", "s16", "s24", "s32"]}, "bits": {"enum": [4, 5, 8]},
              "n": schema.integer(1, 32)}
COUNT, FACTOR = IntFormat(32, signed=False), IntFormat(16, signed=False)


def tensors(attrs):
    packed = {"out_packed": IntFormat(8, signed=False)} if attrs["bits"] == 4 else {}
    return {"in_g": IntFormat.parse(attrs["g_format"]), "rbits_g": IntFormat(lane_width(attrs["n"]), signed=False),
            "state0_clip_factor": FACTOR, "mid_highest": COUNT, "mid_multiplier": IntFormat(32),
            "mid_shift": IntFormat(8, signed=False), "out_codes": IntFormat(attrs["bits"], narrow=True),
            **packed, "flags_codes": FLAGS, "out_clipped": COUNT, "out_clip_factor": FACTOR,
            "state1_clip_factor": FACTOR}


def reference(attrs, inputs):
    steps = int4.trajectory(inputs["in_g"], int(inputs["state0_clip_factor"][0]), bits=attrs["bits"],
                            rbits=inputs["rbits_g"], n=attrs["n"])
    return int4_codes.results(attrs, steps)


@remembering_case
def _steps(attrs, inputs, note):
    return scalar.steps(inputs["in_g"], inputs["state0_clip_factor"][0], attrs["bits"], note=note)


@remembering_case
def _codes(attrs, inputs, note):
    """For each step its codes and their flags."""
    rows = [[_code(attrs, inputs, step, t, i, note) for i in range(len(inputs["in_g"][t]))]
            for t, step in enumerate(_steps(attrs, inputs, note))]
    return [([code for code, _ in row], [flags for _, flags in row]) for row in rows]


def _code(attrs, inputs, step, t, i, note):
    return scalar.code(inputs["in_g"][t][i], step["multiplier"], step["shift"], attrs["bits"],
                       inputs["rbits_g"][t][i], attrs["n"], note=note)


def element(attrs, inputs, tensor, index, note):
    if note is not silent and tensor != "state1_clip_factor":  # what comes after is of no interest
        inputs = inputs | {"in_g": inputs["in_g"][:index[0] + 1]}
    steps = _steps(attrs, inputs, note)
    if tensor == "state1_clip_factor":
        return {tensor: steps[-1]["clip_factor"]}
    step, (codes, flags) = steps[index[0]], _codes(attrs, inputs, silent)[index[0]]
    if tensor == "out_packed":
        return {tensor: scalar.packed_byte(codes, index[1], note=note)}
    if tensor in ("out_codes", "flags_codes"):
        if note is not silent:
            _code(attrs, inputs, step, index[0], index[1], note)
        return {"out_codes": codes[index[1]], "flags_codes": flags[index[1]]}
    return {"mid_highest": step["highest"], "mid_multiplier": step["multiplier"], "mid_shift": step["shift"],
            "out_clipped": step["clipped"], "out_clip_factor": step["clip_factor"]}


def operands(attrs, inputs, index):
    """The gradient, its random bits, and the quantizer of its step."""
    results, t = reference(attrs, inputs), index[0]
    before = np.concatenate([inputs["state0_clip_factor"], results["out_clip_factor"]])
    return {"g": inputs["in_g"][index], "rbits": inputs["rbits_g"][index], "highest": results["mid_highest"][t],
            "multiplier": results["mid_multiplier"][t], "shift": results["mid_shift"][t], "clip_factor": before[t]}


OPERATION = Operation(
    "int4.trajectory", "gradients in few bits, their clip factor kept over steps", ATTRIBUTES, tensors, reference,
    element, int4_stimuli.stimuli, (*int4_steps.MUTANTS, *int4_codes.MUTANTS), operands)
