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

__all__ = ["Method", "gradient_in_16_bits", "identity", "weight_in_8_bits"]

Gradient = tuple[np.ndarray, Fraction]


@dataclass(frozen=True, eq=False)
class Method:
    """One method's rules. Each is given the step under way (`Progress`) and the `Layer` before what is named here.

    name : the method's.
    weight : the layer's master weights as `Codes`.
    activation : (acc, scale) of a layer, acc int32 [B, ...], as the codes that the next one is given.
    gradient : (g, scale) as codes for the input gradient and for the weight gradient.
    weight_gradient : (sums, scale) of the weight's codes -> of the master weights.
    activation_gradient : (dx, scale) of the next layer's input -> (g, scale) of this layer's sums; learns on the way.
    state : what a step carries besides weights and momenta: name -> (format, first value).
    learned : which parts of the state are moved as weights are, with a momentum and random bits of their own.
    learned_rate : in 2^-12, what suits them on the digits.
    random : further names of random bits -> their shape for one image.
    constants : (batch) -> tables that the case is given.

    Raises nothing of its own.

    Source: refquant's own: the rules are the papers', that a step is cut into these is not.
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
    """The master weights on [-max, max], as `Codes` s8 narrow of the weight's shape [out, ...]; recorded.

    step : its state holds them.  layer : whose weights.

    Raises KeyError where the state has none.

    Source: refquant's own choice where a method says nothing of a layer's weights.
    """
    return symmetric(step, f"{layer.name}_w_codes", step.state[f"{layer.name}_w"], UNIT, 8)


def gradient_in_16_bits(step: Progress, layer: Layer, g: np.ndarray, scale: Fraction) -> tuple[Codes, Codes]:
    """One copy for both products, where the method quantizes no gradient: 16 bits stand for the real number.

    step, layer : where it is recorded.  g : integers [B, ...].  scale : of g, one positive Fraction.

    Returns the same `Codes`, s16 narrow of g's shape, twice.

    Raises ValueError for a scale that is not positive.

    Source: refquant's own; Banner 2018's 16-bit copy is the model.
    """
    wide = symmetric(step, f"{layer.name}_g_wide", g, scale, 16)
    return wide, wide


def identity(step: Progress, layer: Layer, dw: np.ndarray, scale: Fraction) -> Gradient:
    """The gradient of the codes is that of the master weights: ``(dw, scale)`` as they are.

    step, layer : not looked at.  dw : int64 of the weight's shape [out, ...].  scale : of dw, one Fraction.

    Raises nothing of its own.

    Source: the straight-through rule of a quantizer that clips nothing.
    """
    return dw, scale
