"""Processes that start, compile or load, and give a first result: ``python -m refquant.bench.start_work product``."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from refquant.bench import start
from refquant.bench.plan import Plan
from refquant.bench.rows import Row

COLD, WARM = 3, 7  # processes


def rows(plan: Plan) -> Iterator[Row]:
    warm, cold = plan.rounds or WARM, 1 if plan.quick else min(plan.rounds or COLD, COLD)
    for case, program in ((start.NOTHING, "pass"), (start.IMPORT, "import refquant")):
        seconds = [_process(["-c", program])[0] for _ in range(warm)]
        yield Row(case, start.PROCESS, "refquant", "", "", 1.0, seconds)
    for work in start.WORK[:1] if plan.quick else start.WORK:
        with tempfile.TemporaryDirectory(prefix="refquant-bench-") as directory:
            empty = [_first(work, f"{directory}/{number}") for number in range(cold)]
            filled = [_first(work, f"{directory}/0") for _ in range(warm)]
        for state, taken in (("cold", empty), ("warm", filled)):
            for part, name in enumerate((start.PROCESS, start.FIRST)):
                yield Row(f"{work}, {state}", name, "refquant", "", "", 1.0, [both[part] for both in taken])


def _first(work: str, cache: str) -> tuple[float, float]:
    """Seconds of a process that does ``work`` once, and of the work inside it."""
    whole, said = _process(["-m", "refquant.bench.start_work", work], {"NUMBA_CACHE_DIR": cache})
    return whole, float(said)


def _process(arguments: list[str], changed: dict[str, str] | None = None) -> tuple[float, str]:
    environment = os.environ | (changed or {})
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return seconds, done.stdout


def main() -> None:
    """Do the work that is named, once, and print its seconds."""
    if sys.argv[1] == "product":
        import numpy as np

        from refquant.gemm import matmul

        a = np.ones((256, 256), np.int8)
        begin = time.perf_counter()
        matmul(a, a)
    else:
        from refquant.bench.rows import Case
        from refquant.bench.step_peers import refquant_step

        call = refquant_step(Case("", 64.0, "", {"model": "cnn", "size": 28, "batch": 64, "method": "hindsight-8"}))
        begin = time.perf_counter()
        call()
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
