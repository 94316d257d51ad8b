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

__all__ = ["Activation", "Weight", "recipe"]


@dataclass(frozen=True)
class Weight:
    """Entropy-preserving levels of a weight [outputs, ...]: a Fixed of its shape.

    bits : 2 to 32.
    variant : "paper", without the filters' scale, or "authors", with it [outputs].

    Backward: that of `n2uq_weight`.

    Raises ValueError, when called, for a weight that is not finite, and an unknown variant.

    Source: Liu 2022, section 3.2.3 and appendix A; see `n2uq_weight`.
    """

    bits: int
    variant: str = "paper"

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return n2uq_weight(w, bits=self.bits, variant=self.variant)


@dataclass(frozen=True)
class Activation:
    """An activation [B, ...] as levels between learned thresholds: a Fixed of its shape.

    bits : 2 or more, for intervals [2^bits - 1].
    variant : "paper" or "authors", as of `n2uq_quantize`.
    learned : whether thresholds are; if not they stay uniform, and only both scales are learned.

    Backward: that of `n2uq_quantize`, also to what is learned.

    Raises ValueError, when called, for NaN, an unknown variant, learned numbers that are not finite, and a scale2 of 0.

    Source: Liu 2022, sections 3.2 and 4.1.
    """

    bits: int
    variant: str = "paper"
    learned: bool = True

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        first = {"a": initial_intervals(self.bits), "start": np.zeros(1), "scale1": np.ones(1), "scale2": np.ones(1)}
        values = [run.parameter(f"{name}.{part}", value.copy, "quantizer") if self.learned or part.startswith("scale")
                  else value for part, value in first.items()]
        return n2uq_quantize(as_reals(x), *values, bits=self.bits, variant=self.variant)


def recipe(bits: int = 2, *, variant: str = "paper", thresholds: bool = True, entropy: bool = True) -> Recipe:
    """N2UQ's table; tensors of any shape.

    bits : of inner weights and activations, 2 to 32.
    variant : "paper" or "authors".
    thresholds, entropy : its two parts, for the ablation; without the second, DoReFa's weights.

    Raises nothing of its own; the quantizers refuse what they do not know when they are called.

    Source: Liu 2022, section 4.1 (first and last layer real, Adam 2.5e-3, a tenth for the quantizer) and table 3 (the
    ablation); RPReLU is the authors' code's.
    """
    weight = Weight(bits, variant) if entropy else BaselineWeight(bits, variant=variant)
    scaled = Weight(bits, "authors") if entropy else BaselineWeight(bits, "stddev", variant=variant)
    activation = Activation(bits, variant, thresholds)
    return Recipe(f"n2uq-{bits}", Quantizers(weight, activation), bare=Quantizers(scaled, activation),
                  nonlinearity=RPReLU,
                  groups={"weight": Group(Adam(2.5e-3)), "quantizer": Group(Adam(2.5e-4))})
