"""Mistakes with the ranges of hindsight.trajectory: which one a step takes, what is collected, how it is kept."""
from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from refquant.golden.families.hindsight_codes import results
from refquant.golden.mutants import attribute
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import hindsight
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import Rounding, floor, half_even, half_up

Collect = Callable[[Attrs, Arrays, int, np.ndarray | None], np.ndarray]


# What is collected: (attrs, inputs, step, its range, None in a first step) -> accumulators, whose ends count.


def _own(attrs, inputs, t, range):
    return inputs["in_acc"][t]


def _from_codes(attrs, inputs, t, range):
    """The values that the step's codes stand for."""
    if range is None:
        return _own(attrs, inputs, t, range)
    step = {name: array[t:t + 1] for name, array in inputs.items()}
    quantized = results(attrs, step, range[None], np.zeros((1, 2)), range)
    scale = Fraction(1 << int(quantized["mid_shift"][0]), int(quantized["mid_multiplier"][0]))
    point, codes = int(quantized["mid_zero_point"][0]), quantized["out_y"]
    return np.array([round((int(code) - point) * scale) for code in (codes.min(), codes.max())])


def _first_half(attrs, inputs, t, range):
    return inputs["in_acc"][t, :-(-inputs["in_acc"].shape[1] // 2)]


# How it is kept: (attrs, state, seen) -> the range after the step.


def _right(attrs, state, seen):
    return hindsight.updated(state, seen, attrs["momentum"], attrs["fraction_bits"])


def _rounded(rounding: Rounding):
    def after(attrs, state, seen):
        momentum = attrs["momentum"]
        return rounding.shift(state * momentum + (seen << attrs["fraction_bits"]) * ((1 << 16) - momentum), 16)
    return after


def _in_whole_units(attrs, state, seen):
    return _right(attrs, state, seen) >> attrs["fraction_bits"] << attrs["fraction_bits"]


def _momentum_swapped(attrs, state, seen):
    swapped, new = (1 << 16) - attrs["momentum"], seen << attrs["fraction_bits"]
    return half_even.shift(state * swapped + new * attrs["momentum"], 16)


def _mistake(name: str, says: str, *, collect: Collect = _own, after=_right,
             used=lambda range, own, next: range) -> Mutant:
    """Steps with one of their parts changed. used : (the step's right range, its own, the next) -> what it takes."""
    def run(reference, attrs, inputs):
        acc, bits = IntFormat.parse(attrs["acc_format"]), attrs["fraction_bits"]
        state, ranges, seen = inputs["state0_range"], [], []
        for t in range(len(inputs["in_acc"])):
            first = attrs["first"] and t == 0
            values = acc.saturate(collect(attrs, inputs, t, None if first else state)).astype(np.int64)
            seen.append(np.array([values.min(), values.max()]))
            own = seen[t] << bits
            state = own if first else state
            next = own if first else after(attrs, state, seen[t])
            ranges.append(used(state, own, next))
            state = next
        return results(attrs, inputs, np.stack(ranges), np.stack(seen), state)
    return Mutant(name, says, run)


MUTANTS = (
    _mistake("current_range", "a step is quantized with its own range", used=lambda range, own, next: own),
    _mistake("running_range", "the range is updated before it is used", used=lambda range, own, next: next),
    _mistake("never_updated", "the range stays what it was", after=lambda attrs, state, seen: state),
    attribute("update_replaces", "the range becomes that of the step alone", "momentum", 0),
    _mistake("momentum_swapped", "momentum weighs what is seen, the rest the old range", after=_momentum_swapped),
    _mistake("update_rounded_down", "the updated range is rounded down", after=_rounded(floor)),
    _mistake("update_ties_up", "ties of the updated range go up", after=_rounded(half_up)),
    _mistake("no_fraction_bits", "the range is kept in whole accumulator units", after=_in_whole_units),
    attribute("first_state_given", "the first step takes the state it is given instead of its own range", "first",
              False),
    attribute("first_state_ignored", "the state is not looked at in the first of the steps", "first", True),
    _mistake("statistics_after_quantization", "the ends of the codes, saturated as they are, are collected",
             collect=_from_codes),
    _mistake("statistics_of_magnitudes", "the least and greatest magnitude are collected",
             collect=lambda attrs, inputs, t, range: np.abs(inputs["in_acc"][t].astype(np.int64))),
    _mistake("statistics_of_first_tile", "only the first half of a tensor is looked at", collect=_first_half),
    _mistake("statistics_of_last_tile", "only the second half of a tensor is looked at",
             collect=lambda attrs, inputs, t, range: inputs["in_acc"][t, inputs["in_acc"].shape[1] // 2:]),
    _mistake("statistics_not_reset", "the registers go on collecting from one step to the next",
             collect=lambda attrs, inputs, t, range: inputs["in_acc"][:t + 1]),
)
