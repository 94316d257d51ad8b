"""The command line: exit codes, and errors as one line. Each command lives in `refquant.commands`."""
from __future__ import annotations

import argparse
import io
import os
import sys

from refquant import __version__
from refquant.commands import bench, training, vectors
from refquant.commands.arguments import EXIT_CODES
from refquant.errors import RefquantError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what comes from a device may hold anything
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("refquant: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit does not fail as well
        if isinstance(error, BrokenPipeError):  # the reader of our output has gone, as with `| head`
            return 141
        print(f"refquant: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        return 2


def _run(arguments: list[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as done:  # of --help, or of a wrong argument
        return done.code if isinstance(done.code, int) else 0
    try:
        return options.run(options)
    except RefquantError as error:
        print(f"refquant: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refquant", description="Quantized training, bit for bit: golden vectors, and the methods of five papers.",
        epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"refquant {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    vectors.add(commands)
    training.add(commands)
    bench.add(commands)
    return parser
