"""Liu 2022 in training: learned thresholds, entropy-preserving weights, RPReLU; first and last layer real.

| what | how |
|---|---|
| inner activations | n bits, thresholds learned by G-STE; s = 0, a_i = 2 / K, b1 = b2 = 1 at first |
| inner weights | n bits, per filter, near equally used levels |
| inner weights, no norm behind them | times their scale, as the authors' code has it: nothing else would absorb it |
| optimizer | Adam 2.5e-3, a tenth of it for s, a, b1 and b2 |
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refquant.autodiff import Tensor
from refquant.quantizers.n2uq import initial_intervals, n2uq_quantize, n2uq_weight
from refquant.training.layers import RPReLU
from refquant.training.methods.sat import Weight as BaselineWeight
from refquant.training.optimizers import Adam, Group
from refquant.training.quantizing import Quantizers, Recipe, as_reals
from refquant.training.run import Run


@dataclass(frozen=True)
class Weight:
    """Entropy-preserving weights."""

    bits: int
    variant: str = "paper"

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return n2uq_weight(w, bits=self.bits, variant=self.variant)


@dataclass(frozen=True)
class Activation:
    """Levels between learned thresholds; not learned, they stay uniform and only both scales are learned."""

    bits: int
    variant: str = "paper"
    learned: bool = True

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        first = {"a": initial_intervals(self.bits), "start": np.zeros(1), "scale1": np.ones(1), "scale2": np.ones(1)}
        values = [run.parameter(f"{name}.{part}", value.copy, "quantizer") if self.learned or part.startswith("scale")
                  else value for part, value in first.items()]
        return n2uq_quantize(as_reals(x), *values, bits=self.bits, variant=self.variant)


def recipe(bits: int = 2, *, variant: str = "paper", thresholds: bool = True, entropy: bool = True) -> Recipe:
    """N2UQ's table.  thresholds, entropy : its two parts, for the ablation; without the second, DoReFa's weights."""
    weight = Weight(bits, variant) if entropy else BaselineWeight(bits, variant=variant)
    scaled = Weight(bits, "authors") if entropy else BaselineWeight(bits, "stddev", variant=variant)
    activation = Activation(bits, variant, thresholds)
    return Recipe(f"n2uq-{bits}", Quantizers(weight, activation), bare=Quantizers(scaled, activation),
                  nonlinearity=RPReLU,
                  groups={"weight": Group(Adam(2.5e-3)), "quantizer": Group(Adam(2.5e-4))})
