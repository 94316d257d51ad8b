"""rangebn.forward: Range BN of codes x [B, C, H, W] with the batch's statistics, and their running means."""
from __future__ import annotations

from refquant.golden import schema
from refquant.golden.families import range_bn as family
from refquant.golden.families.range_bn_forward_mutants import OF_FORWARD
from refquant.golden.families.range_bn_mutants import of_statistics
from refquant.golden.families.range_bn_stimuli import forward_stimuli
from refquant.golden.operation import FLAGS, Operation
from refquant.hardware import range_bn
from refquant.integers.formats import IntFormat
from refquant.scalar import range_bn as scalar

ATTRIBUTES = {"x_format": schema.FORMAT, "y_format": schema.FORMAT, "y_shift": schema.integer(0, 62),
              "momentum": schema.integer(0, 2**15)} | family.ATTRIBUTES
OF_CHANNEL = {"mid_sum": "sum", "mid_range": "range", "mid_mean": "mean", "mid_width": "width",
              "mid_inverse": "inverse", "state1_mean": "running_mean", "state1_width": "running_width"}
OF_ELEMENT = {"mid_x_hat": "x_hat", "out_y": "y", "flags_y": "flags"}


def tensors(attrs):
    s32, s48 = family.S32, family.S48
    return {"in_x": IntFormat.parse(attrs["x_format"]), "in_gamma": family.S16, "in_beta": s32, **family.CONSTANTS,
            "state0_mean": s32, "state0_width": s32, "mid_sum": s48, "mid_range": s32, "mid_mean": s32,
            "mid_width": s32, "mid_inverse": s32, "mid_x_hat": s32, "out_y": IntFormat.parse(attrs["y_format"]),
            "flags_y": FLAGS, "state1_mean": s32, "state1_width": s32}


def finish(found: range_bn.Statistics, attrs, inputs):
    """The results that follow from these statistics."""
    results = range_bn.forward_from(
        found, inputs["in_x"], inputs["in_gamma"], inputs["in_beta"], (inputs["state0_mean"], inputs["state0_width"]),
        y_format=IntFormat.parse(attrs["y_format"]), rounding=attrs["rounding"],
        **{key: attrs[key] for key in ("fraction_bits", "normal_bits", "y_shift", "momentum")})
    formats = tensors(attrs)
    return {name: results[key].astype(formats[name].dtype) for name, key in (OF_CHANNEL | OF_ELEMENT).items()}


def reference(attrs, inputs):
    return finish(family.statistics(attrs, inputs), attrs, inputs)


@family.remembered
def _channel(values, gamma, beta, constants, running, attributes, *, note):
    return scalar.forward_channel(values, gamma, beta, constants, *running, **dict(attributes), note=note)


def element(attrs, inputs, tensor, index, note):
    c, position = family.place(inputs["in_x"], index)
    found = _channel(
        family.channel_of(inputs["in_x"], c), inputs["in_gamma"][c], inputs["in_beta"][c],
        tuple(inputs[name][0] for name in family.CONSTANTS), (inputs["state0_mean"][c], inputs["state0_width"][c]),
        tuple((key, value) for key, value in attrs.items() if key != "x_format"), note=note)
    if tensor in OF_CHANNEL:
        return {name: found[key] for name, key in OF_CHANNEL.items()}
    note(f"value {position} of the channel: x_hat {found['x_hat'][position]}, y {found['y'][position]}")
    return {name: found[key][position] for name, key in OF_ELEMENT.items()}


def operands(attrs, inputs, index):
    channel = inputs["in_x"][:, index[1]]
    return {"x": inputs["in_x"][index], "highest": channel.max(), "lowest": channel.min(),
            "gamma": inputs["in_gamma"][index[1]], "beta": inputs["in_beta"][index[1]]}


OPERATION = Operation(
    "rangebn.forward", "Range BN of codes, with running statistics", ATTRIBUTES, tensors, reference, element,
    forward_stimuli, (*of_statistics(finish), *OF_FORWARD), operands, ("rounding",))
