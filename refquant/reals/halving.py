"""`refquant.reals.total` compiled, without transposing: equal to `refquant.reals.sums.in_halves`, bit for bit.

The additions of one level stand side by side and do not wait for each other: they vectorise, and their order stays.
The first level adds while it reads, so that half of what is read is written once, and the rest happens in a cache.
"""
from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from refquant.compiling import compiled


def totals(x: np.ndarray, pairs: int, channels: int, places: int, image_step: int, channel_step: int) -> np.ndarray:
    """One sum for each channel [channels] of contiguous ``x``: 2 ``pairs`` images of rows of ``places`` numbers.

    Row (b, c) starts at ``b image_step + c channel_step`` of the memory; a sum takes its rows in the order of b.
    """
    out, added = np.empty(channels), np.empty(pairs * places)
    _totals(x.reshape(-1), places, image_step, channel_step, added, out)
    return out


@compiled
def _totals(x, places, image_step, channel_step, added, out):
    pairs = len(added) // places
    for c in range(len(out)):
        for b in range(pairs):
            low = b * image_step + c * channel_step
            high = low + pairs * image_step
            first, second, to = x[low:low + places], x[high:high + places], added[b * places:(b + 1) * places]
            for j in range(places):
                to[j] = first[j] + second[j]
        out[c] = halved(added)


@register_jitable
def halved(values):
    """The first half added to the second, until one is left; ``values`` [n], n >= 1, are used up."""
    n = len(values)
    while n > 1:
        half = n // 2
        low, high = values[:half], values[half:2 * half]
        for i in range(half):
            low[i] = low[i] + high[i]
        if n % 2:
            values[0] = values[0] + values[n - 1]
        n = half
    return values[0]
