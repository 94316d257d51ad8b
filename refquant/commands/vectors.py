"""`refquant vectors`: create, list, verify, explain, audit, gen, ver."""
from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from refquant.commands.arguments import EXIT_CODES, count, index, positive, seed
from refquant.progress import Progress

REPORTS = ("text", "json", "junit", "html")  # the names of `refquant.golden.report.FORMATS`, which takes long to import


def add(commands) -> None:
    """Add the command to the parser's ``commands``."""
    raw = argparse.RawDescriptionHelpFormatter
    vectors = commands.add_parser("vectors", help="create, list, verify, explain, audit golden vectors",
                                  epilog=EXIT_CODES, formatter_class=raw)
    verbs = vectors.add_subparsers(required=True, metavar="VERB")

    create = verbs.add_parser("create", help="create a suite")
    create.add_argument("groups", nargs="*", metavar="GROUP",
                        help="groups or operations (gemm, gemm.forward) to create; all when none is named")
    create.add_argument("--out", required=True, metavar="DIR", help="the new suite's directory")
    create.add_argument("--level", type=int, choices=(1, 2, 3), default=1, help="1: seconds; 2: minutes; 3: hours")
    create.add_argument("--seed", type=seed, default=0, metavar="N", help="of the random stimuli (default 0)")
    create.add_argument("--seeds", type=count, default=1, metavar="N",
                        help="all cases again with each of N seeds from --seed on (default 1): as many as are wanted")
    create.add_argument("--export", default="", metavar="LIST", help="of mem,c,bin,npz,tv,onnx: also write these")
    create.add_argument("--word", type=int, choices=(32, 64, 128), help="bits a line of .mem files; else an element")
    makers = create.add_mutually_exclusive_group()
    makers.add_argument("--workers", type=count, metavar="N",
                        help="processes that make the cases, of one thread each; as many as there are cores by default")
    makers.add_argument("--scheduler", metavar="ADDRESS",
                        help="the workers of this Dask scheduler make the cases, as in tcp://host:8786 (pip install "
                             "'refquant[cluster]'); the suite has the same bytes")
    create.set_defaults(run=_create)

    listing = verbs.add_parser("list", help="list a suite's cases, or the operations and their mutants")
    listing.add_argument("dir", nargs="?", metavar="DIR")
    listing.set_defaults(run=_list)

    verify = verbs.add_parser("verify", help="compare a device's answers with a suite", epilog=EXIT_CODES,
                              formatter_class=raw)
    verify.add_argument("dir", metavar="DIR")
    source = verify.add_mutually_exclusive_group(required=True)
    source.add_argument("--dut", metavar="KIND", help="python:MODULE:FUNCTION or exec:COMMAND")
    source.add_argument("--actual", metavar="DIR", help="answers already written: out_*.npy, .mem or .bin")
    verify.add_argument("--cases", default="*", metavar="GLOB", help="only cases whose id matches, e.g. 'gemm_*'")
    verify.add_argument("--timeout", type=positive, default=60.0, metavar="S", help="seconds a case (default 60)")
    verify.add_argument("--word", type=int, choices=(32, 64, 128), help="bits a line of .mem answers; else an element")
    verify.add_argument("--report", choices=REPORTS, default="text")
    verify.add_argument("--output", metavar="FILE", help="write the report here instead of printing it")
    verify.set_defaults(run=_verify)

    explain = verbs.add_parser("explain", help="one element, step by step")
    explain.add_argument("dir", metavar="DIR")
    explain.add_argument("case", metavar="CASE")
    explain.add_argument("--tensor", metavar="NAME", help="the first output unless named")
    explain.add_argument("--at", required=True, type=index, metavar="I,J,...", help="the element's index")
    explain.add_argument("--got", metavar="VALUE", help="a device's answer: which mistakes give it")
    explain.set_defaults(run=_explain)

    audit = verbs.add_parser("audit", help="hashes, both implementations, the kill matrix")
    audit.add_argument("dir", metavar="DIR")
    audit.set_defaults(run=_audit)

    generate = verbs.add_parser("gen", help="print cases as .tv lines, for `gen | dut | ver`")
    generate.add_argument("dir", metavar="DIR")
    generate.add_argument("--cases", default="*", metavar="GLOB")
    generate.set_defaults(run=_generate)

    check = verbs.add_parser("ver", help="verify .tv lines from standard input")
    check.add_argument("dir", metavar="DIR")
    check.add_argument("--report", choices=REPORTS, default="text")
    check.add_argument("--output", metavar="FILE")
    check.set_defaults(run=_check)


