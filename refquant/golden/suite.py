"""A suite of golden vectors on disk: opened, listed, checked.

    <suite>/MANIFEST.json  SHA256SUMS  README.md  schema/  cases/<group>/<op>/<case-id>/  export/
"""
from __future__ import annotations

import fnmatch
import functools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refquant.golden import files, schema, sums, vector
from refquant.golden.errors import CorruptError, GoldenError
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.operations import OPERATIONS
from refquant.golden.vector import Vector


@dataclass(frozen=True)
class Suite:
    """A suite on disk, its manifest validated: what `open_suite` and `create` return.

    root : its directory.
    manifest : MANIFEST.json as a dict: version, level, seed, groups, exports, and cases, each with id, op and sha256.

    A vector has ``id``, ``attrs`` (a dict), ``record`` (case.json), and arrays [any shape] by full name:
    ``tensors``, some ``given`` to a device, the others ``expected`` of it.

    Raises nothing of its own.

    Source: refquant's own; its schemas lie in the suite.
    """

    root: Path
    manifest: dict[str, Any]

    def entries(self, pattern: str = "*") -> list[dict[str, Any]]:
        """The manifest's cases whose id matches ``pattern`` (a shell glob): dicts of id, op and sha256.

        Raises CorruptError when there is none.
        """
        matching = [entry for entry in self.manifest["cases"] if fnmatch.fnmatchcase(entry["id"], pattern)]
        if not matching:
            raise CorruptError(f"no case of {self.root} matches {pattern!r} (it has {len(self.manifest['cases'])})")
        return matching

    def vectors(self, pattern: str = "*") -> Iterator[Vector]:
        """The vectors whose id matches ``pattern`` (a shell glob), one at a time, each checked as it is read.

        Raises CorruptError when there is none, or one is missing or not what the manifest says.
        """
        for entry in self.entries(pattern):
            yield self._load(entry)

    def vector(self, id: str) -> Vector:
        """The vector of this ``id``.

        Raises GoldenError for an id that is not there, CorruptError for a vector that is not what the manifest says.
        """
        for entry in self.manifest["cases"]:
            if entry["id"] == id:
                return self._load(entry)
        close = [entry["id"] for entry in self.manifest["cases"] if id in entry["id"]][:5]
        hint = f"; did you mean {', '.join(close)}?" if close else f"; `refquant vectors list {self.root}` shows them"
        raise GoldenError(f"case {id!r} is not in {self.root}{hint}")

    def _load(self, entry: dict[str, Any]) -> Vector:
        return vector.load(self.root, entry["op"], entry["id"], entry["sha256"])

    def check_hashes(self) -> int:
        """Compare every file with SHA256SUMS; returns their number.

        Raises CorruptError naming the first file that is missing, changed or too much.
        """
        return sums.check(self.root)


def open_suite(root: Path | str) -> Suite:
    """The suite in directory ``root``: a `Suite`; its vectors [any shape] are read when they are asked for.

    root : a path.

    Raises CorruptError when it is none, or its manifest is not valid.

    Source: refquant's own.
    """
    root = Path(root)
    path = root / "MANIFEST.json"
    try:
        found, whole = root.is_dir(), path.is_file()
    except OSError as error:
        raise CorruptError(f"{root}: {error.strerror}") from None
    if not found:
        raise CorruptError(f"{root}: no such directory")
    if not whole:
        raise CorruptError(f"{root}: not a suite: it has no MANIFEST.json (`refquant vectors create --out {root}`)")
    manifest = files.read_json(path, root)
    _validator()(manifest, str(path))
    ids = set()
    for entry in manifest["cases"]:
        if entry["op"] not in OPERATIONS:
            raise CorruptError(f"{path}: case {entry['id']} is of operation {entry['op']!r}: this version knows "
                               f"{', '.join(OPERATIONS)}")
        if not files.NAME.fullmatch(entry["id"]):
            raise CorruptError(f"{path}: case id {entry['id']!r}: expected 1 to 120 of a-z 0-9 _ . -")
        if entry["id"] in ids:
            raise CorruptError(f"{path}: case {entry['id']} is listed twice")
        ids.add(entry["id"])
    return Suite(root, manifest)


@functools.cache
def _validator() -> Callable[[Any, str], None]:
    return schema.validator("suite", schema.suite_schema())


def named_stimuli(operation: Operation, level: int, seed: int) -> Iterator[tuple[str, Stimulus]]:
    """The stimuli of an operation, each with the id that its case has in a suite."""
    seen: dict[str, int] = {}
    for stimulus in operation.stimuli(level, seed):
        stem = _stem(operation, stimulus, seed)
        seen[stem] = seen.get(stem, 0) + 1
        yield stem if seen[stem] == 1 else f"{stem}_{seen[stem]}", stimulus


def _stem(operation: Operation, stimulus: Stimulus, seed: int) -> str:
    """What a case's id says of it; the end of one that is too long for a name becomes a checksum."""
    stem = f"{operation.name.replace('.', '_')}_{stimulus.label}_sp-{stimulus.set}_s{seed}"
    return stem if len(stem) <= 112 else f"{stem[:103]}_{zlib.crc32(stem.encode()):08x}"
