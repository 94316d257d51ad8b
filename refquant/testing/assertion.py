"""Golden vectors as one assertion: a function is asked for every case, and every answer must be equal.

The vectors are made in memory, each when it is first asked for, and kept for as long as the process lives.
"""
from __future__ import annotations

import copy
import dataclasses
import fnmatch
import functools
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from refquant.golden import vector
from refquant.golden.device import Case, NoAnswer, named
from refquant.golden.errors import Unsupported
from refquant.golden.explain import explain_first
from refquant.golden.operation import Arrays, Stimulus
from refquant.golden.operations import GROUPS, OPERATIONS
from refquant.golden.report import text
from refquant.golden.suite import named_stimuli
from refquant.golden.vector import Vector
from refquant.golden.verify import Report, verify
from refquant.hardware.checks import integer

Function = Callable[[Case], Mapping[str, Any]]


def assert_golden(function: Function, group: str, level: int = 1, *, operation: str | None = None, cases: str = "*",
                  seed: int = 0) -> Report:
    """Assert that ``function`` answers every golden case of ``group`` right; returns the report, for its counts.

    function : of a `refquant.golden.Case`, returns {output name: array} of the shapes in ``case.outputs``; raises
        `refquant.golden.Unsupported` for what it does not claim to do.
    group, operation : "gemm", and of it perhaps only "gemm.forward".  level : 1 or 2 or 3, how many and how large.
    cases : a glob of case ids, as `refquant vectors list` prints them.  seed : of the random stimuli, below 2^64.

    Raises AssertionError with the report when anything differs, is missing or was raised: the first differences, the
    likely cause, and one element step by step; also when no case was compared. Raises ValueError for a ``function``
    that cannot be called, a group, operation, level or seed that is not there, or ``cases`` that match none.

    Source: refquant's own golden vectors, made in memory; what an operation computes says its case.

        >>> def answer(case):
        ...     if case.attrs["flavour"] != "none":
        ...         raise Unsupported("requantization")
        ...     return {"y": my_gemm(case.inputs["a"], case.inputs["b"])}       # doctest: +SKIP
        >>> assert_golden(answer, "gemm", operation="gemm.forward").count("pass")       # doctest: +SKIP
        8
    """
    __tracebackhide__ = True  # what pytest shows is the test's own line, and the report
    if not callable(function):
        raise ValueError(f"function = {function!r}: expected a function of a case")
    chosen = _chosen(group, operation, level, cases, seed)
    device = _InProcess(function)
    report = verify((_vector(*case) for case in chosen), device, _name(function))
    if report.count("fail") or report.count("error") or not report.count("pass"):
        raise AssertionError(_failure(report)) from device.raised
    return report


def _chosen(group: str, operation: str | None, level: int, cases: str, seed: int) -> list[tuple[str, int, int, str]]:
    if group not in GROUPS:
        raise ValueError(f"group = {group!r}: expected one of {', '.join(GROUPS)}")
    names = [op.name for op in OPERATIONS.values() if op.group == group]
    if operation is not None and operation not in names:
        raise ValueError(f"operation = {operation!r}: expected one of {', '.join(names)}")
    if isinstance(level, bool) or level not in (1, 2, 3):
        raise ValueError(f"level = {level!r}: expected 1, 2 or 3")
    integer("seed", seed, 0, (1 << 64) - 1)
    if not isinstance(cases, str):
        raise ValueError(f"cases = {cases!r}: expected a glob of case ids, a string")
    ids = [(name, level, seed, id) for name in names if operation in (None, name) for id in _stimuli(name, level, seed)]
    chosen = [case for case in ids if fnmatch.fnmatchcase(case[-1], cases)]
    if not chosen:
        raise ValueError(f"cases = {cases!r}: expected a glob that matches some of {len(ids)} cases, such as "
                         f"{ids[0][-1]}")
    return chosen


@functools.cache
def _stimuli(name: str, level: int, seed: int) -> dict[str, Stimulus]:
    """The stimuli of an operation by the ids that its cases have in a suite."""
    return dict(named_stimuli(OPERATIONS[name], level, seed))


@functools.cache
def _vector(name: str, level: int, seed: int, id: str) -> Vector:
    return vector.build(OPERATIONS[name], _stimuli(name, level, seed)[id], seed, id)


class _InProcess:
    """A device that is a function of a case. What it does to its case, and later to its answer, does no harm.

    raised : the first exception that it raised, Unsupported apart.
    """

    def __init__(self, function: Function):
        self.function = function
        self.raised: Exception | None = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def answer(self, vector: Vector) -> Arrays:
        case = Case.of(vector)
        try:
            answer = self.function(dataclasses.replace(case, attrs=copy.deepcopy(case.attrs)))
        except Unsupported:
            raise
        except Exception as error:
            self.raised = self.raised or error
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise NoAnswer(f"raised {type(error).__name__}: {error} ({last.filename}:{last.lineno})") from None
        return named(vector, answer)


def _name(function: Function) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _failure(report: Report) -> str:
    """The text of the report, then the first difference step by step."""
    explained = [f"\nThe first difference, step by step:\n{explain_first(result)}" for result in report.results
                 if result.failure is not None][:1]
    return f"not equal to the golden vectors\n{text(report)}{''.join(explained)}".rstrip()
