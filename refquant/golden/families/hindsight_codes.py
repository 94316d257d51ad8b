"""hindsight.trajectory from ranges to codes, and the mistakes on that way: scale, zero point, rounding, saturation."""
from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from refquant.golden.families.hindsight_stimuli import GIVEN_ROUNDINGS
from refquant.golden.families.trajectories import of_chance
from refquant.golden.mutants import instead, roundings
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import hindsight
from refquant.hardware.scaling import divide, scaled
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import Rounding, floor, half_away, half_even, named
from refquant.integers.stochastic import Stochastic

Quantizer = tuple[int, int, int]  # multiplier, shift, zero point


def rounding(attrs: Attrs, inputs: Arrays) -> Rounding | Stochastic:
    """The rounding of y, with its random bits where it takes them."""
    stochastic = attrs["rounding"] == "stochastic"
    return Stochastic(inputs["rbits_y"], attrs["n"]) if stochastic else named(attrs["rounding"])


def results(attrs: Attrs, inputs: Arrays, ranges: np.ndarray, seen: np.ndarray, state: np.ndarray) -> Arrays:
    """All results of steps that take ``ranges`` [T, 2], collect ``seen`` [T, 2] and end with ``state`` [2]."""
    quantizers = hindsight.affines(ranges, attrs["fraction_bits"], attrs["bits"])
    codes, flags = hindsight.codes(inputs["in_acc"], *(column[:, None] for column in quantizers), bits=attrs["bits"],
                                   rounding=rounding(attrs, inputs))
    multiplier, shift, zero_point = quantizers
    return {"mid_range": ranges, "mid_multiplier": multiplier.astype(np.int32), "mid_shift": shift.astype(np.uint8),
            "mid_zero_point": zero_point.astype(np.uint8), "out_y": codes, "flags_y": flags,
            "out_seen": seen.astype(inputs["in_acc"].dtype), "state1_range": state}


def _unsigned(attrs: Attrs) -> IntFormat:
    return IntFormat(attrs["bits"], signed=False)


def _column(results: Arrays, name: str) -> np.ndarray:
    return results[f"mid_{name}"][:, None].astype(np.int64)


def _finish(attrs: Attrs, results: Arrays, rounded: np.ndarray) -> Arrays:
    """The results with the codes that come of these rounded numbers."""
    return results | {"out_y": _unsigned(attrs).saturate(rounded + _column(results, "zero_point"))}


def _product(inputs: Arrays, results: Arrays) -> np.ndarray:
    return inputs["in_acc"].astype(np.int64) * _column(results, "multiplier")


def _quantizer(name: str, says: str, quantizer: Callable[[int, int, Attrs, Quantizer], Quantizer]) -> Mutant:
    """Another multiplier, shift and zero point: ``quantizer(low, high, attrs, right)``, the range as it is kept."""
    def run(reference, attrs, inputs):
        right = reference(attrs, inputs)
        own = zip(*(right[f"mid_{name}"].tolist() for name in ("multiplier", "shift", "zero_point")), strict=True)
        wrong = np.array([quantizer(low, high, attrs, step)
                          for (low, high), step in zip(right["mid_range"].tolist(), own, strict=True)], np.int64)
        codes, _ = hindsight.codes(inputs["in_acc"], *(column[:, None] for column in wrong.T), bits=attrs["bits"],
                                   rounding=rounding(attrs, inputs))
        return right | {"out_y": codes}
    return Mutant(name, says, run)


def _affine(low: int, high: int, attrs: Attrs, top: int, zero_point: Rounding = half_away) -> Quantizer:
    """`hindsight.affine` of a range as it is, not widened, for codes up to ``top``."""
    size = high - low or 1
    multiplier, shift = multiplier_from_scale(Fraction(top << attrs["fraction_bits"], size))
    return multiplier, shift, int(divide(-low * top, size, zero_point))


def _widened(low: int, high: int, attrs: Attrs, more: int = 0, zero_point: Rounding = half_away) -> Quantizer:
    return _affine(min(low, 0), max(high, 0), attrs, _unsigned(attrs).qmax + more, zero_point)


QUANTIZERS = (
    _quantizer("range_not_widened", "a range without 0 is taken as it is",
               lambda low, high, attrs, right: _affine(low, high, attrs, _unsigned(attrs).qmax)),
    _quantizer("levels_2^bits", "the scale is that of 2^bits steps",
               lambda low, high, attrs, right: _widened(low, high, attrs, 1)),
    _quantizer("symmetric", "the range is that of the largest magnitude, to both sides",
               lambda low, high, attrs, right: _widened(-max(-low, high), max(-low, high), attrs)),
    _quantizer("minimum_left_out", "the range is taken to begin at 0",
               lambda low, high, attrs, right: _widened(0, high, attrs)),
    _quantizer("zero_point_omitted", "the zero point is left out", lambda low, high, attrs, right: (*right[:2], 0)),
    _quantizer("zero_point_rounded_down", "the zero point is rounded down",
               lambda low, high, attrs, right: _widened(low, high, attrs, 0, floor)),
    _quantizer("zero_point_ties_even", "ties of the zero point go to even",
               lambda low, high, attrs, right: _widened(low, high, attrs, 0, half_even)),
)


def _zero_point_before(reference, attrs, inputs):
    if attrs["rounding"] == "stochastic":
        return None
    right = reference(attrs, inputs)
    moved = named(attrs["rounding"]).shift(_product(inputs, right), _column(right, "shift"),
                                           _column(right, "zero_point"))
    return right | {"out_y": _unsigned(attrs).saturate(moved)}


def _limited(name: str, says: str, limit: Callable[[np.ndarray, Attrs], np.ndarray]) -> Mutant:
    """The codes before saturation, limited by ``limit(codes, attrs)`` instead."""
    def run(reference, attrs, inputs):
        right = reference(attrs, inputs)
        rounded = scaled(inputs["in_acc"], _column(right, "multiplier"), _column(right, "shift"),
                         rounding(attrs, inputs))
        return right | {"out_y": limit(rounded + _column(right, "zero_point"), attrs)}
    return Mutant(name, says, run)


MUTANTS = (
    *QUANTIZERS,
    Mutant("zero_point_before", "the zero point is added before the rounding", _zero_point_before),
    _limited("wraps", "codes outside the format wrap", lambda codes, attrs: _unsigned(attrs).wrap(codes)),
    _limited("saturates_to_container", "codes are limited by their container, not by their format",
             lambda codes, attrs: IntFormat(8, signed=False).saturate(codes)),
    *roundings(GIVEN_ROUNDINGS),
    instead("rounding", "stochastic", "half_even", "the random bits are not used: ties go to even"),
    *of_chance("rbits_y", _product, _finish),
)
