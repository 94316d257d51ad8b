"""The softmax cross-entropy's gradient in integers, by a table of exponentials.

    l = logits in sixteenths,  e = table[min(max l - l, 255)],  table[j] = 2^15 exp(-j / 16)
    p = e 2^15 / sum e,        g = p - 2^15 [label]             the gradient of the loss, in 2^-15 / B
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.hardware.scaling import divide, scaled
from refquant.hardware.step.progress import S32, Progress
from refquant.integers import multiplier_from_scale
from refquant.integers.rounding import half_even
from refquant.reals import exp

SIXTEENTHS, ONE, LARGEST = 16, 1 << 15, 255


def exp_table() -> np.ndarray:
    """uint16 [256]: 2^15 exp(-j / 16)."""
    return half_even(ONE * exp(-np.arange(LARGEST + 1) / SIXTEENTHS)).astype(np.uint16)


def loss_gradient(step: Progress, acc: np.ndarray, scale: Fraction, labels: np.ndarray) -> tuple[np.ndarray, Fraction]:
    """``(g, its scale)`` of the last layer's sums [B, 10]; records the logits and g."""
    logits = step.put("logits", scaled(acc, *multiplier_from_scale(SIXTEENTHS * scale)), S32)
    below = np.minimum(logits.max(1, keepdims=True).astype(np.int64) - logits, LARGEST)
    e = step.constants["exp"][below].astype(np.int64)
    g = divide(e * ONE, e.sum(1, keepdims=True))
    g[np.arange(len(g)), labels] -= ONE
    return step.put("loss_g", g, S32), step.put_scale("loss_g_scale", Fraction(1, ONE * len(g)))
