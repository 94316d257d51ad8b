"""A suite created: beside its place and then renamed, so that it is whole or not there.

A create that was interrupted leaves ``<suite>.partial``; the same command goes on from there.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from refquant import __version__
from refquant.golden import files, schema, sums
from refquant.golden.crew import Alone, Crew
from refquant.golden.errors import GoldenError
from refquant.golden.export import check_request, export_suite
from refquant.golden.operation import Operation
from refquant.golden.operations import GROUPS, OPERATIONS
from refquant.golden.readme import SUITE_README
from refquant.golden.shards import Source, cut
from refquant.golden.suite import Suite, open_suite

Progress = Callable[[str, int], None]


def create(out: Path | str, groups: tuple[str, ...] = (), level: int = 1, seed: int = 0, exports: tuple[str, ...] = (),
           word: int | None = None, progress: Progress = lambda op, total: None, *, seeds: int = 1, workers: int = 1,
           scheduler: str | None = None) -> Suite:
    """Create the suite ``out`` of these ``groups`` (all of them when none is named), and open it: a `Suite`.

    out : a directory that is not there yet.
    groups : groups, "gemm", or single operations, "gemm.forward": `refquant vectors list` names them.
    level : 1, 2 or 3: how many cases, and how large their tensors [any shape].
    seed, seeds : the cases of this seed, and of as many as follow it; all below 2^64.
    exports : formats of `refquant.golden.export`: mem, c, bin, npz, tv, onnx.
    word : 32, 64 or 128 bits a line of a .mem file, else one element a line.
    progress : called with the operation's name and its number of cases before them, then with (name, 0) after each.
    workers : how many processes make the cases, 1: this one.
    scheduler : the address of a Dask scheduler whose workers make them instead.

    The suite's bytes depend on neither ``workers`` nor ``scheduler``.
    A create that was interrupted leaves ``<out>.partial``; the same arguments go on from there.

    Raises GoldenError when ``out`` exists, a group or format is unknown, a number is outside its limits, an interrupted
    create had other arguments, a package is missing, or the disk refuses.

    Source: refquant's own: each answer by two implementations, which must agree. A case.json says what is computed.
    """
    out = Path(out)
    chosen = _operations(groups)
    if level not in (1, 2, 3):
        raise GoldenError(f"level {level!r}: expected 1, 2 or 3")
    if not 0 <= seed < 1 << 64:
        raise GoldenError(f"seed {seed!r}: expected 0 to 2^64 - 1")
    if not 1 <= seeds <= (1 << 64) - seed:
        raise GoldenError(f"seeds {seeds!r}: expected 1 or more, and all of them from {seed} below 2^64")
    if workers < 1:
        raise GoldenError(f"workers {workers!r}: expected 1 or more")
    check_request(exports, word)
    plan = {"version": __version__, "operations": [op.name for op in chosen], "level": level, "seed": seed,
            "seeds": seeds, "exports": sorted(exports), "word": word}
    if out.exists():
        raise GoldenError(f"{out} exists: a suite is not changed once it is written; name a new directory")
    partial = out.with_name(out.name + ".partial")
    sources = [Source(op.name, level, each) for op in chosen for each in range(seed, seed + seeds)]
    try:
        with _makers(workers, scheduler) as makers:
            _start(partial, plan)
            entries = _made(makers, partial, sources, progress)
        if exports:
            export_suite(partial, entries, exports, word)
        _finish(partial, plan, entries)
        os.rename(partial, out)
    except OSError as error:
        raise GoldenError(f"cannot write {error.filename or partial}: {error.strerror}; what is done is kept in "
                          f"{partial}, and the same command goes on from there") from None
    return open_suite(out)


def _operations(groups: tuple[str, ...]) -> list[Operation]:
    """Those of the ``groups``, and those that are named themselves; all of them when none is."""
    for name in groups:
        if name not in GROUPS and name not in OPERATIONS:
            raise GoldenError(f"group {name!r}: expected some of {', '.join(GROUPS)}, or operations of them: "
                              "gemm.forward")
    return [op for op in OPERATIONS.values() if not groups or op.group in groups or op.name in groups]


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


def _makers(workers: int, scheduler: str | None) -> AbstractContextManager:
    """Who makes the cases."""
    if scheduler is not None:
        from refquant.golden.cluster import Cluster

        return Cluster(scheduler)
    return Crew(workers) if workers > 1 else Alone()


def _made(makers, partial: Path, sources: list[Source], progress: Progress) -> list[dict[str, Any]]:
    """Every case of ``sources`` made below ``partial``; returns the manifest's entries, in the order of the sources."""
    listed: dict[int, list[str]] = dict(makers.names(sources))
    shards = [shard for number, source in enumerate(sources) for shard in cut(source, listed[number])]
    ahead = {source: len(listed[number]) for number, source in enumerate(sources)}
    digests: dict[int, list[str]] = {}
    for number, found in makers.made(partial, shards):
        digests[number], source = found, shards[number].source
        if source in ahead:
            progress(source.operation, ahead.pop(source))
        for _ in found:
            progress(source.operation, 0)
    return [{"id": id, "op": shard.source.operation, "sha256": digest} for number, shard in enumerate(shards)
            for id, digest in zip(shard.ids, digests[number], strict=True)]


def _finish(partial: Path, plan: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """The manifest, the schemas, the page that explains them, and the hashes of all files."""
    groups = sorted({OPERATIONS[name].group for name in plan["operations"]})
    manifest = {"schema": "suite-1", "suite": "refquant", "version": __version__, "level": plan["level"],
                "seed": plan["seed"], "groups": groups, "exports": plan["exports"], "cases": entries}
    (partial / "schema").mkdir(exist_ok=True)
    files.write(partial / "schema/suite-1.schema.json", files.json_bytes(schema.suite_schema()))
    files.write(partial / "schema/case-1.schema.json", files.json_bytes(schema.case_schema(OPERATIONS.values())))
    files.write(partial / "README.md", SUITE_README.encode())
    files.write(partial / "MANIFEST.json", files.json_bytes(manifest))
    (partial / "plan.json").unlink()
    sums.write(partial)
