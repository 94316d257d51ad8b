"""In-hindsight quantization in integers: weights, activations and gradients in 8 bits, every range known beforehand.

    weights                         8 bits, symmetric, on their current maximum
    activations                     8 bits, affine
    gradients, for both products    8 bits, affine, rounded stochastically

Ranges are kept in units that stay the same from step to step, 2^-16 for activations and 2^-40 for gradients, since the
scale of an accumulator does not.

Source: Fournarakis 2021, its update as LUQ, eq. 18, quotes it; weights on their current range as we recall it; the
integers are refquant's own.
"""
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from refquant.hardware import hindsight
from refquant.hardware.scaling import scaled
from refquant.hardware.step.method import Gradient, Method, identity, weight_in_8_bits
from refquant.hardware.step.network import LAYERS, Layer
from refquant.hardware.step.progress import S48, U8, Codes, Progress
from refquant.integers import multiplier_from_scale
from refquant.integers.rounding import half_even

__all__ = ["METHOD"]

TOP = 255
ACTIVATION, GRADIENT = Fraction(1, 1 << 16), Fraction(1, 1 << 40)  # units of ranges
MOMENTUM = 58982  # 0.9 in 2^-16: the weight of the old range


def _quantized(step: Progress, name: str, v: np.ndarray, scale: Fraction, unit: Fraction, rounding) -> Codes:
    """``v`` on the range of the steps before; the state ``<name>_range`` takes in what it shows."""
    seen = step.put(f"{name}_seen", scaled([v.min(), v.max()], *multiplier_from_scale(scale / unit)), S48)
    state = step.state[f"{name}_range"]
    known = bool(state.any())  # a range of (0, 0) is none yet
    low, high = step.put(f"{name}_range", state if known else seen, S48).tolist()
    low, high = min(low, 0), max(high, 0)
    size = high - low or 1
    zero_point = step.put(f"{name}_codes_zero_point", hindsight.affine(low, high, 0, 8)[2], U8)
    multiplier, shift = multiplier_from_scale(TOP * scale / (size * unit))
    step.put_ratio(f"{name}_codes", multiplier, shift)
    codes, _ = hindsight.codes(v, multiplier, shift, zero_point, bits=8, rounding=rounding)
    codes = step.put(f"{name}_codes", codes, U8)
    step.keep(f"{name}_range", hindsight.updated(state, seen, MOMENTUM, 0) if known else seen, S48)
    return Codes(codes, step.put_scale(f"{name}_codes_scale", size * unit / TOP), int(zero_point[0]))


def activation(step: Progress, layer: Layer, acc: np.ndarray, scale: Fraction) -> Codes:
    """The ReLU's answer."""
    return _quantized(step, f"{layer.name}_y", np.maximum(acc, 0), scale, ACTIVATION, half_even)


def gradient(step: Progress, layer: Layer, g: np.ndarray, scale: Fraction) -> tuple[Codes, Codes]:
    """One copy for both products."""
    codes = _quantized(step, f"{layer.name}_g", g, scale, GRADIENT, step.random(f"{layer.name}_g"))
    return codes, codes


def activation_gradient(step: Progress, layer: Layer, dx: np.ndarray, scale: Fraction) -> Gradient:
    """Straight through where the ReLU lets through and the range holds the value."""
    acc, high = step.tensors[f"{layer.name}_acc"], max(int(step.tensors[f"{layer.name}_y_range"][1]), 0)
    limit = math.floor(high * ACTIVATION / step.scale(f"{layer.name}_acc_scale"))
    return np.where((acc > 0) & (acc <= limit), dx, 0), scale


RANGES = (*(f"{layer.name}_y_range" for layer in LAYERS[:-1]), *(f"{layer.name}_g_range" for layer in LAYERS))
METHOD = Method("hindsight", weight_in_8_bits, activation, gradient, identity, activation_gradient,
                state={name: (S48, np.zeros(2, int)) for name in RANGES},
                random={f"{layer.name}_g": layer.output for layer in LAYERS})
"""In-hindsight training in integers, as `refquant.hardware.step.run` takes it, made of the functions above."""
