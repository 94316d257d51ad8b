"""rounding.shift: y = round(v / 2^shift), integers in and out, each element with a shift of its own."""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.mutants import changed, roundings
from refquant.golden.operation import FLAGS, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import MODES
from refquant.scalar import rounding as scalar

SHIFT = IntFormat(8, signed=False)


def tensors(attrs):
    format = IntFormat.parse(attrs["v_format"])
    return {"in_v": format, "in_shift": SHIFT, "out_y": format, "flags_y": FLAGS}


def reference(attrs, inputs):
    v, shift = inputs["in_v"].astype(np.int64), inputs["in_shift"].astype(np.int64)
    y = MODES[attrs["rounding"]].shift(v, shift)
    return {"out_y": y.astype(inputs["in_v"].dtype), "flags_y": flag.of_shift(v, shift)}


def element(attrs, inputs, tensor, index, note):
    (i,) = index
    v, shift = inputs["in_v"][i], inputs["in_shift"][i]
    y = scalar.round_shift(v, shift, attrs["rounding"], note=note)
    return {"out_y": y, "flags_y": scalar.rounding_flags(scalar.Fraction(v, 1 << shift))}


def stimuli(level, seed):
    codes = np.arange(-128, 128, dtype=np.int8)
    shifts = np.arange(9, dtype=np.uint8)
    for rounding in MODES:
        yield Stimulus("exhaustive", f"s8_{_name(rounding)}", {"v_format": "s8", "rounding": rounding},
                       {"in_v": np.tile(codes, 9), "in_shift": np.repeat(shifts, 256)})
    for bits in (32, 64):
        for rounding in ("half_even", "half_away", "half_up", "floor"):
            yield _wide(bits, rounding, Draw(seed, f"rounding.shift.{bits}.{rounding}"), 256, 1)
    if level < 2:
        return
    for rounding in MODES:
        every = np.arange(-(2**15), 2**15, dtype=np.int16)
        yield Stimulus("exhaustive", f"s16_{_name(rounding)}", {"v_format": "s16", "rounding": rounding},
                       {"in_v": np.tile(every, 4), "in_shift": np.repeat(np.array([1, 4, 8, 15], np.uint8), 2**16)}, 2)
        yield _wide(64, rounding, Draw(seed, f"rounding.shift.2.{rounding}"), 4096, 2)
    for block in range(64 if level > 2 else 0):
        for rounding in MODES:
            yield _wide(64, rounding, Draw(seed, f"rounding.shift.3.{rounding}.{block}"), 65536, 3)


def _wide(bits: int, rounding: str, draw: Draw, count: int, tier: int) -> Stimulus:
    """Ties and their neighbours at every shift, the ends of the format, and random values."""
    format = IntFormat(bits)
    shift = draw.integers(0, bits - 1, (count,))
    unit = np.left_shift(1, shift.astype(np.int64))
    v = draw.codes(format, (count,)).astype(np.int64)
    near = (v & ~(unit - 1)) + (unit >> 1) + draw.integers(-1, 1, (count,))  # halfway, one below, one above
    v = format.saturate(np.where(draw.words(2, (count,)) == 0, v, near))
    return Stimulus("ties", f"s{bits}_{_name(rounding)}_{count}", {"v_format": f"s{bits}", "rounding": rounding},
                    {"in_v": v, "in_shift": shift.astype(np.uint8)}, tier)


def _name(rounding: str) -> str:
    return rounding.replace("_", "-")


def _logical(attrs, inputs):
    """A shift that fills with zeros from the left."""
    v = inputs["in_v"]
    return (attrs, inputs | {"in_v": v.view(f"u{v.dtype.itemsize}").astype(np.int64)}) if v.dtype.itemsize < 8 else None


OPERATION = Operation(
    "rounding.shift", "integers shifted right and rounded",
    {"v_format": schema.FORMAT, "rounding": schema.ROUNDING}, tensors, reference, element, stimuli,
    (*roundings(), changed("logical_shift", "the shift fills with zeros instead of the sign", _logical)),
    lambda attrs, inputs, index: {"v": inputs["in_v"][index], "shift": inputs["in_shift"][index]}, ("rounding",))
