"""Files of a suite: canonical .npy and JSON, written beside and renamed, read without trust.

A canonical .npy is version 1.0, C order, little-endian, never pickled. Reading checks a header's claim against the
file's size before any memory is taken, and a path against the suite it must stay in.
"""
from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refquant.atomic import write
from refquant.golden.errors import CorruptError

__all__ = ["NAME", "inside", "json_bytes", "lines", "npy", "parse_json", "parse_npy", "read", "read_json",
           "sha256", "write"]

NAME = re.compile(r"(?!\.)[a-z0-9_.-]{1,120}")


def npy(array: np.ndarray) -> bytes:
    """``array`` as a canonical .npy file."""
    array = np.asarray(array)
    buffer = io.BytesIO()
    little = array.astype(array.dtype.newbyteorder("<"), order="C")
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def json_bytes(value: dict[str, Any]) -> bytes:
    """``value`` as JSON, the same bytes everywhere: a line for each key, and for each record of a list of records."""
    def compact(part):
        return json.dumps(part, ensure_ascii=True, allow_nan=False)

    lines = []
    for key, part in value.items():
        if isinstance(part, list) and part and isinstance(part[0], dict):
            records = ",\n  ".join(compact(record) for record in part)
            lines.append(f" {compact(key)}: [\n  {records}\n ]")
        else:
            lines.append(f" {compact(key)}: {compact(part)}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(path: Path, root: Path, most: int | None = None) -> bytes:
    """The bytes of ``path``, a plain file within ``root``, links resolved, of at most ``most`` bytes."""
    try:
        size = _size(path, root)
        if most is not None and size > most:
            raise CorruptError(f"{path}: has {size} bytes: expected at most {most}")
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (OSError, RuntimeError, ValueError) as error:  # unreadable, links in a circle, a name that is none
        raise CorruptError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def lines(path: Path, root: Path) -> Iterator[bytes]:
    """The lines of ``path``, as `read` would take it, one after the other."""
    try:
        _size(path, root)
        with open(path, "rb") as file:
            yield from file
    except (OSError, RuntimeError, ValueError) as error:
        raise CorruptError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _size(path: Path, root: Path) -> int:
    """How many bytes ``path`` has, a plain file within ``root``; a CorruptError where it is none."""
    size = _size_without_links(str(path), str(root))
    if size is not None:
        return size
    inside(path, root)
    if not path.exists():
        raise CorruptError(f"{path}: missing")
    if not path.is_file():
        raise CorruptError(f"{path}: not a plain file")
    return path.stat().st_size


def _size_without_links(path: str, root: str) -> int | None:
    """How many bytes a plain file has whose path shows that it is within ``root``: none of its names is a link.

    None where that is not so. Nearly every file is such a one, and resolving links takes ten times as long.
    """
    if not path.startswith(root + os.sep):
        return None
    names = path[len(root) + 1:].split(os.sep)
    if ".." in names:
        return None
    here = root
    try:
        for name in names:
            here = f"{here}{os.sep}{name}"
            status = os.lstat(here)
            if stat.S_ISLNK(status.st_mode):
                return None
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def inside(path: Path, root: Path) -> None:
    """A CorruptError when ``path`` leads out of ``root``, by dots or by links."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise CorruptError(f"{path}: leads out of {root}")


def read_json(path: Path, root: Path) -> Any:
    """The JSON value of ``path``."""
    return parse_json(read(path, root), path)


def parse_json(data: bytes, path: Path) -> Any:
    """The JSON value of a file's bytes; ``path`` names it in errors."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path}: not JSON: {error}") from None


def parse_npy(data: bytes, path: Path | str) -> np.ndarray:
    """The array of a .npy file's bytes; ``path`` names it in errors. Integers and floats only, any byte order."""
    try:
        start = _header_length(data)
        shape, fortran, dtype = _header(data[:start])
    except Exception as error:  # NumPy raises many kinds for a damaged header
        raise CorruptError(f"{path}: not a .npy file: {error}") from None
    if dtype.kind not in "iufb":
        raise CorruptError(f"{path}: holds {dtype}: expected integers or floats (pickled objects are never loaded)")
    if len(shape) > 32 or any(not 0 <= n < 1 << 62 for n in shape):
        raise CorruptError(f"{path}: its header claims shape {shape}: expected at most 32 dimensions below 2^62")
    claimed, held = math.prod(shape) * dtype.itemsize, len(data) - start
    if claimed != held:
        raise CorruptError(f"{path}: its header claims shape {shape} of {dtype}, {claimed} bytes; it holds {held}")
    try:
        array = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran else "C")
    except ValueError as error:  # dimensions that are too large although one of them is 0
        raise CorruptError(f"{path}: its header claims shape {shape}: {error}") from None
    return array.astype(dtype.newbyteorder("="))


def _header_length(data: bytes) -> int:
    """How many bytes lie before the array's own."""
    version = np.lib.format.read_magic(io.BytesIO(data[:8]))
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version}")
    size = 2 if version == (1, 0) else 4
    return min(8 + size + int.from_bytes(data[8:8 + size], "little"), len(data))


@functools.lru_cache(maxsize=256)
def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and dtype, by a file's first bytes: many files of a suite have the same."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)
