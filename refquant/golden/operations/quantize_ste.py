"""quantize.ste: dx = g where x is in range, else 0: the straight-through gradient of a quantizer that clips.

mask "clip": qmin <= x / scale + zero_point <= qmax.  mask "round": the same of the rounded quotient (torch, when the
quotient is x * (1 / scale)).
"""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import ends, reals
from refquant.golden.mutants import instead, output
from refquant.golden.operation import FLOATS, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import DIVISIONS, MASKS, ste_gradient
from refquant.scalar import formats as scalar_formats
from refquant.scalar import quantize as scalar

ATTRIBUTES = {"x_format": schema.FLOAT, "format": schema.FORMAT, "g_format": schema.FORMAT,
              "zero_point": schema.INT32, "mask": {"enum": list(MASKS)},
              "division": {"enum": list(DIVISIONS)}}


def tensors(attrs):
    g = IntFormat.parse(attrs["g_format"])
    return {"in_g": g, "in_x": attrs["x_format"], "in_scale": attrs["x_format"], "out_dx": g}


def reference(attrs, inputs):
    return {"out_dx": ste_gradient(inputs["in_g"], inputs["in_x"], inputs["in_scale"][0],
                                   IntFormat.parse(attrs["format"]), zero_point=attrs["zero_point"],
                                   mask=attrs["mask"], division=attrs["division"])}


def element(attrs, inputs, tensor, index, note):
    (i,) = index
    bits, signed, narrow = scalar_formats.parse(attrs["format"])
    return {"out_dx": scalar.ste_gradient(
        inputs["in_g"][i], inputs["in_x"][i], inputs["in_scale"][0], attrs["zero_point"], bits, signed, narrow,
        precision=reals.PRECISION[attrs["x_format"]], mask=attrs["mask"], division=attrs["division"],
        note=note)}


def stimuli(level, seed):
    listed = [("s8", "f32", 0, "clip"), ("u8", "f32", 131, "clip"), ("s16", "f32", 0, "round"),
              ("u8", "f32", 0, "round"), ("s8n", "f32", 0, "clip")]
    for index, (format, precision, zero_point, mask) in enumerate(listed):
        yield _case(format, precision, zero_point, mask, Draw(seed, f"quantize.ste.1.{index}"), 200, 1)
    for tier, count, size in ((2, 20, 10000), (3, 200, 1000000)):
        if level < tier:
            break
        draw = Draw(seed, f"quantize.ste.{tier}")
        for _ in range(count):
            format = str(draw.pick(["s8", "u8", "s4", "u4", "s8n", "s2", "s16"]))
            yield _case(format, str(draw.pick(["f32", "f64"])), int(draw.integers(-9, 9)),
                        str(draw.pick(MASKS)), draw, size, tier)


def _case(name: str, precision: str, zero_point: int, mask: str, draw: Draw, size: int, tier: int) -> Stimulus:
    format, dtype = IntFormat.parse(name), FLOATS[precision]
    scale = np.array([0.25 if mask == "clip" else 0.013], dtype)
    x = np.concatenate([
        reals.around(float(scale[0]), format, zero_point, dtype), reals.extremes(dtype),
        reals.spread(draw, dtype, (format.qmax - format.qmin) * 0.4, (size,))])
    g = draw.codes(IntFormat(8), x.shape)
    g[g == 0] = 1  # a gradient of 0 shows nothing
    attrs = {"x_format": precision, "format": name, "g_format": "s8", "zero_point": zero_point, "mask": mask,
             "division": "reciprocal" if mask == "round" and format.signed else "divide"}
    label = f"{len(x)}_{name}_{precision}_{mask}_zp{zero_point}".replace("-", "m")
    return Stimulus("saturation", label, attrs, {"in_g": g, "in_x": x, "in_scale": scale}, tier)


def _open(end: str):
    """The mask without its end: < for <=."""
    def change(attrs, inputs, results):
        if attrs["mask"] != "clip":
            return None
        format = IntFormat.parse(attrs["format"])
        with np.errstate(over="ignore"):
            v = inputs["in_x"] / inputs["in_scale"] + inputs["in_x"].dtype.type(attrs["zero_point"])
        at = v == (format.qmin if end == "qmin" else format.qmax)
        return {"out_dx": np.where(at, results["out_dx"].dtype.type(0), results["out_dx"])}
    return change


OPERATION = Operation(
    "quantize.ste", "the straight-through gradient of a clipping quantizer", ATTRIBUTES, tensors, reference, element,
    stimuli,
    (output("open_at_qmin", "the mask is < instead of <= at qmin", _open("qmin")),
     output("open_at_qmax", "the mask is < instead of <= at qmax", _open("qmax")),
     instead("mask", "clip", "round", "the mask compares the rounded code"),
     instead("mask", "round", "clip", "the mask compares the value before rounding"),
     instead("division", "divide", "reciprocal", "x is multiplied by 1 / scale instead of divided"),
     instead("division", "reciprocal", "divide", "x is divided by the scale instead of multiplied by its reciprocal"),
     output("no_mask", "the gradient passes everywhere", lambda attrs, inputs, results: {"out_dx": inputs["in_g"]}),
     ends.NARROW,
     *reals.ZERO_POINT_MUTANTS),
    lambda attrs, inputs, index: {"g": inputs["in_g"][index], "x": inputs["in_x"][index],
                                  "scale": inputs["in_scale"][0]},
    ("x_format", "mask", "division"))
