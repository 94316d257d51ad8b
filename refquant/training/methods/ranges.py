"""Ranges that a run keeps from step to step, for the methods that estimate them."""
from __future__ import annotations

import numpy as np

from refquant.quantizers.hindsight import Estimator, Range
from refquant.training.run import Run


def known_range(run: Run, key: str) -> Range:
    """The range that training left behind."""
    low, high = run.state[key]
    return float(low), float(high)


def past_range(run: Run, key: str) -> Range | None:
    """The range that the steps before left behind; None before the first."""
    return known_range(run, key) if key in run.state else None


def estimated_range(estimator: Estimator, seen: Range, run: Run, key: str) -> Range:
    """The range of this step by ``estimator``, whose state moves on."""
    state = past_range(run, key)
    run.state[key] = np.array(estimator.update(seen, state))
    return estimator.range(seen, state)
