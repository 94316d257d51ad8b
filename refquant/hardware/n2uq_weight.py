"""N2UQ's weights as an accelerator computes them: entropy-preserving codes, one division a weight, no square root.

A filter of N weights w, M = sum |w|, n bits, K = 2^n - 1 (section 3.2.3 and appendix A of the paper):

    sf = K / 2^(n-1) * M / N,    u = w / sf = w 2^(n-1) N / (K M),    index = round((clip(u, -1, 1) + 1) K / 2)

(u + 1) K / 2 = (w 2^(n-1) N + K M) / (2 M), a quotient of integers; its ends 0 and K are integers, so that clipping
may as well follow the rounding:

    index = clip(divide(w 2^(n-1) N + K M, 2 M), 0, K)          a filter of zeros: round(K / 2)
    code  = 2 index - K                                         odd, -K..K: bits + 1 signed bits; no code is 0
    scale of a code, by which it stands for a weight in units of w:
        paper    1 / K                                          F(W / sf) alone; W is taken to be real
        authors  sf / K = M / (N 2^(n-1))                       sf F(W / sf); a filter of zeros: 1 / K
"""
from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refquant.hardware import checks
from refquant.hardware.scaling import divide
from refquant.integers.fixed import along
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import Rounding, half_even
from refquant.quantizers.grid import check_variant

__all__ = ["Weight", "weight"]

S48 = IntFormat(48)


class Weight(NamedTuple):
    """What `weight` returns.

    codes : odd integers -K..K, s<bits+1>, of the weights' shape [O, ...].
    multiplier, shift : of each filter's codes, int32 and uint8 [O].
    magnitude : M of each filter, int64 [O], within s48.

    Raises nothing of its own.

    Source: refquant's own; see `weight`.
    """

    codes: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    magnitude: np.ndarray


def weight(w: ArrayLike, *, bits: int, variant: str = "paper", rounding: str | Rounding = half_even) -> Weight:
    """The codes of weights, one filter after the other, and the scale of each filter's codes.

    w : integers [O, ...], in any unit: codes do not depend on it.
    bits : 2..8.
    variant : of the scale: "paper", 1 / K, or "authors", sf / K in units of w.
    rounding : of the index, a mode or its name.

    Raises ValueError for other bits, an unknown variant, w without filters or weights, a filter whose M leaves s48, and
    a scale of 2^30 or more; TypeError for a w that is not integers.

    Source: Liu 2022, section 3.2.3 and appendix A, and the authors' code, in integers by refquant; see the module.
    """
    checks.integer("bits", bits, 2, 8)
    w = as_int64(w, "w")
    checks.weights(w, axes=2)
    magnitude, count = magnitudes(w), math.prod(w.shape[1:])
    index = np.clip(indices(w, magnitude, count, bits, rounding), 0, (1 << bits) - 1)
    return Weight(codes(index, bits), *scales(magnitude, count, bits, variant), magnitude)


def magnitudes(w: np.ndarray) -> np.ndarray:
    """M, s48 [O]."""
    largest, count = max(-int(w.min()), int(w.max())), math.prod(w.shape[1:])
    if largest * count > S48.qmax:
        raise ValueError(f"w holds {count} weights up to {largest} a filter: expected sums of them within s48")
    return np.abs(w).reshape(len(w), -1).sum(1)


def indices(w: np.ndarray, magnitude: np.ndarray, count: int, bits: int, rounding: str | Rounding) -> np.ndarray:
    """``round((u + 1) K / 2)`` of ``w`` [O, ...]; ``magnitude`` [O]: of each filter the sum of ``count`` |w|. int64."""
    levels = (1 << bits) - 1
    total = along(np.where(magnitude > 0, magnitude, 1), 0, w.ndim)  # of zeros any: w is 0
    return divide(w * (count << (bits - 1)) + levels * total, 2 * total, rounding)


def codes(index: np.ndarray, bits: int) -> np.ndarray:
    """``2 index - K`` in s<bits+1>."""
    return (2 * index - (1 << bits) + 1).astype(IntFormat(bits + 1).dtype)


def scales(magnitude: np.ndarray, count: int, bits: int, variant: str) -> tuple[np.ndarray, np.ndarray]:
    """``(multiplier s32 [O], shift u8 [O])`` of each filter's codes."""
    plain = multiplier_from_scale(Fraction(1, (1 << bits) - 1))
    scaled = magnitude if check_variant(variant) == "authors" else np.zeros_like(magnitude)
    pairs = {m: multiplier_from_scale(Fraction(m, count << (bits - 1))) if m else plain for m in set(scaled.tolist())}
    multipliers, shifts = zip(*(pairs[m] for m in scaled.tolist()), strict=True)
    return np.array(multipliers, np.int32), np.array(shifts, np.uint8)
