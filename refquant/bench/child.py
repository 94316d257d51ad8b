"""One process that measures: ``python -m refquant.bench.child PLAN``, both ways in JSON, an answer a line."""
from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from refquant.bench.plan import Plan
from refquant.memory import keep_memory


def main() -> None:
    keep_memory()  # for every peer alike, before any of them is loaded
    plan = Plan(**json.loads(sys.argv[1]))
    for answer in answers(plan):
        print(json.dumps(answer), flush=True)


def answers(plan: Plan) -> Iterator[dict[str, Any]]:
    if plan.job == "machine":
        from refquant.bench.peak import compiled_for, peak

        processor, features = compiled_for()
        yield {"compiled_for": processor, "instruction_sets": features, "peak": peak()}
    elif plan.job == "memory":
        from refquant.bench.step_cost import memory

        yield memory(plan)
    elif plan.job == "shares":
        from refquant.bench.step_cost import shares

        yield from shares(plan)
    else:
        for row in _rows(plan):
            yield dataclasses.asdict(row)


def _rows(plan: Plan):
    if plan.topic == "suite":
        from refquant.bench import suite_work

        return suite_work.rows(plan)
    if plan.topic == "start":
        from refquant.bench import start_work

        return start_work.rows(plan)
    from refquant.bench import measure

    return measure.rows(plan)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of other people's software, about its own future
    main()
