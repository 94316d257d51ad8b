"""sat.backward: dw = saturate(round(g * slope / T), s32), slope = 2^30 - floor(t^2 / 2^30), t = tanh w from a table.

T = max |t| counts as a constant. g is the gradient of the levels, before SAT's scale.
"""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import sat as family
from refquant.golden.families import sat_gradients
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import sat
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import MODES
from refquant.scalar import sat as scalar

ATTRIBUTES = {"w_format": schema.FORMAT, "rounding": schema.ROUNDING}


def tensors(attrs):
    return {"in_g": sat.S32, "in_w": IntFormat.parse(attrs["w_format"]), "in_tanh": family.U32, "out_dw": sat.S32}


def reference(attrs, inputs):
    return {"out_dw": sat.backward(inputs["in_g"], inputs["in_w"], inputs["in_tanh"], rounding=attrs["rounding"])}


def element(attrs, inputs, tensor, index, note):
    g, w = inputs["in_g"], inputs["in_w"]
    for i in index:
        g, w = g[i], w[i]
    top = family.highest(attrs, inputs, note)
    return {"out_dw": scalar.gradient(g, w, inputs["in_tanh"], top, attrs["rounding"], note=note)}


def stimuli(level, seed):
    s8, draw = IntFormat(8), Draw(seed, "sat.backward.1")
    every = np.arange(-128, 128).reshape(16, 16)
    for rounding in sat_gradients.ROUNDINGS:
        slope = sat.slope(sat.bent(every, sat.tanh_table(s8, 3)))
        yield _case("ties", sat_gradients.halfway(slope, draw), every, "s8", 3, rounding)
    yield _case("exhaustive", draw.integers(-(2**20), 2**20, (16, 16)), every, "s8", 6)
    yield _case("exhaustive", draw.codes(sat.S32, (4, 4)), np.arange(-8, 8).reshape(4, 4), "s4", 2)
    yield _case("saturation", draw.integers(-(2**24), 2**24, (12, 20)), family.ties(), "s8", 18)
    yield _case("natural", sat_gradients.of_layer(), family.layer(), "s8", 7)
    yield _case("random", draw.codes(sat.S32, (6, 5, 3, 3)), family.bell(draw, s8, (6, 5, 3, 3)), "s8", 7)
    yield _case("random", draw.integers(-1000, 1000, (8, 24)), family.bell(draw, IntFormat(16), (8, 24)), "s16", 14)
    yield _case("zeros", np.zeros((2, 3)), [[1, -2, 3], [0, 5, -6]], "s8", 7)
    for set in ("all_max", "all_min"):
        yield _case(set, draw.codes(sat.S32, (2, 3), set), draw.codes(s8, (2, 3), set), "s8", 5)
    yield _case("random", [[-77]], [[5]], "s8", 7)
    for tier, count, most in ((2, 15, 1500), (3, 150, 15_000)):
        if level < tier:
            break
        draw = Draw(seed, f"sat.backward.{tier}")
        for _ in range(count):
            w_format, rounding = str(draw.pick(["s4", "s8", "s12", "s16"])), str(draw.pick(list(MODES)))
            shape = (int(draw.integers(1, 16)), int(draw.integers(most // 32, most // 16)))
            w = family.bell(draw, IntFormat.parse(w_format), shape)
            w[0, 0] = -(2 ** (IntFormat.parse(w_format).bits - 1))
            size = 1 << int(draw.integers(1, 31))
            yield _case("random", draw.integers(-size, size - 1, shape), w, w_format, int(draw.integers(0, 16)),
                        rounding, tier)


def _case(set: str, g, w, w_format: str, fraction_bits: int, rounding: str = "half_even", tier: int = 1) -> Stimulus:
    g, w = np.asarray(g).astype(np.int32), np.asarray(w)
    label = f"{'x'.join(map(str, w.shape))}_{w_format}f{fraction_bits}_{rounding.replace('_', '-')}"
    return Stimulus(set, label, {"w_format": w_format, "rounding": rounding},
                    {"in_g": g} | family.with_table(w, w_format, fraction_bits), tier)


def operands(attrs, inputs, index):
    return {"g": inputs["in_g"][index], "w": inputs["in_w"][index],
            "tanh": sat.bent(inputs["in_w"], inputs["in_tanh"])[index],
            "highest": sat.highest(inputs["in_w"], inputs["in_tanh"])}


OPERATION = Operation("sat.backward", "the gradient of SAT's master weights", ATTRIBUTES, tensors, reference, element,
                      stimuli, sat_gradients.BACKWARD, operands, ("rounding",))
