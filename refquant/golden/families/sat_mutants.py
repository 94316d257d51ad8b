"""Mistakes in SAT's weights: the levels, the variance, the outputs that the scale is made from."""
from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from refquant.golden.families import nonnegative
from refquant.golden.families import sat as family
from refquant.golden.mutants import instead
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import sat
from refquant.hardware.scaling import Scale, divide

ROUNDINGS = ("half_even", "half_away", "half_down", "floor")


def _scaled(codes: np.ndarray, scale: Scale) -> Arrays:
    return {"out_codes": codes, "out_multiplier": np.array(scale[:1]), "out_shift": np.array(scale[1:])}


def _with_codes(attrs: Attrs, inputs: Arrays, codes: np.ndarray) -> Arrays:
    """What follows from ``codes``: their own variance makes the scale."""
    return _scaled(codes, sat.scale(sat.variance(codes), codes.size, sat.outputs(codes.shape), attrs["bits"],
                                    attrs["rescale"]))


def _levels(name: str, says: str, change: Callable) -> Mutant:
    """Other codes: ``change(t, T, a, rounding)``."""
    def run(reference, attrs, inputs):
        t, top = sat.bent(inputs["in_w"], inputs["in_tanh"]), sat.highest(inputs["in_w"], inputs["in_tanh"])
        return _with_codes(attrs, inputs, change(t, top, (1 << attrs["bits"]) - 1, attrs["rounding"]))
    return Mutant(name, says, run)


def _index(t: np.ndarray, top, a: int, rounding: str, steps: int | None = None) -> np.ndarray:
    """The index of the level below or above, of ``steps`` instead of a, held between 0 and a."""
    return np.clip(divide((a if steps is None else steps) * (t + top), 2 * top, rounding), 0, a)


def _with_highest(attrs: Attrs, inputs: Arrays, t: np.ndarray, top) -> Arrays:
    a = (1 << attrs["bits"]) - 1
    return _with_codes(attrs, inputs, 2 * _index(t, top, a, attrs["rounding"]) - a)


def _rescaled(name: str, says: str, change: Callable[[np.ndarray, Arrays, Attrs], Scale]) -> Mutant:
    """Another constant scale: ``change(codes, inputs, attrs)``."""
    def run(reference, attrs, inputs):
        if attrs["rescale"] != "constant":
            return None
        codes = reference(attrs, inputs)["out_codes"].astype(np.int64)
        return _scaled(codes, change(codes, inputs, attrs))
    return Mutant(name, says, run)


def _constant(codes: np.ndarray, *, numerator: int | None = None, n_out: int | None = None,
              v: int | None = None) -> Scale:
    """The constant scale with one of its parts replaced."""
    count = codes.size
    return sat.root(Fraction(count * (count - 1) if numerator is None else numerator,
                             (sat.outputs(codes.shape) if n_out is None else n_out)
                             * (sat.variance(codes) if v is None else v)))


def _of_clamped(codes, inputs, attrs) -> Scale:
    """The variance of t / T: a^2 / T^2 times the integer sums of t."""
    t = sat.bent(inputs["in_w"], inputs["in_tanh"]).astype(object)
    a, top = (1 << attrs["bits"]) - 1, sat.highest(inputs["in_w"], inputs["in_tanh"])
    v = t.size * (t * t).sum() - t.sum() ** 2
    return sat.root(Fraction(codes.size * (codes.size - 1) * top**2, sat.outputs(codes.shape) * v * a**2))


def _rounded(codes, inputs, attrs) -> Scale:
    """The root rounded instead of rounded down."""
    multiplier, shift = _constant(codes)
    v, count = sat.variance(codes), codes.size
    four = Fraction(4) ** (shift + 1) * Fraction(count * (count - 1), sat.outputs(codes.shape) * v)
    doubled = math.isqrt(four.numerator // four.denominator)
    return multiplier + doubled % 2, shift


def _inexact(codes, inputs, attrs) -> Scale:
    """The root in float32."""
    multiplier, shift = _constant(codes)
    fraction, exponent = np.frexp(np.float32(multiplier * 2.0**-shift))
    return int(fraction * 2.0**31), 31 - int(exponent)


WEIGHT = (
    *nonnegative.roundings(ROUNDINGS), *family.OF_WEIGHTS, *family.highest_mutants(_with_highest),
    # levels
    _levels("levels_2^bits", "2^bits steps from -T to T instead of 2^bits - 1",
            lambda t, top, a, rounding: 2 * _index(t, top, a, rounding, a + 1) - a),
    _levels("levels_of_adabits", "2^bits levels of equal width, by floor, as in AdaBits",
            lambda t, top, a, rounding: 2 * _index(t, top, a, "floor", a + 1) - a),
    _levels("levels_with_zero", "tanh w / T is rounded without the half step: levels are even, 0 among them",
            lambda t, top, a, rounding: np.clip(2 * divide(a * t, 2 * top, rounding), -a - 1, a)),
    _levels("index_for_code", "the index from 0 is stored instead of the code that is odd and signed",
            lambda t, top, a, rounding: _index(t, top, a, rounding)),
    _levels("unclamped", "tanh w is not divided by the highest", lambda t, top, a, rounding:
            2 * _index(t, sat.ONE, a, rounding) - a),
    # scale
    instead("rescale", "none", "constant", "the levels are rescaled though a batch norm follows"),
    instead("rescale", "constant", "none", "the levels are not rescaled"),
    _rescaled("variance_over_n", "the variance divides by N instead of N - 1",
              lambda codes, inputs, attrs: _constant(codes, numerator=codes.size**2)),
    _rescaled("variance_about_0", "the mean is not taken away in the variance",
              lambda codes, inputs, attrs: _constant(codes, v=codes.size * int((codes * codes).sum()))),
    _rescaled("variance_of_clamped", "the variance is that of tanh w / T before it is rounded to levels", _of_clamped),
    _rescaled("fan_in", "the inputs of a unit are counted instead of the outputs",
              lambda codes, inputs, attrs: _constant(codes, n_out=math.prod(codes.shape[1:]))),
    _rescaled("kernel_left_out", "the kernel's places are left out of n_out",
              lambda codes, inputs, attrs: _constant(codes, n_out=codes.shape[0])),
    _rescaled("multiplier_rounded", "the multiplier is rounded instead of rounded down", _rounded),
    _rescaled("float32", "the scale is a float32", _inexact),
)
