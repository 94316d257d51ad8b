"""Simulate a unit on golden vectors, by Icarus Verilog or Verilator.

    python chapters/hardware/simulate.py UNIT SUITE OUT     every case of the unit's operation; answers for
                                                            `refquant vectors verify SUITE --actual OUT`
    --dut 'exec:python chapters/hardware/simulate.py UNIT'  as a device: called with a case's directory instead of a
                                                            suite; exit code 4 declines the case

The suite must have been created with --export mem: the benches $readmemh its files. Needs no package but Python's own.
"""
import argparse
import fnmatch
import json
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

from settings import UNITS, Case, Declined

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "hardware"
ERROR, UNSUPPORTED = 3, 4  # exit codes
SECONDS = 600  # that a case may take


def main():
    options = parsed()
    try:
        program = compiled(options)
        if (options.vectors / "case.json").is_file():
            simulate(program, options.unit, options.vectors, options.out)
            return 0
        return suite(program, options)
    except Declined as declined:
        print(f"declined: {declined}", file=sys.stderr)
        return UNSUPPORTED
    except Failed as failed:
        print(failed, file=sys.stderr)
        return ERROR


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unit", choices=UNITS)
    parser.add_argument("vectors", metavar="SUITE", type=Path, help="a suite, or the directory of one case in a suite")
    parser.add_argument("out", metavar="OUT", type=Path, help="where the answers go")
    parser.add_argument("--simulator", choices=("icarus", "verilator"), default="icarus")
    parser.add_argument("--broken", action="store_true", help="the unit's broken twin: compiled with -DBROKEN")
    parser.add_argument("--cases", metavar="PATTERN", default="*", help="of a suite, only cases whose id matches")
    parser.add_argument("--parameter", metavar="NAME=N", action="append", default=[], help="of the bench: ROWS=4")
    parser.add_argument("--build", metavar="DIR", type=Path, default=BUILD, help=f"compiled benches (default {BUILD})")
    return parser.parse_args()


class Failed(Exception):
    """A compiler or a simulator did not do its work; the text says what it printed."""


def suite(program, options):
    """Every case of a suite that the unit has, and a summary."""
    manifest = options.vectors / "MANIFEST.json"
    if not manifest.is_file():
        raise Failed(f"{options.vectors}: no suite and no case: it has neither MANIFEST.json nor case.json")
    operation = UNITS[options.unit].op
    ids = [entry["id"] for entry in json.loads(manifest.read_text())["cases"]
           if entry["op"] == operation and fnmatch.fnmatchcase(entry["id"], options.cases)]
    if not ids:
        raise Failed(f"{options.vectors} has no case of {operation} whose id matches {options.cases}")
    declined = {}
    for id in ids:
        path = Path(*operation.split("."), id)
        try:
            simulate(program, options.unit, options.vectors / "cases" / path, options.out / path)
        except Declined as reason:
            declined[id] = str(reason)
    broken = " (broken)" if options.broken else ""
    print(f"{options.unit}{broken}, {options.simulator}: {len(ids) - len(declined)} of {len(ids)} cases of {operation} "
          f"answered, in {options.out}")
    for reason, count in Counter(declined.values()).most_common():
        print(f"  {count} declined: {reason}")
    return UNSUPPORTED if declined else 0


def simulate(program, unit, case, out):
    """Run the case of directory ``case`` (<suite>/cases/<group>/<operation>/<id>); answers go to ``out``."""
    record = json.loads((case / "case.json").read_text())
    if record["op"] != UNITS[unit].op:
        raise Declined(f"operation {record['op']}")
    settings = UNITS[unit].settings(Case.of(record))
    case = case.resolve()
    given = case.parents[3] / "export" / case.relative_to(case.parents[2]) / "mem"
    check_exported(given, record)
    out.mkdir(parents=True, exist_ok=True)
    plusargs = [f"+{name}={int(value)}" for name, value in settings.items()]
    run([*program, f"+given={given}", f"+answers={out.resolve()}", *plusargs])


def check_exported(given, record):
    """Refuse a suite without .mem files, or with several elements a line: the benches read one."""
    for tensor in record["tensors"]:
        path = given / f"{tensor['name']}.mem"
        if not path.is_file():
            raise Failed(f"{path}: no such file; create the suite with --export mem")
        elements = 1
        for length in tensor["shape"]:
            elements *= length
        if path.read_bytes().count(b"\n") != elements:
            raise Failed(f"{path}: expected a line for each of {elements} elements; create the suite without --word")


def compiled(options):
    """The command that simulates the unit's bench, compiled anew where a source is newer than it."""
    bench, name = f"tb_{options.unit}", "_".join(["tb", options.unit, *options.parameter]).replace("=", "")
    name += "_broken" if options.broken else ""
    build, steps = {"icarus": icarus, "verilator": verilator}[options.simulator](options, bench, name)
    newest = max(path.stat().st_mtime for path in HERE.glob("*.v*"))
    if not build.is_file() or build.stat().st_mtime < newest:
        build.parent.mkdir(parents=True, exist_ok=True)
        run(steps)
    return ["vvp", "-n", str(build)] if options.simulator == "icarus" else [str(build)]


def icarus(options, bench, name):
    build = options.build.resolve() / "icarus" / f"{name}.vvp"
    parameters = [f"-P{bench}.{parameter}" for parameter in options.parameter]
    return build, ["iverilog", "-g2012", "-Wall", *defines(options), *parameters, "-y", str(HERE), "-I", str(HERE),
                   "-s", bench, "-o", str(build), str(HERE / f"{bench}.v")]


def verilator(options, bench, name):
    """One directory for all models: Verilator's own run-time library, the most of the work, is compiled once."""
    version = run(["verilator", "--version"]).split()[1]
    directory = options.build.resolve() / f"verilator-{version}"
    library = [part.name for part in directory.glob("verilated*.o")]
    make = ["OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0", *(f"--old-file={part}" for part in library)]
    flags = [word for flag in make for word in ("-MAKEFLAGS", flag)]
    parameters = [f"-G{parameter}" for parameter in options.parameter]
    return directory / name, ["verilator", "--binary", "--timing", "-O1", "-Wno-fatal", "--build-jobs", "0", *flags,
                              *defines(options), *parameters, "-y", str(HERE), f"-I{HERE}", "--prefix", name,
                              "--Mdir", str(directory), str(HERE / f"{bench}.v")]


def defines(options):
    return ["-DBROKEN"] if options.broken else []


def run(command):
    """What a command prints; Failed, with its end, unless it ends well."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS)
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{shlex.join(command)}: no end within {SECONDS} s") from None
    if done.returncode != 0:
        raise Failed(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
