"""The order of an epoch: every sample once, in batches.

    key_i       = 64 Philox bits of element i, stream (seed, ORDER, epoch)
    permutation = the samples sorted by key, ties by their number

A stream of Philox bits is named by (seed, tensor, step). The layers of a network count their tensors from 0; what is
drawn for the data has numbers from the other end.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refquant.integers import philox_bits

ORDER = 2**32 - 1  # its step is the epoch
"""The number of the Philox stream that orders an epoch: one int, the last below 2^32. Its step is the epoch.

Raises nothing of its own.

Source: refquant's own.
"""
AUGMENTATION = 2**32 - 2
"""The number of the Philox stream that crops and flips: one int, the last but one below 2^32.

Raises nothing of its own.

Source: refquant's own.
"""


def permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order of ``n`` samples in ``epoch``: int64 [n], every number below n once.

    n : 1 or more.  seed : below 2^64.  epoch : below 2^32.

    Raises ValueError for numbers outside these.

    Source: refquant's own: sorted by Philox bits (Salmon et al. 2011), so that an order depends on nothing else.
    """
    if n < 1:
        raise ValueError(f"n = {n!r} samples: expected 1 or more")
    keys = philox_bits(64, n, seed, ORDER, epoch)
    return np.argsort(keys, kind="stable").astype(np.int64)


def batches(n: int, size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """The samples of each batch of ``epoch``, int64 [size], in the order of `permutation`.

    n, seed, epoch : as of `permutation`.
    size : 1 or more. The last batch has what is left, but never one sample alone: it joins the batch before, for
        batch normalization has no variance of a single image. (Batches of size 1 are full, and stay as they are.)

    Raises ValueError for numbers outside these.

    Source: refquant's own.
    """
    return iter(np.split(permutation(n, seed, epoch), _cuts(n, size)))


def steps(n: int, size: int) -> int:
    """How many batches `batches` makes of ``n`` samples, one int.

    n, size : as of `batches`; an n below 1 is not refused.

    Raises ValueError for a ``size`` below 1.

    Source: refquant's own.
    """
    return len(_cuts(n, size)) + 1


def _cuts(n: int, size: int) -> list[int]:
    """Where the batches after the first begin."""
    if size < 1:
        raise ValueError(f"size = {size!r} samples a batch: expected 1 or more")
    cuts = list(range(size, n, size))
    return cuts[:-1] if n % size == 1 else cuts
