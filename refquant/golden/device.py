"""Devices under test: what is asked, and how the answer is fetched.

    python:MODULE:FUNCTION   function(case) -> {name: array}, in a process of its own
    exec:COMMAND             COMMAND CASE_DIR OUT_DIR, which reads in_*.npy and writes out_*.npy, .mem or .bin
    --actual DIR             answers that a simulator has already written

A device that fails, hangs or prints is an answer like any other: it never stops the run, and never passes.
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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from refquant.golden import files
from refquant.golden.errors import CorruptError, GoldenError, Unsupported
from refquant.golden.export.bin import parse_bin
from refquant.golden.export.mem import parse_mem
from refquant.golden.operation import REQUIRED, Arrays, role
from refquant.golden.vector import Vector

STDERR = 2  # where devices print, so that a report on stdout stays whole


@dataclass(frozen=True)
class Case:
    """What a Python device is given.

    op : "gemm.dw".  attrs : the case's attributes.  inputs : arrays by name, "in_" left off ("a", "rbits_y").
    outputs : for each name that must be answered, its shape and dtype.  id : the case's name.
    """

    op: str
    attrs: dict[str, Any]
    inputs: Arrays
    outputs: dict[str, tuple[tuple[int, ...], str]]
    id: str

    @classmethod
    def of(cls, vector: Vector) -> Case:
        outputs = {short(name): (array.shape, str(array.dtype)) for name, array in vector.expected.items()
                   if role(name) in REQUIRED}
        return cls(vector.record["op"], vector.attrs, {short(name): a for name, a in vector.given.items()}, outputs,
                   vector.id)


def short(name: str) -> str:
    """A tensor's name as devices see it: in_ and out_ are left off."""
    return name.split("_", 1)[1] if role(name) in ("in", "out") else name


class NoAnswer(Exception):
    """The device gave no answer that can be compared; the text says why."""


class Device(Protocol):
    """Answers cases, by full tensor name; raises NoAnswer or Unsupported."""

    def answer(self, vector: Vector) -> Arrays: ...
    def __enter__(self) -> Device: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None: ...


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


class Answered:
    """Answers that are at hand, by case id."""

    def __init__(self, answers: dict[str, Arrays]):
        self.answers = answers

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def answer(self, vector: Vector) -> Arrays:
        return self.answers[vector.id]


class ActualDevice(Answered):
    """A directory of answers, laid out like the suite's cases."""

    def __init__(self, root: Path, word: int | None = None):
        self.root, self.word = root, word
        if not root.is_dir():
            raise CorruptError(f"--actual {root}: no such directory")

    def answer(self, vector: Vector) -> Arrays:
        for directory in (self.root / "cases" / vector.path, self.root / vector.path):
            if directory.is_dir():
                return read_answers(directory, vector, self.word)
        raise NoAnswer(f"no directory {self.root / vector.path}")


def read_answers(directory: Path, vector: Vector, word: int | None = None) -> Arrays:
    """The answers in ``directory``: out_y.npy, .mem, .bin or .packed.bin, in the tensor's own format."""
    answers = {}
    for name, expected in vector.expected.items():
        for ending in ("npy", "mem", "bin", "packed.bin"):
            path = directory / f"{name}.{ending}"
            if path.exists():
                try:
                    answers[name] = _parse(path, ending, vector.format(name), expected.shape, word)
                except CorruptError as error:
                    raise NoAnswer(str(error)) from None
                break
    return answers


def _parse(path: Path, ending: str, format, shape: tuple[int, ...], word: int | None) -> np.ndarray:
    data = files.read(path, path.parent)
    if ending == "npy":
        return files.parse_npy(data, path)
    if ending == "mem":
        return parse_mem(data.decode("ascii", "replace"), format, shape, word, name=str(path))
    return parse_bin(data, format, shape, packed=ending == "packed.bin", name=str(path))


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
