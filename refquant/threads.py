"""Work cut into parts, one for each thread.

Compiled kernels run without the interpreter's lock, so Python's own threads run them side by side, and no kernel is
compiled twice. Each element is computed by one thread, in the same order whatever their number.
"""
from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from numba import config, get_num_threads

SMALL = 1 << 23  # multiplications that are done before another thread has woken


def threads_for(multiplications: int) -> int:
    """How many threads are worth waking for so many ``multiplications``.

    At most NUMBA_NUM_THREADS, or what `numba.set_num_threads` has set; as many as there are processors unless given.
    """
    return 1 if multiplications < SMALL else get_num_threads()


def in_parts(work: Callable[[int, int], object], count: int, threads: int) -> None:
    """Call ``work(first, last)`` on about equal runs that make up range(count), one on each of ``threads``."""
    threads = max(1, min(threads, count))
    cuts = [count * i // threads for i in range(threads + 1)]
    others = [_pool().submit(work, *part) for part in itertools.pairwise(cuts[1:])]
    try:
        work(cuts[0], cuts[1])
    finally:
        for other in others:
            other.result()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    most = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return ThreadPoolExecutor(max(1, most - 1), thread_name_prefix="refquant")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not outlive a fork
