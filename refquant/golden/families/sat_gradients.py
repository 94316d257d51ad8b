"""Gradients of SAT's weights: those of cases, and the mistakes made in dw = g sech^2 w / T."""
from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from refquant.golden.families import natural
from refquant.golden.families import sat as family
from refquant.golden.mutants import roundings
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.golden.stimuli import Draw
from refquant.hardware import sat
from refquant.hardware.scaling import divide, scaled
from refquant.integers.rounding import half_up

ROUNDINGS = ("half_even", "half_away", "half_up", "half_down", "floor", "trunc")


def halfway(slope: np.ndarray, draw: Draw) -> np.ndarray:
    """g whose product with ``slope`` is an odd multiple of 2^29, ties where T is 2^30; every third is one more."""
    lowest = np.array([s & -s for s in slope.reshape(-1).tolist()]).reshape(slope.shape)
    g = (2 * draw.integers(-2, 1, slope.shape) + 1) * ((1 << 29) // np.maximum(lowest, 1))
    return g + (np.arange(g.size).reshape(g.shape) % 3 == 2)


def of_layer() -> np.ndarray:
    """The trained layer's own weight gradient [10, 64] over 50 digits."""
    x, labels = natural.images(50)
    weights = natural.trained_layer()
    return natural.output_gradient(x, labels, weights).T.astype(np.int64) @ x.reshape(len(x), -1).astype(np.int64)


def _divided(attrs: Attrs, g: np.ndarray, slope: np.ndarray, top) -> np.ndarray:
    return divide(g * slope, top, attrs["rounding"])


def _dw(name: str, says: str, change: Callable) -> Mutant:
    """Another gradient: ``change(attrs, g, t, T)``, saturated; None: it has no meaning here."""
    def run(reference, attrs, inputs):
        t, top = sat.bent(inputs["in_w"], inputs["in_tanh"]), sat.highest(inputs["in_w"], inputs["in_tanh"])
        dw = change(attrs, inputs["in_g"].astype(np.int64), t, top)
        return None if dw is None else {"out_dw": sat.S32.saturate(dw)}
    return Mutant(name, says, run)


def _with_highest(attrs: Attrs, inputs: Arrays, t: np.ndarray, top) -> Arrays:
    return {"out_dw": sat.S32.saturate(_divided(attrs, inputs["in_g"].astype(np.int64), sat.slope(t), top))}


def _sech(slope: np.ndarray) -> np.ndarray:
    return np.array([math.isqrt(s * sat.ONE) for s in slope.reshape(-1).tolist()]).reshape(slope.shape)


def _highest_differentiated(attrs, g, t, top):
    """The authors' code: at the first largest weight j, less sign sech^2 / T^2 of the sum of g t."""
    if attrs["rounding"] != "half_even":
        return None
    dw = _divided(attrs, g, sat.slope(t), top)
    j = np.unravel_index(np.abs(t).argmax(), t.shape)
    pull = int(np.sign(t[j])) * sum(a * b for a, b in zip(g.reshape(-1).tolist(), t.reshape(-1).tolist(), strict=True))
    exact = Fraction(int(sat.slope(t)[j]) * (int(g[j]) * top - pull), top**2)
    dw[j] = min(max(round(exact), sat.S32.qmin), sat.S32.qmax)
    return dw


def _wraps(reference, attrs, inputs):
    t, top = sat.bent(inputs["in_w"], inputs["in_tanh"]), sat.highest(inputs["in_w"], inputs["in_tanh"])
    return {"out_dw": sat.S32.wrap(_divided(attrs, inputs["in_g"].astype(np.int64), sat.slope(t), top))}


BACKWARD = (
    *roundings(ROUNDINGS), *family.OF_WEIGHTS, *family.highest_mutants(_with_highest),
    _dw("slope_missing", "sech^2 is missing: dw is g / T",
        lambda attrs, g, t, top: _divided(attrs, g, np.full_like(t, sat.ONE), top)),
    _dw("sech", "sech stands for sech^2", lambda attrs, g, t, top: _divided(attrs, g, _sech(sat.slope(t)), top)),
    _dw("slope_of_clamped", "the slope is taken at tanh w / T instead of tanh w",
        lambda attrs, g, t, top: _divided(attrs, g, sat.slope(divide(t * sat.ONE, top)), top)),
    _dw("tanh_not_squared", "the slope is 1 - |tanh w|",
        lambda attrs, g, t, top: _divided(attrs, g, sat.ONE - np.abs(t), top)),
    _dw("square_rounded", "the square of tanh w is rounded instead of rounded down",
        lambda attrs, g, t, top: _divided(attrs, g, sat.ONE - half_up.shift(t * t, 30), top)),
    _dw("not_divided", "dw is not divided by the highest",
        lambda attrs, g, t, top: scaled(g * sat.slope(t), 1, 30, attrs["rounding"])),
    _dw("rounded_twice", "g sech^2 is rounded to an integer before it is divided",
        lambda attrs, g, t, top: _divided(attrs, scaled(g * sat.slope(t), 1, 30, attrs["rounding"]),
                                      np.full_like(t, sat.ONE), top)),
    _dw("highest_differentiated", "T is differentiated too, as in the authors' code", _highest_differentiated),
    Mutant("wraps", "gradients outside 32 bits wrap", _wraps),
)
