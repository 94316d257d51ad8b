"""One golden vector: a case's attributes, tensors and answers, computed twice, and its directory of files."""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refquant.golden import files, schema
from refquant.golden.errors import CorruptError
from refquant.golden.operation import GIVEN, Arrays, Attrs, Operation, Stimulus, dtype_of, role
from refquant.golden.operations import OPERATIONS
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat
from refquant.scalar.steps import silent


@dataclass(frozen=True)
class Vector:
    """A case: what case.json says, and every tensor by name (`in_a`, `mid_acc`, `out_y`, ...)."""

    record: dict[str, Any]
    tensors: Arrays

    @property
    def id(self) -> str:
        return self.record["id"]

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.record["op"]]

    @property
    def attrs(self) -> Attrs:
        return self.record["attrs"]

    @property
    def given(self) -> Arrays:
        """The tensors a device is given."""
        return {name: array for name, array in self.tensors.items() if role(name) in GIVEN}

    @property
    def expected(self) -> Arrays:
        """The tensors that are computed."""
        return {name: array for name, array in self.tensors.items() if role(name) not in GIVEN}

    @property
    def path(self) -> Path:
        """The case's directory, relative to ``cases/`` or ``export/``."""
        return Path(*self.record["op"].split("."), self.id)

    def format(self, name: str) -> IntFormat | str:
        return self.operation.tensors(self.attrs)[name]


class Disagreement(AssertionError):
    """The two implementations gave different answers: one of them is wrong, and no vector is written."""


def build(operation: Operation, stimulus: Stimulus, seed: int, id: str) -> Vector:
    """The vector of ``stimulus``: answers by the reference, checked against the scalar model, kills by every mutant."""
    formats = operation.tensors(stimulus.attrs)
    results = operation.reference(stimulus.attrs, stimulus.inputs)
    tensors = {name: (stimulus.inputs | results)[name] for name in formats}
    for name, array in tensors.items():
        if array.dtype != dtype_of(formats[name]):
            raise Disagreement(f"{id}: {name} is {array.dtype}, its format {formats[name]}")
    for name, array in recompute(operation, stimulus.attrs, stimulus.inputs, results).items():
        if not equal(array, results[name]):
            at = tuple(int(i) for i in np.argwhere(array != results[name])[0])
            raise Disagreement(f"{id}: {name} at {at} is {results[name][at]} by the reference, "
                               f"{array[at]} by the scalar model")
    record = {
        "schema": "case-1", "id": id, "group": operation.group, "op": operation.name, "summary": operation.summary,
        "semantics": semantics(operation, stimulus.attrs), "attrs": stimulus.attrs,
        "tensors": [_tensor_record(name, array, formats[name], stimulus) for name, array in tensors.items()],
        "state": _state_record(tensors), "random": stimulus.random,
        "stimulus": {"set": stimulus.set, "level": stimulus.level, "seed": seed},
        "flags": flag_counts(results), "kills": kills(operation, stimulus.attrs, stimulus.inputs, results),
        "result": "valid", "expected_failure": None, "supersedes": None,
    }
    return Vector(record, tensors)


