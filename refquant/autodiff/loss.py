"""Losses: means over a batch, one number.

    cross-entropy   -1/B sum over b, c of  p[b, c] log softmax(x[b])[c]      gradient (sum_c p softmax(x) - p) / B
    squared error    1/N sum of (x - t)^2                                    gradient 2 (x - t) / N
"""
from __future__ import annotations

import numpy as np

from refquant.autodiff.engine import Op
from refquant.reals import exp, log_softmax, mean, total


@Op
def softmax_cross_entropy(x, targets):
    """The cross-entropy of logits with target probabilities, one number: the mean over the batch.

    x : logits [B, C].
    targets : [B, C], `one_hot` or a teacher's softmax; their rows need not add up to 1.

    Backward: its derivative, with respect to x and to targets.

    Raises ValueError for other shapes, or nothing in them; TypeError for a Fixed.

    Source: ONNX SoftmaxCrossEntropyLoss (mean) for one-hot targets; Liu 2022, the authors' code, for soft ones.
    """
    if x.ndim != 2 or targets.shape != x.shape or x.size == 0:
        raise ValueError(f"x has shape {x.shape} and targets {targets.shape}: expected [B, C] both, none of them 0")
    return -total(targets * log_softmax(x)) / len(x)


@softmax_cross_entropy.def_backward
def softmax_cross_entropy_backward(g, out, x, targets):
    log_p = log_softmax(x)
    p_sum = total(targets, axis=1, keepdims=True)
    return g * (p_sum * exp(log_p) - targets) / len(x), -g * log_p / len(x)


@Op
def mean_squared_error(x, targets):
    """The mean of ``(x - targets)^2`` over all elements, one number.

    x, targets : reals of one shape, any.

    Backward: its derivative, with respect to both.

    Raises ValueError for two shapes, or nothing to average; TypeError for a Fixed.

    Source: torch's mse_loss, summed in the order of `refquant.reals.total`.
    """
    if targets.shape != x.shape:
        raise ValueError(f"targets has shape {targets.shape}: expected x's, {x.shape}")
    difference = x - targets
    return mean(difference * difference)


@mean_squared_error.def_backward
def mean_squared_error_backward(g, out, x, targets):
    g_x = g * 2 * (x - targets) / x.size
    return g_x, -g_x


def one_hot(labels, classes: int, smoothing: float = 0.0) -> np.ndarray:
    """Target probabilities [B, classes]: 1 - smoothing on the label, and smoothing shared by all.

    labels : integers [B], 0..classes-1.
    classes : how many.
    smoothing : 0 to 1.

    Raises ValueError for what are no integers [B], a label outside 0..classes-1, or smoothing outside [0, 1].

    Source: label smoothing of Szegedy 2016.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels has shape {labels.shape} and dtype {labels.dtype}: expected integers [B]")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}: expected 0 to {classes - 1}")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing = {smoothing}: expected 0 to 1")
    return np.where(labels[:, None] == np.arange(classes), 1 - smoothing, 0.0) + smoothing / classes


def softmax(x) -> np.ndarray:
    """Probabilities [..., C] of logits.

    x : reals [..., C], C >= 1.

    Raises ValueError where there is no last axis, or it is empty.

    Source: ONNX Softmax over the last axis, as the `exp` of `log_softmax`.
    """
    return exp(log_softmax(np.asarray(x, np.float64)))
