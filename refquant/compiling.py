"""Numba's compiler, with kernels cached on disk where that can be done."""
from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

from numba import njit

_warned: list[str] = []


def compiled(function: Callable) -> Callable:
    """Compile ``function`` when it is first called, and keep the machine code on disk for the next process.

    It runs without the interpreter's lock, so that `refquant.threads` can run it on several threads.

    Where the cache cannot be written (a read-only installation, a full disk), it is compiled in each process instead,
    with one warning. `NUMBA_CACHE_DIR` names another place for the cache.
    """
    uncached = njit(function, nogil=True)
    try:
        kernel = njit(function, nogil=True, cache=True)
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


def _warn_once(reason: str) -> None:
    if not _warned:
        _warned.append(reason)
        warnings.warn(f"compiled kernels cannot be cached ({reason}); each process will compile them again. "
                      "Set NUMBA_CACHE_DIR to a directory that can be written.", RuntimeWarning, stacklevel=4)
