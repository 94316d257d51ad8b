"""Kim 2024: the interval of gradients held at gamma of their maximum, chosen by DSGC, or adapted for the large ones.

E(G) is the mean error of all gradients relative to the largest, E(G_L) that of the thousandth that is largest. The
adapting rule aims at a fraction alpha / (2^b - 1) of clipped gradients: with alpha = 1e-3 and the 32,768 elements of
conv2 and conv3 that is 2.2 of them in 4 bits, 4.7 in 3 bits. It moves gamma by 1e-3 a step, hence the many small steps.
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from claims.findings import Claim, Report, Row, better, row
from claims.trials import Budget, Setting, Trial, digits, trial, wide_maps
from refquant.autodiff.values import reals
from refquant.quantizers.int4 import gradient_errors
from refquant.reals import mean
from refquant.training.methods import int4
from refquant.training.methods.hindsight import DsgcGradient
from refquant.training.quantizing import GradientQuantizer, Recipe
from refquant.training.run import Run

ARMS = {"gamma 1": 1.0, "gamma 0.8": 0.8, "gamma 0.6": 0.6, "DSGC": "dsgc", "adaptive": None}
LAYERS = "conv2", "conv3"
SEEDS = 3  # at most: these are the longest trials
PERIOD = 20  # steps between DSGC's searches
EVERY = 7  # steps between two looks at the errors, no divisor of the period
Errors = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Watched:
    """A gradient quantizer whose errors are taken down, layer by layer."""

    inner: GradientQuantizer
    errors: Errors = field(default_factory=dict, compare=False)

    def at(self, run: Run, name: str):
        return self.inner.at(run, name)

    def see(self, g: np.ndarray, run: Run, name: str) -> None:
        if run.step % EVERY == 0 and g.any():
            quantized = reals(self.inner.at(run, name)(g))  # the random bits of (seed, name, step): the same again
            self.errors.setdefault(name.partition(".")[0], []).append(gradient_errors(g, quantized))
        self.inner.see(g, run, name)


def watched_recipe(bits: int, arm: float | str | None) -> Recipe:
    """INT4's recipe with this gradient quantizer, watched."""
    made = int4.recipe(bits, clip_factor=None if arm == "dsgc" else arm)
    watched = Watched(DsgcGradient(bits, PERIOD) if arm == "dsgc" else made.inner.input_gradient)
    return replace(made, inner=replace(made.inner, input_gradient=watched, weight_gradient=watched))


def intervals(budget: Budget) -> Report:
    """Gamma fixed at 1, 0.8 and 0.6, DSGC, and adapted."""
    setting = Setting("3 convolutions on 8 x 8 maps, 1437 images", wide_maps, digits(), batch=32)
    rows, found, notes = [], [], []
    for bits in (4, 3):
        trials = {name: [watched_trial(setting, budget, seed, bits, arm) for seed in range(min(budget.seeds, SEEDS))]
                  for name, arm in ARMS.items()}
        rows += [_row(setting, f"{bits} bits, {name}", some) for name, some in trials.items()]
        scores = {name: [t.score for t, _ in some] for name, some in trials.items()}
        notes.append(f"accuracy, {bits} bits: " + ordered(scores, " > ", -1))
        found += [better(f"adaptive above {name}: accuracy, {bits} bits", scores["adaptive"], scores[name])
                  for name in ARMS if name != "adaptive"]
        for layer in LAYERS:
            for kind, what in enumerate(("E(G)", "E(G_L)")):
                late = {name: [100 * last_third(errors[layer])[kind] for _, errors in some]
                        for name, some in trials.items()}
                notes.append(f"{what} of {layer}, {bits} bits: " + ordered(late, " < "))
                found += _error_claims(late, what, f"{layer}, {bits} bits")
    return Report("int4: gamma fixed, by DSGC, and adapted", tuple(rows), tuple(found),
                  (f"{min(budget.seeds, SEEDS)} seeds; DSGC is searched every {PERIOD} steps.",
                   "E(G), E(G_L): in per cent of the largest gradient, mean over the last third of the steps and over "
                   "seeds; gamma: at the end.", *notes))


def watched_trial(setting: Setting, budget: Budget, seed: int, bits: int,
                  arm: float | str | None) -> tuple[Trial, Errors]:
    """``(the trial, its errors)``."""
    recipe = watched_recipe(bits, arm)
    return trial(setting, budget, seed, lambda: recipe), recipe.inner.input_gradient.errors


def last_third(errors: list[tuple[float, float]]) -> tuple[float, float]:
    """The means of E(G) and of E(G_L) over the last third of the looks."""
    late = mean(np.array(errors[2 * len(errors) // 3:]), 0)
    return float(late[0]), float(late[1])


def ordered(values: dict[str, list[float]], sign: str, direction: int = 1) -> str:
    """The names by the mean of their values, with it."""
    means = {name: float(mean(np.array(each))) for name, each in values.items()}
    return sign.join(f"{name} ({means[name]:.2f})" for name in sorted(means, key=lambda name: direction * means[name]))


def _error_claims(late: dict[str, list[float]], what: str, where: str) -> list[Claim]:
    """Of E(G_L), that the adapted one is least; of E(G), that it is not: gamma 0.6 and DSGC have less."""
    others = [name for name in ARMS if name != "adaptive"] if what == "E(G_L)" else ["gamma 0.6", "DSGC"]
    return [better(f"{what} less for adaptive than for {name}: {where}", late[name], late["adaptive"], "% of max")
            if what == "E(G_L)" else
            better(f"{what} less for {name} than for adaptive: {where}", late["adaptive"], late[name], "% of max")
            for name in others]


def _row(setting: Setting, name: str, some: list[tuple[Trial, Errors]]) -> Row:
    late = mean(np.array([[last_third(errors[layer]) for layer in LAYERS] for _, errors in some]), 0) * 100
    more = {f"{what} {layer}": f"{late[i, kind]:.2f}" for kind, what in enumerate(("E(G)", "E(G_L)"))
            for i, layer in enumerate(LAYERS)}
    factors = [[t.training.state.get(f"{layer}.input_gradient.clip_factor") for t, _ in some] for layer in LAYERS]
    gamma = ", ".join(f"{float(mean(np.array(each, np.float64))):.2f}" for each in factors if each[0] is not None)
    return row(setting, name, [t for t, _ in some], **more, gamma=gamma)
