"""A whole run: the processes in turns, their rows together, the figures, the document."""
from __future__ import annotations

import dataclasses
import datetime
import importlib
from collections.abc import Callable
from typing import Any

from refquant.bench import machine
from refquant.bench.document import document, figures_of, rows_of
from refquant.bench.plan import Plan
from refquant.bench.processes import answers, turns
from refquant.bench.rows import Row, Table, merged
from refquant.errors import RefquantError


def run(plan: Plan, done: Callable[[str], None] = lambda case: None) -> dict[str, Any]:
    """The document of the run (`refquant.bench.document`).  done : called with the case of each row as it is there.

    plan : of the job "rows", its libraries those that are wanted; those that are not installed are named in the
    document.  Raises RefquantError for more threads than cores, and when a process that measures fails.
    """
    if plan.threads > machine.cores():
        raise RefquantError(f"--threads {plan.threads}: expected at most {machine.cores()}, the cores of this machine")
    when = datetime.datetime.now(datetime.UTC)
    topic = importlib.import_module(f"refquant.bench.{plan.topic}")
    missing = machine.missing(tuple(plan.libraries))
    plan = dataclasses.replace(plan, libraries=[library for library in plan.libraries if library not in missing])
    (measured,) = answers(dataclasses.replace(plan, job="machine"))
    processes, rows = turns(plan), []
    how = getattr(topic, "HOW", None) or (
        "all peers in one process, in turns each round" if len(processes) == 1 else
        f"{len(processes)} processes one after another, each with one library's peers")
    for process in processes:
        for answer in answers(process):
            rows.append(Row(**answer))
            done(answer["case"])
    table, told = Table(merged(rows)), machine.facts() | measured
    figures = list(topic.figures(table, told, plan))
    return (document(plan, how, told, machine.versions(), missing, when)
            | {"rows": rows_of(table), "figures": figures_of(figures)})


def plan_of(topic: str, **how: Any) -> Plan:
    """The plan of a run of ``topic`` with everybody who takes part in it."""
    return Plan("rows", topic, list(importlib.import_module(f"refquant.bench.{topic}").LIBRARIES), **how)
