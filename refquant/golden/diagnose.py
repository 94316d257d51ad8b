"""The likely cause of failures: the mutant, or the two, whose answers equal the device's.

A cause must explain: on each of its cases the mutant's answers equal the device's in every element. And it must not
explain too much: on the cases that the device passed, the mutant must be right as well. Causes are chosen greedily, the
one that explains most failures first; two mutants are combined only where no single one does.
"""
from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass

from refquant.golden.operation import Arrays, Mutant, Operation, combined, role
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
    """A mutant that explains failures of an operation.

    explains, of : failing cases it explains, and how many were examined.  contradicted : passing cases, of those
    examined, on which the mutant would have failed.
    """

    op: str
    mutant: str
    says: str
    explains: int
    of: int
    contradicted: int = 0


def diagnose(failures: list[Failure], passed: list[Vector]) -> tuple[list[Cause], dict[str, str]]:
    """The causes, and for each failing case the text of its own."""
    causes: list[Cause] = []
    by_case: dict[str, str] = {}
    deadline = time.monotonic() + SECONDS
    for op, group in itertools.groupby(sorted(failures, key=_operation), _operation):
        examined = _smallest(list(group), lambda failure: failure.vector)
        right = _smallest([vector for vector in passed if vector.record["op"] == op], lambda vector: vector)
        found, texts = _diagnose_operation(examined, right, deadline)
        causes += found
        by_case |= texts
    return causes, by_case


def _operation(failure: Failure) -> str:
    return failure.vector.record["op"]


def _smallest(items: list, vector) -> list:
    return sorted(items, key=lambda item: sum(array.size for array in vector(item).tensors.values()))[:EXAMINED]


def _diagnose_operation(failures: list[Failure], passed: list[Vector],
                        deadline: float) -> tuple[list[Cause], dict[str, str]]:
    operation = failures[0].vector.operation
    causes: list[Cause] = []
    texts: dict[str, str] = {}
    left = failures
    for pool in (operation.mutants, _pairs(operation, deadline)):
        while left:
            best = _best(pool, left, passed)
            if best is None:
                break
            mutant, explained, contradicted = best
            causes.append(Cause(operation.name, mutant.name, mutant.says, len(explained), len(failures), contradicted))
            for failure in explained:
                elements = sum(array.size for name, array in failure.answer.items() if role(name) == "out")
                texts[failure.vector.id] = f"all {elements} equal {mutant.name}: {mutant.says}"
            left = [failure for failure in left if failure not in explained]
    return causes, texts


def _pairs(operation: Operation, deadline: float) -> Iterable[Mutant]:
    """Every two mutants combined, until the time is up."""
    class Pairs:
        def __iter__(self):
            for first, second in itertools.permutations(operation.mutants, 2):
                if time.monotonic() > deadline:
                    return
                yield combined(first, second)
    return Pairs()


def _best(pool: Iterable[Mutant], failures: list[Failure],
          passed: list[Vector]) -> tuple[Mutant, list[Failure], int] | None:
    """The mutant of ``pool`` that is contradicted least by ``passed`` and explains the most of ``failures``."""
    best = None
    for mutant in pool:
        explained = [failure for failure in failures if explains(mutant, failure.vector, failure.answer)]
        if not explained:
            continue
        contradicted = sum(not explains(mutant, vector, vector.tensors) for vector in passed
                           if _applies(mutant, vector))
        rank = (contradicted, -len(explained))
        if best is None or rank < best[0]:
            best = rank, mutant, explained, contradicted
        if rank == (0, -len(failures)):
            break
    return best[1:] if best else None


def explains(mutant: Mutant, vector: Vector, answer: Arrays) -> bool:
    """Whether the mutant's required results are those of ``answer``."""
    wrong = mutant(vector.operation.reference, vector.attrs, vector.given)
    return wrong is not None and all(name in wrong and equal(wrong[name], array) for name, array in answer.items()
                                     if role(name) in ("out", "state1"))


def _applies(mutant: Mutant, vector: Vector) -> bool:
    return mutant(vector.operation.reference, vector.attrs, vector.given) is not None
