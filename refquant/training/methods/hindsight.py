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


@dataclass(frozen=True)
class Weight:
    """A weight on [-max, max]."""

    bits: int = 8

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return symmetric_quantize(w, max_abs=highest(w.value), bits=self.bits)


@dataclass(frozen=True)
class Activation:
    """An activation on an estimated range; in evaluation, on the one that training left."""

    bits: int = 8
    estimator: Estimator = HINDSIGHT

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        x, key = as_reals(x), f"{name}.range"
        low, high = (estimated_range(self.estimator, tensor_range(x.value), run, key) if run.training
                     else known_range(run, key))
        return hindsight_quantize(x, range_min=low, range_max=high, bits=self.bits)


@dataclass(frozen=True)
class Gradient:
    """An output gradient on an estimated range."""

    bits: int = 8
    estimator: Estimator = HINDSIGHT

    def at(self, run: Run, name: str) -> Callable:
        rounding, key = run.stochastic(name), f"{name}.range"
        state = past_range(run, key)

        def quantizer(g: np.ndarray):
            low, high = self.estimator.range(run.once(tensor_range, g), state)
            return hindsight_quantize(g, range_min=low, range_max=high, bits=self.bits, rounding=rounding)
        return quantizer

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        estimated_range(self.estimator, run.once(tensor_range, g), run, f"{name}.range")


@dataclass(frozen=True)
class DsgcGradient:
    """An output gradient clipped where its direction suffers least, searched every ``period`` steps, kept between."""

    bits: int = 8
    period: int = 100

    def at(self, run: Run, name: str) -> Callable:
        rounding, key = run.stochastic(name), f"{name}.clip"

        def quantizer(g: np.ndarray):
            clip = run.once(dsgc_clip, g, self.bits) if self._due(run, key) else float(run.state[key])
            return symmetric_quantize(g, max_abs=clip, bits=self.bits, rounding=rounding)
        return quantizer

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        if self._due(run, f"{name}.clip"):
            run.state[f"{name}.clip"] = np.array(run.once(dsgc_clip, g, self.bits))

    def _due(self, run: Run, key: str) -> bool:
        return key not in run.state or run.step % self.period == 0


def recipe(bits: int = 8, *, variant: str = "paper", estimator: Estimator = HINDSIGHT, dsgc: bool = False) -> Recipe:
    """In-hindsight's table, every layer alike.

    estimator : current or running min and max instead, to compare.  dsgc : DSGC for the gradients.
    variant : the authors released no code, so both names mean the same.
    """
    gradient = DsgcGradient(bits) if dsgc else Gradient(bits, estimator)
    every = Quantizers(Weight(bits), Activation(bits, estimator), gradient, gradient)
    return Recipe(f"hindsight-{bits}", every, every, every, groups={"weight": Group(SGD(), decay=1e-4)})
