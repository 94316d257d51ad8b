"""Max pooling compiled: equal to `pooling` in NumPy, bit for bit.

Where a window's places lie in an image is a table, ``places`` [size^2, OH OW]: place k = i size + j of each window.
"""
from __future__ import annotations

import numpy as np

from refquant.compiling import compiled


def max_pool(x: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The first largest of each window, of ``shape`` [B, C, OH, OW]; NaN where it holds one."""
    out = np.empty(shape)
    _max_pool(_images(x), places, _images(out))
    return out


def max_pool_backward(g: np.ndarray, out: np.ndarray, x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``g`` where each window first holds its largest, which is ``out``, else 0. Windows that do not overlap."""
    if g.shape != out.shape:
        raise ValueError(f"g has shape {g.shape}: expected {out.shape}")
    g_x, (first, missing) = np.zeros(x.shape), np.empty((2, places.shape[1]), np.int64)
    _max_pool_backward(_images(g), _images(out), _images(x), places, first, missing, _images(g_x))
    return g_x


def _images(x: np.ndarray) -> np.ndarray:
    """[B, C, ...] as [B C, ...], contiguous and writable, which is the one type that the kernels are compiled for."""
    return np.require(x, np.float64, ["C", "W"]).reshape(x.shape[0] * x.shape[1], -1)


@compiled
def _max_pool(x, places, out):
    for m in range(len(x)):
        image, largest = x[m], out[m]
        for k in range(len(places)):
            at = places[k]
            if k == 0:
                for w in range(len(at)):
                    largest[w] = image[at[w]]
            for w in range(len(at)):
                value, held = image[at[w]], largest[w]
                later = (value > held) | ((value != value) & (held == held))
                largest[w] = value if later else held


@compiled
def _max_pool_backward(g, out, x, places, first, missing, g_x):
    for m in range(len(x)):
        image, largest, share, to = x[m], out[m], g[m], g_x[m]
        for w in range(len(first)):
            first[w], missing[w] = 0, 1
        for k in range(len(places) - 1):  # a window that has not met it by then holds it at its last place
            at = places[k]
            for w in range(len(first)):
                value = image[at[w]]
                missing[w] &= ~((value == largest[w]) | (value != value))
                first[w] += missing[w]
        for w in range(len(first)):
            to[places[first[w], w]] = 0.0 + share[w]  # as a sum that begins with 0: no -0.0
