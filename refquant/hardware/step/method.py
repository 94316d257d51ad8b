"""What a method decides of a step: how tensors become codes, and how gradients pass its quantizers.

Each rule takes the step under way and the layer; it records what it computes, and returns codes or a gradient with its
scale. Rules of the backward pass read what the forward pass recorded.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from refquant.hardware.step.copies import symmetric
from refquant.hardware.step.learning import UNIT
from refquant.hardware.step.network import Layer
from refquant.hardware.step.progress import Arrays, Codes, Progress
from refquant.integers import IntFormat

Gradient = tuple[np.ndarray, Fraction]


@dataclass(frozen=True, eq=False)
class Method:
    """One method's rules.

    weight : the layer's master weights as codes.
    activation : (acc, scale) of a layer as the codes that the next one is given.
    gradient : (g, scale) as codes for the input gradient and for the weight gradient.
    weight_gradient : (sums, scale) of the weight's codes -> of the master weights.
    activation_gradient : (dx, scale) of the next layer's input -> (g, scale) of this layer's sums; learns on the way.
    state : what a step carries besides weights and momenta: name -> (format, first value).
    learned : which parts of the state are moved as weights are, with a momentum and random bits of their own.
    learned_rate : in 2^-12, what suits them on the digits.
    random : further names of random bits -> their shape for one image.
    constants : (batch) -> tables that the case is given.
    """

    name: str
    weight: Callable[[Progress, Layer], Codes]
    activation: Callable[[Progress, Layer, np.ndarray, Fraction], Codes]
    gradient: Callable[[Progress, Layer, np.ndarray, Fraction], tuple[Codes, Codes]]
    weight_gradient: Callable[[Progress, Layer, np.ndarray, Fraction], Gradient]
    activation_gradient: Callable[[Progress, Layer, np.ndarray, Fraction], Gradient]
    state: dict[str, tuple[IntFormat, np.ndarray]] = field(default_factory=dict)
    learned: tuple[str, ...] = ()
    learned_rate: int = 8
    random: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: Callable[[int], Arrays] = lambda batch: {}


def weight_in_8_bits(step: Progress, layer: Layer) -> Codes:
    """The master weights on [-max, max]."""
    return symmetric(step, f"{layer.name}_w_codes", step.state[f"{layer.name}_w"], UNIT, 8)


def gradient_in_16_bits(step: Progress, layer: Layer, g: np.ndarray, scale: Fraction) -> tuple[Codes, Codes]:
    """One copy for both products, where the method quantizes no gradient: 16 bits stand for the real number."""
    wide = symmetric(step, f"{layer.name}_g_wide", g, scale, 16)
    return wide, wide


def identity(step: Progress, layer: Layer, dw: np.ndarray, scale: Fraction) -> Gradient:
    """The gradient of the codes is that of the master weights."""
    return dw, scale
