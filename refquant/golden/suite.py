"""A suite of golden vectors: created beside its place and renamed, so that it is whole or not there.

    <suite>/MANIFEST.json  SHA256SUMS  README.md  schema/  cases/<group>/<op>/<case-id>/  export/

A create that was interrupted leaves ``<suite>.partial``; the same command goes on from there.
"""
from __future__ import annotations

import fnmatch
import functools
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refquant import __version__
from refquant.golden import files, schema, vector
from refquant.golden.errors import CorruptError, GoldenError
from refquant.golden.export import check_request, export_suite
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.operations import GROUPS, OPERATIONS
from refquant.golden.readme import SUITE_README
from refquant.golden.vector import Vector

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Suite:
    """A suite on disk, its manifest validated."""

    root: Path
    manifest: dict[str, Any]

    def entries(self, pattern: str = "*") -> list[dict[str, Any]]:
        """The manifest's cases whose id matches ``pattern`` (a shell glob); a CorruptError when there is none."""
        matching = [entry for entry in self.manifest["cases"] if fnmatch.fnmatchcase(entry["id"], pattern)]
        if not matching:
            raise CorruptError(f"no case of {self.root} matches {pattern!r} (it has {len(self.manifest['cases'])})")
        return matching

    def vectors(self, pattern: str = "*") -> Iterator[Vector]:
        """The vectors whose id matches ``pattern``, each checked as it is read."""
        for entry in self.entries(pattern):
            yield self._load(entry)

    def vector(self, id: str) -> Vector:
        """The vector of this id."""
        for entry in self.manifest["cases"]:
            if entry["id"] == id:
                return self._load(entry)
        close = [entry["id"] for entry in self.manifest["cases"] if id in entry["id"]][:5]
        hint = f"; did you mean {', '.join(close)}?" if close else f"; `refquant vectors list {self.root}` shows them"
        raise GoldenError(f"case {id!r} is not in {self.root}{hint}")

    def _load(self, entry: dict[str, Any]) -> Vector:
        return vector.load(self.root, entry["op"], entry["id"], entry["sha256"])

    def check_hashes(self) -> int:
        """Compare every file with SHA256SUMS; returns their number, or a CorruptError naming the first bad one."""
        path = self.root / "SHA256SUMS"
        data = files.read(path, self.root)
        listed = _parse_sums(data, path)
        for name, digest in listed.items():
            try:
                found = files.sha256(files.read(self.root / name, self.root))
            except CorruptError as error:
                raise CorruptError(f"{error} (listed in {path})") from None
            if found != digest:
                raise CorruptError(f"{self.root / name}: its SHA-256 is not the one in SHA256SUMS")
        for name in _file_names(self.root):
            if name not in listed:
                raise CorruptError(f"{self.root / name}: not listed in SHA256SUMS")
        if _sums(dict(sorted(listed.items()))) != data:
            raise CorruptError(f"{path}: its lines are not sorted, or not as sha256sum writes them")
        return len(listed)


def _file_names(root: Path) -> list[str]:
    """Every file of a suite but SHA256SUMS and what a killed write left, sorted."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*")
                  if not path.is_dir() and path.name != "SHA256SUMS" and not path.name.startswith("."))


def _sums(digests: dict[str, str]) -> bytes:
    """SHA256SUMS, as sha256sum writes and checks it."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()


def _parse_sums(data: bytes, path: Path) -> dict[str, str]:
    """The digest of each file; a CorruptError for a line of another form."""
    digests = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        match = re.fullmatch(r"([0-9a-f]{64})  ([A-Za-z0-9_.+/-]+)", line)
        if not match or match[2].startswith("/") or any(part in (".", "..") for part in match[2].split("/")):
            raise CorruptError(f"{path}: line {number} is {line[:200]!r}: expected a SHA-256, two spaces and a path "
                               "inside the suite")
        digests[match[2]] = match[1]
    return digests


def open_suite(root: Path | str) -> Suite:
    """The suite in directory ``root``; a CorruptError when it is none."""
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


