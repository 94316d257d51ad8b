"""`refquant bench`: tables of how fast it is, beside other software."""
from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from refquant.bench import TOPICS
from refquant.commands.arguments import EXIT_CODES, count
from refquant.progress import Progress

SAYS = {"gemm": "products of integer matrices, and their share of the machine's limit",
        "elementwise": "quantization, stochastic rounding, requantization, packing",
        "conv": "convolution forward, and both of its gradients",
        "step": "whole steps of training, where their time goes, their memory",
        "suite": "suites of golden vectors: creation and verification, beside copying their files",
        "start": "compilation from cold, the time to a first result, import"}


def add(commands) -> None:
    """Add the command to the parser's ``commands``."""
    raw = argparse.RawDescriptionHelpFormatter
    bench = commands.add_parser(
        "bench", help="how fast it is, beside other software", epilog=EXIT_CODES, formatter_class=raw,
        description="Medians, and ratios of medians of the same run, against whichever of NumPy, torch and ONNX\n"
                    "Runtime are installed. NUMBA_CPU_NAME and NUMBA_CPU_FEATURES compile for another processor.")
    topics = bench.add_subparsers(required=True, metavar="TOPIC")
    for name in TOPICS:
        topic = topics.add_parser(name, help=SAYS[name], description=f"{SAYS[name].capitalize()}.", epilog=EXIT_CODES,
                                  formatter_class=raw)
        topic.add_argument("--threads", type=count, default=1, metavar="N",
                           help="of every library (default 1); with more than one, each library has its own processes")
        topic.add_argument("--rounds", type=count, metavar="N", help="rounds of each case; as many as fit unless given")
        topic.add_argument("--quick", action="store_true", help="few cases and rounds: to see that it works")
        topic.add_argument("--json", metavar="FILE", help="write the document here as well")
        if name == "suite":
            topic.add_argument("--level", type=int, choices=(1, 2, 3), default=1, help="of the suite (default 1)")
        topic.set_defaults(run=_bench, topic=name, level=1)


def _bench(options: argparse.Namespace) -> int:
    from refquant.bench.report import text
    from refquant.bench.run import plan_of, run

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that ends the process that measures too
    if options.json is not None:
        _writable(Path(options.json))
    rounds = options.rounds or (2 if options.quick else None)
    plan = plan_of(options.topic, threads=options.threads, rounds=rounds, quick=options.quick, level=options.level)
    with Progress("row") as progress:
        def done(case: str) -> None:
            progress.operation(case, 1)
            progress.step()

        document = run(plan, done)
    print(text(document), end="")
    if options.json is not None:
        from refquant.atomic import write

        write(Path(options.json), (json.dumps(document, indent=1) + "\n").encode())
    return 0


def _writable(path: Path) -> None:
    """An error now rather than after minutes of measuring, where ``path`` cannot be written."""
    from refquant.errors import RefquantError

    if path.is_dir() or not path.parent.is_dir():
        raise RefquantError(f"--json {path}: expected a file in a directory that is there")
