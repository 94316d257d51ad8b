"""Banner 2018 in training: 8-bit weights, activations and gradients, gradient bifurcation, Range BN.

| tensor | bits | range | rounding |
|---|---|---|---|
| weights, biases | 8 | min and max | half_even |
| activations, also into Range BN | 8 | mean of the samples' min and max; evaluation: running | half_even |
| gradient for the input gradient, and into Range BN | ``gradient_bits`` | min and max | stochastic |
| gradient for the weight gradient | 16 (the authors' code: real) | min and max | half_even |
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refquant import autodiff
from refquant.autodiff import Tensor
from refquant.autodiff.normalization import AUTHORS_FACTOR, range_statistics
from refquant.autodiff.values import reals
from refquant.quantizers.banner import banner_quantize, per_sample_range, tensor_range, update_running
from refquant.quantizers.hindsight import CURRENT, Estimator
from refquant.training.layers import average, scaled
from refquant.training.methods.ranges import estimated_range, known_range, past_range
from refquant.training.optimizers import SGD, Group
from refquant.training.quantizing import Quantizers, Recipe, as_reals
from refquant.training.run import Run

__all__ = ["Activation", "Gradient", "RangeBN", "RealWeight", "Weight", "recipe"]

WEIGHT_GRADIENT_BITS = 16


@dataclass(frozen=True)
class Weight:
    """A weight, bias, gamma or beta, any shape, on its own range: a Fixed of its shape, unsigned, per tensor.

    bits : 2 to 32.
    variant : "paper" or "authors", as of `banner_quantize`.

    Backward: the identity, also for what is clipped.

    Raises ValueError, when called, for a tensor that is empty or not finite, and an unknown variant.

    Source: Banner 2018, section 4; per tensor is the authors' code.
    """

    bits: int = 8
    variant: str = "paper"

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        low, high = tensor_range(w.value)
        return banner_quantize(w, range_min=low, range_max=high, bits=self.bits, variant=self.variant)


@dataclass(frozen=True)
class RealWeight:
    """A bias or a parameter of a norm, any shape: quantized like a weight, then used as reals.

    quantizer : the `Weight` to use.

    Backward: the identity.

    Raises ValueError, when called, as its quantizer.

    Source: Banner 2018's authors' code: biases, gamma and beta have the weights' bits.
    """

    quantizer: Weight

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return autodiff.dequantize(self.quantizer(w, run, name))


@dataclass(frozen=True)
class Activation:
    """An activation [B, ...] on the batch's mean of each sample's range; in evaluation, on the running mean of those.

    bits : 2 to 32.
    estimator : another way to find the range (`hindsight.Estimator`), from the tensor's own min and max.
    variant : "paper" or "authors", as of `banner_quantize`; the authors' running range begins at 0.

    Gives a Fixed of its shape, unsigned, per tensor.  Backward: the identity, also for what is clipped.

    Raises ValueError, when called, for a tensor that is empty or not finite, and an unknown variant; KeyError in
    evaluation before any training.

    Source: Banner 2018's authors' code (the paper takes ranges from Range BN, where there is one).
    """

    bits: int = 8
    estimator: Estimator | None = None
    variant: str = "paper"

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool = True) -> Tensor:
        x = as_reals(x)
        low, high = self._range(x.value, run, f"{name}.range")
        return banner_quantize(x, range_min=low, range_max=high, bits=self.bits, variant=self.variant)

    def _range(self, x: np.ndarray, run: Run, key: str) -> tuple[float, float]:
        if not run.training:
            return known_range(run, key)
        if self.estimator is not None:
            return estimated_range(self.estimator, tensor_range(x), run, key)
        seen = per_sample_range(x)
        if key not in run.state:
            run.state[key] = np.zeros(2) if self.variant == "authors" else np.array(seen)
        run.state[key] = update_running(run.state[key], np.array(seen))
        return seen


@dataclass(frozen=True)
class Gradient:
    """An output gradient, any shape, on its min and max, or on the range that an estimator has for it: a Fixed.

    bits : 2 to 32.
    stochastic : whether it is rounded stochastically, else half_even.
    estimator : how the range is found; the current min and max unless given.
    variant : "paper" or "authors", as of `banner_quantize`.

    Raises ValueError, when called, for a gradient that is empty or not finite, and an unknown variant.

    Source: Banner 2018, section 4: 8 bits and stochastic for the input gradient, 16 bits for the weight gradient.
    """

    bits: int = 8
    stochastic: bool = True
    estimator: Estimator = CURRENT
    variant: str = "paper"

    def at(self, run: Run, name: str) -> Callable:
        """What quantizes the gradient ``name`` at this step of ``run``: a function of it, with no memory."""
        rounding = run.stochastic(name) if self.stochastic else "half_even"
        state = past_range(run, f"{name}.range")

        def quantizer(g: np.ndarray):
            low, high = self.estimator.range(run.once(tensor_range, g), state)
            return banner_quantize(g, range_min=low, range_max=high, bits=self.bits, rounding=rounding,
                                   variant=self.variant)
        return quantizer

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        """Move the estimator's range in ``run`` on by the gradient ``g``, any shape, called ``name``."""
        if self.estimator != CURRENT:
            estimated_range(self.estimator, run.once(tensor_range, g), run, f"{name}.range")


