"""The cases of a suite in shards: a few consecutive ones of what an operation has for one level and seed.

How a suite is cut follows from the list of its cases, and every case's bytes from its stimulus. So a suite is the same
whoever makes which shard, in whatever order: this process, others, or other machines. A shard that is lost is made
again.
"""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from refquant.golden import files, vector
from refquant.golden.errors import CorruptError, GoldenError
from refquant.golden.operation import Stimulus
from refquant.golden.operations import OPERATIONS
from refquant.golden.suite import named_stimuli
from refquant.golden.vector import Vector

SIZE = 4  # cases a shard: few, so that all are busy to the end and little is lost with one of them
ROOM = 1 << 26  # bytes of stimuli that a process keeps after it has named them

Packed = dict[str, dict[str, bytes]]


@dataclass(frozen=True)
class Source:
    """All stimuli of an operation for a level and a seed, in their order."""

    operation: str
    level: int
    seed: int


@dataclass(frozen=True)
class Shard:
    """The cases ``ids`` of a source, the first of them its case number ``first``."""

    source: Source
    first: int
    ids: tuple[str, ...]


def names(source: Source) -> list[str]:
    """The ids of a source's cases."""
    return _PLACE.names(source)


def cut(source: Source, ids: list[str]) -> Iterator[Shard]:
    """A source's cases in shards."""
    for first in range(0, len(ids), SIZE):
        yield Shard(source, first, tuple(ids[first:first + SIZE]))


def make(root: Path, shard: Shard) -> list[str]:
    """Build and save a shard's cases below ``root``, but those that are there; returns the hash of each case.json."""
    for id, stimulus in _PLACE.drawn(shard):
        if _done(root, shard, id) is None:
            vector.save(_built(shard, id, stimulus), root)
    return _digests(root, shard)


def missing(root: Path, shard: Shard) -> tuple[Shard, frozenset[str]]:
    """The shard, and those of its cases that are not whole below ``root``."""
    return shard, frozenset(id for id in shard.ids if _done(root, shard, id) is None)


def pack(asked: tuple[Shard, frozenset[str]]) -> Packed:
    """The files of those cases of a shard that are asked for, for a process with another disk."""
    shard, ids = asked
    drawn = _PLACE.drawn(shard) if ids else []
    return {id: vector.contents(_built(shard, id, stimulus)) for id, stimulus in drawn if id in ids}


def unpack(root: Path, shard: Shard, packed: Packed) -> list[str]:
    """Write what `pack` gave below ``root``; returns the hash of each case.json of the whole shard."""
    for id, contents in packed.items():
        vector.write(root, shard.source.operation, id, contents)
    return _digests(root, shard)


def _digests(root: Path, shard: Shard) -> list[str]:
    paths = [vector.directory(root, shard.source.operation, id) / "case.json" for id in shard.ids]
    return [files.sha256(files.read(path, root)) for path in paths]


def _done(root: Path, shard: Shard, id: str) -> Vector | None:
    """The vector that an interrupted create left, if it is whole."""
    try:
        return vector.load(root, shard.source.operation, id)
    except CorruptError:
        return None


def _built(shard: Shard, id: str, stimulus: Stimulus) -> Vector:
    return vector.build(OPERATIONS[shard.source.operation], stimulus, shard.source.seed, id)


def _named(source: Source) -> Iterator[tuple[str, Stimulus]]:
    return named_stimuli(OPERATIONS[source.operation], source.level, source.seed)


class _Place:
    """What this process has drawn: where it is in a long list, which is drawn in order, and all of the short ones."""

    def __init__(self) -> None:
        self.source: Source | None = None
        self.next = 0
        self.kept: dict[Source, list[tuple[str, Stimulus]]] = {}
        self.room = ROOM

    def names(self, source: Source) -> list[str]:
        """The ids of all, which are kept if they are few and small."""
        ids, room = [], self.room
        kept: list[tuple[str, Stimulus]] = []
        for id, stimulus in _named(source):
            ids.append(id)
            room -= sum(array.nbytes for array in stimulus.inputs.values())
            if room >= 0:
                kept.append((id, stimulus))
            else:
                kept.clear()
        if room >= 0:
            self.kept[source], self.room = kept, room
        return ids

    def drawn(self, shard: Shard) -> list[tuple[str, Stimulus]]:
        """The shard's stimuli by id; a GoldenError when they are not those that it was cut from."""
        end = shard.first + len(shard.ids)
        found = self.kept[shard.source][shard.first:end] if shard.source in self.kept else self._further(shard, end)
        if tuple(id for id, _ in found) != shard.ids:
            raise GoldenError(f"cases {', '.join(shard.ids)} are others in a worker process: it has another version "
                              "of refquant or its source")
        return found

    def _further(self, shard: Shard, end: int) -> list[tuple[str, Stimulus]]:
        if shard.source != self.source or shard.first < self.next:
            self.next, self.rest = 0, _named(shard.source)
        self.source = None  # in case drawing fails
        found = list(itertools.islice(self.rest, shard.first - self.next, end - self.next))
        self.source, self.next = shard.source, end
        return found


_PLACE = _Place()
