"""SAT in integers: DoReFa's weights, CG-PACT's activations, every product rescaled, as no norm follows any.

    weights                         8 bits in the first and last layer, 4 between
    activations                     4 bits, below a learned alpha
    gradients, for both products    16 bits: the method quantizes none

Source: Jin 2019; the bits of the first and last layer as in its authors' code; the integers are refquant's own.
"""
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from refquant.hardware import pact, sat
from refquant.hardware.scaling import divide, scale_value
from refquant.hardware.step.learning import MASTER_BITS, UNIT, learn
from refquant.hardware.step.method import Gradient, Method, gradient_in_16_bits
from refquant.hardware.step.network import LAYERS, Layer
from refquant.hardware.step.progress import S16, S32, Arrays, Codes, Progress
from refquant.integers import IntFormat, multiplier_from_scale

__all__ = ["METHOD"]

WEIGHT_BITS = {"conv1": 8, "conv2": 4, "linear": 8}
BITS, TOP = 4, 15
FRACTION_BITS = 12  # of alpha's gradient
U32 = IntFormat(32, signed=False)


def weight(step: Progress, layer: Layer) -> Codes:
    bits = WEIGHT_BITS[layer.name]
    found = sat.weight(step.state[f"{layer.name}_w"], step.constants["tanh"], bits=bits, rescale="constant",
                       rounding="half_even")
    step.put(f"{layer.name}_w_highest", found.highest, U32)
    codes = step.put(f"{layer.name}_w_codes", found.codes, IntFormat(bits + 1))
    return Codes(codes, step.put_scale(f"{layer.name}_w_codes_scale", scale_value(found.scale)))


def activation(step: Progress, layer: Layer, acc: np.ndarray, scale: Fraction) -> Codes:
    alpha = int(step.state[f"{layer.name}_alpha"][0]) * UNIT
    ratio = multiplier_from_scale(TOP * scale / alpha)
    step.put_ratio(f"{layer.name}_y_codes", *ratio)
    codes = pact.forward(acc, *ratio, bits=BITS, rounding="half_even")
    format = IntFormat(BITS, signed=False)
    return Codes(step.put(f"{layer.name}_y_codes", codes, format),
                 step.put_scale(f"{layer.name}_y_codes_scale", alpha / TOP))


def weight_gradient(step: Progress, layer: Layer, dw: np.ndarray, scale: Fraction) -> Gradient:
    g = sat.backward(S32.saturate(dw), step.state[f"{layer.name}_w"], step.constants["tanh"], rounding="half_even")
    constant = (2 ** WEIGHT_BITS[layer.name] - 1) * step.scale(f"{layer.name}_w_codes_scale")  # SAT's s
    return (step.put(f"{layer.name}_w_gradient", g, S32),
            step.put_scale(f"{layer.name}_w_gradient_scale", scale * constant))


def activation_gradient(step: Progress, layer: Layer, dx: np.ndarray, scale: Fraction) -> Gradient:
    name, acc_scale = layer.name, step.scale(f"{layer.name}_acc_scale")
    alpha = int(step.state[f"{name}_alpha"][0]) * UNIT
    g, dalpha, _ = pact.backward(dx, step.tensors[f"{name}_acc"], math.ceil(alpha / acc_scale),
                                 *multiplier_from_scale(TOP * acc_scale / alpha), bits=BITS,
                                 fraction_bits=FRACTION_BITS, calibrated=True, rounding="half_even")
    learn(step, f"{name}_alpha", divide(dalpha, TOP << FRACTION_BITS), scale)
    return g, scale


def constants(batch: int) -> Arrays:
    return {"tanh": sat.tanh_table(S16, MASTER_BITS)}


ALPHAS = tuple(f"{layer.name}_alpha" for layer in LAYERS[:-1])
FIRST_ALPHA = np.array([4 << MASTER_BITS])
METHOD = Method("sat", weight, activation, gradient_in_16_bits, weight_gradient, activation_gradient,
                state=dict.fromkeys(ALPHAS, (S32, FIRST_ALPHA)), learned=ALPHAS, constants=constants)
"""SAT's method in integers, as `refquant.hardware.step.run` takes it, made of the functions above."""
