"""Devices under test: what is asked, and answers that are at hand.

    --actual DIR    answers that a simulator has already written: out_*.npy, .mem, .bin or .packed.bin

A device that fails, hangs or prints is an answer like any other: it never stops the run, and never passes.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from refquant.golden import files
from refquant.golden.errors import CorruptError
from refquant.golden.export.bin import parse_bin
from refquant.golden.export.mem import parse_mem
from refquant.golden.operation import REQUIRED, Arrays, role
from refquant.golden.vector import Vector


@dataclass(frozen=True)
class Case:
    """What a Python device is given: one golden case without its answers.

    op : "gemm.dw".  attrs : the case's attributes.  id : the case's name.
    inputs : arrays by name, "in_" left off ("a", "rbits_y"), any shape; copies, which a device may write to.
    outputs : for each name that must be answered, its shape and dtype: {"y": ((10, 12), "int32")}.
    intermediates : the same for what may be answered too, by full name ("mid_acc", "flags_y"): where it is, the report
        says in which tensor a mistake begins.

    Raises nothing of its own.

    Source: refquant's own; each operation's arithmetic is in the case.json that its vectors have.
    """

    op: str
    attrs: dict[str, Any]
    inputs: Arrays
    outputs: dict[str, tuple[tuple[int, ...], str]]
    id: str
    intermediates: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)

    @classmethod
    def of(cls, vector: Vector) -> Case:
        """The case of ``vector``, as a device sees it."""
        kinds = {name: (array.shape, str(array.dtype)) for name, array in vector.expected.items()}
        outputs = {short(name): kind for name, kind in kinds.items() if role(name) in REQUIRED}
        inputs = {short(name): array.copy() for name, array in vector.given.items()}  # which it may write to
        return cls(vector.record["op"], vector.attrs, inputs, outputs, vector.id,
                   {name: kind for name, kind in kinds.items() if role(name) not in REQUIRED})


def short(name: str) -> str:
    """A tensor's name as devices see it: in_ and out_ are left off."""
    return name.split("_", 1)[1] if role(name) in ("in", "out") else name


class NoAnswer(Exception):
    """The device gave no answer that can be compared; the text says why."""


def named(vector: Vector, answer: Any) -> Arrays:
    """What a function returned for a case, by full tensor names, copied; NoAnswer unless it is a dict of arrays."""
    if not isinstance(answer, Mapping):
        raise NoAnswer(f"the device returned {type(answer).__name__}: expected a dict of arrays")
    known = {short(name): name for name in vector.expected} | {name: name for name in vector.expected}
    arrays = {}
    for key, given in answer.items():
        if key not in known:
            raise NoAnswer(f"the device returned {key!r}: expected {', '.join(map(short, vector.expected))}")
        array = np.array(given)
        if array.dtype.kind not in "iufb":
            raise NoAnswer(f"the device returned {array.dtype} for {key}: expected integers or floats")
        arrays[known[key]] = array
    missing = [short(name) for name in vector.expected if role(name) in REQUIRED and name not in arrays]
    if missing:
        raise NoAnswer(f"the device returned no {', '.join(missing)}")
    return arrays


class Device(Protocol):
    """Answers cases, by full tensor name; raises NoAnswer or Unsupported."""

    def answer(self, vector: Vector) -> Arrays: ...
    def __enter__(self) -> Device: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None: ...


class Answered:
    """Answers that are at hand, by case id."""

    def __init__(self, answers: dict[str, Arrays]):
        self.answers = answers

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def answer(self, vector: Vector) -> Arrays:
        return self.answers[vector.id]


class ActualDevice(Answered):
    """A directory of answers, laid out like the suite's cases."""

    def __init__(self, root: Path, word: int | None = None):
        self.root, self.word = root, word
        if not root.is_dir():
            raise CorruptError(f"--actual {root}: no such directory")

    def answer(self, vector: Vector) -> Arrays:
        for directory in (self.root / "cases" / vector.path, self.root / vector.path):
            if directory.is_dir():
                return read_answers(directory, vector, self.word)
        raise NoAnswer(f"no directory {self.root / vector.path}")


def read_answers(directory: Path, vector: Vector, word: int | None = None) -> Arrays:
    """The answers in ``directory``: out_y.npy, .mem, .bin or .packed.bin, in the tensor's own format."""
    answers = {}
    for name, expected in vector.expected.items():
        for ending in ("npy", "mem", "bin", "packed.bin"):
            path = directory / f"{name}.{ending}"
            if path.exists():
                try:
                    answers[name] = _parse(path, ending, vector.format(name), expected.shape, word)
                except CorruptError as error:
                    raise NoAnswer(str(error)) from None
                break
    return answers


def _parse(path: Path, ending: str, format, shape: tuple[int, ...], word: int | None) -> np.ndarray:
    # a .npy has a header, a .mem up to a line of digits and a comment for each element
    data = files.read(path, path.parent, most=65536 + 256 * math.prod(shape))
    if ending == "npy":
        return files.parse_npy(data, path)
    if ending == "mem":
        return parse_mem(data.decode("ascii", "replace"), format, shape, word, name=str(path))
    return parse_bin(data, format, shape, packed=ending == "packed.bin", name=str(path))