def _create(options: argparse.Namespace) -> int:
    from refquant.golden import create

    exports = tuple(name for name in options.export.split(",") if name)
    with Progress("case") as progress:
        suite = create(options.out, tuple(options.groups), options.level, options.seed, exports, options.word,
                       progress.operation, seeds=options.seeds, workers=options.workers or _cores(),
                       scheduler=options.scheduler)
    size = sum(path.stat().st_size for path in suite.root.rglob("*") if path.is_file())
    print(f"{suite.root}: {len(suite.manifest['cases'])} cases, {size / 1e6:.1f} MB")
    return 0


def _cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _list(options: argparse.Namespace) -> int:
    from refquant.golden.operations import OPERATIONS
    from refquant.golden.suite import open_suite

    if options.dir is None:
        for operation in OPERATIONS.values():
            print(f"{operation.name}: {operation.summary}")
            for mutant in operation.mutants:
                print(f"  {mutant.name}: {mutant.says}")
        return 0
    for entry in open_suite(options.dir).entries():
        print(entry["id"])
    return 0


def _verify(options: argparse.Namespace) -> int:
    from refquant.golden.processes import device
    from refquant.golden.suite import open_suite
    from refquant.golden.verify import verify

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that ends the device too
    suite = open_suite(options.dir)
    suite.check_hashes()
    name = options.dut or f"--actual {options.actual}"
    chosen = device(options.dut, options.actual, suite.root, options.timeout, options.word)
    with chosen as dut, Progress("case") as progress:
        progress.total(len(suite.entries(options.cases)))
        report = verify(suite.vectors(options.cases), dut, name, progress.step)
    return _put(report, suite, options)


def _identity(suite) -> str:
    """Which suite it is: its directory, what it was made from, and a hash that only its bytes have."""
    from refquant.golden import files

    made = suite.manifest
    digest = files.sha256(files.read(suite.root / "SHA256SUMS", suite.root))
    return (f"{suite.root}: level {made['level']}, seed {made['seed']}, groups {', '.join(made['groups'])}, "
            f"version {made['version']}, SHA256SUMS {digest[:16]}")


def _put(report, suite, options: argparse.Namespace) -> int:
    from refquant.atomic import write
    from refquant.golden.errors import GoldenError
    from refquant.golden.report import FORMATS

    report.suite = _identity(suite)
    written = FORMATS[options.report](report)
    if options.output is None:
        sys.stdout.write(written)
        return report.exit_code
    path = Path(options.output)
    try:
        if path.exists() and not path.is_file():  # a pipe or a device is written to, not replaced
            path.write_bytes(written.encode(errors="backslashreplace"))
        else:
            write(path, written.encode(errors="backslashreplace"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GoldenError(f"--output {options.output}: cannot be written: {reason}") from None
    return report.exit_code


def _explain(options: argparse.Namespace) -> int:
    from refquant.golden.explain import explain
    from refquant.golden.suite import open_suite

    vector = open_suite(options.dir).vector(options.case)
    sys.stdout.write(explain(vector, options.at, options.tensor, options.got))
    return 0


def _audit(options: argparse.Namespace) -> int:
    from refquant.golden.audit import audit, text
    from refquant.golden.suite import open_suite

    suite = open_suite(options.dir)
    with Progress("case") as progress:
        progress.total(len(suite.entries()))
        found = audit(suite, progress.step)
    sys.stdout.write(text(found))
    return found.exit_code


def _generate(options: argparse.Namespace) -> int:
    from refquant.golden.export.tv import generate
    from refquant.golden.suite import open_suite

    count = 0
    for line in generate(open_suite(options.dir).vectors(options.cases)):
        count += line.startswith("# case ")
        print(line)
    print(f"# end {count}")  # so that `ver` notices when whole cases are lost
    return 0


def _check(options: argparse.Namespace) -> int:
    from refquant.golden.device import Answered
    from refquant.golden.suite import open_suite
    from refquant.golden.tvcheck import check
    from refquant.golden.verify import verify

    suite = open_suite(options.dir)
    suite.check_hashes()
    answers = check(sys.stdin, suite, whole=True)
    return _put(verify(map(suite.vector, answers), Answered(answers), "standard input"), suite, options)
