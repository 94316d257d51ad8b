"""Mistakes in the statistics of Range BN, and others that forward and backward share."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from refquant.autodiff.normalization import range_constant
from refquant.golden.families import range_bn as family
from refquant.golden.mutants import attribute, changed, operand, roundings
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import range_bn
from refquant.hardware.range_bn import Statistics, rows
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale

Finish = Callable[[Statistics, Attrs, Arrays], Arrays]
UNIT = 1 << range_bn.INVERSE_BITS


def of_statistics(finish: Finish) -> list[Mutant]:
    """Mistakes in the statistics, for the operation whose results ``finish`` computes from them; and all roundings."""
    return [
        *roundings(),
        _of_range("range_over_whole_tensor", "the range is the whole tensor's, not each channel's", _whole_tensor,
                  finish),
        _of_range("extremes_start_at_0", "the registers of the extremes start at 0", _from_0, finish),
        _of_range("last_value_out_of_range", "the last value of a chunk is left out of its range", _without_last,
                  finish),
        _of_range("chunks_ignored", "the range is the whole channel's, not the chunks'", _one_chunk, finish),
        changed("range_per_sample", "the range is the mean of the samples' ranges", _per_sample),
        _of_c("constant_missing", "C(n) is left out", lambda n, chunks: 1 / _constant(n // chunks)),
        _of_c("constant_of_all_values", "C of the n values of a channel instead of the n/K of a chunk",
              lambda n, chunks: _constant(n) / _constant(n // chunks)),
        _of_c("chunks_not_averaged", "the chunks' ranges are added, not averaged", lambda n, chunks: Fraction(chunks)),
        _of_mean("mean_of_n_minus_1", "the sum is divided by n - 1 instead of n", lambda n, batch: n - 1),
        _of_mean("mean_of_one_image", "the sum is divided by the places of one image", lambda n, batch: n // batch),
        attribute("epsilon_omitted", "epsilon is left out", "epsilon", 0),
        _inverse_floored(finish),
        operand("gamma_omitted", "gamma is left out", "in_gamma", lambda gamma, attrs: np.ones_like(gamma)),
        operand("gamma_next_channel", "every channel takes its neighbour's gamma", "in_gamma", neighbour),
    ]


def _of_range(name: str, says: str, spread: Callable[[np.ndarray, int], np.ndarray | None], finish: Finish) -> Mutant:
    """The ranges R replaced by ``spread(rows [C, K, n/K], ...)``; None: it has no meaning here."""
    def run(reference, attrs, inputs):
        values = rows(inputs["in_x"])
        ranges = spread(values.reshape(len(values), attrs["chunks"], -1), attrs["chunks"])
        if ranges is None:
            return None
        width, inverse = range_bn.widths(ranges, family.constants(inputs), attrs["epsilon"], attrs["rounding"])
        found = family.statistics(attrs, inputs)
        return finish(replace(found, range=ranges, width=width, inverse=inverse), attrs, inputs)
    return Mutant(name, says, run)


def _whole_tensor(parts, chunks):
    return np.full(len(parts), (parts.max((0, 2)) - parts.min((0, 2))).sum()) if len(parts) > 1 else None


def _from_0(parts, chunks):
    return (np.maximum(parts.max(2), 0) - np.minimum(parts.min(2), 0)).sum(1)


def _without_last(parts, chunks):
    return (parts[..., :-1].max(2) - parts[..., :-1].min(2)).sum(1) if parts.shape[2] > 1 else None


def _one_chunk(parts, chunks):
    return (parts.max((1, 2)) - parts.min((1, 2))) * chunks if chunks > 1 else None


def _rescaled(inputs: Arrays, by: Fraction) -> Arrays:
    """The inputs with the scale of the ranges multiplied."""
    mean_multiplier, mean_shift, multiplier, shift = family.constants(inputs)
    scale = multiplier_from_scale(Fraction(multiplier, 1 << shift) * by)
    return inputs | family.given_constants((mean_multiplier, mean_shift, *scale))


def _per_sample(attrs, inputs):
    """Samples are chunks: [B, C, H, W] has its values in the order of the images."""
    batch, chunks = len(inputs["in_x"]), attrs["chunks"]
    return None if batch == chunks else (attrs | {"chunks": batch}, _rescaled(inputs, Fraction(chunks, batch)))


def _constant(n: int) -> Fraction:
    return Fraction(range_constant(n))


def _count(inputs: Arrays) -> int:
    return inputs["in_x"].size // inputs["in_x"].shape[1]


def _of_c(name: str, says: str, factor: Callable[[int, int], Fraction]) -> Mutant:
    """The scale of the ranges multiplied by ``factor(n, chunks)``."""
    def change(attrs, inputs):
        by = factor(_count(inputs), attrs["chunks"])
        return None if by == 1 else (attrs, _rescaled(inputs, by))
    return changed(name, says, change)


def _of_mean(name: str, says: str, count: Callable[[int, int], int]) -> Mutant:
    """The mean taken of ``count(n, batch)`` values; also the mean of g."""
    def change(attrs, inputs):
        wrong = count(_count(inputs), len(inputs["in_x"]))
        if wrong in (0, _count(inputs)):
            return None
        scale = multiplier_from_scale(Fraction(1 << attrs["fraction_bits"], wrong))
        return attrs, inputs | family.given_constants((*scale, *family.constants(inputs)[2:]))
    return changed(name, says, change)


def _inverse_floored(finish: Finish) -> Mutant:
    def run(reference, attrs, inputs):
        if attrs["rounding"] == "floor":
            return None
        found = family.statistics(attrs, inputs)
        return finish(replace(found, inverse=UNIT // found.width), attrs, inputs)
    return Mutant("inverse_floored", "the division rounds down", run)


def neighbour(array, attrs):
    return np.roll(array, -1) if len(array) > 1 else None


def wraps(key: str, tensor: str, says: str) -> Mutant:
    """Codes of ``tensor`` that wrap instead of saturating; attribute ``key`` names their format."""
    def run(reference, attrs, inputs):
        results = reference(attrs | {key: "s64"}, inputs)
        return results | {tensor: IntFormat.parse(attrs[key]).wrap(results[tensor])}
    return Mutant(f"{tensor.split('_')[1]}_wraps", says, run)
