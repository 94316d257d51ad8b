"""What many trials say together: rows of a table, and claims with a word on each.

Two recipes are compared seed by seed, for equal seeds start from equal weights and see equal batches: d_i is the
difference of seed i, n the number of seeds, and the interval holds the mean difference with 95 %:

    mean d  +-  t(n - 1, 97.5 %) sqrt(sum (d_i - mean d)^2 / (n - 1) / n)

    better     true: the whole interval is above 0            false: all of it is below 0
    on par     true: all of it is above -1 point              false: all of it is below -1 point

and otherwise "not seen at this size". Of twenty such words one may be chance.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from claims.trials import Setting, Trial
from refquant.reals import mean, sample_variance

UNSEEN = "not seen at this size"
MARGIN = 1.0  # points of accuracy that two methods on par may differ by


@dataclass(frozen=True)
class Row:
    """One recipe in one setting, over the seeds; ``more`` columns by name."""

    setting: str
    name: str
    scores: tuple[float, ...]
    losses: tuple[float, ...]
    more: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """What was claimed, what was found of it, and the numbers that it rests on."""

    text: str
    word: str
    difference: float
    half_width: float
    unit: str = "points"


@dataclass(frozen=True)
class Report:
    """An experiment's outcome.  notes : what the table does not say of itself."""

    title: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...] = ()


def row(setting: Setting, name: str, trials: Sequence[Trial], **more: str) -> Row:
    """The row of these trials, their setting with how long it was."""
    how = trials[0].training.settings
    return Row(f"{setting.label}: {how.epochs} epoch{'s'[:how.epochs > 1]} of batch {how.batch}", name,
               tuple(t.score for t in trials), tuple(t.losses[-1] for t in trials), more)


def interval(here: Sequence[float], there: Sequence[float]) -> tuple[float, float]:
    """``(mean difference, half the width of its 95 % interval)``, seed by seed; infinite below three seeds.

    (Accuracies come in steps of one image: two seeds that differ by the same are no rarity, and no certainty.)
    """
    d = np.array(here) - np.array(there)
    middle, n = float(mean(d)), len(d)
    if n < 3:
        return middle, float("inf")
    return middle, float(stdtrit(n - 1, 0.975) * np.sqrt(sample_variance(d) / n))


def better(text: str, here: Sequence[float], there: Sequence[float], unit: str = "points") -> Claim:
    """That ``here`` is above ``there``."""
    middle, half = interval(here, there)
    word = "true" if middle - half > 0 else "false" if middle + half < 0 else UNSEEN
    return Claim(text, word, middle, half, unit)


def on_par(text: str, here: Sequence[float], there: Sequence[float], margin: float = MARGIN) -> Claim:
    """That ``here`` is not below ``there`` by more than the margin."""
    middle, half = interval(here, there)
    word = "true" if middle - half > -margin else "false" if middle + half < -margin else UNSEEN
    return Claim(text, word, middle, half)
