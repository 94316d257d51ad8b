"""Which vectors stay in memory while a suite is verified: those that causes are sought with, and pages show.

Of an operation these are its smallest cases that passed, its smallest that failed, and the first that failed. So a
suite of any size is verified within the memory of a few cases of each operation.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from refquant.golden.diagnose import EXAMINED, Failure, size
from refquant.golden.vector import Vector

if TYPE_CHECKING:
    from refquant.golden.verify import CaseResult

SHOWN = 60  # the first failures of an operation: as many as a page may show


class Kept:
    """The vectors and answers of one operation that are still there."""

    def __init__(self) -> None:
        self.passed: list[Vector] = []
        self.failed: list[tuple[int, Failure, CaseResult]] = []  # the smallest, each with its number
        self.failures = 0

    def add(self, result: CaseResult, vector: Vector) -> None:
        """Keep what a case answered, or let it or another go."""
        if result.status == "pass":
            self.passed.append(vector)
            self.passed.sort(key=size)
            del self.passed[EXAMINED:]
        elif result.failure is not None:
            self.failed.append((self.failures, result.failure, result))
            self.failures += 1
            self.failed.sort(key=lambda failed: size(failed[1].vector))
            for number, _, other in self.failed[EXAMINED:]:
                if number >= SHOWN:
                    other.failure = None
            del self.failed[EXAMINED:]
