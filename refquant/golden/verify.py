"""Compare a device's answers with a suite: equality, counts, first differences, and what stands behind them."""
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refquant.golden.device import Device, NoAnswer
from refquant.golden.diagnose import Cause, Failure, diagnose
from refquant.golden.errors import CORRUPT, MISMATCH, UNSUPPORTED, CorruptError, Unsupported
from refquant.golden.kept import Kept
from refquant.golden.operation import REQUIRED, role
from refquant.golden.vector import Vector
from refquant.integers import flags as flag

__all__ = ["CaseResult", "Difference", "Report", "TensorResult", "verify"]

FIRST = 5  # differences shown of a tensor
BEHIND, MANY = 3, 32  # intermediates shown of an element; tensors of an operation of which none are
NOT_JSON = {"json": False}  # a field for other reports


@dataclass(frozen=True)
class Difference:
    """One element that differs.

    index : its place, one int an axis.
    got, expected : the device's number and the suite's, one number each.
    behind : by name, what the expected one was made from: the intermediates just before it, its scalar operands.

    Raises nothing of its own.
    Source: refquant's own.
    """

    index: tuple[int, ...]
    got: int | float
    expected: int | float
    behind: dict[str, int | float]


@dataclass(frozen=True)
class TensorResult:
    """How one tensor of an answer compares.

    name : in full, "out_y".
    elements, different : one int each: how many numbers it has, any shape, and how many of them differ.
    largest : the greatest difference, got - expected, without its sign.
    first : the first five that differ, a `Difference` each.
    histogram : how often each difference occurs, {"+1": 12}; the eight most frequent, then "others".
    pattern : what all that differ have in common: a flag, a row, a column; "" for nothing.

    Raises nothing of its own.
    Source: refquant's own.
    """

    name: str
    elements: int
    different: int
    largest: int | float = 0
    first: tuple[Difference, ...] = ()
    histogram: dict[str, int] = field(default_factory=dict)
    pattern: str = ""


@dataclass
class CaseResult:
    """One case: "pass", "fail" (values differ), "error" (no comparable answer) or "unsupported".

    id, op : of the case.
    status, message : one of the four, and of an error or a declined case why.
    tensors : a `TensorResult` for each tensor [any shape] that was answered.
    cause : of a case that failed, the mutant that gives the same answer, in words; "" where none is known.
    failure : of a case that failed, the vector and what the device answered, unless there are many such: see `Kept`.

    Raises nothing of its own.
    Source: refquant's own.
    """

    id: str
    op: str
    status: str
    message: str = ""
    tensors: list[TensorResult] = field(default_factory=list)
    cause: str = ""
    failure: Failure | None = field(default=None, repr=False, metadata=NOT_JSON)

    @property
    def differing(self) -> list[TensorResult]:
        """The tensors that differ, in the order in which they are computed: the first is where it began."""
        return [tensor for tensor in self.tensors if tensor.different]


@dataclass
class Report:
    """The results of all cases, and the likely causes of the failures.

    device : what the device was called.
    results : a `CaseResult` a case, one row in the order of the suite.
    causes : what explains the failures of an operation: op, mutant ("" where none does), says, and how many failures it
        explains, of how many, contradicted by how many.
    suite : what the cases were taken from, where that is known.

    Raises nothing of its own.
    Source: refquant's own.
    """

    device: str
    results: list[CaseResult]
    causes: list[Cause]
    suite: str = field(default="", metadata=NOT_JSON)

    def count(self, status: str) -> int:
        """How many cases have this ``status``, one int."""
        return sum(result.status == status for result in self.results)

    @property
    def exit_code(self) -> int:
        """1 for a mismatch, else 3 for an answer that is missing or no answer, else 4 for unsupported semantics."""
        for status, code in (("fail", MISMATCH), ("error", CORRUPT), ("unsupported", UNSUPPORTED)):
            if self.count(status):
                return code
        return 0


def verify(vectors: Iterable[Vector], device: Device, name: str,
           progress: Callable[[], None] = lambda: None) -> Report:
    """Ask ``device`` for every one of ``vectors`` and compare by equality, NaN with nothing: a `Report`.

    vectors : of a suite, `Suite.vectors`; arrays of any shape, compared in shape and dtype too.
    device : has a method ``answer(vector)`` that returns a dict of arrays by full tensor name, or raises NoAnswer or
        `Unsupported`.
    name : what the report calls it.
    progress : called after each case.

    Raises CorruptError when there is no vector, or one cannot be read; what ``device`` raises besides is passed on.

    Source: refquant's own: no tolerance anywhere.
    """
    results: list[CaseResult] = []
    kept: dict[str, Kept] = {}
    for vector in vectors:
        result = _ask(vector, device)
        results.append(result)
        kept.setdefault(result.op, Kept()).add(result, vector)
        progress()
    if not results:
        raise CorruptError("no case was given: nothing was verified")
    causes, by_case = diagnose([result.failure for result in results if result.failure is not None],
                               [vector for of_operation in kept.values() for vector in of_operation.passed])
    for result in results:
        result.cause = by_case.get(result.id, "")
    return Report(name, results, causes)


