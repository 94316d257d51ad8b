"""One element of a case, computed step by step by the scalar model."""
from __future__ import annotations

import difflib
from collections.abc import Iterator

import numpy as np

from refquant.golden.errors import GoldenError
from refquant.golden.operation import GIVEN, role
from refquant.golden.vector import Vector
from refquant.golden.verify import CaseResult
from refquant.golden.wording import value
from refquant.integers import flags as flag

MOST_NAMES = 10  # that an error lists


def explain(vector: Vector, index: tuple[int, ...], tensor: str | None = None, got: str | None = None) -> str:
    """The steps to ``tensor`` (the first output unless named) at ``index``; with ``got``, which mutants answer that.

    Raises GoldenError for a tensor that is not computed, an index outside it, or a value that is no number.
    """
    name = _tensor(vector, tensor)
    expected = vector.tensors[name]
    if len(index) != expected.ndim or any(not 0 <= i < n for i, n in zip(index, expected.shape, strict=True)):
        raise GoldenError(f"--at {','.join(map(str, index))}: {name} of {vector.id} has shape {expected.shape}")
    return "\n".join(_lines(vector, name, index, got)) + "\n"


def explain_first(result: CaseResult) -> str:
    """The steps to the first element that differs in a failed case, and which mutants answer as the device did."""
    assert result.failure is not None
    tensor = result.differing[0]
    first = tensor.first[0]
    return explain(result.failure.vector, first.index, tensor.name, repr(first.got))


def _tensor(vector: Vector, tensor: str | None) -> str:
    computed = list(vector.expected)
    if tensor is None:
        return next(name for name in computed if role(name) == "out")
    for name in (tensor, f"out_{tensor}"):
        if name in computed:
            return name
    given = [name for name in vector.tensors if role(name) in GIVEN]
    why = " is given, not computed" if tensor in given else ""
    raise GoldenError(f"--tensor {tensor!r}{why}: {vector.id} computes {_some(computed, tensor)}")


def _some(names: list[str], wanted: str) -> str:
    """All of ``names`` if they are few, else those most like ``wanted``, and how many there are."""
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    close = difflib.get_close_matches(wanted, names, MOST_NAMES) or names[:MOST_NAMES]
    return f"{', '.join(close)}, ... ({len(names)} tensors)"


def _lines(vector: Vector, name: str, index: tuple[int, ...], got: str | None) -> Iterator[str]:
    operation, expected = vector.operation, vector.tensors[name]
    yield f"{vector.id}"
    yield "; ".join([f"{operation.name}: {operation.summary}", *vector.record["semantics"][1:]])
    yield f"{name} at {index}:"
    steps: list[str] = []
    lists = {tensor: array.tolist() for tensor, array in vector.tensors.items() if role(tensor) in GIVEN}
    results = operation.element(vector.attrs, lists, name, index, steps.append)
    yield from (f"  {step}" for step in steps)
    yield f"  = {value(results[name])}"
    for other, array in vector.expected.items():
        if role(other) == "flags" and array.shape == expected.shape and array[index]:
            yield f"  flags: {', '.join(flag.names(int(array[index])))}"
    if results[name] != expected[index].item():
        yield f"  but the vector holds {value(expected[index].item())}: the suite is not of this version"
    if got is not None:
        yield from _blame(vector, name, index, got)


def _blame(vector: Vector, name: str, index: tuple[int, ...], got: str) -> Iterator[str]:
    """The mutants that answer ``got`` here."""
    number = _number(vector, name, got)
    if number == vector.tensors[name][index]:
        yield f"{value(number)} is right"
        return
    operation, said = vector.operation, False
    yield f"{value(number)} is what comes of:"
    for mutant in operation.mutants:
        wrong = mutant(operation.reference, vector.attrs, vector.given)
        if wrong is not None and name in wrong and wrong[name].shape == vector.tensors[name].shape \
                and np.asarray(wrong[name])[index] == number:
            said = True
            yield f"  {mutant.name}: {mutant.says}"
    if not said:
        yield "  no mutant of this operation"


def _number(vector: Vector, name: str, got: str) -> int | float:
    """The value of ``--got``: decimal, or as reports print it: two's complement or a hexadecimal float."""
    format = vector.format(name)
    try:
        if isinstance(format, str):
            return float.fromhex(got) if "0x" in got.lower() else float(got)
        number = int(got, 0)
    except ValueError:
        raise GoldenError(f"--got {got!r}: expected a number such as -100 or 0x9c") from None
    container = 8 * format.dtype.itemsize
    negative = format.signed and "0x" in got.lower() and 1 << (container - 1) <= number < 1 << container
    return number - (1 << container) if negative else number
