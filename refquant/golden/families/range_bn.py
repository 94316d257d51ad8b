"""What rangebn.forward and rangebn.backward share: attributes, constants, and a channel of the scalar model.

The scalar model computes a channel at once, since all its elements share their statistics; the channels of the last
cases are remembered, by their numbers.
"""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from refquant.golden import schema
from refquant.golden.operation import Arrays, Attrs, Note
from refquant.hardware import range_bn
from refquant.integers.formats import IntFormat
from refquant.scalar.steps import silent

S16, S32, S48, SHIFT = IntFormat(16), IntFormat(32), IntFormat(48), IntFormat(8, signed=False)

ATTRIBUTES = {"fraction_bits": schema.integer(0, 24), "normal_bits": schema.integer(0, range_bn.INVERSE_BITS),
              "chunks": schema.integer(1, 2**20), "epsilon": schema.integer(0, 2**31 - 1), "rounding": schema.ROUNDING}
CONSTANTS = {"in_mean_multiplier": S32, "in_mean_shift": SHIFT, "in_c_multiplier": S32, "in_c_shift": SHIFT}


def constants(inputs: Arrays) -> range_bn.Constants:
    """The two scales of a case."""
    mean_multiplier, mean_shift, c_multiplier, c_shift = (int(inputs[name][0]) for name in CONSTANTS)
    return mean_multiplier, mean_shift, c_multiplier, c_shift


def given_constants(values: range_bn.Constants) -> Arrays:
    """The tensors that carry two scales; the inverse of `constants`."""
    return {name: np.array([value], format.dtype) for (name, format), value in zip(CONSTANTS.items(), values,
                                                                                  strict=True)}


def statistics(attrs: Attrs, inputs: Arrays) -> range_bn.Statistics:
    return range_bn.statistics(inputs["in_x"], constants(inputs), fraction_bits=attrs["fraction_bits"],
                               chunks=attrs["chunks"], epsilon=attrs["epsilon"], rounding=attrs["rounding"])


def channel_of(nested: list[Any], channel: int) -> tuple[int, ...]:
    """The codes of one channel of [B, C, H, W] lists, images in order."""
    return tuple(code for image in nested for row in image[channel] for code in row)


def place(shaped_like: list[Any], index: tuple[int, ...]) -> tuple[int, int]:
    """(channel, position among its values) of [B, C, H, W] lists' element ``index``, or of a channel's number."""
    if len(index) == 1:
        return index[0], 0
    image, channel, row, column = index
    height, width = len(shaped_like[0][0]), len(shaped_like[0][0][0])
    return channel, (image * height + row) * width + column


def remembered(compute: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """``compute(*numbers, note=...)``, whose answers without notes are remembered; the numbers must be hashable."""
    known = functools.lru_cache(maxsize=64)(functools.partial(compute, note=silent))

    def answer(*numbers: Any, note: Note) -> dict[str, Any]:
        return known(*numbers) if note is silent else compute(*numbers, note=note)
    return answer
