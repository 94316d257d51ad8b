"""Stimuli of operations on reals, and the mutants that those share."""
from __future__ import annotations

import numpy as np

from refquant.golden.mutants import attribute, changed, output
from refquant.golden.operation import FLOATS, Mutant
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat

PRECISION = {"f32": 32, "f64": 64}


def ties(dtype: np.dtype, scale: float, codes: np.ndarray) -> np.ndarray:
    """Every half-integer multiple of ``scale`` among ``codes``, and the floats on either side; [3, codes]."""
    halves = ((codes + 0.5) * scale).astype(dtype)
    away = np.array(np.inf, dtype)
    return np.stack([np.nextafter(halves, -away), halves, np.nextafter(halves, away)])


def extremes(dtype: np.dtype) -> np.ndarray:
    """Values at the ends of floats: zeros of both signs, the smallest, the largest, infinities, 3e9 and its like."""
    info = np.finfo(dtype)
    positive = [0.0, float(info.smallest_subnormal), float(info.tiny), 1e-3, 127.5, 128.0, 255.5, 3e9, 2.0**31, 2.0**63,
                1e30, float(info.max), np.inf]
    return np.array([*positive, *(-x for x in positive)], np.float64).astype(dtype)


def around(scale: float, format: IntFormat, zero_point: int, dtype: np.dtype) -> np.ndarray:
    """Where codes end: half a code and one code beyond qmin and qmax, a float to either side of each."""
    codes = np.array([end - zero_point + away for end in (format.qmin, format.qmax) for away in (-1, -0.5, 0, 0.5, 1)])
    values = (codes * scale).astype(dtype)
    infinity = np.array(np.inf, dtype)
    return np.stack([np.nextafter(values, -infinity), values, np.nextafter(values, infinity)]).reshape(-1)


def spread(draw: Draw, dtype: np.dtype, reach: float, shape: tuple[int, ...]) -> np.ndarray:
    """Reals within ``reach`` of 0, on a grid of 2^-30 of it, exact in float64 before they become ``dtype``."""
    return (draw.integers(-(2**30), 2**30, shape).astype(np.float64) * (reach * 2.0**-30)).astype(dtype)


def fitted(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``values``, repeated or cut to fill ``shape``."""
    return np.resize(values, shape)


def _cast_overflows(attrs, inputs, results):
    """What a plain float-to-int32 conversion does: everything beyond int32 becomes its smallest value."""
    if "in_scale" not in inputs or attrs["axis"] is not None:
        return None
    with np.errstate(over="ignore"):
        u = inputs["in_x"].astype(np.float64) / inputs["in_scale"].astype(np.float64)[0]
    format = IntFormat.parse(attrs["format"])
    return results | {"out_y": np.where(np.abs(u) >= 2.0**31, format.qmin, results["out_y"]).astype(format.dtype)}


def _in_precision(own: str, other: str) -> Mutant:
    def change(attrs, inputs):
        if attrs["x_format"] != own:
            return None
        dtype = FLOATS[other]
        with np.errstate(over="ignore"):
            cast = {name: array.astype(dtype) if array.dtype.kind == "f" else array for name, array in inputs.items()}
        return attrs | {"x_format": other}, cast
    return changed(f"{own}->{other}", f"the arithmetic is done in float{PRECISION[other]}", change)


CAST_OVERFLOWS = output("cast_overflows", "values beyond int32 become the smallest code", _cast_overflows)
PRECISIONS = (_in_precision("f32", "f64"), _in_precision("f64", "f32"))


def _scale(change):
    def rewrite(attrs, inputs):
        if attrs["axis"] is None or len(inputs["in_scale"]) < 2:
            return None
        return change(attrs, inputs)
    return rewrite


def _wrong_axis(attrs, inputs):
    tensor = next(array for name, array in inputs.items() if name in ("in_x", "in_codes"))
    other = (attrs["axis"] + 1) % tensor.ndim
    return (attrs | {"axis": other}, inputs) if tensor.shape[other] == len(inputs["in_scale"]) else None


CHANNEL_MUTANTS: tuple[Mutant, ...] = (
    changed("first_channel_for_all", "the first channel's scale is used for all", _scale(
        lambda attrs, inputs: (attrs, inputs | {"in_scale": np.broadcast_to(inputs["in_scale"][:1],
                                                                           inputs["in_scale"].shape)}))),
    changed("wrong_axis", "the scales run along the wrong axis", _scale(_wrong_axis)),
)

ZERO_POINT_MUTANTS: tuple[Mutant, ...] = (
    attribute("zero_point_omitted", "the zero point is left out", "zero_point", 0),
    changed("zero_point_negated", "the zero point has the wrong sign",
            lambda attrs, inputs: (attrs | {"zero_point": -attrs["zero_point"]}, inputs) if attrs["zero_point"]
            else None),
)


def two_products(run) -> Mutant:
    return Mutant("two_products", "the zero point is scaled on its own: scale * codes - scale * zero_point", run)
