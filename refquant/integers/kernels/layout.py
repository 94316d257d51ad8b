"""How the parameters of a tensor's channels lie along its memory: two ways, each with a plain inner loop.

    rows      the elements of a channel stand together, ``row`` of them: one channel's parameters serve a whole row
    columns   channels alternate too quickly for that: parameters are spread out once, to a period of the memory,
              and each element meets its own
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEAST_ROW = 64  # elements; shorter rows spend their time starting
LEAST_PERIOD = 512


@dataclass(frozen=True)
class Layout:
    """``channels`` that alternate every ``row`` elements of an array in C order; ``by_row``: as above."""

    channels: int
    row: int

    @property
    def by_row(self) -> bool:
        return self.channels == 1 or self.row >= LEAST_ROW

    def spread(self, dtype: np.dtype, *parameters: ArrayLike) -> np.ndarray:
        """``parameters``, each one number or one a channel: [parameter, channels] by row, else [parameter, period]."""
        each = np.empty((len(parameters), self.channels), dtype)
        for row, parameter in zip(each, parameters, strict=True):
            row[...] = parameter
        if self.by_row:
            return each
        period = np.repeat(each, self.row, axis=1)
        return np.tile(period, -(-LEAST_PERIOD // period.shape[1]))


def layout(shape: tuple[int, ...], axis: int | None) -> Layout:
    """That of an array of ``shape`` whose channels run along ``axis``."""
    if axis is None:
        return Layout(1, math.prod(shape))
    return Layout(shape[axis], math.prod(shape[axis + 1:]))
