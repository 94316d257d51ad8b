"""Requantization inside a case: attributes, tensors and both implementations, shared by several operations.

Attributes: flavour ("none": the accumulators are the answer), per_channel, zero_point, zero_point_at, rounding (for
flavour shift, else null), format and overflow of the codes. Tensors: in_multiplier and in_shift, or in_scale, each
[1] or, per channel, [channels].
"""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.operation import FLAGS, Arrays, Attrs
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import OVERFLOWS, ZERO_POINT_AT
from refquant.integers.requantize import FLAVOURS, requantize_codes
from refquant.scalar import formats as scalar_formats
from refquant.scalar import requantize as scalar

ATTRIBUTES = {
    "flavour": {"enum": ["none", *FLAVOURS]}, "per_channel": schema.BOOLEAN, "zero_point": schema.INT32,
    "zero_point_at": {"enum": list(ZERO_POINT_AT)}, "rounding": schema.nullable(schema.ROUNDING),
    "format": schema.FORMAT, "overflow": {"enum": list(OVERFLOWS)},
}
TENSORS = ("in_multiplier", "in_shift", "in_scale")
SEMANTICS = ("flavour", "rounding", "zero_point_at", "overflow")


def attributes(flavour: str, *, per_channel: bool = False, zero_point: int = 0, zero_point_at: str = "after",
               rounding: str | None = None, format: str = "s8", overflow: str = "saturate") -> Attrs:
    """The attributes of a case, spelled out."""
    return {"flavour": flavour, "per_channel": per_channel, "zero_point": zero_point, "zero_point_at": zero_point_at,
            "rounding": rounding, "format": format, "overflow": overflow}


def given(attrs: Attrs) -> dict[str, IntFormat | str]:
    """The formats of the tensors that carry the scale."""
    flavour = attrs["flavour"]
    if flavour == "none":
        return {}
    if flavour.startswith("fp32"):
        return {"in_scale": "f32"}
    shift = IntFormat(8, signed=False)
    return {"in_shift": shift} if flavour == "shift" else {"in_multiplier": IntFormat(32), "in_shift": shift}


def results(attrs: Attrs, acc: IntFormat) -> dict[str, IntFormat | str]:
    """The formats of the tensors that come out, when the accumulators are of format ``acc``."""
    if attrs["flavour"] == "none":
        return {"out_y": acc, "flags_y": FLAGS}
    return {"mid_acc": acc, "out_y": IntFormat.parse(attrs["format"]), "flags_y": FLAGS}


def apply(attrs: Attrs, inputs: Arrays, acc: np.ndarray, overflowed: np.ndarray, axis: int) -> Arrays:
    """The results for accumulators ``acc``, whose channels run along ``axis``."""
    overflow = flag.flag(overflowed, flag.ACCUMULATOR_OVERFLOW)
    if attrs["flavour"] == "none":
        return {"out_y": acc, "flags_y": overflow}
    scale = {name: inputs[f"in_{name}"] if attrs["per_channel"] else inputs[f"in_{name}"][0]
             for name in ("multiplier", "shift", "scale") if f"in_{name}" in inputs}
    codes, flags = requantize_codes(
        acc, flavour=attrs["flavour"], axis=axis if attrs["per_channel"] else None, zero_point=attrs["zero_point"],
        zero_point_at=attrs["zero_point_at"], rounding=attrs["rounding"], format=IntFormat.parse(attrs["format"]),
        overflow=attrs["overflow"], **scale)
    return {"mid_acc": acc, "out_y": codes, "flags_y": flags | overflow}


def element(attrs: Attrs, inputs: dict, acc: int, overflowed: bool, channel: int, note) -> dict[str, int]:
    """The results for one accumulator, by the scalar model."""
    overflow = flag.ACCUMULATOR_OVERFLOW if overflowed else 0
    if attrs["flavour"] == "none":
        return {"out_y": acc, "flags_y": overflow}
    bits, signed, narrow = scalar_formats.parse(attrs["format"])
    scale = {name: inputs[f"in_{name}"][channel if attrs["per_channel"] else 0]
             for name in ("multiplier", "shift", "scale") if f"in_{name}" in inputs}
    code, flags = scalar.requantize(
        acc, flavour=attrs["flavour"], zero_point=attrs["zero_point"], zero_point_at=attrs["zero_point_at"], bits=bits,
        signed=signed, narrow=narrow, overflow=attrs["overflow"], rounding=attrs["rounding"], note=note, **scale)
    return {"mid_acc": acc, "out_y": code, "flags_y": flags | overflow}


def operands(attrs: Attrs, inputs: Arrays, channel: int) -> dict[str, object]:
    """What carries the scale of one element."""
    return {name[3:]: inputs[name][channel if attrs["per_channel"] else 0] for name in given(attrs)}


def label(attrs: Attrs) -> str:
    """The part of a case's id that names its requantization: ``rq-tosa-double_s8_pc_zp3b``."""
    if attrs["flavour"] == "none":
        return "rq-none"
    name = attrs["flavour"] if attrs["rounding"] is None else f"shift-{attrs['rounding']}"
    parts = [f"rq-{name.replace('_', '-')}", attrs["format"]]
    parts += ["pc"] if attrs["per_channel"] else []
    if attrs["zero_point"]:
        parts.append(f"zp{attrs['zero_point']}".replace("-", "m") + ("b" if attrs["zero_point_at"] == "before" else ""))
    parts += ["wrap"] if attrs["overflow"] == "wrap" else []
    return "_".join(parts)
