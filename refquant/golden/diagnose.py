"""The likely cause of failures: the mutant, or the two, whose answers equal the device's.

A cause must explain: on each of its cases the mutant's answers equal the device's in every element. And it must not
explain too much: where it would change a right answer of the device, or a failure that stays unexplained, it is
contradicted. Sought, in this order: one mutant for all failures, two together for all, then, greedily, whatever
explains the most of what is left.
"""
from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from refquant.golden.operation import REQUIRED, Arrays, Mutant, combined, role
from refquant.golden.vector import Vector, equal

EXAMINED = 16  # failures and passes of an operation that are compared with mutants
SECONDS = 20.0  # for combining mutants, over all operations


@dataclass(frozen=True)
class Failure:
    """A case that failed, and what the device answered."""

    vector: Vector
    answer: Arrays


@dataclass(frozen=True)
class Cause:
    """A mutant that explains failures of an operation, or, when ``mutant`` is empty, that none does.

    explains, of : failing cases it explains, and how many were examined.  contradicted : cases that speak against it.
    """

    op: str
    mutant: str
    says: str
    explains: int
    of: int
    contradicted: int = 0


@dataclass(frozen=True)
class _Found:
    mutant: Mutant
    explained: list[Failure]
    contradicted: int

    @property
    def rank(self) -> tuple[int, int]:
        return self.contradicted, -len(self.explained)


def diagnose(failures: list[Failure], passed: list[Vector]) -> tuple[list[Cause], dict[str, str]]:
    """The causes, and for each failing case the text of its own."""
    causes: list[Cause] = []
    by_case: dict[str, str] = {}
    deadline = time.monotonic() + SECONDS
    for op, group in itertools.groupby(sorted(failures, key=_operation), _operation):
        examined = sorted(group, key=lambda failure: size(failure.vector))[:EXAMINED]
        right = sorted((vector for vector in passed if vector.record["op"] == op), key=size)[:EXAMINED]
        wrong = [failure for failure in examined if _wrong_tensors(failure, REQUIRED)]
        on_the_way = [failure for failure in examined if failure not in wrong]  # no mutant is told by those
        found = _search(wrong, right, deadline) if wrong else []
        left = [failure for failure in wrong if not any(failure in cause.explained for cause in found)]
        causes += [Cause(op, cause.mutant.name, cause.mutant.says, len(cause.explained), len(examined),
                         cause.contradicted) for cause in found]
        by_case |= {failure.vector.id: _text(cause.mutant, failure) for cause in found for failure in cause.explained}
        if left:
            says = _unexplained(left, time.monotonic() > deadline)
            causes.append(Cause(op, "", says, len(left), len(examined)))
        if on_the_way:
            names = dict.fromkeys(_wrong_tensors(failure)[0] for failure in on_the_way)
            says = f"what must be answered is right, what was told of the way to it is not, first {', '.join(names)}"
            causes.append(Cause(op, "", says, len(on_the_way), len(examined)))
    return causes, by_case


def _wrong_tensors(failure: Failure, roles: tuple[str, ...] | None = None) -> list[str]:
    """The tensors of the answer that differ, in the order in which they are computed."""
    return [name for name, array in failure.vector.expected.items() if name in failure.answer
            and (roles is None or role(name) in roles) and not equal(failure.answer[name], array)]


def _operation(failure: Failure) -> str:
    return failure.vector.record["op"]


def size(vector: Vector) -> int:
    """How many elements a case has: small ones are examined first."""
    return sum(array.size for array in vector.tensors.values())


def _text(mutant: Mutant, failure: Failure) -> str:
    elements = sum(array.size for name, array in failure.answer.items() if role(name) in REQUIRED)
    return f"all {elements} equal {mutant.name}: {mutant.says}"


