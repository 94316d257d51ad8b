"""Numba's compiler, with kernels cached on disk where that can be done.

Numba asks of cached code only whether the kernel's own file has the time and size it had. What the kernel calls may lie
in other files, and an installer gives all files one time. So a cache is kept only while every source is the same: a
file `sources` beside the code holds their hash, and code that others made is thrown away.
"""
from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

from numba import config, njit

from refquant.atomic import write

PACKAGE = Path(__file__).parent
COMPILED = ("integers", "gemm", "reals", "autodiff", "quantizers", "training")  # the parts that have kernels

NOT_COMPILED = bool(config.DISABLE_JIT)  # type: ignore[attr-defined]

_warned: list[str] = []


def compiled(function: Callable) -> Callable:
    """Compile ``function`` when it is first called, and keep the machine code on disk for the next process.

    It runs without the interpreter's lock, so that `refquant.threads` can run it on several threads.
    Where the cache cannot be written (a read-only installation, a full disk), it is compiled in each process instead,
    with one warning. `NUMBA_CACHE_DIR` names another place for the cache.
    """
    uncached = njit(function, nogil=True)
    if uncached is function:  # NUMBA_DISABLE_JIT
        return function
    try:
        kernel = njit(function, nogil=True, cache=True)
    except RuntimeError as error:  # no place for a cache
        _warn_once(str(error))
        return uncached

    first = True

    @functools.wraps(function)
    def call(*arguments):
        nonlocal kernel, first
        try:
            if first:
                of_these_sources(kernel.stats.cache_path)
                first = False
            return kernel(*arguments)
        except OSError as error:  # the place cannot be written after all; nothing has run yet
            _warn_once(str(error))
            kernel, first = uncached, False
            return kernel(*arguments)
    return call


@functools.cache
def of_these_sources(place: str | None) -> None:
    """Remove the machine code in the cache directory ``place`` unless the sources that are here made it."""
    if place is None:
        return
    marker, wanted = Path(place) / "sources", hash_of_sources()
    if marker.is_file() and marker.read_text() == wanted:
        return
    for stale in Path(place).glob("*.nb[ic]"):
        stale.unlink(missing_ok=True)
    marker.parent.mkdir(parents=True, exist_ok=True)
    write(marker, wanted.encode())


@functools.cache
def hash_of_sources() -> str:
    """SHA-256 of the files that kernels are made of."""
    sha = hashlib.sha256()
    for path in sorted(path for part in COMPILED for path in (PACKAGE / part).rglob("*.py")):
        sha.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def _warn_once(reason: str) -> None:
    if not _warned:
        _warned.append(reason)
        warnings.warn(f"compiled kernels cannot be cached ({reason}); each process will compile them again. "
                      "Set NUMBA_CACHE_DIR to a directory that can be written.", RuntimeWarning, stacklevel=4)
