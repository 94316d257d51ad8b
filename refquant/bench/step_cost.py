"""What a step costs besides time: memory, and where its time goes.

Memory is the most that the process ever held. A step's is that after warm steps, less that before the network was built
but after its library was imported.
"""
from __future__ import annotations

import cProfile
import importlib
import pstats
import resource
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from refquant.bench import step
from refquant.bench.measure import Peer, peers
from refquant.bench.plan import Plan

STEPS = 5
PLACES = (  # the first part of a file's path that fits names what its own lines do
    ("refquant/gemm", "integer products, gathering windows"), ("refquant/reals", "float64 products and sums in order"),
    ("refquant/integers", "rounding, random bits, Fixed tensors"), ("refquant/quantizers", "quantizers"),
    ("refquant/autodiff", "other ops: norm, pooling, ReLU, loss"),
    ("refquant/training", "layers, ranges, optimizer, loop"))
ELSEWHERE = "NumPy and Python, called by each other"


def memory(plan: Plan) -> dict[str, Any]:
    """MB of the peer's step and of its whole process."""
    peer = _peer(plan)
    importlib.import_module("refquant.training" if plan.peer == step.OURS else "torch")
    before = _most_memory()
    call = peer.prepare()
    for _ in range(STEPS):
        call()
    after = _most_memory()
    return {"step_mb": after - before, "process_mb": after}


def _most_memory() -> float:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def shares(plan: Plan) -> Iterator[dict[str, Any]]:
    """``{"place", "share"}`` of a step's time, largest first, by the profiler, which slows small calls down."""
    for place, share in where(_peer(plan).prepare()):
        yield {"place": place, "share": share}


def _peer(plan: Plan) -> Peer:
    case = next(case for case in step.cases(plan.quick) if case.name == plan.case)
    return next(peer for _, peer in peers("step", case, plan.libraries, plan.threads) if peer.name == plan.peer)


def where(call: Callable[[], object]) -> list[tuple[str, float]]:
    """Shares of the call's time; NumPy's own functions count for the file that calls them."""
    for _ in range(2):
        call()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(STEPS):
        call()
    profiler.disable()
    spent: dict[str, float] = defaultdict(float)
    for function, (_, _, own, _, callers) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        if _place(function[0]):
            spent[_place(function[0])] += own
        else:
            for caller, (_, _, share, _) in callers.items():
                spent[_place(caller[0]) or ELSEWHERE] += share
    whole = sum(spent.values())
    return sorted(((name, seconds / whole) for name, seconds in spent.items()), key=lambda part: -part[1])


def _place(path: str) -> str:
    return next((says for part, says in PLACES if part in path.replace("\\", "/")), "")
