"""Mistakes made with N2UQ's thresholds, whoever counts them."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refquant.golden.mutants import instead, operand
from refquant.golden.operation import Mutant
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import floor

NEVER = 1 << 62  # beyond every accumulator

REACHED_MUTANTS = (
    instead("reached", "at_or_above", "above", "an accumulator at a threshold or bound stays below it: > for >="),
    instead("reached", "above", "at_or_above", "an accumulator at a threshold or bound has reached it: >= for >"),
)


def _of_thresholds(name: str, says: str, change: Callable[[np.ndarray], np.ndarray | None]) -> Mutant:
    """The thresholds int64 [rows, K] rewritten; what comes back is sorted, as a count does not ask for an order."""
    def rewrite(thresholds, attrs):
        wrong = change(thresholds.astype(np.int64))
        return None if wrong is None else np.sort(wrong, axis=1)
    return operand(name, says, "in_thresholds", rewrite)


def _uniform(thresholds):
    """From the first to the last in equal steps, rounded down."""
    first, last, steps = thresholds[:, :1], thresholds[:, -1:], thresholds.shape[1] - 1
    return first + (last - first) * np.arange(steps + 1) // steps


def _halfway(towards: int) -> Callable[[np.ndarray], np.ndarray]:
    """Every threshold moved halfway to the next (+1) or the one before (-1): about to where segments meet."""
    def change(thresholds):
        gaps = np.diff(thresholds, axis=1)
        half = floor.shift(np.concatenate([gaps, gaps[:, -1:]] if towards > 0 else [gaps[:, :1], gaps], 1), 1)
        return thresholds + towards * half
    return change


def _cut(thresholds):
    cut = IntFormat(16).wrap(thresholds).astype(np.int64)
    return None if (cut == thresholds).all() else cut


COUNTED_WRONG: tuple[Mutant, ...] = (
    _of_thresholds("uniform_thresholds", "thresholds lie at equal distances from the first to the last", _uniform),
    _of_thresholds("first_threshold_lost", "the first threshold is not counted",
                   lambda thresholds: np.where(np.arange(thresholds.shape[1]) == 0, NEVER, thresholds)),
    _of_thresholds("last_threshold_lost", "the last threshold is not counted",
                   lambda thresholds: np.where(np.arange(thresholds.shape[1])[::-1] == 0, NEVER, thresholds)),
)
READ_WRONG = (
    _of_thresholds("thresholds_unsigned", "negative thresholds are counted as unsigned",
                   lambda thresholds: np.where(thresholds < 0, thresholds + (1 << 32), thresholds)),
    _of_thresholds("thresholds_cut_to_16_bits", "thresholds keep their 16 lowest bits", _cut),
)
BETWEEN_THRESHOLDS = (
    _of_thresholds("thresholds_at_segment_ends", "levels begin halfway to the next threshold, at a segment's end",
                   _halfway(+1)),
    _of_thresholds("thresholds_at_segment_starts", "levels begin halfway from the one before, at a segment's start",
                   _halfway(-1)),
)


def _cut_acc(acc, attrs):
    cut = IntFormat(16).wrap(acc)
    return None if (cut == acc).all() else cut


def _unsigned(acc, attrs):
    bits = IntFormat.parse(attrs["acc_format"]).bits
    return np.where(acc < 0, acc.astype(np.int64) + (1 << bits), acc)


OF_ACCUMULATORS = (
    operand("acc_zero_extended", "negative accumulators are counted as unsigned", "in_acc", _unsigned),
    operand("acc_cut_to_16_bits", "accumulators keep their 16 lowest bits", "in_acc", _cut_acc),
)
