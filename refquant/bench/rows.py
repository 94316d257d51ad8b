"""What a topic measures: cases; what came out: a row for each peer of a case; what is drawn from rows: figures."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from refquant.bench.timing import median

FASTER = "how many times as fast refquant is"  # the section of most figures


@dataclass(frozen=True)
class Case:
    """What all its peers do.  work : how much one call does, in ``unit`` seconds (2.0 GMAC at "GMAC/s").

    given : what the peers are built from.
    """

    name: str
    work: float
    unit: str
    given: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A peer's times in one case.

    against : our own peer that it is compared with; "" for none.  seconds : of one call, a number a round.
    digest : of the integers it answered, "" where it answers none.  note : how it did it.
    """

    case: str
    peer: str
    library: str
    against: str
    unit: str
    work: float
    seconds: list[float]
    digest: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def rate(self) -> float:
        return self.work / self.median


@dataclass(frozen=True)
class Figure:
    """A number drawn from rows, or measured beside them."""

    section: str
    what: str
    value: float
    unit: str = "x"


@dataclass(frozen=True)
class Table:
    """The rows of a run."""

    rows: Sequence[Row]

    def row(self, case: str, peer: str) -> Row | None:
        return next((row for row in self.rows if (row.case, row.peer) == (case, peer)), None)

    def ratio(self, case: str, ours: str, peer: str) -> float | None:
        """How many times as fast ``ours`` is as ``peer``; None where either was not timed."""
        one, other = self.row(case, ours), self.row(case, peer)
        return None if one is None or other is None else other.median / one.median

    def ratios(self, cases: Iterable[str], ours: str, peer: str) -> list[float]:
        """`ratio` of all ``cases`` that have one."""
        found = (self.ratio(case, ours, peer) for case in cases)
        return [ratio for ratio in found if ratio is not None]

    def best(self, case: str, *peers: str) -> Row | None:
        """The fastest of these peers, of those that were timed."""
        timed = [row for row in (self.row(case, peer) for peer in peers) if row is not None]
        return min(timed, key=lambda row: row.median, default=None)

    def answer(self, row: Row) -> str:
        """Whether the integers that the peer answered are ours: "equal", "differs", or "" where it answers none."""
        other = self.row(row.case, row.against)
        if not row.digest or other is None or not other.digest:
            return ""
        return "equal" if row.digest == other.digest else "differs"


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each peer of a case, with the seconds of all its processes; case by case, each as first met."""
    together: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.case, row.peer
        before = together.get(key)
        together[key] = row if before is None else dataclasses.replace(before, seconds=before.seconds + row.seconds)
    cases = list(dict.fromkeys(case for case, _ in together))
    return sorted(together.values(), key=lambda row: cases.index(row.case))
