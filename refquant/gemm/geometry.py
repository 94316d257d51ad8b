"""Where a convolution's kernel meets its image.

    h = p * stride - padding + i * dilation     the input row that output row p meets kernel row i at (columns alike)
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Geometry:
    """How a kernel moves over an image; output row p meets kernel row i at input row (columns alike)

        h = p * stride - padding + i * dilation

    stride, dilation : (rows, columns), 1 or more; one integer stands for both.
    padding : (top, bottom, left, right), 0 or more; one integer for all, two for (rows, columns).
    groups : how many parts the channels are cut into; depthwise when it equals C.

    Raises ValueError for what are no such integers. Arrays are images [B, C, H, W] and kernels [O, C/groups, KH, KW].

    Source: ONNX Conv (strides, dilations, group); its pads are the same in another order: top, left, bottom, right.
    """

    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1

    def __post_init__(self):
        for name, low, lengths in (("stride", 1, (2,)), ("padding", 0, (4, 2)), ("dilation", 1, (2,))):
            object.__setattr__(self, name, _spread(name, getattr(self, name), low, lengths))
        if not isinstance(self.groups, int | np.integer) or self.groups < 1:
            raise ValueError(f"groups = {self.groups!r}: expected 1 or more")

    def output_size(self, height: int, width: int, kernel: tuple[int, int]) -> tuple[int, int]:
        """(OH, OW) of an image of ``height`` x ``width`` under a ``kernel`` (KH, KW).

        Raises ValueError when the kernel does not fit into the padded image.
        """
        top, bottom, left, right = self.padding
        sizes = [(size + pads - d * (k - 1) - 1) // s + 1 for size, pads, d, k, s in
                 zip((height, width), (top + bottom, left + right), self.dilation, kernel, self.stride, strict=True)]
        if min(sizes) < 1:
            raise ValueError(f"a kernel of {kernel} with dilation {self.dilation} does not fit an image of "
                             f"{(height, width)} with padding {self.padding}")
        return sizes[0], sizes[1]


def _spread(name: str, value, low: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """One integer, or one of ``lengths`` of them, as ``lengths[0]`` integers."""
    values = (value,) * lengths[0] if np.ndim(value) == 0 else tuple(value)
    if len(values) == 2 and lengths[0] == 4:
        values = (values[0], values[0], values[1], values[1])
    if len(values) != lengths[0] or any(not isinstance(v, int | np.integer) or v < low for v in values):
        raise ValueError(f"{name} = {value!r}: expected an integer or {' or '.join(map(str, lengths))} of them, "
                         f"{low} or more")
    return tuple(int(v) for v in values)


DENSE = Geometry()


def check_shapes(x: tuple[int, ...], w: tuple[int, ...], geometry: Geometry, g: tuple[int, ...] | None = None) -> None:
    """A ValueError unless x [B, C, H, W], w [O, C/groups, KH, KW] and, where given, g [B, O, OH, OW] fit together."""
    if len(x) != 4 or len(w) != 4:
        raise ValueError(f"x has shape {tuple(x)} and w {tuple(w)}: expected four dimensions each")
    if x[1] % geometry.groups or w[0] % geometry.groups or w[1] != x[1] // geometry.groups:
        raise ValueError(f"x has {x[1]} channels and w has shape {tuple(w)}: with {geometry.groups} groups expected "
                         "[O, C/groups, KH, KW], both C and O divisible by groups")
    wanted = (x[0], w[0], *geometry.output_size(x[2], x[3], (w[2], w[3])))
    if g is not None and tuple(g) != wanted:
        raise ValueError(f"g has shape {tuple(g)}: expected {wanted}")
