"""Files of a suite: canonical .npy and JSON, written beside and renamed, read without trust.

A canonical .npy is version 1.0, C order, little-endian, never pickled. Reading checks a header's claim against the
file's size before any memory is taken, and a path against the suite it must stay in.
"""
from __future__ import annotations

import hashlib
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from refquant.atomic import write
from refquant.golden.errors import CorruptError

__all__ = ["NAME", "inside", "json_bytes", "npy", "parse_npy", "read", "read_json", "sha256", "write"]

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
        inside(path, root)
        if not path.exists():
            raise CorruptError(f"{path}: missing")
        if not path.is_file():
            raise CorruptError(f"{path}: not a plain file")
        size = path.stat().st_size
        if most is not None and size > most:
            raise CorruptError(f"{path}: has {size} bytes: expected at most {most}")
        return path.read_bytes()
    except (OSError, RuntimeError, ValueError) as error:  # unreadable, links in a circle, a name that is none
        raise CorruptError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def inside(path: Path, root: Path) -> None:
    """A CorruptError when ``path`` leads out of ``root``, by dots or by links."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise CorruptError(f"{path}: leads out of {root}")


def read_json(path: Path, root: Path) -> Any:
    """The JSON value of ``path``."""
    try:
        return json.loads(read(path, root))
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path}: not JSON: {error}") from None


def parse_npy(data: bytes, path: Path | str) -> np.ndarray:
    """The array of a .npy file's bytes; ``path`` names it in errors. Integers and floats only, any byte order."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"version {version}")
        shape, fortran, dtype = readers[version](stream)
    except Exception as error:  # NumPy raises many kinds for a damaged header
        raise CorruptError(f"{path}: not a .npy file: {error}") from None
    if dtype.kind not in "iufb":
        raise CorruptError(f"{path}: holds {dtype}: expected integers or floats (pickled objects are never loaded)")
    if len(shape) > 32 or any(not 0 <= n < 1 << 62 for n in shape):
        raise CorruptError(f"{path}: its header claims shape {shape}: expected at most 32 dimensions below 2^62")
    claimed, held = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if claimed != held:
        raise CorruptError(f"{path}: its header claims shape {shape} of {dtype}, {claimed} bytes; it holds {held}")
    try:
        array = np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
    except ValueError as error:  # dimensions that are too large although one of them is 0
        raise CorruptError(f"{path}: its header claims shape {shape}: {error}") from None
    return array.astype(dtype.newbyteorder("="))
