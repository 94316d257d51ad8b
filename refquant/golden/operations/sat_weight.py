"""sat.weight: code = 2 round(a (t + T) / (2 T)) - a, t = tanh w from a table, T = max |t|, a = 2^bits - 1; its scale.

rescale "none": 1 / a.  "constant": 1 / sqrt(n_out VAR[Q]) / a, a multiplier rounded down to 31 bits; n_out counts the
outputs times the kernel's places.
"""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import natural, sat_mutants
from refquant.golden.families import sat as family
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import sat
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import MODES
from refquant.scalar import sat as scalar

ATTRIBUTES = {"w_format": schema.FORMAT, "bits": schema.integer(2, 8), "rescale": {"enum": list(sat.RESCALES)},
              "rounding": schema.ROUNDING}


def tensors(attrs):
    return {"in_w": IntFormat.parse(attrs["w_format"]), "in_tanh": family.U32, "mid_highest": family.U32,
            "mid_variance": IntFormat(64), "out_codes": IntFormat(attrs["bits"] + 1),
            "out_multiplier": IntFormat(32), "out_shift": IntFormat(8, signed=False)}


def reference(attrs, inputs):
    found = sat.weight(inputs["in_w"], inputs["in_tanh"], bits=attrs["bits"], rescale=attrs["rescale"],
                       rounding=attrs["rounding"])
    return {"mid_highest": np.array([found.highest], np.uint32), "mid_variance": np.array([found.variance]),
            "out_codes": found.codes, "out_multiplier": np.array(found.scale[:1], np.int32),
            "out_shift": np.array(found.scale[1:], np.uint8)}


def element(attrs, inputs, tensor, index, note):
    top, table, semantics = family.highest(attrs, inputs, note), inputs["in_tanh"], (attrs["bits"], attrs["rounding"])
    if tensor == "out_codes":
        w = inputs["in_w"]
        for i in index:
            w = w[i]
        return {"out_codes": scalar.code(w, table, top, *semantics, note=note)}
    w = np.array(inputs["in_w"])
    codes = [scalar.code(one, table, top, *semantics) for one in w.ravel().tolist()]
    n_out = w.size // (w.shape[1] if w.ndim > 1 else 1)
    multiplier, shift = scalar.scale(codes, n_out, attrs["bits"], attrs["rescale"], note=note)
    return {"mid_highest": top, "mid_variance": scalar.variance(codes), "out_multiplier": multiplier,
            "out_shift": shift}


def stimuli(level, seed):
    s8, draw = IntFormat(8), Draw(seed, "sat.weight.1")
    for rounding in sat_mutants.ROUNDINGS:
        yield _case("ties", family.ties(), "s8", family.TINY, 4, rounding=rounding)
    yield _case("ties", family.ties(), "s8", family.TINY, 2, "none")
    yield _case("exhaustive", np.arange(-128, 128).reshape(16, 16), "s8", 6, 4)
    yield _case("exhaustive", np.arange(-8, 8).reshape(4, 2, 2, 1), "s4", 2, 3)
    yield _case("exhaustive", np.arange(-8, 8).reshape(2, 8), "s4", 3, 8, "none")
    for bits in (2, 4, 8):
        yield _case("natural", family.layer(), "s8", 7, bits)
    yield _case("natural", natural.EDGE_FILTERS, "s4", 2, 4)
    yield _case("random", family.bell(draw, s8, (6, 5, 3, 3)), "s8", 7, 5)
    yield _case("random", family.bell(draw, IntFormat(16), (8, 4, 3, 2)), "s16", 13, 8)
    yield _case("random", draw.codes(IntFormat(12), (5, 30)), "s12", 9, 3, "none")
    yield _case("alternating", draw.codes(s8, (3, 4), "alternating"), "s8", 7, 4)
    yield _case("max_then_minus_ones", draw.codes(s8, (4, 6), "max_then_minus_ones"), "s8", 7, 8)
    yield _case("all_max", draw.codes(s8, (2, 3), "all_max"), "s8", 7, 4, "none")
    yield _case("all_min", draw.codes(s8, (2, 3), "all_min"), "s8", 7, 4, "none")
    yield _case("single_bit", [[0, 0, -1, 0]], "s8", 7, 2)
    yield _case("random", [[5]], "s8", 7, 4, "none")
    for tier, count, fans in ((2, 15, 12), (3, 150, 40)):
        if level < tier:
            break
        draw = Draw(seed, f"sat.weight.{tier}")
        for _ in range(count):
            w_format = str(draw.pick(["s4", "s8", "s10", "s12", "s16"]))
            shape = [int(n) for n in draw.integers(2, fans, (2,))] + [3, 3] * int(draw.integers(0, 1))
            w = family.bell(draw, IntFormat.parse(w_format), tuple(shape))
            w.reshape(-1)[0] = IntFormat.parse(w_format).qmax  # not everywhere 0, nor everywhere the same
            yield _case("random", w, w_format, int(draw.integers(0, 16)), int(draw.integers(2, 8)),
                        str(draw.pick(list(sat.RESCALES))), str(draw.pick(list(MODES))), tier)


def _case(set: str, w, w_format: str, fraction_bits: int, bits: int, rescale: str = "constant",
          rounding: str = "half_even", tier: int = 1) -> Stimulus:
    attrs = {"w_format": w_format, "bits": bits, "rescale": rescale, "rounding": rounding}
    w = np.asarray(w)
    label = f"{'x'.join(map(str, w.shape))}_{w_format}f{fraction_bits}_b{bits}_{rescale}_{rounding.replace('_', '-')}"
    return Stimulus(set, label, attrs, family.with_table(w, w_format, fraction_bits), tier)


def operands(attrs, inputs, index):
    return {"w": inputs["in_w"][index], "tanh": sat.bent(inputs["in_w"], inputs["in_tanh"])[index],
            "highest": sat.highest(inputs["in_w"], inputs["in_tanh"])}


OPERATION = Operation("sat.weight", "master weights to SAT's levels and their scale", ATTRIBUTES, tensors, reference,
                      element, stimuli, sat_mutants.WEIGHT, operands, ("rescale", "rounding"))
