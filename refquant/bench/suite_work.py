"""Suites created and verified, their files copied and hashed."""
from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from refquant.bench import suite
from refquant.bench.plan import Plan
from refquant.bench.rows import Row
from refquant.golden import create, open_suite
from refquant.golden.device import ActualDevice
from refquant.golden.operations import GROUPS
from refquant.golden.verify import verify

QUICK = ("stochastic",)


def rows(plan: Plan) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="refquant-bench-") as directory:
        root = Path(directory)
        create(root / "warm", QUICK)
        for group in QUICK if plan.quick else GROUPS:
            yield from _group_rows(group, plan, root)


def _group_rows(group: str, plan: Plan, root: Path) -> Iterator[Row]:
    made, copied = root / "made", root / "copied"
    work: dict[str, Callable[[], object]] = {
        suite.CREATE: lambda: create(made, (group,), plan.level), suite.VERIFY: lambda: _verified(made),
        suite.COPY: lambda: shutil.copytree(made, copied), suite.HASH: lambda: _hashed(made)}
    seconds: dict[str, list[float]] = {name: [] for name in (*work, suite.MEMORY)}
    size = 0
    for _ in range(plan.rounds or 1):
        for path in (made, copied):
            shutil.rmtree(path, ignore_errors=True)
        for name, call in work.items():
            seconds[name].append(_seconds(call))
        size = sum(path.stat().st_size for path in _files(made))
        seconds[suite.MEMORY].append(_copied_in_memory(size))
    cases = len(open_suite(made).entries())
    for name, taken in seconds.items():
        yield Row(f"{group}, level {plan.level}", name, "refquant", "", "MB/s", size / 1e6, taken, "", f"{cases} cases")


def _copied_in_memory(size: int) -> float:
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    return _seconds(lambda: np.copyto(target, source))


def _verified(made: Path) -> None:
    """As `refquant vectors verify --actual` with the suite's own answers."""
    opened = open_suite(made)
    opened.check_hashes()
    report = verify(opened.vectors(), ActualDevice(made), "its own answers")
    if report.exit_code:
        raise ValueError(f"{made}: expected a suite that its own answers pass")


def _hashed(made: Path) -> None:
    for path in _files(made):
        hashlib.sha256(path.read_bytes()).digest()


def _files(made: Path) -> list[Path]:
    return [path for path in made.rglob("*") if path.is_file()]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
