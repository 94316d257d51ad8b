"""What stands at the places of a product, and the recipe that says so: a method is a table.

    Quantizers   weight, activation, input_gradient, weight_gradient, bias        of one product
    Recipe       first, inner, last: the Quantizers of the first product, of the last, of all between;
                 norm, nonlinearity: the layers between products;  groups: how each kind of parameter is optimized

Mixing methods is one line:

    replace(banner.recipe(8), inner=replace(banner.recipe(8).inner, weight=sat.Weight(4)))

A quantizer is a small frozen object. What it learns is a parameter of the `Run`, what it collects is state.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from refquant.autodiff import Tensor, dequantize
from refquant.autodiff.values import INTEGER
from refquant.training.optimizers import SGD, Group
from refquant.training.run import Run

__all__ = ["ActivationQuantizer", "GradientQuantizer", "Quantizers", "Recipe", "WeightQuantizer", "as_reals", "image",
           "real_activation", "real_weight"]


class WeightQuantizer(Protocol):
    """What stands at a weight or a bias: called as ``quantizer(w, run, name)``, returns the tensor that multiplies.

    w : a Tensor of float64 [outputs, ...]; a Tensor of Fixed, or of reals, of its shape comes back.
    run : the pass, for parameters, state and random bits.  name : of the tensor, "conv1.w".

    Raises what a quantizer refuses; the protocol itself nothing.

    Source: refquant's own protocol.
    """

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor: ...


class ActivationQuantizer(Protocol):
    """What stands at an input of a product: called as ``quantizer(x, run, name, signed)``, returns what multiplies.

    x : a Tensor of reals or of Fixed, [B, ...]; a Tensor of Fixed, or of reals, of its shape comes back.
    run : the pass, for parameters, state and random bits.  name : of the tensor, "conv1.x".
    signed : whether ``x`` may be negative.

    Raises what a quantizer refuses; the protocol itself nothing.

    Source: refquant's own protocol.
    """

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        """``signed``: whether ``x`` may be negative."""


class GradientQuantizer(Protocol):
    """What stands at an output gradient: `at` quantizes it, `see` learns from it afterwards.

    g : float64, of the shape of the product's output, [B, outputs, ...].

    Raises what a quantizer refuses; the protocol itself nothing.

    Source: refquant's own protocol: two calls, so that a backward rule stays a pure function.
    """

    def at(self, run: Run, name: str) -> Callable[[np.ndarray], Any]:
        """What quantizes the output gradient ``name`` at this step of ``run``: a function of it, with no memory."""

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        """Learn from the gradient ``g`` of this step, unquantized: new state of ``run``, for ``name``."""


def as_reals(x: Tensor) -> Tensor:
    """``x`` as a Tensor of float64, of its shape, whatever it was.

    x : a Tensor of reals or of Fixed, any shape.

    Backward: the identity; that of `dequantize`.

    Raises nothing of its own.

    Source: scale * (codes - zero_point), ONNX DequantizeLinear.
    """
    return dequantize(x) if isinstance(x.value, INTEGER) else x


def real_weight(w: Tensor, run: Run, name: str) -> Tensor:
    """A weight as it is: full precision.

    w : a Tensor of float64 [outputs, ...].  run, name : not used.

    Raises nothing of its own.

    Source: refquant's own: the quantizer that does nothing.
    """
    return w


def real_activation(x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
    """An activation in full precision, a Tensor of float64 of its shape.

    x : a Tensor of reals or of Fixed, [B, ...].  run, name, signed : not used.

    Raises nothing of its own.

    Source: refquant's own: the quantizer that does nothing.
    """
    return as_reals(x)


def image(x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
    """The input as it is: an image is integers already (unsigned, 8 bits), and no quantizer touches it.

    x : a Tensor of Fixed, u8 [B, C, H, W].  run, name, signed : not used.

    Raises nothing of its own.

    Source: Jin 2019's authors' code: the first layer's input is the image's own 8-bit integers.
    """
    return x


@dataclass(frozen=True)
class Quantizers:
    """The quantizers of one product; full precision unless given.

    weight, bias : of the weight [outputs, ...] and the bias [outputs], each a `WeightQuantizer`.
    activation : of the input [B, ...], an `ActivationQuantizer`.
    input_gradient, weight_gradient : of the output gradient, for the two products that it enters, each a
        `GradientQuantizer`; None: that copy stays real. Equal ones are one: both products take the same codes.

    Raises nothing of its own.

    Source: Banner 2018, section 4 (bifurcation), for two quantizers of one gradient.
    """

    weight: WeightQuantizer = real_weight
    activation: ActivationQuantizer = real_activation
    input_gradient: GradientQuantizer | None = None
    weight_gradient: GradientQuantizer | None = None
    bias: WeightQuantizer = real_weight


@dataclass(frozen=True)
class Recipe:
    """Which quantizer sits where, and how the parameters of each kind are optimized.

    name : of the method.
    inner, first, last : the `Quantizers` of the first product, of the last, and (inner) of all between.
    bare : of the inner products that no norm follows; like ``inner`` unless given.
    norm, nonlinearity : functions of ``(name, channels)`` that make the layer that normalizes, and the one that bends;
        None for batch norm, and for the model's own ReLU. Both take and give [B, C, ...].
    groups : a `Group` for each kind of parameter; "weight" must be there.
    skips_first : whether the first step changes no parameter (INT4's authors).

    Raises nothing of its own.

    Source: refquant's own table; what a paper puts there stands in its method's module.
    """

    name: str
    inner: Quantizers = Quantizers()
    first: Quantizers = Quantizers()
    last: Quantizers = Quantizers()
    bare: Quantizers | None = None
    norm: Callable[[str, int], Any] | None = None
    nonlinearity: Callable[[str, int], Any] | None = None
    groups: dict[str, Group] = field(default_factory=lambda: {"weight": Group(SGD(), decay=1e-4)})
    skips_first: bool = False
