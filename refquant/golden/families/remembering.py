"""Answers that are asked for again: by most mutants the same accumulators, by every element of a case the same sums."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refquant.golden.operation import Attrs, Note
from refquant.scalar.steps import silent


def remembering(function: Callable, question: Callable = lambda *arguments: arguments, most: int = 1) -> Callable:
    """``function`` that knows its last ``most`` answers, by what ``question`` makes of the arguments.

    An answer is handed out again as it is: who changes it takes a copy.
    """
    known: list[tuple[Any, Any]] = []

    def answer(*arguments):
        asked = question(*arguments)
        for before, found in known:
            if before == asked:
                return found
        known.append((asked, function(*arguments)))
        del known[:-most]
        return known[-1][1]

    return answer


Told = Callable[[Attrs, dict[str, Any], Note], Any]


def remembering_case(compute: Told) -> Told:
    """``compute(attrs, inputs, note)`` that knows its last answer, unless its steps are to be told again."""
    silently = remembering(lambda attrs, inputs: compute(attrs, inputs, silent))

    def answer(attrs, inputs, note):
        return silently(attrs, inputs) if note is silent else compute(attrs, inputs, note)

    return answer
