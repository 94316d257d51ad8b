"""What a process that measures is told."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """job : "rows" (times), "shares" (where a step goes), "memory" (of one peer), "machine" (its clock and peak).

    libraries : whose peers it builds.  rounds : None for as many as fit.  case, peer : of the job "memory".
    """

    job: str
    topic: str
    libraries: list[str]
    threads: int = 1
    rounds: int | None = None
    quick: bool = False
    level: int = 1
    case: str = ""
    peer: str = ""
