"""The JSON document of a run, one object:

    schema                       "refquant-bench-1"
    topic                        gemm, elementwise, conv, step, suite or start
    version                      refquant's
    when                         the start, UTC, ISO 8601
    threads                      of every library
    quick                        whether it was cut short: few cases, few rounds
    how                          in which processes, and in what order
    machine.processor            its model
    machine.cores                that the processes might use
    machine.memory_gib           or null
    machine.system               kernel or operating system
    machine.compiled_for         the processor that Numba compiles for
    machine.instruction_sets[]   that Numba compiles for
    machine.peak                 null where it cannot be measured, else
    machine.peak.clock_ghz       additions in a dependent chain, 1e9 a second
    machine.peak.instruction     the multiply-add instruction
    machine.peak.gmac_per_second its products on registers, 1e9 a second, one thread
    versions.*                   of Python and of each package, by name
    missing.*[]                  the packages that a library's peers would need, by the library's name
    rows[].case                  what was done
    rows[].peer                  by whom
    rows[].library               refquant, torch, onnxruntime or numpy
    rows[].against               our peer that it is compared with, or ""
    rows[].unit                  of its rate, such as GMAC/s
    rows[].work                  what one call does: rate = work / seconds
    rows[].seconds[]             of one call, a number a round
    rows[].median                of these
    rows[].best                  the least of these
    rows[].ratio                 its median / that of `against`: how many times as fast we are; null without one
    rows[].answer                equal or differs, from ours, compared before timing; "" where it answers no integers
    rows[].note                  how it did it, or ""
    figures[].section            what kind of figure
    figures[].what               what it tells of
    figures[].value              the number
    figures[].unit               x for a ratio, %, MB, s
"""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from refquant import __version__
from refquant.bench.plan import Plan
from refquant.bench.rows import Figure, Row, Table

SCHEMA = "refquant-bench-1"


def document(plan: Plan, how: str, machine: dict[str, Any], versions: dict[str, str],
             missing: dict[str, list[str]], when: datetime.datetime) -> dict[str, Any]:
    """The document but for its rows and figures."""
    return {"schema": SCHEMA, "topic": plan.topic, "version": __version__, "when": when.isoformat(timespec="seconds"),
            "threads": plan.threads, "quick": plan.quick, "how": how, "machine": machine,
            "versions": versions, "missing": missing}


def rows_of(table: Table) -> list[dict[str, Any]]:
    """The document's rows."""
    return [_row(table, row) for row in table.rows]


def _row(table: Table, row: Row) -> dict[str, Any]:
    return {"case": row.case, "peer": row.peer, "library": row.library, "against": row.against, "unit": row.unit,
            "work": row.work, "seconds": row.seconds, "median": row.median, "best": min(row.seconds),
            "ratio": table.ratio(row.case, row.against, row.peer), "answer": table.answer(row), "note": row.note}


def figures_of(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The document's figures."""
    return [dataclasses.asdict(figure) for figure in figures]
