"""What flows between ops: float64 arrays, Fixed tensors, and sums of Fixed tensors.

A sum serves grids whose offset is no multiple of their scale (the quantizer of Banner's released code):

    value = scale * codes + offset * ones          two Fixed tensors; products are sums of integer products
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refquant.integers import Fixed, IntFormat


@dataclass(frozen=True, eq=False)
class FixedSum:
    """A tensor whose value is the sum of Fixed tensors of one shape.

    parts : the `Fixed`, any shape, one or more.

    Raises ValueError for no part, or parts of different shapes.

    Source: refquant's own, for the quantizer of Banner 2018's released code: a real number is added to each element.
    """

    parts: tuple[Fixed, ...]

    def __post_init__(self):
        shapes = [part.shape for part in self.parts]
        if not shapes or any(shape != shapes[0] for shape in shapes):
            raise ValueError(f"parts have shapes {shapes}: expected one shape, and at least one part")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of each part."""
        return self.parts[0].shape

    @property
    def value(self) -> np.ndarray:
        """The reals the codes stand for, float64; added in the order of the parts."""
        out = self.parts[0].value
        for part in self.parts[1:]:
            out = out + part.value
        return out


INTEGER = (Fixed, FixedSum)


def with_offset(fixed: Fixed, offset: float) -> Fixed | FixedSum:
    """``fixed`` plus the real number ``offset`` in every element."""
    if offset == 0:
        return fixed
    ones = np.full(fixed.shape, 1 if offset > 0 else -1, np.int8)
    return FixedSum((fixed, Fixed(ones, abs(offset), IntFormat(2))))


def parts(value) -> tuple[Fixed, ...]:
    """The Fixed tensors that ``value`` is the sum of; none for a real array."""
    return value.parts if isinstance(value, FixedSum) else (value,) if isinstance(value, Fixed) else ()


def reals(value) -> np.ndarray:
    """The float64 array that ``value`` stands for."""
    return value.value if isinstance(value, INTEGER) else value


def as_value(x) -> Any:
    """``x`` as an op takes it: Fixed and None as they are, all else a float64 array."""
    return x if x is None or isinstance(x, INTEGER) else np.asarray(x, np.float64)