def _search(failures: list[Failure], passed: list[Vector], deadline: float) -> list[_Found]:
    """The causes of one operation's failures, by the order that the module states."""
    mutants = failures[0].vector.operation.mutants
    singles = [found for found in (_found(mutant, failures, passed) for mutant in mutants) if found is not None]
    whole = [found for found in singles if len(found.explained) == len(failures)]
    best = min(whole, key=_rank, default=None)
    if best is not None and not best.contradicted:
        return [best]
    pair = next((found for found in _pairs(mutants, singles, failures, passed, deadline, len(failures))
                 if not found.contradicted), None)
    if pair is not None:
        return [pair]
    causes: list[_Found] = []
    left = failures
    for pool in (singles, _pairs(mutants, singles, failures, passed, deadline, 1)):
        for found in sorted(pool, key=_rank):
            explained = [failure for failure in found.explained if failure in left]
            if explained:
                causes.append(replace(found, explained=explained))
                left = [failure for failure in left if failure not in explained]
    doubts = [replace(found, contradicted=found.contradicted + sum(_bites(found.mutant, failure) for failure in left))
              for found in causes]
    return [found for found in doubts if found.contradicted <= len(found.explained)]


def _rank(found: _Found) -> tuple[int, int]:
    return found.rank


def _found(mutant: Mutant, failures: list[Failure], passed: list[Vector], least: int = 1) -> _Found | None:
    """What the mutant explains of the failures, or None when that is less than ``least``."""
    explained = []
    for count, failure in enumerate(failures):
        if explains(mutant, failure.vector, failure.answer):
            explained.append(failure)
        if len(explained) + len(failures) - count - 1 < least:
            return None
    return _Found(mutant, explained, sum(_changes(mutant, vector) for vector in passed))


def _pairs(mutants: tuple[Mutant, ...], singles: list[_Found], failures: list[Failure], passed: list[Vector],
           deadline: float, least: int) -> Iterator[_Found]:
    """Two mutants at once that explain at least ``least`` failures; those that explain something alone are first."""
    alone = [found.mutant for found in singles]
    first: Iterable[tuple[Mutant, Mutant]] = itertools.chain(
        itertools.product(alone, mutants), itertools.product(mutants, alone),
        itertools.permutations([mutant for mutant in mutants if mutant not in alone], 2))
    for outer, inner in first:
        if time.monotonic() > deadline:
            return
        if outer is not inner:
            found = _found(combined(outer, inner), failures, passed, least)
            if found is not None:
                yield found


def explains(mutant: Mutant, vector: Vector, answer: Arrays) -> bool:
    """Whether the mutant's required results are those of ``answer``."""
    wrong = mutant(vector.operation.reference, vector.attrs, vector.given)
    return wrong is not None and all(name in wrong and equal(wrong[name], array) for name, array in answer.items()
                                     if role(name) in REQUIRED)


def _changes(mutant: Mutant, vector: Vector) -> bool:
    """Whether the mutant would fail a case that the device passed."""
    applies = mutant(vector.operation.reference, vector.attrs, vector.given) is not None
    return applies and not explains(mutant, vector, vector.tensors)


def _bites(mutant: Mutant, failure: Failure) -> bool:
    """Whether the mutant would fail a case too, in another way than the device did."""
    return _changes(mutant, failure.vector) and not explains(mutant, failure.vector, failure.answer)


def _unexplained(failures: list[Failure], late: bool) -> str:
    """What is to be said of failures that nothing explains: where they lie, if they lie alike."""
    searched = " (time ran out before all pairs were tried)" if late else ", alone or with another,"
    clue = _clue([np.argwhere(failure.answer[name] != failure.vector.tensors[name])
                  for failure in failures for name in failure.answer
                  if role(name) == "out" and not equal(failure.answer[name], failure.vector.tensors[name])])
    return f"no known mistake{searched} gives these answers{_beginning(failures)}{clue}"


def _beginning(failures: list[Failure]) -> str:
    """Where it begins, if that is on the way and the same in all ``failures``."""
    name, *others = {_wrong_tensors(failure)[0] for failure in failures}
    return "" if others or role(name) != "mid" else f"; the first tensor that is wrong is {name}"


def _clue(places: list[np.ndarray]) -> str:
    """What the ``places`` [differences, axes] of several tensors have in common."""
    if len(places) < 2 or len({place.shape[1] for place in places}) > 1:
        return ""
    first = {tuple(place[0].tolist()) for place in places}
    if len(first) == 1 and all(len(place) == 1 for place in places):
        return f"; only the element at {first.pop()} differs"
    starts = [{int(place[:, axis].min()) for place in places} for axis in range(places[0].shape[1])]
    return "".join(f"; everything before index {min(start)} of axis {axis} is right"
                   for axis, start in enumerate(starts) if len(start) == 1 and min(start) > 0)
