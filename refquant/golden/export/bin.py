"""bin/<tensor>.bin: elements in their container, little-endian, nothing else; <tensor>.packed.bin: narrow codes packed.

Codes of 2 and 4 bits come both ways. Packed, element 0 has the lowest bits of byte 0: 16 codes 0..15 of 4 bits are
10 32 54 76 98 ba dc fe.
"""
from __future__ import annotations

import math

import numpy as np

from refquant.golden.errors import CorruptError
from refquant.golden.operation import dtype_of
from refquant.golden.vector import Vector
from refquant.integers.formats import IntFormat
from refquant.integers.packing import pack, unpack


def export(vector: Vector, word: int | None) -> dict[str, bytes]:
    """The .bin files of a case by path."""
    found = {}
    for name, array in vector.tensors.items():
        found[f"bin/{name}.bin"] = raw_bytes(array)
        format = vector.format(name)
        if isinstance(format, IntFormat) and is_packed(format):
            found[f"bin/{name}.packed.bin"] = packed_bytes(array, format)
    return found


def is_packed(format: IntFormat | str) -> bool:
    """Whether tensors of ``format`` are exported packed too."""
    return isinstance(format, IntFormat) and format.bits in (2, 4)


def raw_bytes(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def packed_bytes(array: np.ndarray, format: IntFormat) -> bytes:
    return pack(array, _full(format)).tobytes()


def parse_bin(data: bytes, format: IntFormat | str, shape: tuple[int, ...], *, packed: bool = False,
              name: str = ".bin") -> np.ndarray:
    """The array of a .bin file, or of a .packed.bin; ``name`` is the file's in errors.

    A container's value outside the format is returned as it is, as from a .npy file: that is a mismatch, not damage.
    Raises CorruptError for another number of bytes, and for a packed tail that is not 0.
    """
    count = math.prod(shape)
    if not packed:
        dtype = dtype_of(format)
        _check_size(data, count * dtype.itemsize, f"{count} elements of {dtype.itemsize} bytes", name)
        return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    if not isinstance(format, IntFormat) or not is_packed(format):
        raise CorruptError(f"{name}: elements of format {format} are never packed: expected a plain .bin file")
    _check_size(data, -(-count * format.bits // 8), f"{count} elements of {format.bits} bits", name)
    codes = unpack(np.frombuffer(data, np.uint8), format, len(data) * 8 // format.bits)
    if codes[count:].any():
        raise CorruptError(f"{name}: its last byte is {data[-1]:#04x}: expected zeros after element {count - 1}")
    return codes[:count].reshape(shape)


def _full(format: IntFormat) -> IntFormat:
    """Never narrow: codes that wrapped may be the one left out."""
    return IntFormat(format.bits, format.signed)


def _check_size(data: bytes, wanted: int, what: str, name: str) -> None:
    if len(data) != wanted:
        raise CorruptError(f"{name}: holds {len(data)} bytes: expected {wanted}, {what}")
