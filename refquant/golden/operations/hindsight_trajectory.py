"""hindsight.trajectory: steps of accumulators [T, N], each quantized by the range of the steps before it.

The arithmetic, and how it follows from the paper's, is in `refquant.hardware.hindsight`.
"""
from __future__ import annotations

from refquant.golden import schema
from refquant.golden.families import hindsight_codes, hindsight_ranges, hindsight_stimuli
from refquant.golden.families.remembering import remembering_case
from refquant.golden.operation import FLAGS, Operation, dtype_of
from refquant.hardware import hindsight
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_width
from refquant.integers.rounding import MODES
from refquant.scalar import hindsight as scalar
from refquant.scalar.steps import silent

ATTRIBUTES = {
    "acc_format": schema.FORMAT, "bits": schema.integer(2, 8), "fraction_bits": schema.integer(0, 16),
    "momentum": schema.integer(0, 2**16 - 1), "first": schema.BOOLEAN, "rounding": {"enum": [*MODES, "stochastic"]},
    "n": schema.nullable(schema.integer(1, 32)),
}


def tensors(attrs):
    acc, codes = IntFormat.parse(attrs["acc_format"]), IntFormat(attrs["bits"], signed=False)
    random = {} if attrs["n"] is None else {"rbits_y": IntFormat(lane_width(attrs["n"]), signed=False)}
    return {"in_acc": acc} | random | {
        "state0_range": hindsight.RANGE, "mid_range": hindsight.RANGE, "mid_multiplier": IntFormat(32),
        "mid_shift": IntFormat(8, signed=False), "mid_zero_point": codes, "out_y": codes, "flags_y": FLAGS,
        "out_seen": acc, "state1_range": hindsight.RANGE}


def reference(attrs, inputs):
    named = {name: attrs[name] for name in ("first", "bits", "fraction_bits", "momentum")}
    steps = hindsight.trajectory(inputs["in_acc"], inputs["state0_range"], **named,
                                 rounding=hindsight_codes.rounding(attrs, inputs))
    results = {"mid_range": steps.range, "mid_multiplier": steps.multiplier, "mid_shift": steps.shift,
               "mid_zero_point": steps.zero_point, "out_y": steps.codes, "flags_y": steps.flags,
               "out_seen": steps.seen, "state1_range": steps.state}
    formats = tensors(attrs)
    return {name: array.astype(dtype_of(formats[name])) for name, array in results.items()}


@remembering_case
def _steps(attrs, inputs, note):
    return scalar.steps(inputs["in_acc"], inputs["state0_range"], attrs["first"], attrs["bits"],
                        attrs["fraction_bits"], attrs["momentum"], note=note)


def element(attrs, inputs, tensor, index, note):
    if note is not silent and tensor != "state1_range":  # what comes after is of no interest
        inputs = inputs | {"in_acc": inputs["in_acc"][:index[0] + 1]}
    steps = _steps(attrs, inputs, note)
    if tensor == "state1_range":
        return {tensor: steps[-1]["state"][index[0]]}
    step = steps[index[0]]
    if tensor in ("mid_range", "out_seen"):
        return {"mid_range": step["range"][index[1]], "out_seen": step["seen"][index[1]]}
    if tensor not in ("out_y", "flags_y"):
        return {f"mid_{name}": step[name] for name in ("multiplier", "shift", "zero_point")}
    t, i = index
    random = {} if attrs["n"] is None else {"rbits": inputs["rbits_y"][t][i], "n": attrs["n"]}
    code, flags = scalar.code(inputs["in_acc"][t][i], step["multiplier"], step["shift"], step["zero_point"],
                              attrs["bits"], attrs["rounding"], **random, note=note)
    return {"out_y": code, "flags_y": flags}


def operands(attrs, inputs, index):
    """The accumulator, its random bits, and the quantizer of its step."""
    t = index[0]
    results = reference(attrs, inputs)
    random = {"rbits": inputs["rbits_y"][index]} if attrs["n"] is not None else {}
    low, high = results["mid_range"][t]
    return {"acc": inputs["in_acc"][index]} | random | {
        "range_min": low, "range_max": high, "multiplier": results["mid_multiplier"][t],
        "shift": results["mid_shift"][t], "zero_point": results["mid_zero_point"][t]}


OPERATION = Operation(
    "hindsight.trajectory", "steps quantized with ranges in hindsight", ATTRIBUTES, tensors, reference, element,
    hindsight_stimuli.stimuli, (*hindsight_ranges.MUTANTS, *hindsight_codes.MUTANTS), operands, ("rounding",))
