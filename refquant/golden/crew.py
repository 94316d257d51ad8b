"""Work done by several processes of this machine, or by this one.

A worker is asked one question at a time: a function and what it is given. A question whose worker ends is asked again,
of another. Workers have a session of their own: what a terminal's Ctrl-C means is decided by the process that asks.
"""
from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from refquant.golden.errors import GoldenError
from refquant.golden.processes import described, end_group
from refquant.golden.shards import Shard, make

ATTEMPTS = 3  # for one question
ONE_THREAD = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Alone:
    """This process, one question after the other."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def each(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """``(number, task(item))`` for every one of ``items``, numbered from 0, in any order."""
        for number, item in enumerate(items):
            yield number, task(item)

    def made(self, root: Path, shards: list[Shard]) -> Iterator[tuple[int, list[str]]]:
        """Every shard made below ``root``: its number, and the hash of each case.json."""
        return self.each(partial(make, root.resolve()), shards)


class _Worker:
    """A process that answers questions."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-m", "refquant.golden.crewworker"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, start_new_session=True, env=os.environ | ONE_THREAD)

    def ask(self, number: int, question: tuple) -> None:
        self.number, self.question = number, question
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and that will be noticed when its answer is read
            pickle.dump(question, self.process.stdin)
            self.process.stdin.flush()

    def answer(self) -> tuple[bool, Any]:
        """Whether it succeeded, and the result or the exception; EOFError when the process has ended."""
        assert self.process.stdout is not None
        try:
            return pickle.load(self.process.stdout)
        except pickle.UnpicklingError:  # it ended while it wrote
            raise EOFError from None

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

    def each(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        questions = ((number, (task, item)) for number, item in enumerate(items))
        with selectors.DefaultSelector() as asked:
            try:
                yield from self._answers(questions, asked)
            finally:
                for key in list(asked.get_map().values()):  # of workers whose answers nobody waits for any more
                    self.workers.remove(key.data)
                    key.data.end()

    def _answers(self, questions: Iterator[tuple[int, tuple]], asked: selectors.BaseSelector) -> Iterator:
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
                    succeeded, result = worker.answer()
                except EOFError:
                    self.workers.remove(worker)
                    _count(worker, ended)
                    _ask(self._new(), (worker.number, worker.question), asked)
                    continue
                if not succeeded:
                    raise result
                idle.append(worker)
                yield worker.number, result

    def _new(self) -> _Worker:
        self.workers.append(_Worker())
        return self.workers[-1]


def _ask(worker: _Worker, question: tuple[int, tuple], asked: selectors.BaseSelector) -> None:
    worker.ask(*question)
    asked.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]


def _count(worker: _Worker, ended: Counter[int]) -> None:
    """Count a worker that has ended; a GoldenError when its question has ended too many."""
    status = worker.end()
    ended[worker.number] += 1
    if ended[worker.number] == ATTEMPTS:
        raise GoldenError(f"{ATTEMPTS} worker processes ended ({described(status)}) over the same cases, "
                          f"{worker.question[1]}; --workers 1 does without such processes")
