"""Fournarakis 2021 in training: every range known before its tensor is, by in-hindsight min and max.

| tensor | bits | range | rounding |
|---|---|---|---|
| weights | 8, symmetric | their own max | half_even |
| activations | 8, asymmetric | in hindsight | half_even |
| output gradients, for both products | 8, asymmetric | in hindsight | stochastic |
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refquant.autodiff import Tensor
from refquant.quantizers.banner import tensor_range
from refquant.quantizers.grid import highest
from refquant.quantizers.hindsight import HINDSIGHT, Estimator, dsgc_clip, hindsight_quantize, symmetric_quantize
from refquant.training.methods.ranges import estimated_range, known_range, past_range
from refquant.training.optimizers import SGD, Group
from refquant.training.quantizing import Quantizers, Recipe, as_reals
from refquant.training.run import Run

__all__ = ["Activation", "DsgcGradient", "Gradient", "Weight", "recipe"]


@dataclass(frozen=True)
class Weight:
    """A weight [outputs, ...] on [-max, max]: a Fixed of its shape, narrow, per tensor.

    bits : 2 to 32.

    Backward: that of `symmetric_quantize`; nothing is clipped.

    Raises ValueError, when called, for NaN and infinities.

    Source: Fournarakis 2021 for a range known before the layer runs; symmetric after its group's public quantization
    library, narrow is refquant's own.
    """

    bits: int = 8

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return symmetric_quantize(w, max_abs=highest(w.value), bits=self.bits)


@dataclass(frozen=True)
class Activation:
    """An activation [B, ...] on an estimated range; in evaluation, on the one that training left: a Fixed, unsigned.

    bits : 2 to 32.
    estimator : how the range is found; in hindsight unless given.

    Backward: straight through inside the range, both ends included, else 0.

    Raises ValueError, when called, for an activation that is empty or not finite; KeyError in evaluation before any
    training.

    Source: Fournarakis 2021; the quantizer after its group's public library.
    """

    bits: int = 8
    estimator: Estimator = HINDSIGHT

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        x, key = as_reals(x), f"{name}.range"
        low, high = (estimated_range(self.estimator, tensor_range(x.value), run, key) if run.training
                     else known_range(run, key))
        return hindsight_quantize(x, range_min=low, range_max=high, bits=self.bits)


@dataclass(frozen=True)
class Gradient:
    """An output gradient, any shape, on an estimated range, rounded stochastically: a Fixed, unsigned.

    bits : 2 to 32.
    estimator : how the range is found; in hindsight unless given.

    Raises ValueError, when called, for a gradient that is empty or not finite.

    Source: Fournarakis 2021; stochastic, as we recall it and as Banner 2018 has it.
    """

    bits: int = 8
    estimator: Estimator = HINDSIGHT

    def at(self, run: Run, name: str) -> Callable:
        """What quantizes the gradient ``name`` at this step of ``run``: a function of it, with no memory."""
        rounding, key = run.stochastic(name), f"{name}.range"
        state = past_range(run, key)

        def quantizer(g: np.ndarray):
            low, high = self.estimator.range(run.once(tensor_range, g), state)
            return hindsight_quantize(g, range_min=low, range_max=high, bits=self.bits, rounding=rounding)
        return quantizer

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        """Move the range in ``run`` on by the min and max of the gradient ``g``, any shape, called ``name``."""
        estimated_range(self.estimator, run.once(tensor_range, g), run, f"{name}.range")


@dataclass(frozen=True)
class DsgcGradient:
    """An output gradient, any shape, clipped where its direction suffers least: a Fixed, narrow.

    bits : 2 to 32.
    period : the clip is searched every so many steps, 1 or more, and kept between.

    Raises ValueError, when called, for a gradient that is not finite.

    Source: Zhu 2020 (arXiv 1912.12607), the direction-sensitive gradient clipping; the period is refquant's own.
    """

    bits: int = 8
    period: int = 100

    def at(self, run: Run, name: str) -> Callable:
        """What quantizes the gradient ``name`` at this step of ``run``: a function of it, with no memory."""
        rounding, key = run.stochastic(name), f"{name}.clip"

        def quantizer(g: np.ndarray):
            clip = run.once(dsgc_clip, g, self.bits) if self._due(run, key) else float(run.state[key])
            return symmetric_quantize(g, max_abs=clip, bits=self.bits, rounding=rounding)
        return quantizer

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        """Keep in ``run`` the clip of the gradient ``g``, any shape, called ``name``, in a step that searches one."""
        if self._due(run, f"{name}.clip"):
            run.state[f"{name}.clip"] = np.array(run.once(dsgc_clip, g, self.bits))

    def _due(self, run: Run, key: str) -> bool:
        return key not in run.state or run.step % self.period == 0


def recipe(bits: int = 8, *, variant: str = "paper", estimator: Estimator = HINDSIGHT, dsgc: bool = False) -> Recipe:
    """In-hindsight's table, every layer alike; tensors of any shape.

    bits : of weights, activations and gradients, 2 to 32.
    variant : the authors released no code, so both names mean the same.
    estimator : current or running min and max instead, to compare.
    dsgc : DSGC for the gradients.

    Raises nothing of its own; the quantizers refuse what they do not know when they are called.

    Source: Fournarakis 2021; the optimizer, SGD 0.1 with decay 1e-4, is refquant's own.
    """
    gradient = DsgcGradient(bits) if dsgc else Gradient(bits, estimator)
    every = Quantizers(Weight(bits), Activation(bits, estimator), gradient, gradient)
    return Recipe(f"hindsight-{bits}", every, every, every, groups={"weight": Group(SGD(), decay=1e-4)})
