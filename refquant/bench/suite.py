"""Suites of golden vectors, group by group: creation, verification, and beside them what the disk and memory can do.

    create            every case computed twice, and written
    verify            every file's hash, every case read, and every element of its own answers compared
    copy, hash        the suite's files copied, and read and hashed by SHA-256: nearly what has to be done at least
    copy in memory    as many bytes, at once

Rates are in bytes of the suite's files. Each is done once a round, in a process that has loaded the kernels before.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refquant.bench.plan import Plan
from refquant.bench.rows import Figure, Table

LIBRARIES = ("refquant",)
HOW = "one process"
CREATE, VERIFY = "refquant create", "refquant verify"
COPY, HASH, MEMORY = "copy of the files", "SHA-256 of the files", "copy in memory"


def figures(table: Table, machine: dict[str, Any], plan: Plan) -> Iterator[Figure]:
    for peer in (CREATE, VERIFY, COPY, HASH, MEMORY):
        rows = [row for row in table.rows if row.peer == peer]
        if not rows:
            continue
        section, seconds = f"level {plan.level}, groups: {len(rows)}", sum(row.median for row in rows)
        yield Figure(section, peer, seconds, "s")
        yield Figure(section, peer, sum(row.work for row in rows) / seconds, "MB/s")
