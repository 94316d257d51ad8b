"""Mistakes with the steps of int4.trajectory: the largest magnitude, what is counted, where the clip factor goes."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refquant.golden.families.int4_codes import results
from refquant.golden.operation import Attrs, Mutant
from refquant.hardware import int4
from refquant.hardware.scaling import scaled
from refquant.integers.formats import IntFormat
from refquant.integers.stochastic import Stochastic

# What a step counts, (attrs, g [N], quantized, clip factor) -> number, and where the clip factor goes.


def _count(beyond: Callable[[np.ndarray, int], np.ndarray]):
    """The number of gradients that are ``beyond(g, k H)``."""
    def count(attrs, g, quantized, clip_factor):
        return int(np.count_nonzero(beyond(g, clip_factor * quantized.highest)))
    return count


_right_count = _count(lambda g, clip: 1000 * np.abs(g) > clip)


def _levels(attrs: Attrs) -> int:
    return (1 << attrs["bits"]) - 1


def _moved(clip_factor: int, direction: int, least: int = 1) -> int:
    return min(max(clip_factor + direction, least), 1000)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _excess(attrs: Attrs, clipped: int, count: int) -> int:
    return clipped * 1000 * _levels(attrs) - count


def _right_update(attrs, clip_factor, clipped, count, highest):
    return _moved(clip_factor, _sign(_excess(attrs, clipped, count))) if highest else clip_factor


def _mistake(name: str, says: str, *, highest=lambda rows: int(np.abs(rows[-1]).max()), clipped=_right_count,
             update=_right_update, used=lambda before, after: before) -> Mutant:
    """Steps with one of their parts changed.

    highest : of the steps' gradients up to this one.  clipped : (attrs, g, quantized, clip factor) -> their number.
    update : (attrs, clip factor, clipped, N, H) -> the next.  used : (clip factor, the next) -> what the codes take.
    """
    def run(reference, attrs, inputs):
        g, clip_factor, steps = inputs["in_g"].astype(np.int64), int(inputs["state0_clip_factor"][0]), []
        for t, row in enumerate(g):
            rounding = Stochastic(inputs["rbits_g"][t], attrs["n"])
            found = highest(g[:t + 1])
            quantized = _quantized(row, found, clip_factor, attrs, rounding)
            count = clipped(attrs, row, quantized, clip_factor)
            after = update(attrs, clip_factor, count, row.size, found)
            taken = _quantized(row, found, used(clip_factor, after), attrs, rounding)
            steps.append((*taken._replace(clipped=count), after))
            clip_factor = after
        return results(attrs, int4.Trajectory._make(np.array(column) for column in zip(*steps, strict=True)))
    return Mutant(name, says, run)


def _quantized(g: np.ndarray, highest: int, clip_factor: int, attrs: Attrs, rounding: Stochastic) -> int4.Quantized:
    multiplier, shift = int4.parameters(highest, clip_factor, attrs["bits"])
    codes = IntFormat(attrs["bits"], narrow=True).saturate(scaled(g, multiplier, shift, rounding))
    return int4.Quantized(codes, np.zeros(g.shape, np.uint8), highest, multiplier, shift, 0)


def _towards(name: str, says: str, direction: Callable[[Attrs, int, int], int]) -> Mutant:
    """The clip factor moves by ``direction(attrs, clipped, N)``."""
    return _mistake(name, says, update=lambda attrs, clip_factor, clipped, count, highest: _moved(
        clip_factor, direction(attrs, clipped, count)) if highest else clip_factor)


MUTANTS = (
    _mistake("signed_maximum", "the largest gradient is taken instead of the largest magnitude",
             highest=lambda rows: max(int(rows[-1].max()), 0)),
    _mistake("maximum_of_yesterday", "the clip factor multiplies the maximum of the step before",
             highest=lambda rows: int(np.abs(rows[-2:][0]).max())),
    _mistake("maximum_not_reset", "the largest magnitude of all steps so far is taken",
             highest=lambda rows: int(np.abs(rows).max())),
    _mistake("at_the_clip_counts", "gradients at the clip count as clipped",
             clipped=_count(lambda g, clip: 1000 * np.abs(g) >= clip)),
    _mistake("only_positive_counted", "only gradients above the clip are counted, not those below its negative",
             clipped=_count(lambda g, clip: 1000 * g > clip)),
    _mistake("counted_after_quantization", "codes at either end are counted",
             clipped=lambda attrs, g, quantized, clip_factor: int(np.count_nonzero(
                 np.abs(quantized.codes) == IntFormat(attrs["bits"]).qmax))),
    _towards("target_alpha", "the target is alpha instead of alpha / (2^bits - 1)",
             lambda attrs, clipped, count: _sign(clipped * 1000 - count)),
    _towards("sign_of_0_is_1", "on its target the clip factor rises",
             lambda attrs, clipped, count: 1 if _excess(attrs, clipped, count) >= 0 else -1),
    _towards("sign_flipped", "the clip factor moves the other way",
             lambda attrs, clipped, count: -_sign(_excess(attrs, clipped, count))),
    _towards("never_updated", "the clip factor stays what it was", lambda attrs, clipped, count: 0),
    _mistake("updated_before_use", "the clip factor is updated before it is used", used=lambda before, after: after),
    _mistake("zeros_move_it", "the clip factor moves in a step of zeros, too",
             update=lambda attrs, clip_factor, clipped, count, highest: _right_update(attrs, clip_factor, clipped,
                                                                                      count, 1)),
    _mistake("not_clamped_below", "the clip factor falls to 0",
             update=lambda attrs, clip_factor, clipped, count, highest: _moved(
                 clip_factor, _sign(_excess(attrs, clipped, count)), least=0) if highest else clip_factor),
)