def create(out: Path | str, groups: tuple[str, ...] = (), level: int = 1, seed: int = 0, exports: tuple[str, ...] = (),
           word: int | None = None, progress: Progress = lambda op, total: None) -> Suite:
    """Create the suite ``out`` of these ``groups`` (all of them when none is named).

    level : 1, 2 or 3.  seed : below 2^64.  exports : formats of `refquant.golden.export`.  word : 32, 64 or 128 bits a
    line of a .mem file, else one element a line.  progress : called with the operation's name and its number of cases
    before them, then with (name, 0) after each.

    Raises GoldenError when ``out`` exists, a group or format is unknown, or the disk refuses.
    """
    out = Path(out)
    chosen = _operations(groups)
    if level not in (1, 2, 3):
        raise GoldenError(f"level {level!r}: expected 1, 2 or 3")
    if not 0 <= seed < 1 << 64:
        raise GoldenError(f"seed {seed!r}: expected 0 to 2^64 - 1")
    check_request(exports, word)
    plan = {"version": __version__, "groups": sorted({op.group for op in chosen}), "level": level, "seed": seed,
            "exports": sorted(exports), "word": word}
    if out.exists():
        raise GoldenError(f"{out} exists: a suite is not changed once it is written; name a new directory")
    partial = out.with_name(out.name + ".partial")
    try:
        _start(partial, plan)
        entries = [_entry(partial, v) for v in _vectors(chosen, level, seed, partial, progress)]
        export_suite(partial, entries, exports, word)
        _finish(partial, plan, entries)
        os.rename(partial, out)
    except OSError as error:
        raise GoldenError(f"cannot write {error.filename or partial}: {error.strerror}; what is done is kept in "
                          f"{partial}, and the same command goes on from there") from None
    return open_suite(out)


def _operations(groups: tuple[str, ...]) -> list[Operation]:
    for group in groups:
        if group not in GROUPS:
            raise GoldenError(f"group {group!r}: expected some of {', '.join(GROUPS)}")
    return [op for op in OPERATIONS.values() if not groups or op.group in groups]


def _start(partial: Path, plan: dict[str, Any]) -> None:
    """Begin, or go on with what an interrupted create of the same plan left."""
    path = partial / "plan.json"
    if path.exists():
        before = files.read_json(path, partial)
        if before != plan:
            raise GoldenError(f"{partial} was left by a create with {before}, not {plan}: remove it, or use the same "
                              "arguments to go on")
        return
    partial.mkdir(parents=True, exist_ok=True)
    files.write(path, files.json_bytes(plan))


def _vectors(operations: list[Operation], level: int, seed: int, partial: Path, progress: Progress) -> Iterator[Vector]:
    """Every vector, those that are already on disk loaded, the others built and saved."""
    for operation in operations:
        stimuli = list(named_stimuli(operation, level, seed))
        progress(operation.name, len(stimuli))
        for id, stimulus in stimuli:
            yield _done(partial, operation, id) or _save(vector.build(operation, stimulus, seed, id), partial)
            progress(operation.name, 0)


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


def _done(partial: Path, operation: Operation, id: str) -> Vector | None:
    """The vector that an interrupted create left, if it is whole."""
    try:
        return vector.load(partial, operation.name, id)
    except CorruptError:
        return None


def _save(built: Vector, partial: Path) -> Vector:
    vector.save(built, partial)
    return built


def _entry(partial: Path, saved: Vector) -> dict[str, Any]:
    return {"id": saved.id, "op": saved.record["op"], "sha256": files.sha256(files.json_bytes(saved.record))}


def _finish(partial: Path, plan: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """The manifest, the schemas, the page that explains them, and the hashes of all files."""
    manifest = {"schema": "suite-1", "suite": "refquant", "version": __version__, "level": plan["level"],
                "seed": plan["seed"], "groups": plan["groups"], "exports": plan["exports"], "cases": entries}
    (partial / "schema").mkdir(exist_ok=True)
    files.write(partial / "schema/suite-1.schema.json", files.json_bytes(schema.suite_schema()))
    files.write(partial / "schema/case-1.schema.json", files.json_bytes(schema.case_schema(OPERATIONS.values())))
    files.write(partial / "README.md", SUITE_README.encode())
    files.write(partial / "MANIFEST.json", files.json_bytes(manifest))
    (partial / "plan.json").unlink()
    digests = {name: files.sha256((partial / name).read_bytes()) for name in _file_names(partial)}
    files.write(partial / "SHA256SUMS", _sums(digests))
