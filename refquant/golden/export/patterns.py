"""Elements as bit patterns: two's complement in the format's width, or an IEEE number as it is stored."""
from __future__ import annotations

import re

import numpy as np

from refquant.golden.operation import dtype_of
from refquant.integers.formats import IntFormat

HEX = re.compile(r"[0-9a-fA-F]+")


def width(format: IntFormat | str) -> int:
    """How many bits an element of ``format`` has."""
    return format.bits if isinstance(format, IntFormat) else dtype_of(format).itemsize * 8


def digits(bits: int) -> int:
    """How many hexadecimal digits ``bits`` bits take."""
    return -(-bits // 4)


def hexadecimal(pattern: int, bits: int) -> str:
    return f"{pattern:0{digits(bits)}x}"


def patterns(array: np.ndarray, format: IntFormat | str) -> np.ndarray:
    """The elements of ``array`` in C order as uint64."""
    flat = np.asarray(array).reshape(-1)
    if isinstance(format, IntFormat):
        return IntFormat(format.bits, signed=False).wrap(flat).astype(np.uint64)
    dtype = dtype_of(format)
    return flat.astype(dtype).view(f"u{dtype.itemsize}").astype(np.uint64)


def elements(values: np.ndarray, format: IntFormat | str) -> np.ndarray:
    """The inverse of `patterns`, one-dimensional, in the format's dtype."""
    values = np.asarray(values, np.uint64)
    if isinstance(format, IntFormat):
        return format.wrap(values)
    dtype = dtype_of(format)
    return values.astype(f"u{dtype.itemsize}").view(dtype)
