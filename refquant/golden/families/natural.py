"""Natural stimuli: real digit images through fixed edge filters and through a small trained layer.

The layer is a multiclass perceptron, trained here on the embedded digits in integers from start to end, so that its
weights are the same on every machine: for each image in turn, add it to its own class's weights and take it from those
of the class that scored highest, when that is another. Its weights, scaled to int8, are what a real layer looks like:
bell-shaped, many near 0.
"""
from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np

from refquant.data import digits
from refquant.gemm import Geometry, conv
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.requantize import requantize
from refquant.integers.rounding import half_even

S8 = IntFormat(8)

# Sobel and Prewitt edges, the Laplacian, a corner: [8, 1, 3, 3]
EDGE_FILTERS = np.array([
    [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]],
    [[2, 1, 0], [1, 0, -1], [0, -1, -2]],
    [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
    [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
    [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    [[1, -2, 1], [-2, 4, -2], [1, -2, 1]],
], np.int8)[:, None]


def images(count: int, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``(x, y)``: digits as uint8 activations, gray levels 0..16 as codes 0..240, [count, 1, 8, 8], and labels."""
    x, y = digits()
    picked = np.arange(start, start + count) % len(x)
    return (x[picked, None] * 15).astype(np.uint8), y[picked]


@functools.cache
def trained_layer() -> np.ndarray:
    """int8 weights [64, 10] of the perceptron after three passes over the first 1,500 digits."""
    x, y = digits()
    x = x.reshape(len(x), 64).astype(np.int64)
    weights = np.zeros((10, 64), np.int64)
    for _ in range(3):
        for image, label in zip(x[:1500], y[:1500], strict=True):
            guess = int(np.argmax(weights @ image))
            if guess != label:
                weights[label] += image
                weights[guess] -= image
    multiplier, shift = multiplier_from_scale(Fraction(127, int(np.abs(weights).max())))
    return requantize(weights, multiplier, shift, flavour="tosa_single").T


def output_gradient(x: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """int8 gradient [B, 10] of a squared error: the layer's scores, shifted to int8, less 64 at the label."""
    scores = half_even.shift(x.reshape(len(x), -1).astype(np.int64) @ weights.astype(np.int64), 12)
    scores[np.arange(len(x)), labels] -= 64
    return S8.saturate(scores)


def edges(x: np.ndarray) -> np.ndarray:
    """int8 [B, 8, 8, 8]: what the edge filters answer to images [B, 1, 8, 8], shifted to int8."""
    acc, _ = conv(x, EDGE_FILTERS, Geometry(padding=1))
    return S8.saturate(half_even.shift(acc, 4))
