"""The idx files of MNIST and its kin, plain or gzip, read without trust.

    00 00 08 n        a magic number: unsigned bytes, n dimensions
    d_1 .. d_n        each dimension, a big-endian 32-bit number
    d_1 * .. * d_n    bytes, and nothing after them

The header's claim is held against the file's size before any memory is taken. A gzip file's true size is not known, so
it is held against the most that deflate can pack, and no more is inflated than was claimed and one byte.
"""
from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from refquant.training.data.errors import DataError, opened

GZIP = b"\x1f\x8b"
MOST_PACKED = 1032  # bytes out of one byte: deflate's best, 258 bytes from two bits
CHUNK = 1 << 16


def read_idx(path: str | Path) -> np.ndarray:
    """The array in the idx file ``path``: uint8, of 1 dimension (labels) or 3 (images).

    Raises a DataError for any other file, saying what is wrong with it.
    """
    with opened(path) as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        content = _Inflated(file, path) if packed else file
        magic = content.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0":
            raise DataError(f"{path}: begins with {magic.hex(' ') or 'nothing'}: expected an idx file, 00 00 08 0n")
        if magic[2] != 8:
            raise DataError(f"{path}: holds idx type {magic[2]:#04x}: expected 0x08, unsigned bytes")
        if magic[3] not in (1, 3):
            raise DataError(f"{path}: has {magic[3]} dimensions: expected 1 (labels) or 3 (images)")
        header = content.read(4 * magic[3])
        if len(header) < 4 * magic[3]:
            raise DataError(f"{path}: ends within its header: expected {magic[3]} dimensions of 4 bytes")
        shape = tuple(int(d) for d in np.frombuffer(header, ">u4"))
        claimed = math.prod(shape)
        if not claimed:
            raise DataError(f"{path}: its header claims shape {shape}: expected no dimension of 0")
        if packed and claimed > size * MOST_PACKED:
            raise DataError(f"{path}: its header claims shape {shape}, {claimed} bytes: "
                            f"expected at most {size * MOST_PACKED} in {size} bytes of gzip")
        if not packed and claimed != size - 4 - len(header):
            raise DataError(f"{path}: its header claims shape {shape}, {claimed} bytes: "
                            f"after it come {size - 4 - len(header)}")
        data = content.read(claimed + 1)
        if len(data) != claimed:
            raise DataError(f"{path}: its header claims shape {shape}, {claimed} bytes: after it come "
                            f"{'more' if len(data) > claimed else len(data)}")
    return np.frombuffer(data, np.uint8).reshape(shape).copy()


def read_pair(images: str | Path, labels: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """``(x, y)``: images, uint8 [N, 1, H, W], and their labels, int64 [N], each from its own file."""
    x, y = read_idx(images), read_idx(labels)
    for path, array, dims, kind in ((images, x, 3, "images"), (labels, y, 1, "labels")):
        if array.ndim != dims:
            raise DataError(f"{path}: has {array.ndim} dimensions: expected {dims}, {kind}")
    if len(x) != len(y):
        raise DataError(f"{images} holds {len(x)} images, {labels} holds {len(y)} labels: expected as many")
    return x[:, None], y.astype(np.int64)


class _Inflated:
    """The content of a gzip file of one member; its checksum is verified when its end is read."""

    def __init__(self, file: BinaryIO, path: str | Path):
        self.file, self.path, self.inflater = file, path, zlib.decompressobj(wbits=31)

    def read(self, count: int) -> bytes:
        """``count`` bytes, or fewer at the end, inflating no more than these."""
        out = bytearray()
        while len(out) < count and not self.inflater.eof:
            packed = self.inflater.unconsumed_tail or self.file.read(CHUNK)
            if not packed:
                raise DataError(f"{self.path}: truncated: expected the end of its gzip stream")
            try:
                out += self.inflater.decompress(packed, min(count - len(out), CHUNK))
            except zlib.error as error:
                raise DataError(f"{self.path}: not a valid gzip file: {error}") from None
        if self.inflater.eof and (self.inflater.unused_data or self.file.read(1)):
            raise DataError(f"{self.path}: has bytes after its gzip stream: expected the end of the file")
        return bytes(out)
