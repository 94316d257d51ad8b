"""rangebn.backward: the gradients of Range BN from codes g: dx [B, C, H, W], dgamma and dbeta [C]."""
from __future__ import annotations

from refquant.golden import schema
from refquant.golden.families import range_bn as family
from refquant.golden.families.range_bn_backward_mutants import OF_BACKWARD
from refquant.golden.families.range_bn_mutants import of_statistics
from refquant.golden.families.range_bn_stimuli import backward_stimuli
from refquant.golden.operation import Operation
from refquant.hardware import range_bn
from refquant.integers.formats import IntFormat
from refquant.scalar import range_bn as scalar

ATTRIBUTES = {"x_format": schema.FORMAT, "g_format": schema.FORMAT, "dx_format": schema.FORMAT,
              "dx_shift": schema.integer(0, 62)} | family.ATTRIBUTES
OF_CHANNEL = {"mid_mean": "mean", "mid_width": "width", "mid_inverse": "inverse", "mid_pull": "pull",
              "out_dgamma": "dgamma", "out_dbeta": "dbeta"}
OF_ELEMENT = {"mid_u": "u", "out_dx": "dx"}


def tensors(attrs):
    s32, s48 = family.S32, family.S48
    return {"in_x": IntFormat.parse(attrs["x_format"]), "in_g": IntFormat.parse(attrs["g_format"]),
            "in_gamma": family.S16, **family.CONSTANTS, "mid_mean": s32, "mid_width": s32, "mid_inverse": s32,
            "mid_pull": s48, "mid_u": s48, "out_dx": IntFormat.parse(attrs["dx_format"]), "out_dgamma": s48,
            "out_dbeta": s48}


def finish(found: range_bn.Statistics, attrs, inputs):
    """The results that follow from these statistics."""
    results = range_bn.backward_from(
        found, inputs["in_x"], inputs["in_g"], inputs["in_gamma"], family.constants(inputs),
        dx_format=IntFormat.parse(attrs["dx_format"]), rounding=attrs["rounding"],
        **{key: attrs[key] for key in ("fraction_bits", "normal_bits", "chunks", "dx_shift")})
    formats = tensors(attrs)
    return {name: results[key].astype(formats[name].dtype) for name, key in (OF_CHANNEL | OF_ELEMENT).items()}


def reference(attrs, inputs):
    return finish(family.statistics(attrs, inputs), attrs, inputs)


@family.remembered
def _channel(values, g_values, gamma, constants, attributes, *, note):
    return scalar.backward_channel(values, g_values, gamma, constants, **dict(attributes), note=note)


def element(attrs, inputs, tensor, index, note):
    c, position = family.place(inputs["in_x"], index)
    found = _channel(
        family.channel_of(inputs["in_x"], c), family.channel_of(inputs["in_g"], c), inputs["in_gamma"][c],
        tuple(inputs[name][0] for name in family.CONSTANTS),
        tuple((key, value) for key, value in attrs.items() if key not in ("x_format", "g_format")), note=note)
    if tensor in OF_CHANNEL:
        return {name: found[key] for name, key in OF_CHANNEL.items()}
    note(f"value {position} of the channel: x_hat {found['x_hat'][position]}, u {found['u'][position]}, "
         f"dx {found['dx'][position]}")
    return {name: found[key][position] for name, key in OF_ELEMENT.items()}


def operands(attrs, inputs, index):
    channel = inputs["in_x"][:, index[1]]
    return {"x": inputs["in_x"][index], "g": inputs["in_g"][index], "highest": channel.max(), "lowest": channel.min(),
            "gamma": inputs["in_gamma"][index[1]]}


OPERATION = Operation(
    "rangebn.backward", "the gradients of Range BN", ATTRIBUTES, tensors, reference, element, backward_stimuli,
    (*of_statistics(finish), *OF_BACKWARD), operands, ("rounding",))
