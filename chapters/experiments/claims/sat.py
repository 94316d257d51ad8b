"""Jin 2019: scale-adjusted training before a head of many classes, and PACT's gradient of alpha with its error kept.

The rule: n_L VAR[effective weights of the last layer] / k^2 should be far below 1, k the pooling in front (here k = 1).
"""
from __future__ import annotations

import functools

import numpy as np

from claims.findings import Report, better, row
from claims.trials import EASY, HARD, Budget, Setting, digits, prepared, seeds
from refquant.autodiff import Tensor
from refquant.reals import exp, log_softmax, mean, sample_variance
from refquant.training.data import Dataset
from refquant.training.methods import sat
from refquant.training.models import MODELS
from refquant.training.quantizing import as_reals
from refquant.training.run import Run

SHIFTS = tuple((rows, columns) for rows in range(-2, 3) for columns in range(-2, 3))
HEAD = "fc2.w"  # the last layer of the model cnn
RESCALES = {"clamped only": None, "SAT, constant": "constant", "SAT, stddev": "stddev"}


@functools.cache
def shifted(images: int = 700, tests: int = 360, copies: int = 2) -> Dataset:
    """Digits crossed with 25 shifts of up to 2 pixels: 250 classes, each image in ``copies`` of the shifts.

    Class 25 d + s is digit d in shift s; what leaves an image on one side comes in on the other.
    """
    whole = digits()

    def crossed(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        out, labels = [], []
        for i in range(copies * len(x)):
            which = (7 * i + i // len(SHIFTS)) % len(SHIFTS)  # every digit meets every shift
            out.append(np.roll(x[i % len(x)], SHIFTS[which], (1, 2)))
            labels.append(len(SHIFTS) * y[i % len(x)] + which)
        return np.stack(out), np.array(labels, np.int64)

    return Dataset("shifted digits", *crossed(whole.train_x[:images], whole.train_y[:images]),
                   *crossed(whole.test_x[:tests], whole.test_y[:tests]), len(SHIFTS) * whole.classes, whole.brightest)


def scale_adjusted(budget: Budget) -> Report:
    """SAT against clamping without rescaling."""
    settings = (Setting("cnn, 1437 images, 1000 outputs of which 10 are used", MODELS["cnn"],
                        digits(classes=1000), longer=0.5),
                Setting("cnn, 1400 images, 250 classes: digits in 25 shifts", MODELS["cnn"], shifted()))
    rows, found, notes = [], [], []
    for setting in settings:
        trials = {name: seeds(setting, budget, sat.recipe, bits=4, rescale=rescale)
                  for name, rescale in RESCALES.items()}
        for name, some in trials.items():
            ratio, confidence = head_at_first(setting, budget, RESCALES[name])
            rows.append(row(setting, name, some, **{"n_L VAR": f"{ratio:.3f}", "surest": f"{confidence:.3f}"}))
            curve = mean(np.array([t.losses for t in some]), 0)
            shown = sorted({round(part * (len(curve) - 1)) for part in (0, 0.1, 0.25, 0.5, 0.75, 1)})
            notes.append(f"loss, {setting.label}, {name}: "
                         + ", ".join(f"epoch {i + 1} {curve[i]:.3f}" for i in shown))
        clamped, constant, stddev = ([t.score for t in some] for some in trials.values())
        found += [better(f"SAT (constant) above clamping only: {setting.label}", constant, clamped),
                  better(f"SAT (stddev) above clamping only: {setting.label}", stddev, clamped)]
    return Report("sat: SAT against clamping without rescaling, 4 bits", tuple(rows), tuple(found),
                  ("n_L VAR: of the head's weights in use before the first step, seed 0; surest: the mean largest "
                   "probability then.", *notes))


def head_at_first(setting: Setting, budget: Budget, rescale: str | None) -> tuple[float, float]:
    """``(n_L VAR, mean largest probability)`` of seed 0's first batch, before any step."""
    recipe = sat.recipe(4, rescale=rescale)
    trainer, _ = prepared(setting, budget, 0, recipe)
    run = Run({}, {}, {}, training=True, seed=0)
    logits = trainer.model(trainer.task.input(trainer.data.train_x[:setting.batch]), run).value
    used = as_reals(recipe.last.weight(Tensor(run.parameters[HEAD]), run, HEAD)).value
    return used.shape[1] * sample_variance(used), float(mean(exp(log_softmax(logits)).max(1)))


def calibrated_gradient(budget: Budget) -> Report:
    """CG-PACT against PACT, from the paper's alpha = 8, and from 2."""
    rows, found = [], []
    for setting, bits, alpha in ((EASY, 2, 8.0), (EASY, 4, 8.0), (HARD, 2, 8.0), (HARD, 2, 2.0), (HARD, 4, 8.0)):
        at = f"{bits} bits, alpha from {alpha:g}"
        trials = {name: seeds(setting, budget, sat.recipe, bits=bits, calibrated=name == "CG-PACT", alpha=alpha)
                  for name in ("CG-PACT", "PACT")}
        for name, some in trials.items():
            last = [[float(t.training.parameters[f"{layer}.x.alpha"]) for t in some] for layer in ("conv2", "fc1")]
            rows.append(row(setting, f"{at}, {name}", some,
                            alphas=", ".join(f"{float(mean(np.array(each))):.2f}" for each in last)))
        found.append(better(f"CG-PACT above PACT: {at}, {setting.label}",
                            *([t.score for t in some] for some in trials.values())))
    return Report("cg-pact: CG-PACT against PACT (sat)", tuple(rows), tuple(found),
                  ("alphas: of conv2 and fc1 at the end, mean over seeds.",))
