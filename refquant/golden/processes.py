"""Devices that run: a Python function in a process of its own, or a program.

    python:MODULE:FUNCTION   function(case) -> {name: array}, see `Case`
    exec:COMMAND             COMMAND CASE_DIR OUT_DIR, which reads in_*.npy and writes out_*.npy, .mem or .bin

Each has a time limit a case; whatever it started ends with it. What it prints goes to stderr.
"""
from __future__ import annotations

import contextlib
import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from refquant.golden.device import ActualDevice, Device, NoAnswer, read_answers
from refquant.golden.errors import GoldenError, Unsupported
from refquant.golden.operation import Arrays
from refquant.golden.vector import Vector

STDERR = 2  # where devices print, so that a report on stdout stays whole


def device(dut: str | None, actual: str | None, root: Path, timeout: float, word: int | None = None) -> Device:
    """The device of the command line's ``--dut`` or ``--actual``; a GoldenError when it names none.

    timeout : seconds a case.  word : bits a line of .mem answers, None for one element a line.
    """
    if actual is not None:
        return ActualDevice(Path(actual), word)
    kind, _, rest = (dut or "").partition(":")
    if kind == "python" and ":" in rest:
        return PythonDevice(rest, root, timeout)
    if kind == "exec" and rest.strip():
        return ExecDevice(rest, root, timeout)
    raise GoldenError(f"--dut {dut!r}: expected python:MODULE:FUNCTION or exec:COMMAND")


class _Scratch:
    """A temporary directory that lives as long as the device."""

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="refquant-")
        self.scratch = Path(self._directory.name)
        return self

    def __exit__(self, kind, error, trace):
        self._directory.cleanup()


class PythonDevice(_Scratch):
    """A function in a worker process, which is killed when it exceeds the time limit and started anew."""

    def __init__(self, target: str, root: Path, timeout: float):
        self.target, self.root, self.timeout = target, root, timeout
        self.worker: subprocess.Popen | None = None

    def __enter__(self):
        super().__enter__()
        try:
            self._ask({"load": self.target})  # so that a wrong name is said once, before the first case
        except BaseException as error:
            self.__exit__(None, None, None)
            if isinstance(error, NoAnswer):
                raise GoldenError(f"--dut python:{self.target}: cannot be loaded: {error}") from None
            raise
        return self

    def __exit__(self, kind, error, trace):
        self._stop()
        super().__exit__(kind, error, trace)

    def answer(self, vector: Vector) -> Arrays:
        out = self.scratch / "answer"
        out.mkdir(exist_ok=True)
        for old in out.iterdir():
            old.unlink()
        self._ask({"op": vector.record["op"], "id": vector.id, "out": str(out)})
        return read_answers(out, vector)

    def _ask(self, question: dict[str, Any]) -> None:
        worker = self._running()
        assert worker.stdin is not None
        try:
            worker.stdin.write((json.dumps(question) + "\n").encode())
            worker.stdin.flush()
            line = self._line()
        except BrokenPipeError:
            line = b""
        if not line:
            status = self._stop()
            raise NoAnswer(f"the device's process ended ({_describe(status)})")
        reply = json.loads(line)
        if reply["kind"] == "unsupported":
            raise Unsupported(reply["message"])
        if reply["kind"] == "load":
            raise GoldenError(f"--dut python:{self.target}: {reply['message']}")
        if reply["kind"] == "error":
            raise NoAnswer(reply["message"])

    def _running(self) -> subprocess.Popen:
        if self.worker is None:
            read, write = os.pipe()
            command = [sys.executable, "-m", "refquant.golden.worker", self.target, str(self.root), str(write)]
            self.worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=STDERR,
                                           pass_fds=(write,), start_new_session=True)
            os.close(write)
            self.reply = read
        return self.worker

    def _line(self) -> bytes:
        """One line from the worker; NoAnswer, and an end to the worker, when it does not come in time."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.reply, selectors.EVENT_READ)
            line = b""
            while not line.endswith(b"\n"):
                if not selector.select(self.timeout):
                    self._stop()
                    raise NoAnswer(f"no answer within {self.timeout:g} s")
                part = os.read(self.reply, 65536)
                if not part:
                    return b""
                line += part
        return line

    def _stop(self) -> int:
        if self.worker is None:
            return 0
        worker, self.worker = self.worker, None
        end_group(worker)
        assert worker.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()
        os.close(self.reply)
        return worker.returncode


class ExecDevice(_Scratch):
    """A program, run once a case."""

    def __init__(self, command: str, root: Path, timeout: float):
        try:
            self.command = shlex.split(command)
        except ValueError as error:
            raise GoldenError(f"--dut exec:{command}: {error}") from None
        self.root, self.timeout = root, timeout

    def answer(self, vector: Vector) -> Arrays:
        case = (self.root / "cases" / vector.path).resolve()
        with tempfile.TemporaryDirectory(dir=self.scratch) as out:
            try:
                process = subprocess.Popen([*self.command, str(case), out], stdin=subprocess.DEVNULL,
                                           stdout=STDERR, start_new_session=True)
            except OSError as error:
                raise GoldenError(f"--dut exec:{shlex.join(self.command)}: cannot be run: {error.strerror}") from None
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                raise NoAnswer(f"no answer within {self.timeout:g} s") from None
            finally:
                end_group(process)
            if status == Unsupported.exit_code:
                raise Unsupported("the program says so (exit status 4)")
            if status != 0:
                raise NoAnswer(f"the program ended with {_describe(status)}")
            return read_answers(Path(out), vector)


def end_group(process: subprocess.Popen) -> None:
    """End a process and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _describe(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
