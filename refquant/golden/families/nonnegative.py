"""Rounding mistakes where nothing below 0 is rounded: there the ten modes are six.

half_up is half_away, half_zero is half_down, trunc is floor, and away is ceil.
"""
from __future__ import annotations

from collections.abc import Iterable

from refquant.golden.mutants import ROUNDING_CLAUSES, instead
from refquant.golden.operation import Mutant

MODES = ("half_even", "half_away", "half_down", "floor", "ceil", "odd")


def roundings(modes: Iterable[str] = MODES) -> list[Mutant]:
    """Each of the six in place of each of ``modes``, which are of the six."""
    return [instead("rounding", a, b, ROUNDING_CLAUSES[b]) for a in modes for b in MODES if a != b]