@dataclass(frozen=True)
class RangeBN:
    """Range BN [B, C, ...] between 8-bit quantizers: of its input, gamma, beta, and the gradient that comes back.

    name : of gamma, beta (parameters), mean and scale (state), all [C].
    channels : C.
    activation, gradient, weight : the quantizers of the input, of the output gradient, and of gamma and beta.
    eps : joins the range's width, one number.

    In evaluation the running mean and scale take the batch's place. The authors' code cuts a channel into 16 chunks,
    where they divide it, adapts the constant, and quantizes the scale too.

    Backward: that of `range_batch_norm`, of the gradient quantized once: no bifurcation inside.

    Raises ValueError, when called, for one value a channel, and as its quantizers; KeyError in evaluation before any
    training.

    Source: Banner 2018, eq. 1-2; eps, the running scale (momentum 0.1) and the quantized gradient are the authors'
    code's.
    """

    name: str
    channels: int
    activation: Activation
    gradient: Gradient
    weight: Weight
    eps: float = 1e-5

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        x = as_reals(self.activation(x, run, f"{self.name}.x"))
        use = RealWeight(self.weight)
        gamma = use(run.parameter(f"{self.name}.gamma", lambda: np.ones(self.channels)), run, "gamma")
        beta = use(run.parameter(f"{self.name}.beta", lambda: np.zeros(self.channels)), run, "beta")
        if not run.training:
            scale = self._scale_in_use(run.state[f"{self.name}.scale"])
            return scaled(x, run.state[f"{self.name}.mean"], scale, gamma, beta)
        values, authors = x.value.size // self.channels, self.weight.variant == "authors"
        chunks = 16 if authors and values % 16 == 0 and values >= 32 else 1
        factor = AUTHORS_FACTOR if authors else 1.0
        mu, scale = range_statistics(x.value, self.eps, chunks, factor)
        average(run.state, f"{self.name}.mean", mu, 0.1)
        average(run.state, f"{self.name}.scale", scale, 0.1)
        y = autodiff.range_batch_norm(x, gamma, beta, eps=self.eps, chunks=chunks, factor=factor,
                                      quantize_scale=self._scale_in_use, statistics=(mu, scale))
        key = f"{self.name}.output_gradient"
        y = autodiff.quantize_gradient(y, quantizer=self.gradient.at(run, key))
        run.watch(y, lambda g: self.gradient.see(g, run, key))
        return y

    def _scale_in_use(self, scale: np.ndarray) -> np.ndarray:
        """The authors' code quantizes the scale [C] like a weight."""
        if self.weight.variant == "paper":
            return scale
        low, high = tensor_range(scale)
        return reals(banner_quantize(scale, range_min=low, range_max=high, bits=self.weight.bits, variant="authors"))


def recipe(gradient_bits: int = 8, *, variant: str = "paper", estimator: Estimator | None = None,
           bifurcation: bool = True, stochastic: bool = True, range_bn: bool = True) -> Recipe:
    """Banner's table, for every layer, first and last included; tensors of any shape.

    gradient_bits : of the gradient for the input gradient, 2 to 32.
    variant : "paper" or "authors".
    estimator : how gradient and activation ranges are found, if not as in the paper.
    bifurcation : whether the weight gradient gets a finer copy.
    stochastic, range_bn : what the paper argues for, to be switched off in experiments.

    Raises nothing of its own; the quantizers refuse what they do not know when they are called.

    Source: Banner 2018, sections 3, 4 and 6; the optimizer (SGD 0.1, momentum 0.9, decay 1e-4) is the authors' code's.
    """
    weight = Weight(variant=variant)
    activation = Activation(estimator=estimator, variant=variant)
    gradient = Gradient(gradient_bits, stochastic, estimator or CURRENT, variant)
    finer = None if variant == "authors" else Gradient(WEIGHT_GRADIENT_BITS, False, gradient.estimator, variant)
    every = Quantizers(weight, activation, gradient, finer if bifurcation else gradient, RealWeight(weight))
    def norm(name: str, channels: int) -> RangeBN:
        return RangeBN(name, channels, activation, gradient, weight)

    return Recipe(f"banner-{gradient_bits}", every, every, every, norm=norm if range_bn else None,
                  groups={"weight": Group(SGD(), decay=1e-4)})
