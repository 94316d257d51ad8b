"""Mistakes in N2UQ's backward pass: the slope of an element, its segment, the sums that parameters learn by."""
from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from refquant.golden.families import n2uq_mutants
from refquant.golden.mutants import changed, output, roundings
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import n2uq
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale

ROUNDINGS = ("half_even", "half_away", "half_up", "half_down", "floor", "trunc")
OTHER = {"at_or_above": "above", "above": "at_or_above"}


def _places(attrs: Attrs, inputs: Arrays) -> np.ndarray:
    return n2uq.segment(inputs["in_acc"], inputs["in_bounds"], attrs["reached"])


# The gradient of the input.


def _dx(attrs: Attrs, inputs: Arrays, places: np.ndarray, results: Arrays) -> Arrays:
    dx = n2uq.input_gradient(inputs["in_g"], places, inputs["in_multiplier"], inputs["in_shift"],
                             rounding=attrs["rounding"], dx_format=IntFormat.parse(attrs["dx_format"]))
    return results | {"out_dx": dx}


def _slope_1(attrs, inputs, results):
    places, levels = _places(attrs, inputs), len(inputs["in_multiplier"])
    inside = (places >= 1) & (places <= levels)
    return results | {"out_dx": IntFormat.parse(attrs["dx_format"]).saturate(np.where(inside, inputs["in_g"], 0))}


def _mean_slope(attrs, inputs):
    bounds, levels = inputs["in_bounds"].astype(np.int64), len(inputs["in_multiplier"])
    multiplier, shift = multiplier_from_scale(
        Fraction(levels << attrs["fraction_bits"], int(bounds[-1] - bounds[0])))
    return attrs, inputs | {"in_multiplier": np.full(levels, multiplier), "in_shift": np.full(levels, shift)}


def _slopes_of(order: Callable[[np.ndarray], np.ndarray]):
    return lambda attrs, inputs: (attrs, inputs | {name: order(inputs[name]) for name in ("in_multiplier", "in_shift")})


def _outside_too(attrs, inputs, results):
    return _dx(attrs, inputs, np.clip(_places(attrs, inputs), 1, len(inputs["in_multiplier"])), results)


def _wraps(reference, attrs, inputs):
    results = reference(attrs | {"dx_format": "s64"}, inputs)
    return results | {"out_dx": IntFormat.parse(attrs["dx_format"]).wrap(results["out_dx"])}


OF_DX = (
    output("slope_1", "inside, the gradient passes as it is: the plain straight-through rule", _slope_1),
    changed("mean_slope", "every segment has the mean slope, as of uniform thresholds", _mean_slope),
    changed("next_slope", "every segment has the slope of the next one", _slopes_of(lambda array: np.roll(array, -1))),
    changed("first_slope_for_all", "every segment has the slope of the first",
            _slopes_of(lambda array: np.full_like(array, array[0]))),
    output("outside_not_zero", "the outermost slopes hold beyond the segments too", _outside_too),
    Mutant("wraps", "input gradients outside the format wrap", _wraps),
    *roundings(ROUNDINGS),
)

# The segment of an element, and its code.


def _keeping(name: str, says: str, kept: tuple[str, ...]) -> Mutant:
    """Segments and codes that hold their other end, but the results ``kept``."""
    def run(reference, attrs, inputs):
        right = reference(attrs, inputs)
        return reference(attrs | {"reached": OTHER[attrs["reached"]]}, inputs) | {key: right[key] for key in kept}
    return Mutant(name, says, run)


OF_ENDS = (
    *n2uq_mutants.REACHED_MUTANTS,
    _keeping("segments_closed_at_other_end", "segments hold their other bound; codes are right", ("out_dscale2",)),
    _keeping("codes_reached_otherwise", "codes count thresholds by the other rule; segments are right",
             ("out_dx", "out_da", "out_dstart", "out_dscale1", "mid_sums", "mid_moments")),
)

# What the parameters learn by: P, M and the sums made of them.


def _learned(attrs: Attrs, inputs: Arrays, results: Arrays, passed: np.ndarray, moments: np.ndarray) -> Arrays:
    """The gradients of a, start and scale1 from other P and M."""
    da, dstart, dscale1 = n2uq.parameter_gradients(passed, moments, inputs["in_bounds"], attrs["fraction_bits"])
    return results | {"out_da": da, "out_dstart": dstart, "out_dscale1": dscale1}


def _without_moments(attrs, inputs, results):
    return _learned(attrs, inputs, results, results["mid_sums"], 0 * results["mid_moments"])


def _from_the_end(attrs, inputs, results):
    lengths = np.diff(inputs["in_bounds"].astype(np.int64))
    return _learned(attrs, inputs, results, results["mid_sums"], results["mid_moments"] - lengths * results["mid_sums"])


