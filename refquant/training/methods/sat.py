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

__all__ = ["Activation", "Clamp", "Weight", "recipe"]

ENDS_BITS = 8  # weights of the first and the last layer


@dataclass(frozen=True)
class Weight:
    """DoReFa's levels of a weight [outputs, ...]: a Fixed of its shape, per tensor.

    bits : 2 to 32.
    rescale : None, or "constant" or "stddev" for SAT's scale.
    scheme, variant : as of `sat_weight`.

    Backward: that of `sat_weight`.

    Raises ValueError, when called, for a weight that is not finite or 0 everywhere, and for an unknown choice.

    Source: Jin 2019, and its authors' code; see `sat_weight`.
    """

    bits: int
    rescale: str | None = None
    scheme: str = "original"
    variant: str = "paper"

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return sat_weight(w, bits=self.bits, scheme=self.scheme, rescale=self.rescale, variant=self.variant)


@dataclass(frozen=True)
class Clamp:
    """The clamped weights [outputs, ...], unquantized: full precision under SAT's rules.

    rescale : None, or "constant" or "stddev" for SAT's scale.
    variant : as of `sat_clamp`.

    Backward: that of `sat_clamp`.

    Raises ValueError, when called, for a weight that is not finite or 0 everywhere, and for an unknown choice.

    Source: Jin 2019's authors' code: their full-precision baseline.
    """

    rescale: str | None = None
    variant: str = "paper"

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        return sat_clamp(w, rescale=self.rescale, variant=self.variant)


@dataclass(frozen=True)
class Activation:
    """PACT of an activation [B, ...] with a learned alpha, one number a layer: a Fixed of its shape.

    bits : 2 to 32; two-sided, for inputs that may be negative, one more.
    alpha : its first value, not 0.
    calibrated : CG-PACT, else PACT.

    Backward: that of `pact`, also to alpha.

    Raises ValueError, when called, for NaN, and for an alpha that is 0 or not finite.

    Source: Jin 2019; two-sided is an option of the authors' code.
    """

    bits: int
    alpha: float = 8.0
    calibrated: bool = True

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        alpha = run.parameter(f"{name}.alpha", lambda: np.array(self.alpha), "quantizer")
        return pact(as_reals(x), alpha, bits=self.bits, calibrated=self.calibrated, two_sided=signed)


def recipe(bits: int = 4, *, variant: str = "paper", rescale: str | None = "constant", calibrated: bool = True,
           alpha: float = 8.0) -> Recipe:
    """SAT's table for ``bits``, first and last layer as above; tensors of any shape.

    bits : of inner weights and of activations, 2 to 32.
    variant : "paper" or "authors".
    rescale, calibrated : what the paper argues for, to be changed in experiments.
    alpha : its first value, 5/4 of it before the last layer.

    Raises nothing of its own; the quantizers refuse what they do not know when they are called.

    Source: Jin 2019; bits of first and last layer, alpha, and SGD (0.05, Nesterov 0.9, decay 4e-5) are the authors'
    code's.
    """
    weight, activation = Weight(bits, variant=variant), Activation(bits, alpha, calibrated)
    return Recipe(f"sat-{bits}", Quantizers(weight, activation),
                  bare=Quantizers(Weight(bits, rescale, variant=variant), activation),
                  first=Quantizers(Weight(ENDS_BITS, variant=variant), image),
                  last=Quantizers(Weight(ENDS_BITS, rescale, variant=variant),
                                  Activation(bits, 1.25 * alpha, calibrated)),
                  groups={"weight": Group(SGD(rate=0.05, nesterov=True), decay=4e-5)})
