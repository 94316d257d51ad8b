"""INT4 training in integers: the middle layer's weights, input and gradient in 4 bits, below learned clips.

    weights                         8 bits in the first and last layer; 4 between, below a learned clip
    activations                     4 bits into the middle layer, 8 into the last, below learned clips
    gradients, for both products    16 bits in the first and last layer; 4 between, the clip factor adapted each step

Source: Kim 2024 and its authors' code, whose first and last layer are real, for which 8 and 16 bits stand here; the
integers are refquant's own.
"""
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from refquant.hardware import int4, pact
from refquant.hardware.scaling import divide
from refquant.hardware.step.learning import MASTER_BITS, UNIT, learn
from refquant.hardware.step.method import Gradient, Method, gradient_in_16_bits, identity, weight_in_8_bits
from refquant.hardware.step.network import LAYERS, Layer
from refquant.hardware.step.progress import S32, S48, Codes, Progress
from refquant.integers import IntFormat, multiplier_from_scale

__all__ = ["METHOD"]

INNER = "conv2"
S4, TOP = IntFormat(4, narrow=True), 7
ACTIVATION_BITS = {"conv1": 4, "conv2": 8}
FRACTION_BITS = 12  # of the clips' gradients
U16, U32 = IntFormat(16, signed=False), IntFormat(32, signed=False)


def weight(step: Progress, layer: Layer) -> Codes:
    """On 15 levels below the clip, rounded as a count of steps from the lowest."""
    if layer.name != INNER:
        return weight_in_8_bits(step, layer)
    w, clip = step.state[f"{INNER}_w"].astype(np.int64), int(step.state[f"{INNER}_w_clip"][0])
    codes = step.put(f"{INNER}_w_codes", np.clip(divide(TOP * (w + clip), clip), 0, 2 * TOP) - TOP, S4)
    return Codes(codes, step.put_scale(f"{INNER}_w_codes_scale", clip * UNIT / TOP))


def weight_gradient(step: Progress, layer: Layer, dw: np.ndarray, scale: Fraction) -> Gradient:
    """Straight through inside the clip; the clip learns from all of them."""
    if layer.name != INNER:
        return identity(step, layer, dw, scale)
    w, clip = step.state[f"{INNER}_w"].astype(np.int64), int(step.state[f"{INNER}_w_clip"][0])
    error = step.tensors[f"{INNER}_w_codes"].astype(np.int64) * clip - TOP * w  # of the clip's slope, times 7 clip
    slope = np.where(w > clip, TOP * clip, np.where(w < -clip, -TOP * clip, error))
    moment = int((dw.astype(object) * slope).sum())  # however wide
    learn(step, f"{INNER}_w_clip", round(Fraction(moment, TOP * clip)), scale)
    g = step.put(f"{INNER}_w_gradient", np.where(np.abs(w) <= clip, dw, 0), S48)
    return g, step.put_scale(f"{INNER}_w_gradient_scale", scale)


def activation(step: Progress, layer: Layer, acc: np.ndarray, scale: Fraction) -> Codes:
    name, format = layer.name, IntFormat(ACTIVATION_BITS[layer.name], signed=False)
    clip = int(step.state[f"{name}_y_clip"][0]) * UNIT
    ratio = multiplier_from_scale(format.qmax * scale / clip)
    step.put_ratio(f"{name}_y_codes", *ratio)
    codes = pact.forward(acc, *ratio, bits=format.bits, rounding="half_even")
    return Codes(step.put(f"{name}_y_codes", codes, format),
                 step.put_scale(f"{name}_y_codes_scale", clip / format.qmax))


def gradient(step: Progress, layer: Layer, g: np.ndarray, scale: Fraction) -> tuple[Codes, Codes]:
    """In the middle layer one copy of 4 bits for both products; its clip factor moves on."""
    if layer.name != INNER:
        return gradient_in_16_bits(step, layer, g, scale)
    factor, name = int(step.state[f"{INNER}_clip_factor"][0]), f"{INNER}_g_codes"
    found = int4.codes(g, factor, 4, step.random(f"{INNER}_g"))
    step.put(f"{name}_highest", found.highest, S48)
    step.put_ratio(name, found.multiplier, found.shift)
    codes = step.put(name, found.codes, S4)
    step.put(f"{INNER}_g_clipped", found.clipped, U32)
    after = int4.updated(factor, found.clipped, g.size, 4) if found.highest else factor
    step.keep(f"{INNER}_clip_factor", np.array([after]), U16)
    one = max(found.highest, 1)
    quantized = Codes(codes, step.put_scale(f"{name}_scale", scale * Fraction(factor * one, 1000 * TOP)))
    return quantized, quantized


def activation_gradient(step: Progress, layer: Layer, dx: np.ndarray, scale: Fraction) -> Gradient:
    """Straight through inside the clip, both ends included; the clip learns as PACT's alpha does."""
    name, acc, acc_scale = layer.name, step.tensors[f"{layer.name}_acc"], step.scale(f"{layer.name}_acc_scale")
    bits, clip = ACTIVATION_BITS[name], int(step.state[f"{name}_y_clip"][0]) * UNIT
    top, limit = 2**bits - 1, math.floor(clip / acc_scale)
    _, dclip, _ = pact.backward(dx, acc, limit + 1, *multiplier_from_scale(top * acc_scale / clip), bits=bits,
                                fraction_bits=FRACTION_BITS, calibrated=True, rounding="half_even")
    learn(step, f"{name}_y_clip", divide(dclip, top << FRACTION_BITS), scale)
    return np.where((acc >= 0) & (acc <= limit), dx, 0), scale


CLIPS = {f"{INNER}_w_clip": 1, **{f"{layer.name}_y_clip": 1 for layer in LAYERS[:-1]}}
METHOD = Method("int4", weight, activation, gradient, weight_gradient, activation_gradient,
                state={name: (S32, np.array([clip << MASTER_BITS])) for name, clip in CLIPS.items()}
                | {f"{INNER}_clip_factor": (U16, np.array([800]))},
                learned=tuple(CLIPS), random={f"{INNER}_g": LAYERS[1].output})
"""INT4's method in integers, as `refquant.hardware.step.run` takes it, made of the functions above."""
