"""Columns of a .tv file: how one is described, and a number written into it and read back.

    name:8s  name:32f  name:4u:vector      bits, and whether signed, unsigned or an IEEE number
"""
from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from refquant.golden.export.patterns import HEX, digits, elements, patterns, width
from refquant.golden.operation import dtype_of
from refquant.golden.vector import Vector
from refquant.integers.formats import IntFormat

EMPTY = "-"
FIELD = re.compile(r"([a-z0-9_]+):(?:([0-9]{1,2})([su])|(32|64)f)(:vector)?")


@dataclass(frozen=True)
class Field:
    """One column."""

    name: str
    format: IntFormat | str
    vector: bool = False

    def __str__(self) -> str:
        kind = "f" if isinstance(self.format, str) else "s" if self.format.signed else "u"
        return f"{self.name}:{width(self.format)}{kind}{':vector' if self.vector else ''}"

    @classmethod
    def parse(cls, text: str) -> Field | None:
        """The field that ``text`` describes, or None."""
        match = FIELD.fullmatch(text)
        if match is None or (match[2] and not 2 <= int(match[2]) <= 64):
            return None
        format: IntFormat | str = f"f{match[4]}" if match[4] else IntFormat(int(match[2]), match[3] == "s")
        return cls(match[1], format, match[5] is not None)

    def write(self, value) -> str:
        """``value``, a number or a vector, as it stands in the column."""
        array = np.asarray(value, None if isinstance(value, np.ndarray | np.generic) else dtype_of(self.format))
        wide = digits(width(self.format))
        texts = [f"{pattern:0{wide}x}" for pattern in patterns(array, self.format).tolist()]
        return ",".join(texts) or EMPTY

    def read(self, text: str) -> np.ndarray:
        """The inverse of `write`: a vector, or a number of NumPy's. ``text`` must be one that the column `accepts`."""
        parts = [] if text == EMPTY else text.split(",")
        array = elements(np.array([int(part, 16) for part in parts], np.uint64), self.format)
        return array if self.vector else array[0]

    def accepts(self, text: str) -> bool:
        """Whether ``text`` is what the column can hold: numbers with all their digits, a vector's joined by commas."""
        if self.vector:
            return text == EMPTY or all(map(self._holds, text.split(",")))
        return self._holds(text)

    def _holds(self, text: str) -> bool:
        bits = width(self.format)
        return len(text) == digits(bits) and HEX.fullmatch(text) is not None and not int(text, 16) >> bits


def operand_fields(vector: Vector, operands: dict) -> list[Field]:
    """The columns of an element's operands, each of its tensor's format; of no tensor's name, of its own dtype."""
    formats = vector.operation.tensors(vector.attrs)
    fields = []
    for name, value in operands.items():
        found = next((formats[f"{role}_{name}"] for role in ("in", "rbits", "state0") if f"{role}_{name}" in formats),
                     formats.get(name) or _own(np.asarray(value).dtype))
        fields.append(Field(name, found, np.ndim(value) > 0))
    return fields


def _own(dtype: np.dtype) -> IntFormat | str:
    return f"f{dtype.itemsize * 8}" if dtype.kind == "f" else IntFormat(dtype.itemsize * 8, dtype.kind == "i")
