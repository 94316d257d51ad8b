"""Fournarakis 2021: ranges known before their tensors, against ranges that must wait for them."""
from __future__ import annotations

from claims.findings import Report, on_par, row
from claims.trials import EASY, HARD, Budget, seeds
from refquant.quantizers.hindsight import CURRENT, HINDSIGHT, RUNNING
from refquant.training.methods import hindsight

ARMS = {"hindsight": {"estimator": HINDSIGHT}, "current": {"estimator": CURRENT}, "running": {"estimator": RUNNING},
        "DSGC": {"estimator": HINDSIGHT, "dsgc": True}}


def ranges(budget: Budget) -> Report:
    """In-hindsight min-max against current, running and DSGC."""
    rows, found = [], []
    for setting, bits in ((EASY, 8), (HARD, 8), (HARD, 4)):
        trials = {name: seeds(setting, budget, hindsight.recipe, bits=bits, **how) for name, how in ARMS.items()}
        rows += [row(setting, f"{bits} bits, {name}", some) for name, some in trials.items()]
        scores = {name: [t.score for t in some] for name, some in trials.items()}
        found += [on_par(f"hindsight on par with {name}: {bits} bits, {setting.label}", scores["hindsight"],
                         scores[name]) for name in ARMS if name != "hindsight"]
    return Report("hindsight: ranges in hindsight, current, running, DSGC", tuple(rows), tuple(found),
                  ("DSGC is for the gradients, searched every 100 steps; the activations' ranges are then in "
                   "hindsight.",))
