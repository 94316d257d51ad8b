"""What a pickle says to make a NumPy array of bytes, and the array that it means.

    _codecs.encode(text, "latin1")                  bytes, as Python 3 writes them for Python 2
    numpy.dtype("u1", ..)                           and its BUILD: unsigned bytes, the only type
    numpy.core.multiarray._reconstruct(ndarray, ..)     an empty array
        BUILD (1, shape, dtype, Fortran, bytes)         and what fills it
    numpy.core.numeric._frombuffer(bytes, dtype, shape, order)    both at once, in protocol 5

No name is ever imported and nothing is called: these patterns are known by heart, and any other is a DataError.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from refquant.training.data.errors import DataError

MOST_DIMENSIONS = 32
LATIN = "latin1", "latin-1"


class Name(Enum):
    """What a global name in a pickle stands for; BYTES is what calling DTYPE makes."""

    ENCODE, DTYPE, NDARRAY, RECONSTRUCT, FROMBUFFER, BYTES = range(6)


NAMES = {
    "_codecs encode": Name.ENCODE, "numpy dtype": Name.DTYPE, "numpy ndarray": Name.NDARRAY,
    "numpy.core.multiarray _reconstruct": Name.RECONSTRUCT, "numpy._core.multiarray _reconstruct": Name.RECONSTRUCT,
    "numpy.core.numeric _frombuffer": Name.FROMBUFFER, "numpy._core.numeric _frombuffer": Name.FROMBUFFER,
}


@dataclass(eq=False)
class Array:
    """An array of unsigned bytes as it stands in a pickle; the bytes are the characters of ``text``."""

    shape: tuple[int, ...] | None = None  # None until it is filled
    text: str = ""
    fortran: bool = False

    def fill(self, shape: Any, dtype: Any, fortran: bool, text: Any) -> None:
        """Take what the pickle brings, once it fits together."""
        if dtype is not Name.BYTES:
            raise DataError("an array whose type is no dtype: expected unsigned bytes, 'u1'")
        if type(shape) is not tuple or len(shape) > MOST_DIMENSIONS or not all(map(_is_dimension, shape)):
            raise DataError(f"an array's shape: expected a tuple of at most {MOST_DIMENSIONS} integers below 2^32")
        if type(text) is not str:
            raise DataError(f"an array's content is a {type(text).__name__}: expected bytes")
        if math.prod(shape) != len(text):
            raise DataError(f"an array of shape {shape}, {math.prod(shape)} bytes: it holds {len(text)}")
        self.shape, self.text, self.fortran = shape, text, fortran

    def array(self) -> np.ndarray:
        """The array itself, uint8."""
        if self.shape is None:
            raise DataError("an array that is never filled")
        try:
            content = bytearray(self.text, "latin-1")
        except UnicodeEncodeError:
            raise DataError("an array's bytes hold a character beyond 255") from None
        return np.frombuffer(content, np.uint8).reshape(self.shape, order="F" if self.fortran else "C")


def known(name: str) -> Name:
    """What the global ``name``, a module and its attribute, stands for."""
    if name not in NAMES:
        raise DataError(f"refused the name {name[:80]!a}: expected one of {', '.join(NAMES)}")
    return NAMES[name]


def reduce(name: Name, arguments: tuple[Any, ...]) -> Any:
    """What calling ``name`` would make."""
    match name, arguments:
        case Name.ENCODE, (str(text), str(coding)) if coding in LATIN:
            return text
        case Name.DTYPE, ("u1", int(), int()):
            return Name.BYTES
        case Name.RECONSTRUCT, (Name.NDARRAY, (0,), "b"):
            return Array()
        case Name.FROMBUFFER, (text, dtype, shape, "C" | "F" as order):
            array = Array()
            array.fill(shape, dtype, order == "F", text)
            return array
    raise DataError(f"{name.name} with other arguments than NumPy writes for unsigned bytes")


def build(value: Any, state: tuple[Any, ...]) -> None:
    """Give ``value``, an array or a dtype, its state."""
    match value, state:
        case Array(), (1, shape, dtype, int(fortran), text):
            value.fill(shape, dtype, bool(fortran), text)
        case Name.BYTES, (3, "|", None, None, None, -1, -1, 0):
            pass
        case _:
            raise DataError(f"state of a {type(value).__name__}: expected what NumPy writes for unsigned bytes")


def _is_dimension(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 32
