"""Batch norm and Range BN: each channel less its mean, divided by a measure of its width.

    y = gamma x_hat + beta,   x_hat = (x - mu) / D

    batch norm            D = sqrt(mean((x - mu)^2) + eps)
    Range BN              D = C(n) (max x - min x) + eps,   C(n) = 1 / sqrt(2 ln n)           Banner 2018, eq. 1 and 2
    in K equal chunks     D = C(n/K) (mean of the chunks' max - mean of their min) + eps      the authors' code

x [B, C] or [B, C, H, W]; n values a channel. The backward rules hold g_hat = gamma g, S = sum of g_hat x_hat:

    batch norm   dx = (g_hat - mean g_hat - x_hat S / n) / D
    Range BN     dx = (g_hat - mean g_hat) / D - C / (K D) S (1 at each chunk's maximum, -1 at its minimum)

A maximum that several elements share is the first one's: that keeps sum dx = 0 and, for eps = 0, sum x dx = 0, which
giving each of them the whole gradient would break.
"""
from __future__ import annotations

import numpy as np

from refquant.autodiff.engine import Op
from refquant.reals import log, mean, total

# The constant of the authors' code in place of 1: 0.175 (1 + sqrt(pi ln 4)); it makes D near the standard deviation.
AUTHORS_FACTOR = 0.5 * 0.35 * (1 + float(np.sqrt(np.pi * float(log(4.0)))))


@Op
def batch_norm(x, gamma, beta, *, eps=1e-5):
    """Batch norm with the batch's own statistics; gamma, beta [C]."""
    x_hat, _ = _normalized(_rows(x), eps)
    return _shaped(gamma[:, None] * x_hat + beta[:, None], x.shape)


@batch_norm.def_backward
def batch_norm_backward(g, out, x, gamma, beta, *, eps=1e-5):
    g = _rows(g)
    x_hat, width = _normalized(_rows(x), eps)
    g_gamma, g_beta = total(g * x_hat, 1), total(g, 1)
    n = g.shape[1]
    g_x = gamma[:, None] * (g - (g_beta / n)[:, None] - x_hat * (g_gamma / n)[:, None]) / width
    return _shaped(g_x, x.shape), g_gamma, g_beta


@Op
def range_batch_norm(x, gamma, beta, *, eps=1e-5, chunks=1, factor=1.0, quantize_scale=None):
    """Range BN with the batch's own statistics; gamma, beta [C].

    eps : the paper has none (0); a channel of one value needs it.  chunks : must divide the values a channel, and
    leave each chunk two or more.  factor : 1 in the paper, `AUTHORS_FACTOR` in the authors' code.
    quantize_scale : a function of 1 / D [C] that returns the reals to use in its place (the authors' 8-bit scale).
    """
    mu, _, scale, _ = _range_parts(_rows(x), eps, chunks, factor)
    used = scale if quantize_scale is None else quantize_scale(scale)
    return _shaped((gamma * used)[:, None] * (_rows(x) - mu[:, None]) + beta[:, None], x.shape)


@range_batch_norm.def_backward
def range_batch_norm_backward(g, out, x, gamma, beta, *, eps=1e-5, chunks=1, factor=1.0, quantize_scale=None):
    """With ``quantize_scale``, straight through it: the scale in use wherever it multiplies, 1 / D in its own rule."""
    g, rows = _rows(g), _rows(x)
    mu, constant, scale, extremes = _range_parts(rows, eps, chunks, factor)
    used = scale if quantize_scale is None else quantize_scale(scale)
    centred = rows - mu[:, None]
    g_hat = gamma[:, None] * g
    g_x = used[:, None] * (g_hat - mean(g_hat, 1, keepdims=True))
    pull = constant / chunks * scale * scale * total(g_hat * centred, 1)
    channel = np.arange(len(rows))
    for highest, lowest in extremes:
        g_x[channel, highest] -= pull
        g_x[channel, lowest] += pull
    return _shaped(g_x, x.shape), total(g * centred, 1) * used, total(g, 1)


def range_constant(n: int) -> float:
    """C(n) = 1 / sqrt(2 ln n); ValueError below 2, where the logarithm is not positive."""
    if n < 2:
        raise ValueError(f"n = {n}: expected at least 2 values to take a range of")
    return float(1 / np.sqrt(2 * log(float(n))))


def batch_statistics(x: np.ndarray, eps: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """``(mu, D)`` [C] of `batch_norm`; the paper's running statistics average these."""
    rows = _rows(np.asarray(x, np.float64))
    _, width = _normalized(rows, eps)
    return mean(rows, 1), width[:, 0]


def range_statistics(x: np.ndarray, eps: float = 1e-5, chunks: int = 1,
                     factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """``(mu, 1 / D)`` [C] of `range_batch_norm`; what the authors' running buffers average."""
    mu, _, scale, _ = _range_parts(_rows(np.asarray(x, np.float64)), eps, chunks, factor)
    return mu, scale


def _normalized(rows: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """``(x_hat, D)`` [C, n] and [C, 1]."""
    centred = rows - mean(rows, 1, keepdims=True)
    width = np.sqrt(mean(centred * centred, 1, keepdims=True) + eps)
    return centred / width, width


def _range_parts(rows: np.ndarray, eps: float, chunks: int, factor: float):
    """``(mu, C, 1 / D, [(argmax, argmin) of each chunk])``."""
    n = rows.shape[1]
    if chunks < 1 or n % chunks:
        raise ValueError(f"chunks = {chunks}: expected a divisor of the {n} values a channel")
    length = n // chunks
    constant = factor * range_constant(length)
    parts = [rows[:, k * length:(k + 1) * length] for k in range(chunks)]
    extremes = [(part.argmax(1) + k * length, part.argmin(1) + k * length) for k, part in enumerate(parts)]
    highest = mean(np.stack([part.max(1) for part in parts]), 0)
    lowest = mean(np.stack([part.min(1) for part in parts]), 0)
    with np.errstate(divide="ignore"):
        return mean(rows, 1), constant, 1 / (constant * (highest - lowest) + eps), extremes


def _rows(x: np.ndarray) -> np.ndarray:
    """[B, C, ...] as [C, n], images in order."""
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: expected [B, C] or [B, C, H, W]")
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)


def _shaped(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[C, n] back as [B, C, ...]."""
    return np.ascontiguousarray(np.moveaxis(rows.reshape(shape[1], shape[0], *shape[2:]), 0, 1))
