"""What an operation is: its attributes and tensors, its two implementations, its stimuli and its mutants.

A tensor's name starts with its role: in_a, rbits_y, state0_m; mid_acc, out_y, flags_y, state1_m. The first three
kinds are given to a device, the others are computed from them: out_ and state1_ must be answered, mid_ and flags_ may.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refquant.integers.formats import IntFormat

GIVEN = ("in", "rbits", "state0")
REQUIRED = ("out", "state1")

Attrs = dict[str, Any]
Arrays = dict[str, np.ndarray]
Reference = Callable[[Attrs, Arrays], Arrays]
Note = Callable[[str], None]

FLAGS = IntFormat(8, signed=False)
FLOATS: dict[str, np.dtype[Any]] = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}


def role(name: str) -> str:
    """The role of a tensor by its name: ``role("out_y") == "out"``."""
    return name.split("_", 1)[0]


def dtype_of(format: IntFormat | str) -> np.dtype:
    """The NumPy type of a tensor: of an integer format its container; "f32" and "f64" are floats."""
    return FLOATS[format] if isinstance(format, str) else format.dtype


@dataclass(frozen=True)
class Mutant:
    """A wrong semantics that the suite must detect.

    ``run(reference, attrs, inputs)`` returns the wrong results, or None where the mutation has no meaning. It may
    change what the reference is given, or what it returned; so two mutants combine into a third.
    """

    name: str
    says: str
    run: Callable[[Reference, Attrs, Arrays], Arrays | None]

    def __call__(self, reference: Reference, attrs: Attrs, inputs: Arrays) -> Arrays | None:
        """The wrong results, or None: also where the changed case is outside the reference's domain."""
        try:
            return self.run(reference, attrs, inputs)
        except (ValueError, OverflowError):
            return None


def combined(outer: Mutant, inner: Mutant) -> Mutant:
    """Both mistakes at once; on a case where one has no meaning, the other alone."""
    def run(reference, attrs, inputs):
        def changed(attrs, inputs):
            results = inner(reference, attrs, inputs)
            return reference(attrs, inputs) if results is None else results

        results = outer(changed, attrs, inputs)
        return inner(reference, attrs, inputs) if results is None else results
    return Mutant(f"{outer.name}+{inner.name}", f"{outer.says}; and {inner.says}", run)


@dataclass(frozen=True)
class Stimulus:
    """Inputs for one case.

    set : how they were chosen.  label : the case's shape and formats, in its id.  level : the first that has it.
    random : where random bits came from: generator, its key, and which bits an element takes.
    """

    set: str
    label: str
    attrs: Attrs
    inputs: Arrays
    level: int = 1
    random: dict[str, Any] | None = None


@dataclass(frozen=True)
class Operation:
    """One operation of the suite.

    name : group and operation, "gemm.dw".
    summary : one line.
    attributes : the JSON Schema of each attribute; every case has all of them.
    tensors : attrs -> the format of every tensor, an IntFormat, "f32" or "f64", in the order they are listed.
    reference : (attrs, inputs) -> results, vectorized.
    element : (attrs, inputs as nested lists, tensor name, index, note) -> {tensor name: value}, from the scalar
        model, with at least the tensor asked for; note takes its steps, line by line.
    stimuli : (level, seed) -> Stimulus, the same ones on every machine.
    mutants : what level 1 must detect.
    operands : (attrs, inputs, index) -> {name: number or vector}, what one element of the first output is made from.
    """

    name: str
    summary: str
    attributes: dict[str, Any]
    tensors: Callable[[Attrs], dict[str, IntFormat | str]]
    reference: Reference
    element: Callable[[Attrs, dict[str, Any], str, tuple[int, ...], Note], dict[str, Any]]
    stimuli: Callable[[int, int], Iterator[Stimulus]]
    mutants: tuple[Mutant, ...]
    operands: Callable[[Attrs, Arrays, tuple[int, ...]], dict[str, Any]]
    semantics: tuple[str, ...] = field(default=())  # attributes whose value names a semantics

    @property
    def group(self) -> str:
        return self.name.split(".")[0]

    def given(self, attrs: Attrs) -> list[str]:
        """Names of the tensors that a device is given."""
        return [name for name in self.tensors(attrs) if role(name) in GIVEN]

    def results(self, attrs: Attrs) -> list[str]:
        """Names of the tensors that are computed."""
        return [name for name in self.tensors(attrs) if role(name) not in GIVEN]
