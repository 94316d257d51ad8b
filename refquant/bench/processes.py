"""Processes that measure: their environment, and whose turn it is."""
from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from refquant.bench.plan import Plan
from refquant.errors import RefquantError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
TURNS = 3  # processes that each library has, where it does not share one with the others


def turns(plan: Plan) -> list[Plan]:
    """The plan as processes, one after another: one for all libraries, or `TURNS` for each when there are threads."""
    if plan.threads == 1 or len(plan.libraries) == 1:
        return [plan]
    rounds = None if plan.rounds is None else math.ceil(plan.rounds / TURNS)
    count = TURNS if rounds is None else min(TURNS, plan.rounds or 1)
    return [dataclasses.replace(plan, libraries=[library], rounds=rounds)
            for _ in range(count) for library in plan.libraries]


def answers(plan: Plan) -> Iterator[dict[str, Any]]:
    """What a process of its own answers, as it comes; RefquantError when it fails."""
    environment = os.environ | dict.fromkeys(THREADS, str(plan.threads))
    command = [sys.executable, "-m", "refquant.bench.child", json.dumps(dataclasses.asdict(plan))]
    with (tempfile.TemporaryFile("w+") as errors,
          subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            said = errors.read().strip().splitlines() or [f"it ended with {process.returncode}"]
            raise RefquantError(f"measuring {plan.topic} ({', '.join(plan.libraries)}) failed: {said[-1]}")
