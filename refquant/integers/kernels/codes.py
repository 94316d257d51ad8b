"""Codes back to reals in one pass: ``scale * (code - zero_point)``, the difference rounded to the precision of scale.

Codes of at most 16 bits, and zero points that leave the difference within int32; ``out`` [size], in scale's precision.
"""
from __future__ import annotations

import numpy as np

from refquant.compiling import compiled


@compiled
def by_row(codes, scales, zero_points, row, out):
    """scales, zero_points : [channels], which alternate every ``row`` elements."""
    kind = scales.dtype.type
    for r in range(codes.size // row):
        here, c = slice(r * row, (r + 1) * row), r % scales.size
        given, reals, scale, zero_point = codes[here], out[here], scales[c], zero_points[c]
        for i in range(row):
            reals[i] = scale * kind(np.int32(np.int32(given[i]) - zero_point))


@compiled
def by_column(codes, scales, zero_points, out):
    """As `by_row`; element i has those i mod channels."""
    kind, period = scales.dtype.type, scales.size
    for start in range(0, codes.size, period):
        given, reals = codes[start:start + period], out[start:start + period]
        for i in range(given.size):
            reals[i] = scales[i] * kind(np.int32(np.int32(given[i]) - zero_points[i]))
