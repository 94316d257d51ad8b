"""N2UQ in integers: thresholds learned by G-STE, entropy-preserving weights in the middle layer.

    weights                         8 bits in the first and last layer, 3 between
    activations                     3 bits: how many thresholds an accumulator reaches
    gradients, for both products    16 bits: the method quantizes none

Source: Liu 2022, sections 3.2.2 and 3.2.3; its first and last layer are real, for which 8 bits stand here; the integers
are refquant's own.
"""
from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

from refquant.hardware import n2uq, n2uq_weight
from refquant.hardware.step.learning import MASTER_BITS, UNIT, learn
from refquant.hardware.step.method import Gradient, Method, gradient_in_16_bits, identity, weight_in_8_bits
from refquant.hardware.step.network import LAYERS, Layer
from refquant.hardware.step.progress import S32, S48, Codes, Progress
from refquant.integers import IntFormat
from refquant.integers.fixed import along

__all__ = ["METHOD"]

BITS, LEVELS = 3, 7
FRACTION_BITS = 12  # of G-STE's slopes and sums
INNER = "conv2"
REACHED = "at_or_above"


def weight(step: Progress, layer: Layer) -> Codes:
    if layer.name != INNER:
        return weight_in_8_bits(step, layer)
    found = n2uq_weight.weight(step.state[f"{INNER}_w"], bits=BITS, variant="paper", rounding="half_even")
    codes = step.put(f"{INNER}_w_codes", found.codes, IntFormat(BITS + 1))
    return Codes(codes, step.put_scale(f"{INNER}_w_codes_scale", Fraction(1, LEVELS)))


def weight_gradient(step: Progress, layer: Layer, dw: np.ndarray, scale: Fraction) -> Gradient:
    """dW = dW_q / sf where |W / sf| <= 1, else 0; sf held constant."""
    if layer.name != INNER:
        return identity(step, layer, dw, scale)
    w = step.state[f"{INNER}_w"].astype(np.int64)
    count, halves = w[0].size, 1 << (BITS - 1)
    magnitude = along(n2uq_weight.magnitudes(w), 0, w.ndim)
    inside = np.abs(w) * halves * count <= LEVELS * magnitude
    factor = np.where(magnitude > 0, LEVELS * magnitude, halves * count)  # a filter of zeros: sf = 1
    g = np.where(inside, _divided(dw.astype(object) * (halves * count << MASTER_BITS), factor), 0)
    return (step.put(f"{INNER}_w_gradient", g, S48), step.put_scale(f"{INNER}_w_gradient_scale", scale))


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a / b`` half to even, of integers however wide."""
    pairs = zip(a.flat, np.broadcast_to(b, a.shape).flat, strict=True)
    return np.array([round(Fraction(int(p), int(q))) for p, q in pairs]).reshape(a.shape)


def activation(step: Progress, layer: Layer, acc: np.ndarray, scale: Fraction) -> Codes:
    name, unit = layer.name, _unit(step, layer, scale)
    grid = [int(step.state[f"{name}_start"][0])]
    for length in step.state[f"{name}_a"].tolist():
        grid.append(grid[-1] + length)
    middles = [Fraction(low + high, 2) for low, high in itertools.pairwise(grid)]
    thresholds = S32.saturate([math.ceil(middle * UNIT / unit) for middle in middles])
    step.put(f"{name}_thresholds", thresholds, S32)
    bounds = [int(S32.saturate(round(d * UNIT / unit))) for d in grid]
    for i in range(1, len(bounds)):
        bounds[i] = max(bounds[i], bounds[i - 1] + 1)
    step.put(f"{name}_bounds", bounds, S32)
    codes = n2uq.forward(acc, thresholds[None], bits=BITS, reached=REACHED)
    scale2 = int(step.state[f"{name}_scale2"][0]) * UNIT
    return Codes(step.put(f"{name}_y_codes", codes, IntFormat(BITS, signed=False)),
                 step.put_scale(f"{name}_y_codes_scale", scale2))


def _unit(step: Progress, layer: Layer, scale: Fraction) -> Fraction:
    """What one unit of the accumulator is for z = b1 x."""
    return int(step.state[f"{layer.name}_scale1"][0]) * UNIT * scale


def activation_gradient(step: Progress, layer: Layer, dx: np.ndarray, scale: Fraction) -> Gradient:
    name, one = layer.name, 1 << FRACTION_BITS
    acc_scale, y_scale = step.scale(f"{name}_acc_scale"), step.scale(f"{name}_y_codes_scale")
    bounds = step.tensors[f"{name}_bounds"]
    found = n2uq.backward(dx, step.tensors[f"{name}_acc"], step.tensors[f"{name}_thresholds"][None], bounds,
                          *n2uq.slopes(bounds, FRACTION_BITS), bits=BITS, fraction_bits=FRACTION_BITS, reached=REACHED,
                          rounding="half_even", dx_format=S32)
    of_z = scale * y_scale / one
    unit = _unit(step, layer, acc_scale)
    learn(step, f"{name}_a", found.da, of_z / unit)
    learn(step, f"{name}_start", found.dstart, of_z / unit, least=None)
    learn(step, f"{name}_scale1", found.dscale1, of_z * acc_scale / unit)
    learn(step, f"{name}_scale2", found.dscale2, scale)
    return found.dx, of_z / acc_scale


def _first(layer: Layer) -> dict[str, tuple[IntFormat, np.ndarray]]:
    """Thresholds of [0, 2], scales 1 and 1/8."""
    one = 1 << MASTER_BITS
    first = {"a": np.full(LEVELS, round(2 * one / LEVELS)), "start": np.zeros(1, int), "scale1": np.array([one]),
             "scale2": np.array([one // 8])}
    return {f"{layer.name}_{part}": (S32, value) for part, value in first.items()}


STATE = {name: first for layer in LAYERS[:-1] for name, first in _first(layer).items()}
METHOD = Method("n2uq", weight, activation, gradient_in_16_bits, weight_gradient, activation_gradient, state=STATE,
                learned=tuple(STATE), learned_rate=1)
"""N2UQ's method in integers, as `refquant.hardware.step.run` takes it, made of the functions above."""
