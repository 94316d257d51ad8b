"""Numba's compiler, with kernels cached on disk where that can be done."""
from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator

from numba import get_num_threads, njit, set_num_threads

SMALL = 1 << 21  # multiplications that are done before other threads have woken

_warned: list[str] = []


def compiled(function: Callable | None = None, *, parallel: bool = False):
    """Compile ``function`` when it is first called, and keep the machine code on disk for the next process.

    Where the cache cannot be written (a read-only installation, a full disk), it is compiled in each process instead,
    with one warning. `NUMBA_CACHE_DIR` names another place for the cache.
    """
    if function is None:
        return functools.partial(compiled, parallel=parallel)
    uncached = njit(function, nogil=True, parallel=parallel)
    try:
        kernel = njit(function, nogil=True, parallel=parallel, cache=True)
    except RuntimeError as error:  # no place for a cache
        _warn_once(str(error))
        return uncached

    @functools.wraps(function)
    def call(*arguments):
        nonlocal kernel
        try:
            return kernel(*arguments)
        except OSError as error:  # the place cannot be written after all; nothing has run yet
            _warn_once(str(error))
            kernel = uncached
            return kernel(*arguments)
    return call


@contextlib.contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """One thread where there are few ``multiplications``: on a busy machine it takes milliseconds to wake another."""
    threads = get_num_threads()
    if threads == 1 or multiplications >= SMALL:
        yield
        return
    set_num_threads(1)
    try:
        yield
    finally:
        set_num_threads(threads)


def _warn_once(reason: str) -> None:
    if not _warned:
        _warned.append(reason)
        warnings.warn(f"compiled kernels cannot be cached ({reason}); each process will compile them again. "
                      "Set NUMBA_CACHE_DIR to a directory that can be written.", RuntimeWarning, stacklevel=4)
