"""Requantization inside a case: attributes, tensors, both implementations and mutants that several operations share.

Attributes: flavour ("none": the accumulators are the answer), per_channel, zero_point, zero_point_at, rounding (for
flavour shift, else null), format and overflow of the codes. Tensors: in_multiplier and in_shift, or in_scale, each
[1] or, per channel, [channels].
"""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.mutants import attribute, changed, roundings
from refquant.golden.operation import FLAGS, Arrays, Attrs, Mutant
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import OVERFLOWS, ZERO_POINT_AT
from refquant.integers.requantize import FLAVOURS, LIMITS, requantize_codes
from refquant.integers.rounding import half_away
from refquant.scalar import formats as scalar_formats
from refquant.scalar import requantize as scalar

ATTRIBUTES = {
    "flavour": {"enum": ["none", *FLAVOURS]}, "per_channel": schema.BOOLEAN, "zero_point": schema.INT32,
    "zero_point_at": {"enum": list(ZERO_POINT_AT)}, "rounding": schema.nullable(schema.ROUNDING),
    "format": schema.FORMAT, "overflow": {"enum": list(OVERFLOWS)},
}
SEMANTICS = ("flavour", "rounding", "zero_point_at", "overflow")

CLAUSES = {
    "tosa_single": "a single rounding, ties up", "tosa_double": "a second rounding breaks ties away from zero",
    "ruy_double": "the second rounding breaks ties up", "mul16": "the multiplier is cut to 16 bits",
    "rndnu": "the multiplier is cut to 24 bits", "fp32_rint": "the product is a float32, ties go to even",
    "fp32_round": "the product is a float32, ties go away from zero",
}


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


def _integer_scale(inputs: Arrays) -> tuple[np.ndarray, np.ndarray]:
    return inputs["in_multiplier"].astype(np.int64), inputs["in_shift"].astype(np.int64)


def _as_flavour(a: str, b: str) -> Mutant:
    """``a->b``: the case says flavour a, the mutant computes b, its scale turned into what b takes."""
    def change(attrs, inputs):
        if attrs["flavour"] != a:
            return None
        inputs = dict(inputs)
        if a.startswith("fp32") and not b.startswith("fp32"):
            scale = inputs.pop("in_scale").astype(np.float64)
            fraction, exponent = np.frexp(scale)
            bits = LIMITS[b][2]
            inputs["in_multiplier"] = np.ldexp(fraction, bits).astype(np.int64)  # exact: a float32 has 24 bits
            inputs["in_shift"] = bits - exponent.astype(np.int64)
        elif b.startswith("fp32") and not a.startswith("fp32"):
            multiplier, shift = _integer_scale(inputs)
            inputs["in_scale"] = np.ldexp(multiplier.astype(np.float64), -shift).astype(np.float32)
            del inputs["in_multiplier"], inputs["in_shift"]
        elif b == "rndnu":
            multiplier, shift = _integer_scale(inputs)
            inputs["in_multiplier"] = np.minimum(half_away.shift(multiplier, 7), (1 << 24) - 1)
            inputs["in_shift"] = shift - 7
        elif a == "rndnu":
            multiplier, shift = _integer_scale(inputs)
            inputs["in_multiplier"], inputs["in_shift"] = multiplier << 7, shift + 7
        return attrs | {"flavour": b}, inputs
    return changed(f"{a}->{b}", CLAUSES[b], change)


def _narrow(attrs, inputs):
    format = IntFormat.parse(attrs["format"])
    if not format.signed or format.narrow or attrs["flavour"] == "none":
        return None
    return attrs | {"format": f"{format}n"}, inputs


_SCALE_MUTANTS = (
    ("first_channel_for_all", "the first channel's scale is used for all", lambda x: np.broadcast_to(x[:1], x.shape)),
    ("next_channel", "every channel takes its neighbour's scale", lambda x: np.roll(x, -1)),
)


def _scales(name, says, change) -> Mutant:
    def rewrite(attrs, inputs):
        if not _requantized(attrs) or not attrs["per_channel"]:
            return None
        return attrs, inputs | {tensor: change(inputs[tensor]) for tensor in given(attrs)}
    return changed(name, says, rewrite)


def _requantized(attrs: Attrs) -> bool:
    return attrs["flavour"] != "none"


def _has_zero_point(attrs: Attrs) -> bool:
    return _requantized(attrs) and attrs["zero_point"] != 0


_SAME = {("rndnu", "tosa_single")}  # one formula, once the multiplier is given

def mutants(flavours: tuple[str, ...], modes: tuple[str, ...]) -> tuple[Mutant, ...]:
    """What goes wrong in cases of these ``flavours`` and, for flavour shift, of these rounding ``modes``."""
    return (
        *(_as_flavour(a, b) for a in flavours for b in CLAUSES if a != b and (a, b) not in _SAME),
        *roundings(modes),
        attribute("zero_point_before", "the zero point is added before the rounding", "zero_point_at", "before",
                  _has_zero_point),
        attribute("zero_point_omitted", "the output's zero point is left out", "zero_point", 0, _has_zero_point),
        attribute("wraps", "codes outside the format wrap", "overflow", "wrap", _requantized),
        changed("narrow", "the most negative code is not used", _narrow),
        *(_scales(*mutant) for mutant in _SCALE_MUTANTS),
    )
