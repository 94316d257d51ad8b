"""Whole training steps, and what is drawn from their times: networks of `refquant.training.models`, random images.

Peers in torch are the same network, quantized at the same places by torch's own fake quantization where it has it:

    torch float32             no quantization, batch norm
    torch quantized forward   weights and activations (and what Range BN quantizes), straight through backward
    torch quantized           gradients too, rounded stochastically: one copy for both products, or one each (Banner)

each in both memory layouts; ratios in the figures are to the faster one. Ours computes between quantizers in float64,
in an order that is the same everywhere.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from refquant.bench.plan import Plan
from refquant.bench.processes import answers
from refquant.bench.rows import FASTER, Case, Figure, Table

LIBRARIES = ("refquant", "torch")
CASES = {f"{model} {size}x{size}, batch {batch}, {method}": (model, size, batch, method)
         for model, size, batch, method in (("cnn", 28, 64, "hindsight-8"), ("cnn", 28, 64, "banner-8"),
                                            ("resnet20", 32, 64, "banner-8"), ("resnet20", 32, 64, "int4-4"))}
QUICK = {"cnn 8x8, batch 8, hindsight-8": ("cnn", 8, 8, "hindsight-8")}

OURS = "refquant"
KINDS = ("quantized", "quantized forward", "float32")
LAYOUTS = ("NCHW", "channels_last")


def torch_peer(kind: str, layout: str) -> str:
    return f"torch {kind}, {layout}"


def cases(quick: bool) -> list[Case]:
    return [Case(name, float(batch), "images/s", {"model": model, "size": size, "batch": batch, "method": method})
            for name, (model, size, batch, method) in (QUICK if quick else CASES).items()]


def best(table: Table, case: str) -> list[str]:
    """Ours, and of each kind of torch's the one in the faster layout: those that were timed."""
    rows = [table.row(case, OURS)]
    rows += [table.best(case, *(torch_peer(kind, layout) for layout in LAYOUTS)) for kind in KINDS]
    return [row.peer for row in rows if row is not None]


def figures(table: Table, machine: dict[str, Any], plan: Plan) -> Iterator[Figure]:
    for case in cases(plan.quick):
        for peer in best(table, case.name):
            ratio = table.ratio(case.name, OURS, peer)
            if peer != OURS and ratio is not None:
                yield Figure(FASTER, f"{case.name} / {peer}", ratio)
    for case in cases(plan.quick):
        peers = best(table, case.name)
        yield from _memory(case.name, peers[:2] if plan.quick else peers, plan)
    for case in cases(plan.quick):
        for answer in answers(replace(plan, job="shares", case=case.name, peer=OURS, libraries=[OURS])):
            yield Figure(f"where a step goes: {case.name}", answer["place"], 100 * answer["share"], "%")


def _memory(case: str, peers: list[str], plan: Plan) -> Iterator[Figure]:
    """Each peer's memory, in a process of its own; ours as a multiple of theirs."""
    section, ours = f"memory: {case}", 0.0
    for peer in peers:
        (found,) = answers(replace(plan, job="memory", case=case, peer=peer, libraries=[peer.split(maxsplit=1)[0]]))
        yield Figure(section, f"{peer}: a step", found["step_mb"], "MB")
        yield Figure(section, f"{peer}: the whole process", found["process_mb"], "MB")
        if peer == OURS:
            ours = found["step_mb"]
        else:
            yield Figure(section, f"a step: {OURS} / {peer}", ours / found["step_mb"])