def recompute(operation: Operation, attrs: Attrs, inputs: Arrays, shaped: Arrays) -> Arrays:
    """Every result by the scalar model, element by element; ``shaped``: arrays of the results' shapes and dtypes."""
    lists = {name: array.tolist() for name, array in inputs.items()}
    again: Arrays = {}
    for name, like in shaped.items():
        if name in again:
            continue
        columns: dict[str, list] = {name: []}
        for index in np.ndindex(like.shape):
            for other, value in operation.element(attrs, lists, name, index, silent).items():
                columns.setdefault(other, []).append(value)
        for other, column in columns.items():
            if other not in again and shaped[other].shape == like.shape:
                again[other] = np.array(column, dtype=shaped[other].dtype).reshape(like.shape)
    return again


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Same shape, same values; NaN equals nothing."""
    return a.shape == b.shape and bool((a == b).all())


def kills(operation: Operation, attrs: Attrs, inputs: Arrays, results: Arrays) -> list[str]:
    """The mutants whose answers differ from ``results`` in a required tensor of the same shape."""
    def reference(of: Attrs, given: Arrays) -> Arrays:
        if of is attrs and given is inputs:  # by a mutant that changes the results afterwards
            return {name: array.copy() for name, array in results.items()}
        return operation.reference(of, given)

    return [mutant.name for mutant in operation.mutants
            if (wrong := mutant(reference, attrs, inputs)) is not None and differs(wrong, results)]


def differs(wrong: Arrays, results: Arrays) -> bool:
    """Whether a required tensor has another value; an answer of another shape does not count as a difference."""
    pairs = [(wrong[name], array) for name, array in results.items() if role(name) in ("out", "state1")]
    return all(a.shape == b.shape for a, b in pairs) and any(not equal(a, b) for a, b in pairs)


def flag_counts(results: Arrays) -> dict[str, int]:
    """How many elements carry each flag."""
    masks = [array for name, array in results.items() if role(name) == "flags"]
    counts = {name: sum(int(((mask & bit) != 0).sum()) for mask in masks) for bit, name in flag.NAMES.items()}
    return {name: count for name, count in counts.items() if count}


def semantics(operation: Operation, attrs: Attrs) -> list[str]:
    """Versioned names of everything that decides the bits."""
    chosen = [f"{key}.{attrs[key]}/1" for key in operation.semantics if attrs.get(key) is not None]
    return [f"{operation.name}/1", *chosen]


def _state_record(tensors: Arrays) -> dict[str, list[str]] | None:
    """The tensors that carry from case to case, or None: ``before`` is given, ``after`` must be answered."""
    before, after = ([name for name in tensors if role(name) == kind] for kind in ("state0", "state1"))
    return {"before": before, "after": after} if before or after else None


def _tensor_record(name: str, array: np.ndarray, format: IntFormat | str, stimulus: Stimulus) -> dict[str, Any]:
    attrs, scale = stimulus.attrs, stimulus.inputs.get("in_scale")
    zero_point = attrs.get(f"{name.split('_', 1)[1]}_zero_point")
    if role(name) == "out":
        zero_point = attrs.get("zero_point")
    if isinstance(format, IntFormat):
        meaning = {"bits": format.bits, "signed": format.signed, "narrow": format.narrow}
        packing = f"int{format.bits}" if format.bits in (2, 4) else None
    else:
        meaning, packing = {"bits": 8 * array.dtype.itemsize, "signed": True, "narrow": False}, None
    return {
        "name": name, "role": role(name), "file": f"{name}.npy", **meaning, "container": str(array.dtype),
        "shape": list(array.shape),
        "scale": [float(s).hex() for s in scale.reshape(-1)] if scale is not None and role(name) == "out" else None,
        "zero_point": zero_point if isinstance(format, IntFormat) else None,
        "packing": packing, "sha256": files.sha256(files.npy(array)),
    }


def save(vector: Vector, root: Path) -> None:
    """Write the vector's directory under ``root/cases``."""
    write(root, vector.record["op"], vector.id, contents(vector))


def contents(vector: Vector) -> dict[str, bytes]:
    """The vector's files by name."""
    tensors = {f"{name}.npy": files.npy(array) for name, array in vector.tensors.items()}
    return tensors | {"case.json": files.json_bytes(vector.record)}


def write(root: Path, op: str, id: str, contents: dict[str, bytes]) -> None:
    """Write a case's files; case.json comes last, so a directory that has it is whole."""
    target = directory(root, op, id)
    target.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        files.write(target / name, data)


def directory(root: Path, op: str, id: str) -> Path:
    """Where the case of this operation and id lies in the suite ``root``."""
    return root / "cases" / Path(*op.split("."), id)


def load(root: Path, op: str, id: str, digest: str | None = None) -> Vector:
    """The vector of this operation and id, every file checked against its hash, shape and container.

    digest : the SHA-256 that the manifest has for case.json, where there is a manifest.
    """
    case = directory(root, op, id)
    data = files.read(case / "case.json", root)
    if digest is not None and files.sha256(data) != digest:
        raise CorruptError(f"{case / 'case.json'}: its SHA-256 is not the one in MANIFEST.json")
    record = files.parse_json(data, case / "case.json")
    _frame()(record, str(case / "case.json"))
    if (record["op"], record["id"]) != (op, id):
        raise CorruptError(f"{case / 'case.json'}: is case {record['op']} {record['id']}: expected {op} {id}")
    _attributes(op)(record["attrs"], str(case / "case.json"))
    formats = OPERATIONS[op].tensors(record["attrs"])
    listed = [entry["name"] for entry in record["tensors"]]
    if listed != list(formats):
        raise CorruptError(f"{case / 'case.json'}: lists tensors {', '.join(listed)}: "
                           f"expected {', '.join(formats)}")
    return Vector(record, dict(_load_tensors(root, case, record, formats)))


# The schema of a case in two parts: to compile the attributes of all operations takes longer than to check one case.
@functools.cache
def _frame() -> Callable[[Any, str], None]:
    return schema.validator("case", schema.case_frame(list(OPERATIONS)))


@functools.cache
def _attributes(op: str) -> Callable[[Any, str], None]:
    return schema.validator("case.attrs", schema.record(OPERATIONS[op].attributes))


def _load_tensors(root: Path, case: Path, record, formats) -> Iterator[tuple[str, np.ndarray]]:
    for entry in record["tensors"]:
        if entry["file"] != f"{entry['name']}.npy":
            raise CorruptError(f"{case / 'case.json'}: file {entry['file']!r}: expected {entry['name']}.npy")
        path = case / entry["file"]
        data = files.read(path, root)
        array = files.parse_npy(data, path)
        if files.sha256(data) != entry["sha256"]:
            raise CorruptError(f"{path}: its SHA-256 is not the one in case.json")
        wanted = dtype_of(formats[entry["name"]])
        if list(array.shape) != entry["shape"] or array.dtype != wanted:
            raise CorruptError(f"{path}: is {array.dtype} {array.shape}: expected {wanted} {tuple(entry['shape'])}")
        yield entry["name"], array
