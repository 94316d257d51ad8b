"""Banner 2018: stochastic rounding of gradients, gradient bifurcation, Range BN.

Stochastic and nearest are compared twice: with bifurcation, where the coarse gradient goes on to the layer below only,
and without, where it makes the weight gradient too.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from claims.findings import Report, better, on_par, row
from claims.trials import DEEP, EASY, HARD, Budget, seeds
from refquant import autodiff
from refquant.autodiff import Tensor
from refquant.autodiff.normalization import range_statistics
from refquant.training import recipe
from refquant.training.layers import average, scaled
from refquant.training.methods import banner
from refquant.training.quantizing import Recipe, as_reals
from refquant.training.run import Run

BITS = 8, 4, 3, 2
CASES = ((EASY, 8), *((DEEP, bits) for bits in BITS))


def stochastic(budget: Budget) -> Report:
    """Stochastic against nearest gradients."""
    rows, found = [], []
    for bifurcation in (True, False):
        for setting, bits in CASES:
            if setting is EASY and not bifurcation:
                continue
            at = f"{bits} bits, {'with' if bifurcation else 'no'} bifurcation"
            trials = {name: seeds(setting, budget, banner.recipe, gradient_bits=bits, stochastic=name == "stochastic",
                                  bifurcation=bifurcation) for name in ("stochastic", "nearest")}
            rows += [row(setting, f"{at}, {name}", some) for name, some in trials.items()]
            found.append(better(f"stochastic above nearest: {at}, {setting.label}",
                                *([t.score for t in some] for some in trials.values())))
    return Report("stochastic: stochastic against nearest gradients (banner)", tuple(rows), tuple(found))


def bifurcation(budget: Budget) -> Report:
    """A 16-bit copy for the weight gradient, against one gradient for both."""
    rows, found = [], []
    for setting, bits in CASES:
        trials = {name: seeds(setting, budget, banner.recipe, gradient_bits=bits, stochastic=True,
                              bifurcation=name == "bifurcated") for name in ("bifurcated", "one for both")}
        rows += [row(setting, f"{bits} bits, {name}", some) for name, some in trials.items()]
        found.append(better(f"bifurcated above one for both: {bits} bits, {setting.label}",
                            *([t.score for t in some] for some in trials.values())))
    return Report("bifurcation: a finer gradient for the weights, against one for both (banner)", tuple(rows),
                  tuple(found))


@dataclass(frozen=True)
class RealRangeBN:
    """The paper's Range BN in full precision; its running statistics move as batch norm's do."""

    name: str
    channels: int
    eps: float = 1e-5
    momentum: float = 0.9

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        x = as_reals(x)
        gamma = run.parameter(f"{self.name}.gamma", lambda: np.ones(self.channels))
        beta = run.parameter(f"{self.name}.beta", lambda: np.zeros(self.channels))
        if not run.training:
            return scaled(x, run.state[f"{self.name}.mean"], run.state[f"{self.name}.scale"], gamma, beta)
        mu, scale = range_statistics(x.value, self.eps)
        average(run.state, f"{self.name}.mean", mu, self.momentum)
        average(run.state, f"{self.name}.scale", scale, self.momentum)
        return autodiff.range_batch_norm(x, gamma, beta, eps=self.eps)


def real(range_bn: bool) -> Recipe:
    """Full precision, with either norm."""
    return replace(recipe("float"), norm=RealRangeBN if range_bn else None)


def range_bn(budget: Budget) -> Report:
    """Range BN against batch norm."""
    rows, found = [], []
    for setting in (EASY, HARD):
        for name, make in (("full precision", real), ("banner-8", banner.recipe)):
            trials = {norm: seeds(setting, budget, make, range_bn=norm == "Range BN")
                      for norm in ("Range BN", "batch norm")}
            rows += [row(setting, f"{name}, {norm}", some) for norm, some in trials.items()]
            found.append(on_par(f"Range BN on par with batch norm: {name}, {setting.label}",
                                *([t.score for t in some] for some in trials.values())))
    return Report("range-bn: Range BN against batch norm (banner)", tuple(rows), tuple(found),
                  ("banner-8 with batch norm has that norm in full precision, as the recipe's range_bn=False has it.",))
