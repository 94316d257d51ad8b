"""The same work on a Dask cluster, whose workers need not share a disk: what they make is sent back and written here.

A bounded number of shards is under way at any time. Dask gives a shard whose worker is lost to another. A worker
process makes one shard at a time, on one thread: for N at once start N of them, `dask worker --nthreads 1`.
"""
from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from refquant import __version__
from refquant.golden import shards
from refquant.golden.errors import GoldenError
from refquant.golden.shards import Shard, Source

SECONDS = 10.0  # to reach the scheduler, and for a first worker
AHEAD = 2  # shards under way for each thread of the workers

_ONE_AT_A_TIME = threading.Lock()


class Cluster:
    """The workers of the Dask scheduler at ``address``; a GoldenError when there are none to be had."""

    def __init__(self, address: str):
        self.address = address
        try:
            self.distributed = import_module("distributed")
        except ImportError:
            raise GoldenError("--scheduler needs Dask: pip install 'refquant[cluster]'") from None

    def __enter__(self):
        try:  # without a Client first: one that never connected takes long to end
            asyncio.run(self._reached())
            self.client = self.distributed.Client(self.address, timeout=SECONDS, set_as_default=False)
        except Exception as error:  # whatever may listen there
            raise GoldenError(f"--scheduler {self.address}: cannot be reached: {error or repr(error)}") from None
        try:
            self.client.wait_for_workers(1, timeout=SECONDS)
        except (OSError, self.distributed.TimeoutError):
            self.client.close()
            raise GoldenError(f"--scheduler {self.address}: has no worker within {SECONDS:g} s") from None
        return self

    async def _reached(self) -> None:
        arguments = self.distributed.Security().get_connection_args("client")
        (await self.distributed.comm.connect(self.address, timeout=SECONDS, **arguments)).abort()

    def __exit__(self, kind, error, trace):
        self.client.close()

    def names(self, sources: Iterable[Source]) -> Iterator[tuple[int, list[str]]]:
        """The number of each source, from 0, and the ids of its cases; in any order."""
        return self.each(shards.names, sources)

    def each(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """``(number, task(item))`` for every one of ``items``, numbered from 0, in any order."""
        numbered = enumerate(items)
        numbers: dict[str, int] = {}

        def submitted(most: int) -> list:
            futures = []
            for number, item in itertools.islice(numbered, most):
                futures.append(self.client.submit(_checked, __version__, task, item, pure=False))
                numbers[futures[-1].key] = number
            return futures

        completed = self.distributed.as_completed(submitted(AHEAD * sum(self.client.nthreads().values())),
                                                  loop=self.client.loop)
        for future in completed:
            try:
                result = future.result()
            except (ImportError, self.distributed.KilledWorker) as error:
                raise GoldenError(f"--scheduler {self.address}: {error}") from None
            yield numbers.pop(future.key), result
            for following in submitted(1):
                completed.add(following)

    def made(self, root: Path, listed: list[Shard]) -> Iterator[tuple[int, list[str]]]:
        """Every shard made and written below ``root``: its number, and the hash of each case.json."""
        for number, packed in self.each(shards.pack, map(partial(shards.missing, root), listed)):
            yield number, shards.unpack(root, listed[number], packed)


def _checked(version: str, task: Callable[[Any], Any], item: Any) -> Any:
    """``task(item)`` in a worker of this version, alone in its process, on one thread."""
    from numba import set_num_threads

    if version != __version__:
        raise GoldenError(f"a worker has refquant {__version__}, this is {version}: they must be the same")
    with _ONE_AT_A_TIME:
        set_num_threads(1)
        return task(item)
