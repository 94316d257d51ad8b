"""The peers of a topic's cases, in this process: first their answers, then their times."""
from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refquant.bench.plan import Plan
from refquant.bench.rows import Case, Row
from refquant.bench.timing import interleaved


def nothing(result: Any) -> None:
    """The integers that a peer of reals answers."""


@dataclass(frozen=True)
class Peer:
    """Someone who can do a case.

    prepare : returns the call that is timed.  integers : what the call returned as an array of integers, or None.
    against : our own peer that it is compared with.  work : where it does another amount than the case says.
    """

    name: str
    against: str
    prepare: Callable[[], Callable[[], Any]]
    integers: Callable[[Any], np.ndarray | None] = nothing
    note: Callable[[], str] = str
    work: float | None = None


def peers(topic: str, case: Case, libraries: list[str], threads: int) -> list[tuple[str, Peer]]:
    """The peers of the case, each with its library."""
    module = importlib.import_module(f"refquant.bench.{topic}_peers")
    return [(library, peer) for library in libraries if library in module.PEERS
            for peer in module.PEERS[library](case, threads)]


def rows(plan: Plan) -> Iterator[Row]:
    """A row for every peer of every case of the plan's topic."""
    topic = importlib.import_module(f"refquant.bench.{plan.topic}")
    for case in topic.cases(plan.quick):
        yield from case_rows(case, peers(plan.topic, case, plan.libraries, plan.threads), plan.rounds)


def case_rows(case: Case, chosen: list[tuple[str, Peer]], rounds: int | None) -> Iterator[Row]:
    """A row for each of the peers, timed in turns."""
    calls = {peer.name: peer.prepare() for _, peer in chosen}
    digests = {peer.name: digest(peer.integers(calls[peer.name]())) for _, peer in chosen}
    seconds = interleaved(calls, rounds)
    for library, peer in chosen:
        yield Row(case.name, peer.name, library, peer.against, case.unit, peer.work or case.work, seconds[peer.name],
                  digests[peer.name], peer.note())


def digest(integers: np.ndarray | None) -> str:
    """SHA-256 of the integers as int64, "" for none: equal answers have equal ones, in whatever type they came."""
    if integers is None:
        return ""
    return hashlib.sha256(np.ascontiguousarray(integers, "<i8").tobytes()).hexdigest()


def whole(reals: np.ndarray) -> np.ndarray | None:
    """Reals that are all integers as int64; None where one is not."""
    codes = reals.astype(np.int64)
    return codes if (codes == reals).all() else None
