"""What each mechanism of the papers is worth on small nets and the embedded digits, with it and without.

    python chapters/experiments/mechanisms.py [NAME...] [--epochs N] [--seeds N] [--quick] [--out FILE]

Prints a table for each NAME, and below it one line a claim: "true", "false" or "not seen at this size", the difference
that it rests on with its 95 % interval over the seeds, and the claim (`claims/findings.py` says by which rule). All
take some 20 minutes on one core that is otherwise idle; --quick takes seconds, and shows no more than that they run.
--out keeps what was found: the chapters read chapters/results/mechanisms.json, which

    python chapters/experiments/mechanisms.py --out chapters/results/mechanisms.json

makes, and sat_long.json, which `sat --epochs 60 --seeds 3` makes; of a file that is there, only what is named anew is
replaced.

    stochastic    stochastic against nearest gradients           banner
    bifurcation   a finer gradient for the weights               banner
    range-bn      Range BN against batch norm                    banner
    sat           SAT before a head of many classes              sat
    cg-pact       CG-PACT against PACT                           sat
    n2uq          learned thresholds, entropy, both              n2uq
    hindsight     hindsight, current, running ranges, DSGC       hindsight
    int4          gamma fixed, by DSGC, and adapted              int4
"""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
from claims import banner, hindsight, int4, n2uq, sat
from claims.findings import UNSEEN, Claim, Report, Row
from claims.trials import Budget

from refquant.atomic import write
from refquant.progress import Progress
from refquant.reals import mean, sample_variance

EXPERIMENTS: dict[str, Callable[[Budget], Report]] = {
    "stochastic": banner.stochastic, "bifurcation": banner.bifurcation, "range-bn": banner.range_bn,
    "sat": sat.scale_adjusted, "cg-pact": sat.calibrated_gradient, "n2uq": n2uq.ablation,
    "hindsight": hindsight.ranges, "int4": int4.intervals}


def main(given: list[str] | None = None) -> None:
    options = arguments(given)
    numba.set_num_threads(1)  # the nets are too small for more, and the bits are the same
    budget = Budget(options.epochs, options.seeds)
    if options.quick:
        budget = Budget(epochs=1, seeds=2, images=96)
    for name in options.names or EXPERIMENTS:
        start, trials = time.perf_counter(), set[str]()
        with Progress("run") as progress:
            report = EXPERIMENTS[name](replace(budget, done=progress.step, met=trials.add))
        if options.out:
            keep(options.out, {name: found(report, budget, trials)})
        print(text(report))
        print(f"({budget.seeds} seeds, {time.perf_counter() - start:.0f} s)\n", flush=True)


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What each mechanism of the papers is worth on small nets.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}; all, unless named")
    parser.add_argument("--epochs", type=positive, default=Budget.epochs, metavar="N")
    parser.add_argument("--seeds", type=positive, default=Budget.seeds, metavar="N", help="seeds 0 to N - 1")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep what was found, as JSON")
    parser.add_argument("--quick", action="store_true", help="1 epoch, 2 seeds and 96 images: it runs, no more")
    options = parser.parse_args(given)
    for name in options.names:
        if name not in EXPERIMENTS:
            parser.error(f"NAME {name!r}: expected one of {', '.join(EXPERIMENTS)}")
    return options


def found(report: Report, budget: Budget, trials: set[str]) -> dict[str, Any]:
    """An experiment's outcome and its configuration, as JSON has them."""
    configuration = {"epochs": budget.epochs, "seeds": budget.seeds, "images": budget.images, "trials": sorted(trials)}
    return {"configuration": configuration, **asdict(report)}


def keep(path: Path, outcomes: dict[str, dict[str, Any]]) -> None:
    """Write the ``outcomes``, by experiment, to ``path``, beside those that are there."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, (json.dumps(known | outcomes, indent=1) + "\n").encode())


def positive(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r}: expected an integer, 1 or more")
    return int(given)


def text(report: Report) -> str:
    """The report as lines: a table for each setting, the claims, the notes."""
    lines = [report.title]
    for setting in dict.fromkeys(row.setting for row in report.rows):
        lines += ["", f"  {setting}", *table([row for row in report.rows if row.setting == setting])]
    lines.append("")
    lines += map(verdict, report.claims)
    counts = [f"{sum(claim.word == word for claim in report.claims)} {word}" for word in ("true", "false", UNSEEN)]
    lines.append(f"  of {len(report.claims)}: {', '.join(counts)}")
    return "\n".join([*lines, "", *(f"  {note}" for note in report.notes)] if report.notes else lines)


def verdict(claim: Claim) -> str:
    """A claim's word, its numbers, and what was claimed."""
    numbers = f"{claim.difference:+7.2f} +- {claim.half_width:5.2f} {claim.unit:8}"
    return f"  {claim.word:{len(UNSEEN)}}  {numbers}  {claim.text}"


def table(rows: list[Row]) -> list[str]:
    """The rows of one setting, aligned."""
    more = list(dict.fromkeys(key for row in rows for key in row.more))
    cells = [["", "accuracy %", "+-", "loss", *more, "each seed"]]
    for row in rows:
        cells.append([row.name, f"{average(row.scores):.2f}", f"{deviation(row.scores):.2f}",
                      f"{average(row.losses):.4f}", *(row.more.get(key, "") for key in more),
                      " ".join(f"{score:.1f}" for score in row.scores)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["    " + "  ".join(cell.ljust(width) if i in (0, len(line) - 1) else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
            for line in cells]


def average(values: tuple[float, ...]) -> float:
    return float(mean(np.array(values)))


def deviation(values: tuple[float, ...]) -> float:
    """The sample standard deviation; 0 for one value."""
    return float(np.sqrt(sample_variance(values))) if len(values) > 1 else 0.0


if __name__ == "__main__":
    sys.exit(main())
