"""Building mutants: most are the reference, run on a changed case.

A name ``a->b`` reads: the case says a, the mutant does b. It has no meaning for cases that say something else.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable

from refquant.golden.operation import Arrays, Attrs, Mutant

ROUNDING_CLAUSES = {
    "half_even": "ties go to even", "half_away": "ties go away from zero", "half_up": "ties go up",
    "half_down": "ties go down", "half_zero": "ties go toward zero", "floor": "everything is rounded down",
    "ceil": "everything is rounded up", "trunc": "everything is rounded toward zero",
    "away": "everything is rounded away from zero", "odd": "inexact values are rounded to odd",
}

Change = Callable[[Attrs, Arrays], tuple[Attrs, Arrays] | None]


def changed(name: str, says: str, change: Change) -> Mutant:
    """The reference on a case that ``change`` has rewritten; None from ``change``: it has no meaning here."""
    def run(reference, attrs, inputs):
        case = change(attrs, inputs)
        return None if case is None else reference(*case)
    return Mutant(name, says, run)


def attribute(name: str, says: str, key: str, value: object, when: Callable[[Attrs], bool] | None = None) -> Mutant:
    """Attribute ``key`` taken to be ``value``, on cases where it is another."""
    def change(attrs, inputs):
        if key not in attrs or attrs[key] == value or (when is not None and not when(attrs)):
            return None
        return attrs | {key: value}, inputs
    return changed(name, says, change)


def instead(key: str, a: str, b: str, says: str) -> Mutant:
    """``a->b``: attribute ``key`` is a, the mutant does b."""
    return attribute(f"{a}->{b}", says, key, b, lambda attrs: attrs[key] == a)


def roundings(modes: Iterable[str] = tuple(ROUNDING_CLAUSES)) -> list[Mutant]:
    """Every rounding mode in place of each of ``modes``."""
    return [instead("rounding", a, b, ROUNDING_CLAUSES[b]) for a in modes for b in ROUNDING_CLAUSES if a != b]


def output(name: str, says: str, change: Callable[[Attrs, Arrays, Arrays], Arrays | None]) -> Mutant:
    """The reference's results, changed afterwards by ``change(attrs, inputs, results)``."""
    def run(reference, attrs, inputs):
        results = reference(attrs, inputs)
        return change(attrs, inputs, results)
    return Mutant(name, says, run)


def operand(name: str, says: str, key: str, change: Callable) -> Mutant:
    """Input ``key`` changed by ``change(array, attrs)``; None: it has no meaning here."""
    def rewrite(attrs, inputs):
        if key not in inputs:
            return None
        array = change(inputs[key], attrs)
        return None if array is None else (attrs, inputs | {key: array})
    return changed(name, says, rewrite)
