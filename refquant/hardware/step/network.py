"""The network of the steps: two convolutions and a linear layer on 8 x 8 digits, its products in integers.

    conv1    1 -> 4 channels, 3 x 3                [B, 1, 8, 8] -> [B, 4, 8, 8]
    conv2    4 -> 8 channels, 3 x 3, stride 2      [B, 4, 8, 8] -> [B, 8, 4, 4]
    linear   128 -> 10                             [B, 128]     -> [B, 10]

Every sum fits its accumulator: 32 bits for activations and input gradients, 48 for weight gradients. `LAYERS` are the
three in order, `FIRST` and `LAST` the names of the outer ones.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refquant.gemm import Geometry, conv, conv_input_gradient, conv_weight_gradient, matmul
from refquant.integers import Accumulator

__all__ = ["Layer"]

WIDE = Accumulator(48)


@dataclass(frozen=True)
class Layer:
    """One product: what it multiplies, forward and backward. Operands are codes less their zero points.

    name : of the layer.
    weight : the shape of its weights, [out, in, kh, kw] or [out, in].
    output : the shape of one image's sums, [out, h, w] or [out].
    geometry : `refquant.gemm.Geometry` of a convolution, None for a linear layer.

    Raises nothing of its own; its methods raise ValueError for operands that do not fit, or are wider than 16 bits, and
    TypeError for what is not integers.

    Source: refquant's own; the products are those of `refquant.gemm`.
    """

    name: str
    weight: tuple[int, ...]
    output: tuple[int, ...]
    geometry: Geometry | None = None

    def forward(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Sums [B, *output], int32, of an input ``x`` [B, ...] and weights ``w`` of the weight's shape."""
        if self.geometry is None:
            return matmul(x.reshape(len(x), -1), w.T)[0]
        return conv(x, w, self.geometry)[0]

    def weight_gradient(self, x: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Sums of the weight's shape, int64, over the batch: of an input ``x`` [B, ...] and ``g`` [B, *output]."""
        if self.geometry is None:
            return matmul(g.T, x.reshape(len(x), -1), accumulator=WIDE)[0]
        return conv_weight_gradient(x, g, (self.weight[2], self.weight[3]), self.geometry, accumulator=WIDE)[0]

    def input_gradient(self, g: np.ndarray, w: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Sums of the input's ``shape`` [B, ...], int32, of ``g`` [B, *output] and weights ``w``."""
        if self.geometry is None:
            return matmul(g, w)[0].reshape(shape)
        return conv_input_gradient(g, w, (shape[2], shape[3]), self.geometry)[0]


LAYERS = (Layer("conv1", (4, 1, 3, 3), (4, 8, 8), Geometry(padding=1)),
          Layer("conv2", (8, 4, 3, 3), (8, 4, 4), Geometry(stride=2, padding=1)),
          Layer("linear", (10, 128), (10,)))
FIRST, LAST = LAYERS[0].name, LAYERS[-1].name