def _without_last(attrs, inputs, results):
    g, acc = inputs["in_g"].reshape(-1)[:-1], inputs["in_acc"].reshape(-1)[:-1]
    places = _places(attrs, inputs).reshape(-1)[:-1]
    codes = n2uq.forward(acc, inputs["in_thresholds"], bits=attrs["bits"], reached=attrs["reached"])
    left = _learned(attrs, inputs, results, *n2uq.sums(g, acc, places, inputs["in_bounds"]))
    return left | {"out_dscale2": (g * codes.astype(np.int64)).sum().reshape(1)}


def _terms(attrs: Attrs, inputs: Arrays, results: Arrays) -> tuple[list[Fraction], list[Fraction], list[int]]:
    """``(P_k / L_k, M_k / L_k, L_k)``, the first two times 2^F."""
    lengths = np.diff(inputs["in_bounds"].astype(np.int64)).tolist()
    passed, inner = ([Fraction(int(total) << attrs["fraction_bits"], length)
                      for total, length in zip(results[name], lengths, strict=True)]
                     for name in ("mid_sums", "mid_moments"))
    return passed, inner, lengths


def _da(name: str, says: str, formula: Callable[..., Fraction | int]) -> Mutant:
    """da_k = -round(formula(k, P / L, M / L, L)) instead."""
    def change(attrs, inputs, results):
        terms = _terms(attrs, inputs, results)
        return results | {"out_da": np.array([round(-formula(k, *terms)) for k in range(len(terms[2]))], np.int64)}
    return output(name, says, change)


def _cut_off(attrs, inputs, results):
    passed, inner, lengths = _terms(attrs, inputs, results)
    da = [int(-(inner[k] / lengths[k] + sum(passed[k + 1:]))) for k in range(len(lengths))]
    grid = sum(int(d) * p for d, p in zip(inputs["in_bounds"][:-1], passed, strict=True))
    return results | {"out_da": np.array(da), "out_dstart": np.array([int(-sum(passed))]),
                      "out_dscale1": np.array([int(sum(inner) + grid)])}


def _without_grid(attrs, inputs, results):
    _, inner, _ = _terms(attrs, inputs, results)
    return results | {"out_dscale1": np.array([round(sum(inner, Fraction(0)))])}


def _by_segment(attrs, inputs, results):
    level = np.clip(_places(attrs, inputs), 0, len(inputs["in_multiplier"]))
    return results | {"out_dscale2": (inputs["in_g"].astype(np.int64) * level).sum().reshape(1)}


def _inside_only(attrs, inputs, results):
    places = _places(attrs, inputs)
    inside = (places >= 1) & (places <= len(inputs["in_multiplier"]))
    codes = n2uq.forward(inputs["in_acc"], inputs["in_thresholds"], bits=attrs["bits"], reached=attrs["reached"])
    return results | {"out_dscale2": np.where(inside, inputs["in_g"] * codes.astype(np.int64), 0).sum().reshape(1)}


OF_LEARNED = (
    _da("da_without_later", "da takes no part of the segments after its own",
        lambda k, p, m, lengths: m[k] / lengths[k]),
    _da("da_over_earlier", "da takes the segments before its own instead of those after",
        lambda k, p, m, lengths: m[k] / lengths[k] + sum(p[:k])),
    _da("da_over_own_too", "da takes its own segment's sum with those after",
        lambda k, p, m, lengths: m[k] / lengths[k] + sum(p[k:])),
    _da("da_by_length_once", "da divides by its interval instead of by its square",
        lambda k, p, m, lengths: m[k] + sum(p[k + 1:])),
    _da("terms_rounded", "da's terms are rounded one by one before they are added",
        lambda k, p, m, lengths: round(m[k] / lengths[k]) + sum(round(value) for value in p[k + 1:])),
    output("moments_missing", "M is left out of da and dscale1", _without_moments),
    output("moments_from_the_end", "M is measured from the end of the segment", _from_the_end),
    output("gradients_truncated", "da, dstart and dscale1 are rounded toward zero", _cut_off),
    output("last_element_dropped", "the last element is left out of every sum", _without_last),
    output("start_sign", "dstart has the opposite sign",
           lambda attrs, inputs, results: results | {"out_dstart": -results["out_dstart"]}),
    output("dscale1_without_grid", "dscale1 sums g (acc - d) instead of g acc", _without_grid),
    output("dscale2_by_segment", "dscale2 multiplies g by the segment instead of by the code", _by_segment),
    output("dscale2_inside_only", "dscale2 leaves out what lies outside all segments", _inside_only),
)


def _at_bounds(name: str, says: str, chosen: slice) -> Mutant:
    def change(attrs, inputs):
        return attrs, inputs | {"in_thresholds": inputs["in_bounds"][None, chosen]}
    return changed(name, says, change)


OF_THRESHOLDS = (
    _at_bounds("thresholds_at_segment_ends", "levels begin at the ends of their segments", slice(1, None)),
    _at_bounds("thresholds_at_segment_starts", "levels begin at the starts of their segments", slice(None, -1)),
    *n2uq_mutants.COUNTED_WRONG,
)

MUTANTS = (*OF_ENDS, *OF_DX, *OF_LEARNED, *OF_THRESHOLDS)
