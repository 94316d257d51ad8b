"""update.sgd: fixed-point master weights w and their memory v, one step on by gradients g, the step rounded by chance.

    d  = scaled(g, g_multiplier, g_shift) + scaled(w, decay_multiplier, decay_shift)
    v' = saturate(scaled(v, momentum, 15) + d, s32)
    m  = v', with nesterov saturate(d + scaled(v', momentum, 15), s32)
    w' = saturate(w - round_stochastic(m * rate_multiplier / 2^rate_shift; rbits, n))
"""
from __future__ import annotations

from refquant.golden import schema
from refquant.golden.families import update_mutants
from refquant.golden.families.update_stimuli import W_FORMATS, stimuli
from refquant.golden.operation import FLAGS, Operation
from refquant.hardware import sgd
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_width
from refquant.scalar import sgd as scalar

S32, S48, U8 = IntFormat(32), IntFormat(48), IntFormat(8, signed=False)
ATTRIBUTES = {"g_format": schema.FORMAT, "w_format": {"enum": list(W_FORMATS)}, "momentum": schema.integer(0, 2**15),
              "nesterov": schema.BOOLEAN, "rounding": schema.ROUNDING, "n": schema.integer(1, 62)}


def tensors(attrs):
    w = IntFormat.parse(attrs["w_format"])
    return {"in_g": IntFormat.parse(attrs["g_format"]), "in_g_multiplier": S32, "in_g_shift": U8,
            "in_decay_multiplier": S32, "in_decay_shift": U8, "in_rate_multiplier": S32, "in_rate_shift": U8,
            "rbits_w": IntFormat(lane_width(attrs["n"]), signed=False), "state0_w": w, "state0_v": S32,
            "mid_d": S48, "out_rounded": S48, "flags_w": FLAGS, "state1_w": w, "state1_v": S32}


def reference(attrs, inputs):
    found = sgd.updated(inputs["state0_w"], inputs["state0_v"], inputs["in_g"], update_mutants.constants(inputs),
                        momentum=attrs["momentum"], nesterov=attrs["nesterov"], rounding=attrs["rounding"],
                        w_format=IntFormat.parse(attrs["w_format"]), rbits=update_mutants.chance_of(attrs, inputs))
    return {"mid_d": found.d, "out_rounded": found.rounded, "flags_w": found.flags, "state1_w": found.w,
            "state1_v": found.v}


def element(attrs, inputs, tensor, index, note):
    (i,) = index
    scales = {f"{name}_{part}": inputs[f"in_{name}_{part}"][0]
              for name in ("g", "decay", "rate") for part in ("multiplier", "shift")}
    found = scalar.updated(inputs["state0_w"][i], inputs["state0_v"][i], inputs["in_g"][i], **scales,
                           momentum=attrs["momentum"], nesterov=attrs["nesterov"],
                           bits_of_w=IntFormat.parse(attrs["w_format"]).bits, rounding=attrs["rounding"],
                           rbits=inputs["rbits_w"][i], n=attrs["n"], note=note)
    return {"mid_d": found["d"], "out_rounded": found["rounded"], "flags_w": found["flags"], "state1_w": found["w"],
            "state1_v": found["v"]}


def operands(attrs, inputs, index):
    return {name: inputs[key][index] for name, key in
            (("g", "in_g"), ("w", "state0_w"), ("v", "state0_v"), ("rbits", "rbits_w"))}


OPERATION = Operation(
    "update.sgd", "one step of SGD on fixed-point master weights, rounded stochastically", ATTRIBUTES, tensors,
    reference, element, stimuli, update_mutants.MUTANTS, operands, ("rounding",))
