"""Random crops and flips (He et al., "Deep residual learning", 2016, section 4.2), one draw for each image.

    padded            = the image with ``pad`` zeros on every side
    row, column       = (word * (2 pad + 1)) >> 32, from two random words: an offset of 0 .. 2 pad
    out[c, i, j]      = padded[c, row + i, column + j]
    flipped[c, i, j]  = out[c, i, W - 1 - j], where the top bit of a third word is 1

Image i of a step has block i of the Philox stream (seed, AUGMENTATION, step): words 0 to 2 of its four are used. So
its draw depends on nothing else: not on the batch it comes in, nor on who draws first.
"""
from __future__ import annotations

import numpy as np

from refquant.integers import philox_bits
from refquant.training.data.batches import AUGMENTATION


def crop_and_flip(x: np.ndarray, pad: int, flip: bool, seed: int, step: int, first: int = 0) -> np.ndarray:
    """Images shifted by up to ``pad`` pixels each way, zeros coming in, and where ``flip``, half of them mirrored.

    x : uint8 [N, C, H, W], images ``first``, ``first + 1``, ... of ``step``.  pad : 0 to the lesser of H and W.
    flip : a boolean.  seed : below 2^64.  step : below 2^32.  first : 0 or more.

    Returns uint8 [N, C, H, W], x untouched.

    Raises ValueError for another dtype or shape, and for numbers outside these.

    Source: He 2016, section 4.2; the draws are refquant's own, by Philox (Salmon et al. 2011).
    """
    if x.dtype != np.uint8 or x.ndim != 4:
        raise ValueError(f"x is {x.dtype} {list(x.shape)}: expected uint8 [N, C, H, W]")
    n, channels, height, width = x.shape
    if not 0 <= pad <= min(height, width):
        raise ValueError(f"pad = {pad!r}: expected 0 to {min(height, width)} for images of {height} x {width}")
    if first < 0:
        raise ValueError(f"first = {first!r}: expected 0 or more")
    words = philox_bits(32, (first + n, 4), seed, AUGMENTATION, step)[first:].astype(np.uint64)
    offsets = ((words * np.uint64(2 * pad + 1)) >> np.uint64(32)).astype(np.int64)
    rows = offsets[:, :1] + np.arange(height)     # [N, H]
    columns = offsets[:, 1:2] + np.arange(width)  # [N, W]
    if flip:
        mirrored = words[:, 2:3] >> np.uint64(31) == 1
        columns = np.where(mirrored, columns[:, ::-1], columns)
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    image, channel = np.arange(n)[:, None, None, None], np.arange(channels)[:, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
