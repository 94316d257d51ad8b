"""Banner's method in integers: every tensor in 8 bits on the range it covers, Range BN, a bifurcated gradient.

    weights, activations, what enters Range BN                               8 bits, affine
    gradients for the input gradient, and what enters Range BN's backward    8 bits, affine, rounded stochastically
    gradients for the weight gradient                                        16 bits, symmetric

Running statistics are kept in 2^-12 of real numbers, as the codes that enter Range BN have another scale each step.

Source: Banner 2018, sections 1 and 4, Range BN by equations 1 and 2; the integers are refquant's own.
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.hardware import range_bn
from refquant.hardware.scaling import scaled
from refquant.hardware.step.copies import affine, symmetric
from refquant.hardware.step.learning import MASTER_BITS, UNIT, learn
from refquant.hardware.step.method import Gradient, Method, identity
from refquant.hardware.step.network import FIRST, LAYERS, Layer
from refquant.hardware.step.progress import S16, S32, Arrays, Codes, Progress
from refquant.integers import IntFormat, multiplier_from_scale
from refquant.integers.rounding import half_even

__all__ = ["METHOD"]

FRACTION_BITS, NORMAL_BITS = 8, 12  # of means and widths; of x_hat
GAMMA_BITS = 8
BETA_BITS = GAMMA_BITS + NORMAL_BITS
Y_BITS = 10  # of Range BN's answer
RUNNING_MOMENTUM = 3277  # 0.1 in 2^-15: the weight of the batch


def weight(step: Progress, layer: Layer) -> Codes:
    return affine(step, f"{layer.name}_w_codes", step.state[f"{layer.name}_w"], UNIT)


def activation(step: Progress, layer: Layer, acc: np.ndarray, scale: Fraction) -> Codes:
    """Range BN of the quantized sums, and a ReLU."""
    name = layer.name
    x = affine(step, f"{name}_bn_x", acc, scale)
    found = range_bn.statistics(x.codes, _constants(step, name), fraction_bits=FRACTION_BITS, chunks=1, epsilon=0,
                                rounding=half_even)
    for part in ("mean", "width", "inverse"):
        step.put(f"{name}_bn_{part}", getattr(found, part), S32)
    _average(step, name, found, x)
    x_hat = range_bn.normalized(x.codes, found.mean, found.inverse, fraction_bits=FRACTION_BITS,
                                normal_bits=NORMAL_BITS, rounding=half_even)
    step.put(f"{name}_bn_x_hat", range_bn.shaped(x_hat, acc.shape), S32)
    y = range_bn.affine(x_hat, step.state[f"{name}_gamma"], step.state[f"{name}_beta"], BETA_BITS - Y_BITS, half_even)
    y = step.put(f"{name}_bn_y", S16.saturate(range_bn.shaped(y, acc.shape)), S16)
    return affine(step, f"{name}_y_codes", np.maximum(y, 0), Fraction(1, 1 << Y_BITS))


def _average(step: Progress, name: str, found: range_bn.Statistics, x: Codes) -> None:
    """The running mean and width take in the batch's."""
    unit = multiplier_from_scale(x.scale * (1 << (MASTER_BITS - FRACTION_BITS)))
    for part, batch in (("mean", found.mean - (x.zero_point << FRACTION_BITS)), ("width", found.width)):
        running = range_bn.updated(step.state[f"{name}_{part}"], scaled(batch, *unit), RUNNING_MOMENTUM, half_even)
        step.keep(f"{name}_{part}", running, S32)


def gradient(step: Progress, layer: Layer, g: np.ndarray, scale: Fraction) -> tuple[Codes, Codes]:
    """The bifurcation: 8 bits for the input gradient, 16 for the weight gradient."""
    wide = symmetric(step, f"{layer.name}_g_wide", g, scale, 16)
    if layer.name == FIRST:  # no input gradient is made
        return wide, wide
    return affine(step, f"{layer.name}_g_codes", g, scale, step.random(f"{layer.name}_g")), wide


def activation_gradient(step: Progress, layer: Layer, dx: np.ndarray, scale: Fraction) -> Gradient:
    name = layer.name
    passed = np.where(step.tensors[f"{name}_bn_y"] > 0, dx, 0)
    g = affine(step, f"{name}_bn_g", passed, scale, step.random(f"{name}_bn_g"))
    found = range_bn.backward(step.tensors[f"{name}_bn_x"], g.centred, step.state[f"{name}_gamma"],
                              _constants(step, name), fraction_bits=FRACTION_BITS, normal_bits=NORMAL_BITS, chunks=1,
                              epsilon=0, dx_shift=0, dx_format=S32, rounding=half_even)
    for part, unit, fraction_bits, format in (("gamma", Fraction(1, 1 << FRACTION_BITS), GAMMA_BITS, S16),
                                              ("beta", Fraction(1), BETA_BITS, S32)):
        learn(step, f"{name}_{part}", found[f"d{part}"], g.scale * unit, format, fraction_bits, least=None)
    return found["dx"], g.scale / (1 << BETA_BITS) / step.scale(f"{name}_bn_x_scale")


def _constants(step: Progress, name: str) -> range_bn.Constants:
    return tuple(int(step.constants[f"{name}_{part}"][0]) for part in PARTS)  # type: ignore[return-value]


PARTS = ("mean_multiplier", "mean_shift", "c_multiplier", "c_shift")
NORMED = LAYERS[:-1]


def constants(batch: int) -> Arrays:
    """Of Range BN, for each layer's number of values a channel."""
    formats = {"multiplier": np.int32, "shift": np.uint8}
    return {f"{layer.name}_{part}": np.array([value], formats[part.split("_")[1]])
            for layer in NORMED
            for part, value in zip(PARTS, range_bn.constants(batch * layer.output[1] * layer.output[2], 1,
                                                             FRACTION_BITS), strict=True)}


def _first(channels: int) -> dict[str, tuple[IntFormat, np.ndarray]]:
    zeros = np.zeros(channels, int)
    return {"gamma": (S16, zeros + (1 << GAMMA_BITS)), "beta": (S32, zeros), "mean": (S32, zeros),
            "width": (S32, zeros)}


METHOD = Method("banner", weight, activation, gradient, identity, activation_gradient,
                state={f"{layer.name}_{part}": first for layer in NORMED
                       for part, first in _first(layer.output[0]).items()},
                random={f"{layer.name}_g": layer.output for layer in LAYERS[1:]}
                | {f"{layer.name}_bn_g": layer.output for layer in NORMED},
                learned=tuple(f"{layer.name}_{part}" for layer in NORMED for part in ("gamma", "beta")),
                constants=constants)
"""Banner's method in integers, as `refquant.hardware.step.run` takes it, made of the functions above."""
