"""<case-id>.tv: one element a line, operands and answer in hexadecimal, for pipes `generate | device | check`.

    # refquant tv 1
    # case <id> <operation>
    # attr <name> <JSON value>                                  one line for each attribute
    # fields a:8s:vector b:8s:vector bias:32s = out_y:8s flags_y:8u
    80,7f,00 01,02,03 000000ff = 9c 01

Operands (random bits among them), `=`, results, flags: two's complement in ceil(bits / 4) digits, floats as bit
patterns, vectors joined by commas in the order of accumulation, an empty one as `-`. Lines are the elements of the
first output in C order. A device reads this, replaces what is right of `=` (flags it has none of by `--`), and passes
the lines that start with # through. Cases whose answer is not one line an element have no .tv file.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np

from refquant.golden.export.fields import Field, operand_fields
from refquant.golden.operation import REQUIRED, role
from refquant.golden.vector import Vector

FIRST_LINE = "# refquant tv 1"
NO_FLAGS = "--"


def export(vector: Vector, word: int | None) -> dict[str, bytes] | str:
    """The case's .tv file by path, or why it has none."""
    reason = refusal(vector)
    return reason or {f"{vector.id}.tv": "".join(f"{line}\n" for line in generate([vector])).encode()}


def refusal(vector: Vector) -> str | None:
    """Why a case cannot be told line by line, or None."""
    shape = leading(vector).shape
    others = [name for name, array in vector.tensors.items() if role(name) in REQUIRED and array.shape != shape]
    return f"{', '.join(others)} of another shape than the first output" if others else None


def generate(vectors: Iterable[Vector]) -> Iterator[str]:
    """The lines of these cases, without line ends; a case that has none is named in a comment."""
    yield FIRST_LINE
    for vector in vectors:
        reason = refusal(vector)
        if reason:
            yield f"# skipped {vector.id}: {reason}"
        else:
            yield from case_lines(vector)


def leading(vector: Vector) -> np.ndarray:
    """The tensor whose elements are the lines: the first output, or the first state of a case that has no output."""
    return next(vector.tensors[name] for wanted in REQUIRED for name in vector.tensors if role(name) == wanted)


def result_fields(vector: Vector) -> list[Field]:
    """The tensors that are answered line by line; flags last."""
    shape = leading(vector).shape
    names = [name for name in vector.tensors if role(name) in REQUIRED]
    names += [name for name, array in vector.tensors.items() if role(name) == "flags" and array.shape == shape]
    return [Field(name, vector.format(name)) for name in names]


def case_lines(vector: Vector) -> Iterator[str]:
    """The lines of one case."""
    indices = list(np.ndindex(leading(vector).shape))
    given, results = vector.given, result_fields(vector)
    operands = vector.operation.operands
    fields = operand_fields(vector, operands(vector.attrs, given, indices[0])) if indices else []
    yield f"# case {vector.id} {vector.record['op']}"
    for name, value in vector.attrs.items():
        yield f"# attr {name} {json.dumps(value)}"
    yield f"# fields {' '.join([*map(str, fields), '=', *map(str, results)])}"
    for index in indices:
        values = operands(vector.attrs, given, index)
        left = [field.write(values[field.name]) for field in fields]
        yield " ".join([*left, "=", *(field.write(vector.tensors[field.name][index]) for field in results)])
