"""Work done by several processes of this machine, or by this one.

A worker is asked one question at a time, a line of JSON: a task and what it is given (`crewworker`). A question whose
worker ends is asked again, of another. Workers have a session of their own: what a terminal's Ctrl-C means is decided
by the process that asks.
"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from refquant.golden.errors import CorruptError, GoldenError
from refquant.golden.processes import described, end_group
from refquant.golden.shards import Shard, Source, make, names

ATTEMPTS = 3  # for one question
COMMAND = [sys.executable, "-m", "refquant.golden.crewworker"]
ONE_THREAD = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

Question = dict[str, Any]


class Alone:
    """This process, one question after the other."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def names(self, sources: Iterable[Source]) -> Iterator[tuple[int, list[str]]]:
        """The number of each source, from 0, and the ids of its cases; in any order."""
        return ((number, names(source)) for number, source in enumerate(sources))

    def made(self, root: Path, shards: list[Shard]) -> Iterator[tuple[int, list[str]]]:
        """Every shard made below ``root``: its number, and the hash of each case.json; in any order."""
        return ((number, make(root, shard)) for number, shard in enumerate(shards))


class _Worker:
    """A process that answers questions."""

    def __init__(self):
        self.process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True, env=os.environ | ONE_THREAD)

    def ask(self, number: int, question: Question) -> None:
        self.number, self.question = number, question
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and that will be noticed when its answer is read
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()

    def answer(self) -> list[str]:
        """The answer; its exception where it failed, EOFError when the process has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):  # it ended, perhaps while it wrote
            raise EOFError
        reply = json.loads(line)
        if "error" in reply:
            raise _exception(**reply["error"])
        return reply["answer"]

    def end(self) -> int:
        """End the process; returns how it ended."""
        end_group(self.process)
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]
        return self.process.returncode


class Crew(Alone):
    """So many processes, each started when there is something to ask it."""

    def __init__(self, size: int):
        self.size = size
        self.workers: list[_Worker] = []

    def __exit__(self, kind, error, trace):
        for worker in self.workers:
            worker.end()

    def names(self, sources: Iterable[Source]) -> Iterator[tuple[int, list[str]]]:
        return self._each({"task": "names", "source": dataclasses.asdict(source)} for source in sources)

    def made(self, root: Path, shards: list[Shard]) -> Iterator[tuple[int, list[str]]]:
        place = str(root.resolve())
        return self._each({"task": "make", "root": place, **dataclasses.asdict(shard)} for shard in shards)

    def _each(self, questions: Iterable[Question]) -> Iterator[tuple[int, list[str]]]:
        with selectors.DefaultSelector() as asked:
            try:
                yield from self._answers(enumerate(questions), asked)
            finally:
                for key in list(asked.get_map().values()):  # of workers whose answers nobody waits for any more
                    self.workers.remove(key.data)
                    key.data.end()

    def _answers(self, questions: Iterator[tuple[int, Question]],
                 asked: selectors.BaseSelector) -> Iterator[tuple[int, list[str]]]:
        ended: Counter[int] = Counter()  # how many workers have ended over a question
        idle = list(self.workers)
        while True:
            while (idle or len(self.workers) < self.size) and (question := next(questions, None)):
                _ask(idle.pop() if idle else self._new(), question, asked)
            if not asked.get_map():
                return
            for key, _ in asked.select():
                asked.unregister(key.fileobj)
                worker = key.data
                try:
                    answer = worker.answer()
                except EOFError:
                    self.workers.remove(worker)
                    _count(worker, ended)
                    _ask(self._new(), (worker.number, worker.question), asked)
                    continue
                idle.append(worker)
                yield worker.number, answer

    def _new(self) -> _Worker:
        self.workers.append(_Worker())
        return self.workers[-1]


def _ask(worker: _Worker, question: tuple[int, Question], asked: selectors.BaseSelector) -> None:
    worker.ask(*question)
    asked.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]


def _count(worker: _Worker, ended: Counter[int]) -> None:
    """Count a worker that has ended; a GoldenError when its question has ended too many."""
    status = worker.end()
    ended[worker.number] += 1
    if ended[worker.number] == ATTEMPTS:
        raise GoldenError(f"{ATTEMPTS} worker processes ended ({described(status)}) over the same cases, "
                          f"{worker.question['source']}; --workers 1 does without such processes")


def _exception(kind: str, arguments: list[Any], told: str) -> Exception:
    """What a worker ran into, with what was on the way to it: as it is where a user can mend it."""
    known: dict[str, type[Exception]] = {"GoldenError": GoldenError, "CorruptError": CorruptError, "OSError": OSError}
    if kind not in known:
        return RuntimeError(told)
    error = known[kind](*arguments)
    error.add_note(f"in a worker process:\n{told}")
    return error
