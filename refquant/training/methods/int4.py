"""Kim 2024 in training: weights, activations and gradients in b bits, and an interval kept for the large gradients.

| tensor | levels | clip | rounding |
|---|---|---|---|
| inner weights | 2^b - 1 | learned | half_even |
| inner activations | 2^b; 2^b - 1 where they may be negative | learned | half_even |
| inner output gradients, for both products | 2^b - 1 | clip factor times max, adapted each step | stochastic |

First and last layer are real. The learned clips move by Adam at 1e-5, undecayed.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refquant.autodiff import Tensor
from refquant.quantizers import int4
from refquant.quantizers.grid import highest
from refquant.quantizers.hindsight import CURRENT, Estimator
from refquant.training.methods.ranges import estimated_range, past_range
from refquant.training.optimizers import SGD, Adam, Group
from refquant.training.quantizing import Quantizers, Recipe, as_reals
from refquant.training.run import Run

__all__ = ["Activation", "Gradient", "Weight", "recipe"]


@dataclass(frozen=True)
class Weight:
    """A weight [outputs, ...] between learned clips, one number a layer: a Fixed of its shape, narrow.

    bits : 2 to 32.

    Backward: that of `int4_weight`, also to the clip.

    Raises ValueError, when called, where the clip is not positive and finite: first weights that are all equal, or NaN.

    Source: Kim 2024, w_quan of the authors' code; the first clip is 3 std(w).
    """

    bits: int = 4

    def __call__(self, w: Tensor, run: Run, name: str) -> Tensor:
        clip = run.parameter(f"{name}.clip", lambda: np.array(int4.initial_clip(w.value)), "quantizer")
        return int4.int4_weight(w, clip, bits=self.bits)


@dataclass(frozen=True)
class Activation:
    """An activation [B, ...] below a learned clip, or between two where it may be negative: a Fixed of its shape.

    bits : 2 to 32.

    Backward: that of `int4_activation`, also to the clip.

    Raises ValueError, when called, where the clip is not positive and finite: a first batch that is constant, or NaN.

    Source: Kim 2024, a_quan of the authors' code. There the first batch tells whether it may be negative, here the
    layer does.
    """

    bits: int = 4

    def __call__(self, x: Tensor, run: Run, name: str, signed: bool) -> Tensor:
        x = as_reals(x)
        clip = run.parameter(f"{name}.clip", lambda: np.array(int4.initial_clip(x.value, half_normal=not signed)),
                             "quantizer")
        return int4.int4_activation(x, clip, bits=self.bits, signed=signed)


@dataclass(frozen=True)
class Gradient:
    """An output gradient, any shape, clipped at its clip factor times its maximum, stochastic: a Fixed, narrow.

    bits : 2 to 32.
    clip_factor : None to adapt it, from 1 on (the authors scan the first batch for it); or a number to hold it at.
    estimator : how the maximum is found; the paper takes the current one.
    variant : "authors" scans the first batch.

    Raises ValueError, when called, for a gradient that is not finite, and for a ``clip_factor`` outside (0, 1].

    Source: Kim 2024, grad_quant and update_interval of the authors' code; an estimated maximum is refquant's own.
    """

    bits: int = 4
    clip_factor: float | None = None
    estimator: Estimator = CURRENT
    variant: str = "paper"

    def at(self, run: Run, name: str) -> Callable:
        """What quantizes the gradient ``name`` at this step of ``run``: a function of it, with no memory."""
        rounding, factor = run.stochastic(name), self._factor(run, name)
        state = past_range(run, f"{name}.range")

        def quantizer(g: np.ndarray):
            max_abs = self.estimator.range(run.once(_limits, g), state)[1]
            return int4.int4_gradient(g, clip_factor=factor, bits=self.bits, rounding=rounding, max_abs=max_abs)
        return quantizer

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        """Move the clip factor, unless held, and the range in ``run`` on by the gradient ``g``, any shape, ``name``."""
        if self.estimator != CURRENT:
            estimated_range(self.estimator, run.once(_limits, g), run, f"{name}.range")
        if self.clip_factor is None:
            scan = self.variant == "authors" and f"{name}.clip_factor" not in run.state
            new = (int4.scanned_clip_factor(g, self.bits) if scan
                   else int4.updated_clip_factor(self._factor(run, name), g, self.bits,
                                                 max_abs=run.once(_limits, g)[1]))
            run.state[f"{name}.clip_factor"] = np.array(new)

    def _factor(self, run: Run, name: str) -> float:
        adapted = run.state.get(f"{name}.clip_factor", 1.0)
        return float(adapted if self.clip_factor is None else self.clip_factor)


def _limits(g: np.ndarray) -> tuple[float, float]:
    largest = highest(g)
    return -largest, largest


def recipe(bits: int = 4, *, variant: str = "paper", clip_factor: float | None = None,
           estimator: Estimator = CURRENT) -> Recipe:
    """The paper's table; tensors of any shape.

    bits : of inner weights, activations and gradients, 2 to 32.
    variant : "paper" or "authors": these scan for the first clip factor, and skip the first step.
    clip_factor : a number instead of the adapted one, to compare.
    estimator : in-hindsight or running maxima in place of the gradient's own.

    Raises nothing of its own; the quantizers refuse what they do not know when they are called.

    Source: Kim 2024; first and last layer real, SGD 0.1 with decay 1e-4 and Adam 1e-5 are the authors' code's.
    """
    gradient = Gradient(bits, clip_factor, estimator, variant)
    return Recipe(f"int4-{bits}", Quantizers(Weight(bits), Activation(bits), gradient, gradient),
                  groups={"weight": Group(SGD(), decay=1e-4), "quantizer": Group(Adam(1e-5))},
                  skips_first=variant == "authors")
