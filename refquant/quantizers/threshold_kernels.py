"""Learned thresholds, compiled: the loops of `refquant.quantizers.n2uq` over large tensors."""
from __future__ import annotations

import numpy as np

from refquant.compiling import compiled
from refquant.quantizers.kernels import flat
from refquant.reals.halving import halved

BLOCK = 1024  # elements that stay in the first cache while all bounds pass over them


def counted(z: np.ndarray, bounds: np.ndarray, side: str) -> np.ndarray:
    """`np.searchsorted` of each element of ``z``: how many of the ascending ``bounds`` are <= z, or < z ("left")."""
    counts = np.zeros(z.shape, np.uint16)
    # b < z says the same as: the next float after b is <= z
    _count(flat(z), bounds if side == "right" else np.nextafter(bounds, np.inf), counts.reshape(-1))
    return counts


def slopes(g: np.ndarray, z: np.ndarray, segment: np.ndarray, grid: np.ndarray, lengths: np.ndarray,
           output_scale: float, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """``(g dy/dz, that times (z - d) / a)``, d and a of the element's own segment; 0 outside all segments."""
    slope, weighted = np.empty(z.shape), np.empty(z.shape)
    _slopes(flat(g), flat(z), segment.reshape(-1), grid, lengths, output_scale, delta, slope.reshape(-1),
            weighted.reshape(-1))
    return slope, weighted


def sums(values: np.ndarray, segment: np.ndarray, levels: int) -> np.ndarray:
    """For each segment 1..levels the sum of ``values`` that counts those of others as 0; two values or more."""
    out = np.empty(levels)
    _sums(values.reshape(-1), segment.reshape(-1), np.empty(values.size // 2), out)
    return out


@compiled
def _count(z, bounds, counts):
    for first in range(0, z.size, BLOCK):
        part, found = z[first:first + BLOCK], counts[first:first + BLOCK]
        for bound in bounds:
            for i in range(part.size):
                found[i] += np.uint16(bound <= part[i])


@compiled
def _slopes(g, z, segment, grid, lengths, output_scale, delta, slope, weighted):
    for i in range(z.size):
        k = np.int64(segment[i]) - 1
        if 0 <= k < lengths.size:
            slope[i] = g[i] * output_scale * delta / lengths[k]
            weighted[i] = slope[i] * (z[i] - grid[k]) / lengths[k]
        else:
            slope[i] = weighted[i] = 0.0


@compiled
def _sums(values, segment, added, out):
    half = added.size
    for k in range(out.size):
        number = np.uint16(k + 1)
        for i in range(half):
            first = values[i] if segment[i] == number else 0.0
            added[i] = first + (values[i + half] if segment[i + half] == number else 0.0)
        if values.size % 2:
            added[0] += values[-1] if segment[-1] == number else 0.0
        out[k] = halved(added)
