"""Integer formats: how many bits, signed or not, and what happens at the ends.

    signed           qmin = -2^(bits-1)        qmax = 2^(bits-1) - 1
    signed, narrow   qmin = -(2^(bits-1) - 1)  qmax = 2^(bits-1) - 1
    unsigned         qmin = 0                  qmax = 2^bits - 1
"""
from __future__ import annotations

import functools
import operator
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class IntFormat:
    """An integer format: which whole numbers are codes. Its methods work element by element, on any shape.

    bits : 2 to 64.
    signed : two's complement; else from 0 up.
    narrow : without the most negative code, so that a signed format is symmetric.

    Raises ValueError for bits outside 2..64, or narrow on an unsigned format, for which libraries disagree (TensorFlow
    drops code 0, QONNX the top code).

    Source: two's complement; narrow as TensorFlow's narrow_range for signed formats.
    """

    bits: int
    signed: bool = True
    narrow: bool = False

    def __post_init__(self):
        try:
            bits = operator.index(self.bits)
        except TypeError:
            raise ValueError(f"bits = {self.bits!r}: expected an integer from 2 to 64") from None
        if isinstance(self.bits, bool) or not 2 <= bits <= 64:
            raise ValueError(f"bits = {self.bits!r}: expected an integer from 2 to 64")
        if self.narrow and not self.signed:
            raise ValueError("narrow = True: expected a signed format; unsigned formats have no symmetric range")
        object.__setattr__(self, "bits", bits)
        object.__setattr__(self, "signed", bool(self.signed))
        object.__setattr__(self, "narrow", bool(self.narrow))

    @classmethod
    def parse(cls, name: str) -> IntFormat:
        """The format of a short ``name``: ``s8``, ``u4``, ``s8n`` (narrow). Raises ValueError for any other name."""
        match = re.fullmatch(r"([su])([1-9][0-9]?)(n?)", name) if isinstance(name, str) else None
        if not match:
            raise ValueError(f"format = {name!r}: expected s or u, a width from 2 to 64, and n for narrow: s8, u4, s8n")
        return cls(int(match[2]), match[1] == "s", match[3] == "n")

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}{'n' if self.narrow else ''}"

    @property
    def qmin(self) -> int:
        """The smallest code."""
        return -(1 << (self.bits - 1)) + self.narrow if self.signed else 0

    @property
    def qmax(self) -> int:
        """The largest code."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def dtype(self) -> np.dtype:
        """The smallest NumPy integer type that holds every code."""
        return (_SIGNED if self.signed else _UNSIGNED)[(self.bits - 1).bit_length()]

    def saturate(self, values: ArrayLike) -> np.ndarray:
        """``values`` (integers of any shape, also Python's in an object array) clamped to [qmin, qmax].

        Returns the format's dtype.

        Raises TypeError for floats and booleans.
        """
        if isinstance(values, np.ndarray) and values.dtype == object:
            return np.asarray(np.clip(values, self.qmin, self.qmax), object).astype(self.dtype)
        values = as_integers(values, "values")
        lowest, highest = _ends(values.dtype)
        low, high = max(self.qmin, lowest), min(self.qmax, highest)
        if (low, high) != (lowest, highest):
            values = values.clip(values.dtype.type(low), values.dtype.type(high))
        return values.astype(self.dtype)

    def wrap(self, values: ArrayLike) -> np.ndarray:
        """``values`` (as for `saturate`) modulo 2^bits, in the format's dtype; two's complement where signed.

        A narrow format wraps like its full one: the code that is left out can occur. Raises TypeError like `saturate`.
        """
        if isinstance(values, np.ndarray) and values.dtype == object:
            values = np.asarray(values & ((1 << 64) - 1), object).astype(np.uint64)
        bits = as_integers(values, "values").astype(np.int64, copy=False).view(np.uint64)
        if self.bits < 64:
            bits = bits & np.uint64((1 << self.bits) - 1)
            if self.signed:
                sign = np.uint64(1 << (self.bits - 1))
                with np.errstate(over="ignore"):
                    bits = (bits ^ sign) - sign
        return (bits.view(np.int64) if self.signed else bits).astype(self.dtype)

    def contains(self, values: np.ndarray) -> bool:
        """Whether every one of ``values`` (an integer array) is a code of this format."""
        if values.dtype.kind in "iu":
            lowest, highest = _ends(values.dtype)
            if self.qmin <= lowest and highest <= self.qmax:
                return True
        low, high = extremes(values)
        return values.size == 0 or (self.qmin <= low and high <= self.qmax)


# by the bit length of bits - 1: 2 to 8 bits are stored in 8
_SIGNED, _UNSIGNED = ([np.dtype(f"{kind}{width}") for width in (8, 8, 8, 8, 16, 32, 64)] for kind in ("int", "uint"))


@functools.cache
def _ends(dtype: np.dtype) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def extremes(values: np.ndarray) -> tuple[int, int]:
    """The smallest and the largest of integers; ``(0, 0)`` where there are none."""
    if values.ndim == 0:
        return int(values), int(values)
    return (int(values.min()), int(values.max())) if values.size else (0, 0)


def as_integers(values: ArrayLike, name: str) -> np.ndarray:
    """``values`` as an integer array; floats, booleans and objects are a TypeError naming ``name``."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        if array.size == 0 and not isinstance(values, np.ndarray):
            return array.astype(np.int64)
        raise TypeError(f"{name} has dtype {array.dtype}: expected integers")
    return array


def as_int64(values: ArrayLike, name: str) -> np.ndarray:
    """``values`` as int64; a uint64 value of 2^63 or more is a ValueError naming ``name``."""
    return check_int64(values, name).astype(np.int64, copy=False)


def check_int64(values: ArrayLike, name: str) -> np.ndarray:
    """``values`` as integers of whichever type, all within int64; errors as for `as_int64`."""
    array = as_integers(values, name)
    if array.dtype == np.uint64 and extremes(array)[1] >= 1 << 63:
        raise ValueError(f"{name} holds {int(array.max())}: expected values below 2^63")
    return array
