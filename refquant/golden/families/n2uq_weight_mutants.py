"""Mistakes in N2UQ's weight codes: another magnitude, another grid, other ends, the scale left in or out."""
from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import prod

import numpy as np

from refquant.golden.families import nonnegative
from refquant.golden.mutants import instead, output
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import n2uq_weight
from refquant.hardware.scaling import divide
from refquant.integers.fixed import along
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale

ROUNDINGS = ("half_even", "half_away", "half_down", "floor")

Measured = tuple[np.ndarray, int]  # M of each filter, N


def _finished(attrs: Attrs, results: Arrays, index: np.ndarray, measured: Measured) -> Arrays:
    """The results of codes and scales by another magnitude."""
    multiplier, shift = n2uq_weight.scales(*measured, attrs["bits"], attrs["variant"])
    return results | {"mid_magnitude": measured[0], "out_codes": n2uq_weight.codes(index, attrs["bits"]),
                      "out_multiplier": multiplier, "out_shift": shift}


def _measured_by(name: str, says: str, measure: Callable[[np.ndarray, Attrs], Measured | None]) -> Mutant:
    """M and N of ``measure(w int64 [O, ...], attrs)`` instead; None: it has no meaning here."""
    def change(attrs, inputs, results):
        w = inputs["in_w"].astype(np.int64)
        measured = measure(w, attrs)
        if measured is None:
            return None
        index = n2uq_weight.indices(w, *measured, attrs["bits"], attrs["rounding"])
        return _finished(attrs, results, np.clip(index, 0, (1 << attrs["bits"]) - 1), measured)
    return output(name, says, change)


def _of_filters(formula: Callable[[np.ndarray], np.ndarray]):
    """M by ``formula(w [O, N])``, N as it is."""
    return lambda w, attrs: (formula(w.reshape(len(w), -1)), prod(w.shape[1:]))


def _lowest(replaced: Callable[[IntFormat], int]):
    """M where the magnitude of the lowest code is ``replaced(format)``."""
    def measure(w, attrs):
        format = IntFormat.parse(attrs["w_format"])
        magnitude = np.where(w == format.qmin, replaced(format), np.abs(w)).reshape(len(w), -1).sum(1)
        return (magnitude, prod(w.shape[1:])) if format.signed and not format.narrow else None
    return measure


def _count_of_shifts(w, attrs):
    return n2uq_weight.magnitudes(w), 1 << (prod(w.shape[1:]).bit_length() - 1)


OF_MAGNITUDES = (
    _measured_by("per_tensor", "one mean magnitude serves all filters",
                 lambda w, attrs: (np.full(len(w), np.abs(w).sum()), w.size)),
    _measured_by("first_filter_for_all", "every filter takes the first one's mean magnitude",
                 _of_filters(lambda w: np.full(len(w), np.abs(w[0]).sum()))),
    _measured_by("max_for_mean", "the largest magnitude stands for the mean",
                 _of_filters(lambda w: np.abs(w).max(1) * w.shape[1])),
    _measured_by("sum_for_mean", "the sum of magnitudes is not divided by their number",
                 lambda w, attrs: (n2uq_weight.magnitudes(w), 1)),
    _measured_by("signed_mean", "weights are summed with their signs", _of_filters(lambda w: np.abs(w.sum(1)))),
    _measured_by("last_weight_dropped", "the last weight of a filter is left out of the sum",
                 _of_filters(lambda w: np.abs(w[:, :-1]).sum(1))),
    _measured_by("lowest_magnitude_saturates", "the magnitude of the lowest code is cut to the highest one",
                 _lowest(lambda format: format.qmax)),
    _measured_by("lowest_magnitude_wraps", "the magnitude of the lowest code is negative",
                 _lowest(lambda format: format.qmin)),
    _measured_by("count_of_shifts", "the mean is a shift: the number of weights is taken for a power of two",
                 _count_of_shifts),
)


def _index(attrs: Attrs, inputs: Arrays) -> tuple[np.ndarray, Measured]:
    w = inputs["in_w"].astype(np.int64)
    measured = n2uq_weight.magnitudes(w), prod(w.shape[1:])
    return n2uq_weight.indices(w, *measured, attrs["bits"], attrs["rounding"]), measured


def _wraps(attrs, inputs, results):
    index, measured = _index(attrs, inputs)
    return _finished(attrs, results, index & ((1 << attrs["bits"]) - 1), measured)


def _without_factor(attrs, inputs, results):
    """sf = M / N alone: u = w N / M, and by the authors M / (N K) to a code."""
    w, levels, count = inputs["in_w"].astype(np.int64), (1 << attrs["bits"]) - 1, prod(inputs["in_w"].shape[1:])
    magnitude = n2uq_weight.magnitudes(w)
    total = along(np.where(magnitude > 0, magnitude, 1), 0, w.ndim)
    index = np.clip(divide(levels * (w * count + total), 2 * total, attrs["rounding"]), 0, levels)
    authors = attrs["variant"] == "authors"
    pairs = [multiplier_from_scale(Fraction(m, count * levels) if authors and m else Fraction(1, levels))
             for m in magnitude.tolist()]
    return results | {"out_codes": n2uq_weight.codes(index, attrs["bits"]),
                      "out_multiplier": np.array([m for m, _ in pairs]), "out_shift": np.array([s for _, s in pairs])}


def _level_at_zero(attrs, inputs, results):
    """Multiples of whole steps instead of odd halves: -(2^(n-1) - 1) .. 2^(n-1) - 1, doubled."""
    w, half = inputs["in_w"].astype(np.int64), 1 << (attrs["bits"] - 1)
    magnitude = n2uq_weight.magnitudes(w)
    total = along(np.where(magnitude > 0, magnitude, 1), 0, w.ndim)
    steps = divide(w * (prod(w.shape[1:]) * half), 2 * total, attrs["rounding"])
    return results | {"out_codes": 2 * np.clip(steps, 1 - half, half - 1)}


def _not_doubled(attrs, inputs, results):
    index = (results["out_codes"].astype(np.int64) + (1 << attrs["bits"]) - 1) >> 1
    return results | {"out_codes": index - (1 << (attrs["bits"] - 1))}


def _zeros_lowest(attrs, inputs, results):
    zeros = along(results["mid_magnitude"] == 0, 0, inputs["in_w"].ndim)
    return results | {"out_codes": np.where(zeros, 1 - (1 << attrs["bits"]), results["out_codes"])}


OF_GRIDS = (
    output("index_wraps", "indices outside 0..K wrap instead of being clipped", _wraps),
    output("factor_missing", "sf lacks its factor (2^n - 1) / 2^(n-1)", _without_factor),
    output("level_at_zero", "the grid is symmetric about a level at zero", _level_at_zero),
    output("codes_not_doubled", "codes are index - 2^(n-1), not odd", _not_doubled),
    output("zeros_lowest", "a filter of zeros has the lowest code", _zeros_lowest),
    instead("variant", "paper", "authors", "codes are multiplied by sf"),
    instead("variant", "authors", "paper", "sf is left out of the scale"),
    *nonnegative.roundings(ROUNDINGS),  # an index below 0 is clipped, whatever it was rounded to
)

MUTANTS = (*OF_MAGNITUDES, *OF_GRIDS)
