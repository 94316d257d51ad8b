"""Jin 2019 in training: DoReFa weights, CG-PACT activations, SAT where no batch norm follows.

| layer | weights | input | rescaled |
|---|---|---|---|
| first | 8 bits | the image's own 8-bit integers | no |
| inner | k bits | k bits, CG-PACT; two-sided where it may be negative | no: batch norm follows |
| inner, no norm behind it | k bits | k bits, CG-PACT | yes, by the constant |
| last | 8 bits | k bits, CG-PACT | yes, by the constant |

alpha starts at 8 (10 before a linear layer) and is neither decayed nor treated apart.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refquant.autodiff import Tensor
from refquant.quantizers.sat import pact, sat_clamp, sat_weight
from refquant.training.optimizers import SGD, Group
from refquant.training.quantizing import Quantizers, Recipe, as_reals, image
from refquant.training.run import Run

ENDS_BITS = 8  # weights of the first and the last layer


@dataclass(frozen=True)
class Weight:
    """DoReFa's levels; rescale: None, "constant" or "stddev"."""

    bits: int
    rescale: str | None = None
    scheme: str = "original"
    variant: str = "paper"

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return sat_weight(w, bits=self.bits, scheme=self.scheme, rescale=self.rescale, variant=self.variant)


@dataclass(frozen=True)
class Clamp:
    """The clamped weights, unquantized: full precision under SAT's rules."""

    rescale: str | None = None
    variant: str = "paper"

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return sat_clamp(w, rescale=self.rescale, variant=self.variant)


@dataclass(frozen=True)
class Activation:
    """PACT with a learned alpha; calibrated: CG-PACT."""

    bits: int
    alpha: float = 8.0
    calibrated: bool = True

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        alpha = run.parameter(f"{name}.alpha", lambda: np.array(self.alpha), "quantizer")
        return pact(as_reals(x), alpha, bits=self.bits, calibrated=self.calibrated, two_sided=signed)


def recipe(bits: int = 4, *, variant: str = "paper", rescale: str | None = "constant", calibrated: bool = True,
           alpha: float = 8.0) -> Recipe:
    """SAT's table for ``bits``.  rescale, calibrated : what the paper argues for, to be changed in experiments."""
    weight, activation = Weight(bits, variant=variant), Activation(bits, alpha, calibrated)
    return Recipe(f"sat-{bits}", Quantizers(weight, activation),
                  bare=Quantizers(Weight(bits, rescale, variant=variant), activation),
                  first=Quantizers(Weight(ENDS_BITS, variant=variant), image),
                  last=Quantizers(Weight(ENDS_BITS, rescale, variant=variant),
                                  Activation(bits, 1.25 * alpha, calibrated)),
                  groups={"weight": Group(SGD(rate=0.05, nesterov=True), decay=4e-5)})
