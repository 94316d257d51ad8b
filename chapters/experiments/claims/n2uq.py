"""Liu 2022, the ablation of table 3: learned thresholds, entropy-preserving weights, both, neither; 2 bits."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from claims.findings import Report, better, row
from claims.trials import EASY, HARD, Budget, seeds
from refquant.reals import mean
from refquant.training.methods import n2uq

# The thresholds move by 2.5e-4 a step at most: they need many.
SETTINGS = replace(EASY, longer=1), replace(HARD, longer=4)
ARMS = {"baseline": (False, False), "+ thresholds": (True, False), "+ entropy": (False, True), "both": (True, True)}


def ablation(budget: Budget) -> Report:
    """Each part alone, and both."""
    rows, found = [], []
    for setting in SETTINGS:
        trials = {name: seeds(setting, budget, n2uq.recipe, bits=2, thresholds=thresholds, entropy=entropy)
                  for name, (thresholds, entropy) in ARMS.items()}
        rows += [row(setting, name, some, intervals=intervals(some) if ARMS[name][0] else "")
                 for name, some in trials.items()]
        scores = {name: [t.score for t in some] for name, some in trials.items()}
        found += [better(f"{here} above {there}: {setting.label}", scores[here], scores[there])
                  for here, there in (("+ thresholds", "baseline"), ("+ entropy", "baseline"), ("both", "baseline"),
                                      ("both", "+ thresholds"), ("both", "+ entropy"))]
    return Report("n2uq: thresholds and entropy, 2 bits", tuple(rows), tuple(found),
                  ("baseline: DoReFa's weights, uniform activations with learned scales.",
                   "intervals: conv2's learned a_1 to a_3 at the end, mean over seeds; 0.67 each at first.",
                   "All start from random weights; the paper starts from a trained real network and learns from a "
                   "teacher."))


def intervals(trials) -> str:
    each = mean(np.array([t.training.parameters["conv2.x.a"] for t in trials]), 0)
    return ", ".join(f"{length:.2f}" for length in each)
