"""rounding.real: y = round(x), reals to int32 codes, without a scale."""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import reals
from refquant.golden.mutants import changed, roundings
from refquant.golden.operation import FLAGS, FLOATS, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import MODES
from refquant.scalar import rounding as scalar

S32 = IntFormat(32)


def tensors(attrs):
    return {"in_x": attrs["x_format"], "out_y": S32, "flags_y": FLAGS}


def reference(attrs, inputs):
    x = inputs["in_x"]
    return {"out_y": MODES[attrs["rounding"]](x).astype(np.int32), "flags_y": flag.of_real(x)}


def element(attrs, inputs, tensor, index, note):
    x = scalar.Fraction(inputs["in_x"][index[0]])
    return {"out_y": scalar.round_fraction(x, attrs["rounding"], note=note), "flags_y": scalar.rounding_flags(x)}


def stimuli(level, seed):
    for rounding in MODES:
        for name in ("f32", "f64") if rounding in ("half_even", "half_away", "half_up") else ("f32",):
            yield _case(name, rounding, Draw(seed, f"rounding.real.{name}.{rounding}"), 200, 1)
    for tier, count in ((2, 20000), (3, 1000000)):
        if level >= tier:
            for rounding in MODES:
                for name in FLOATS:
                    yield _case(name, rounding, Draw(seed, f"rounding.real.{tier}.{name}.{rounding}"), count, tier)


def _case(name: str, rounding: str, draw: Draw, count: int, tier: int) -> Stimulus:
    """Halves and their neighbours, eighths, the largest float below one half, where floats stop having fractions."""
    dtype = FLOATS[name]
    eighths = np.arange(-32, 33) / 8
    last = 2.0**23 if name == "f32" else 2.0**31 - 2
    edges = np.array([0.0, -0.0, 1e-30, -1e-30, last - 0.5, last, 1 - last, 0.5 - last, 2.0**24, 2.0**30])
    x = np.concatenate([eighths, edges, reals.ties(dtype, 1.0, np.arange(-20, 20)).reshape(-1),
                        reals.spread(draw, dtype, 1000.0, (count,))]).astype(dtype)
    return Stimulus("ties", f"{name}_{rounding.replace('_', '-')}_{len(x)}", {"x_format": name, "rounding": rounding},
                    {"in_x": x}, tier)


def _add_half(attrs, inputs):
    """floor(x + 0.5) in x's own precision, whose sum rounds 0.49999997 up to 1."""
    if attrs["rounding"] != "half_up":
        return None
    x = inputs["in_x"]
    return attrs | {"rounding": "floor"}, {"in_x": x + x.dtype.type(0.5)}


OPERATION = Operation(
    "rounding.real", "reals rounded to integers", {"x_format": schema.FLOAT, "rounding": schema.ROUNDING}, tensors,
    reference, element, stimuli,
    (*roundings(), changed("half_added", "one half is added in floating point before floor", _add_half)),
    lambda attrs, inputs, index: {"x": inputs["in_x"][index]}, ("x_format", "rounding"))