def _ask(vector: Vector, device: Device) -> CaseResult:
    result = CaseResult(vector.id, vector.record["op"], "pass")
    try:
        answer = device.answer(vector)
    except Unsupported as error:
        result.status, result.message = "unsupported", str(error)
        return result
    except NoAnswer as error:
        result.status, result.message = "error", str(error)
        return result
    for tensor, expected in vector.expected.items():
        if tensor not in answer:
            if role(tensor) in REQUIRED:
                result.status, result.message = "error", f"{tensor}: missing"
                return result
            continue
        got = answer[tensor]
        if got.shape != expected.shape or got.dtype != expected.dtype:
            result.status = "error"
            result.message = (f"{tensor}: is {got.dtype} {got.shape}: expected {expected.dtype} {expected.shape}")
            return result
        result.tensors.append(compare(vector, tensor, got, expected))
    if any(tensor.different for tensor in result.tensors):
        result.status, result.failure = "fail", Failure(vector, answer)
    return result


def differs(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Where two arrays of one shape have different values; NaN equals nothing."""
    return ~(got == expected)


def compare(vector: Vector, name: str, got: np.ndarray, expected: np.ndarray) -> TensorResult:
    """Every element by equality."""
    wrong = differs(got, expected)
    count = int(wrong.sum())
    if not count:
        return TensorResult(name, expected.size, 0)
    gap = _gap(got[wrong], expected[wrong])
    first = tuple(Difference(index, got[index].item(), expected[index].item(), behind(vector, name, index))
                  for index in (tuple(int(i) for i in at) for at in np.argwhere(wrong)[:FIRST]))
    return TensorResult(name, expected.size, count, max(abs(g) for g in gap), first, _histogram(gap),
                        _pattern(vector, wrong))


def behind(vector: Vector, name: str, index: tuple[int, ...]) -> dict[str, int | float]:
    """What stands behind an element of ``name``: the intermediates just before it, its scalar operands.

    Of an operation that records many tensors, a whole step, neighbours in the list say nothing of each other.
    """
    if len(vector.expected) > MANY:
        return {}
    shape = vector.expected[name].shape
    before = list(itertools.takewhile(lambda item: item != name, vector.expected))
    mids = [other for other in before if role(other) == "mid" and vector.expected[other].shape == shape][-BEHIND:]
    numbers: dict[str, Any] = {other.split("_", 1)[1]: vector.expected[other][index].item() for other in mids}
    first = next(array for name, array in vector.expected.items() if role(name) == "out")
    if first.shape == shape:
        operands = vector.operation.operands(vector.attrs, vector.given, index)
        numbers |= {name: np.asarray(value).item() for name, value in operands.items() if np.ndim(value) == 0}
    return numbers


def _gap(got: np.ndarray, expected: np.ndarray) -> list[int | float]:
    """got - expected, exact for integers."""
    if expected.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            return (got.astype(np.float64) - expected).tolist()
    return [int(g) - int(e) for g, e in zip(got.tolist(), expected.tolist(), strict=True)]


def _histogram(gap: list[int | float]) -> dict[str, int]:
    """How often each difference occurs: the eight most frequent, then the others together."""
    counts: dict[str, int] = {}
    for g in gap:
        counts[f"{g:+}"] = counts.get(f"{g:+}", 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[8:])
    return dict(ranked[:8]) | ({"others": rest} if rest else {})


def _pattern(vector: Vector, wrong: np.ndarray) -> str:
    """What all differing elements have in common: a flag, a row, a column."""
    said = []
    masks = [array for name, array in vector.expected.items() if role(name) == "flags" and array.shape == wrong.shape]
    if masks:
        common = int(np.bitwise_and.reduce(masks[0][wrong]))
        said += [f"where the result is {', '.join(flag.names(common))}"] if common else []
    for axis, size in enumerate(wrong.shape):
        places = np.unique(np.argwhere(wrong)[:, axis])
        if len(places) == 1 and size > 1 and wrong.sum() > 1:
            said.append(f"all at index {places[0]} of axis {axis}")
    return "; ".join(said)
