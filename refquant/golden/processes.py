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

LOADING = 60.0  # seconds that loading a device may take, whatever the limit of a case
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
        self.target, self.root, self.timeout = target, root.resolve(), timeout
        self.worker: subprocess.Popen | None = None

    def __enter__(self):
        super().__enter__()
        try:
            self._start()  # so that a wrong name is said once, before the first case
        except BaseException:
            self.__exit__(None, None, None)
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
        if self.worker is None:
            try:
                self._start()
            except GoldenError as error:
                raise NoAnswer(str(error)) from None
        self._ask({"op": vector.record["op"], "id": vector.id, "out": str(out)}, self.timeout)
        return read_answers(out, vector)

    def _start(self) -> None:
        """Start the worker and have it load the device, which may take a while: importing a framework does."""
        read, write = os.pipe()
        command = [sys.executable, "-m", "refquant.golden.worker", self.target, str(self.root), str(write)]
        self.worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=STDERR, pass_fds=(write,),
                                       start_new_session=True)
        os.close(write)
        self.reply = read
        try:
            self._ask({"load": self.target}, max(self.timeout, LOADING))
        except NoAnswer as error:
            raise GoldenError(f"--dut python:{self.target}: cannot be loaded: {error}") from None

    def _ask(self, question: dict[str, Any], timeout: float) -> None:
        assert self.worker is not None
        assert self.worker.stdin is not None
        try:
            self.worker.stdin.write((json.dumps(question) + "\n").encode())
            self.worker.stdin.flush()
            line = self._line(timeout)
        except BrokenPipeError:
            line = b""
        if not line:
            status = self._stop(grace=1)
            raise NoAnswer(f"the device's process ended ({described(status)})")
        reply = json.loads(line)
        if reply["kind"] == "unsupported":
            raise Unsupported(reply["message"])
        if reply["kind"] == "load":
            self._stop()
            raise GoldenError(f"--dut python:{self.target}: {reply['message']}")
        if reply["kind"] == "error":
            raise NoAnswer(reply["message"])

    def _line(self, timeout: float) -> bytes:
        """One line from the worker; NoAnswer, and an end to the worker, when it does not come in time."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.reply, selectors.EVENT_READ)
            line = b""
            while not line.endswith(b"\n"):
                if not selector.select(timeout):
                    self._stop()
                    raise NoAnswer(f"no answer within {timeout:g} s")
                part = os.read(self.reply, 65536)
                if not part:
                    return b""
                line += part
        return line

    def _stop(self, grace: float = 0) -> int:
        """End the worker, which may take ``grace`` seconds to end by itself; returns its exit status."""
        if self.worker is None:
            return 0
        worker, self.worker = self.worker, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(grace)
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
                raise NoAnswer(f"the program ended with {described(status)}")
            return read_answers(Path(out), vector)


def end_group(process: subprocess.Popen) -> None:
    """End a process and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def described(status: int) -> str:
    """How a process ended, by its exit status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
