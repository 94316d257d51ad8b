"""quantize.dequantize: y = scale * (codes - zero_point), codes to reals, per tensor or along an axis."""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import reals
from refquant.golden.mutants import operand
from refquant.golden.operation import FLOATS, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.fixed import Fixed, along
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import dequantize
from refquant.scalar import quantize as scalar

ATTRIBUTES = {"x_format": schema.FLOAT, "format": schema.FORMAT, "axis": schema.nullable(schema.integer(0, 7)),
              "zero_point": schema.INT32}


def tensors(attrs):
    return {"in_codes": IntFormat.parse(attrs["format"]), "in_scale": attrs["x_format"], "out_y": attrs["x_format"]}


def reference(attrs, inputs):
    scale = inputs["in_scale"] if attrs["axis"] is not None else inputs["in_scale"][0]
    format = _wide_enough(inputs["in_codes"], attrs)
    fixed = Fixed(inputs["in_codes"], scale, format, attrs["zero_point"], attrs["axis"])
    return {"out_y": dequantize(fixed, FLOATS[attrs["x_format"]])}


def _wide_enough(codes, attrs):
    """The case's format; a mutant's codes may be those of another, in a wider container."""
    return IntFormat.parse(attrs["format"]) if codes.dtype.itemsize < 4 or attrs["format"] == "s32" else IntFormat(32)


def element(attrs, inputs, tensor, index, note):
    i, j = index
    scale = inputs["in_scale"][0 if attrs["axis"] is None else index[attrs["axis"]]]
    return {"out_y": scalar.dequantize(inputs["in_codes"][i][j], scale, attrs["zero_point"],
                                       precision=reals.PRECISION[attrs["x_format"]], note=note)}


def operands(attrs, inputs, index):
    scale = inputs["in_scale"][0 if attrs["axis"] is None else index[attrs["axis"]]]
    return {"codes": inputs["in_codes"][index], "scale": scale}


def stimuli(level, seed):
    listed = [("s8", "f32", None, 0), ("u8", "f32", None, 131), ("s4", "f32", None, -3), ("s16", "f32", 0, 5),
              ("s8", "f64", 1, 0), ("s32", "f32", None, 77)]
    for index, (format, precision, axis, zero_point) in enumerate(listed):
        draw = Draw(seed, f"quantize.dequantize.1.{index}")
        yield _case(format, precision, axis, zero_point, draw, 16, 1)
    for tier, count, side in ((2, 30, 120), (3, 300, 1000)):
        if level < tier:
            break
        draw = Draw(seed, f"quantize.dequantize.{tier}")
        for _ in range(count):
            format = str(draw.pick(["s8", "u8", "s4", "u4", "s16", "u16", "s32", "s2"]))
            yield _case(format, str(draw.pick(["f32", "f64"])), [None, 0, 1][int(draw.integers(0, 2))],
                        int(draw.integers(-100, 100)), draw, side, tier)


def _case(format: str, precision: str, axis: int | None, zero_point: int, draw: Draw, side: int, tier: int) -> Stimulus:
    codes = draw.codes(IntFormat.parse(format), (side, side))
    scale = (draw.integers(1, 2**20, (1 if axis is None else side,)) / 2.0**24 / 3).astype(FLOATS[precision])
    attrs = {"x_format": precision, "format": format, "axis": axis, "zero_point": zero_point}
    label = f"{side}x{side}_{format}_{precision}_zp{zero_point}".replace("-", "m")
    return Stimulus("random", label + (f"_axis{axis}" if axis is not None else ""), attrs,
                    {"in_codes": codes, "in_scale": scale}, tier)


def _extended(signed: bool):
    def change(codes, attrs):
        own = IntFormat.parse(attrs["format"])
        fits = own.bits <= 16 and own.signed != signed
        return IntFormat(own.bits, signed).wrap(codes).astype(np.int32) if fits else None
    return change


def _two_products(reference, attrs, inputs):
    """scale * codes - scale * zero_point, two roundings more."""
    if not attrs["zero_point"]:
        return None
    y = reference(attrs | {"zero_point": 0}, inputs)["out_y"]
    scale = along(inputs["in_scale"], attrs["axis"], y.ndim)
    return {"out_y": y - scale * y.dtype.type(attrs["zero_point"])}


OPERATION = Operation(
    "quantize.dequantize", "codes to reals", ATTRIBUTES, tensors, reference, element, stimuli,
    (operand("codes_sign_extended", "codes are sign-extended though they are unsigned", "in_codes",
             _extended(signed=True)),
     operand("codes_zero_extended", "codes are zero-extended though they are signed", "in_codes",
             _extended(signed=False)),
     reals.two_products(_two_products), *reals.ZERO_POINT_MUTANTS, *reals.CHANNEL_MUTANTS, *reals.PRECISIONS),
    operands, ("x_format",))
