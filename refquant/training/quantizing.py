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


class WeightQuantizer(Protocol):
    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor: ...


class ActivationQuantizer(Protocol):
    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        """``signed``: whether ``x`` may be negative."""


class GradientQuantizer(Protocol):
    def at(self, run: Run, name: str) -> Callable[[np.ndarray], Any]:
        """What quantizes the output gradient ``name`` at this step: a function of it, with no memory."""

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        """Learn from the gradient of this step, unquantized: new state."""


def as_reals(x: Tensor) -> Tensor:
    """``x`` as real values, whatever it was."""
    return dequantize(x) if isinstance(x.value, INTEGER) else x


def real_weight(w: Tensor, run: Run, name: str) -> Tensor:
    """A weight as it is: full precision."""
    return w


def real_activation(x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
    """An activation in full precision."""
    return as_reals(x)


def image(x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
    """The input as it is: an image is integers already (unsigned, 8 bits), and no quantizer touches it."""
    return x


@dataclass(frozen=True)
class Quantizers:
    """The quantizers of one product; full precision unless given. None: the gradient stays real."""

    weight: WeightQuantizer = real_weight
    activation: ActivationQuantizer = real_activation
    input_gradient: GradientQuantizer | None = None
    weight_gradient: GradientQuantizer | None = None
    bias: WeightQuantizer = real_weight


@dataclass(frozen=True)
class Recipe:
    """Which quantizer sits where, and how the parameters of each kind are optimized.

    bare: of the inner products that no norm follows; like ``inner`` unless given.
    norm(name, channels), nonlinearity(name, channels) : make the layer that normalizes, and the one that bends; None
    for batch norm, and for the model's own ReLU.
    skips_first : whether the first step changes no parameter (INT4's authors).
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
