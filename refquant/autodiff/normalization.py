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
from refquant.reals.large import large
from refquant.reals.sums import LONG

# The constant of the authors' code in place of 1: 0.175 (1 + sqrt(pi ln 4)); it makes D near the standard deviation.
AUTHORS_FACTOR = 0.5 * 0.35 * (1 + float(np.sqrt(np.pi * float(log(4.0)))))


@Op
def batch_norm(x, gamma, beta, *, eps=1e-5, statistics=None):
    """Batch norm with the batch's own statistics, a channel at a time, float64 of x's shape:

        gamma (x - mu) / D + beta,  D = sqrt(mean((x - mu)^2) + eps)

    x : reals [B, C] or [B, C, H, W].
    gamma, beta : [C].
    eps : under the root, beside the variance.
    statistics : what `refquant.autodiff.normalization.batch_statistics` says of ``x``, from whoever has asked already.

    Backward: its derivative, statistics included (given ones are still taken as functions of x).

    Raises ValueError for an x of fewer dimensions or without values, or a shape that does not fit; TypeError for a
    Fixed.

    Source: Ioffe 2015, with the variance divided by n, as ONNX BatchNormalization in training mode.
    """
    mu, width = statistics or batch_statistics(x, eps)
    return _normalized(x, mu, width, gamma, beta)


@batch_norm.def_backward
def batch_norm_backward(g, out, x, gamma, beta, *, eps=1e-5, statistics=None):
    mu, width = statistics or batch_statistics(x, eps)
    if _compiled(x):
        from refquant.autodiff import normalization_kernels  # imports Numba

        return normalization_kernels.batch_norm_backward(g, x, mu, width, gamma)
    x_hat = (x - _wide(mu, x)) / _wide(width, x)
    g_gamma, g_beta = _total(g * x_hat), _total(g)
    n = x.size // len(mu)
    g_x = _wide(gamma, x) * (g - _wide(g_beta / n, x) - x_hat * _wide(g_gamma / n, x)) / _wide(width, x)
    return g_x, g_gamma, g_beta


@Op
def range_batch_norm(x, gamma, beta, *, eps=1e-5, chunks=1, factor=1.0, quantize_scale=None, statistics=None):
    """Range BN with the batch's own statistics, a channel of n values at a time, float64 of x's shape:

        gamma (x - mu) / D + beta,  D = factor C(n) (max x - min x) + eps,  C(n) = 1 / sqrt(2 ln n)

    With K chunks D = factor C(n/K) (mean of the chunks' max - mean of their min) + eps.

    x : reals [B, C] or [B, C, H, W].
    gamma, beta : [C].
    eps : the paper has none (0); a channel whose values are all equal needs it.
    chunks : must divide the values a channel, and leave each chunk two or more.
    factor : 1 in the paper, `refquant.autodiff.normalization.AUTHORS_FACTOR` (0.54) in the authors' code.
    quantize_scale : a function of 1 / D [C] that returns the reals to use in its place (the authors' 8-bit scale).
    statistics : what `refquant.autodiff.normalization.range_statistics` says of ``x``, from whoever has asked already.

    Backward: its derivative, at the first of equal extremes; straight through quantize_scale.

    Raises ValueError for chunks that do not divide the values or leave one value each, for an x of fewer dimensions,
    or a shape that does not fit; TypeError for a Fixed.

    Source: Banner 2018, eq. 1 and 2; the gradient is derived (sec. 7 gives that of max and min). The authors' code has
    chunks=16, eps=1e-5 and its own factor.
    """
    mu, scale = statistics or range_statistics(x, eps, chunks, factor)
    used = scale if quantize_scale is None else quantize_scale(scale)
    return _normalized(x, mu, np.ones(len(mu)), gamma * used, beta)  # division by 1 changes no bit


@range_batch_norm.def_backward
def range_batch_norm_backward(g, out, x, gamma, beta, *, eps=1e-5, chunks=1, factor=1.0, quantize_scale=None,
                              statistics=None):
    """With ``quantize_scale``, straight through it: the scale in use wherever it multiplies, 1 / D in its own rule."""
    mu, scale = statistics or range_statistics(x, eps, chunks, factor)
    used = scale if quantize_scale is None else quantize_scale(scale)
    if _compiled(x):
        from refquant.autodiff import normalization_kernels  # imports Numba

        g_x, g_width, g_gamma, g_beta = normalization_kernels.range_backward(g, x, mu, used, gamma)
    else:
        centred, g_hat = x - _wide(mu, x), _wide(gamma, x) * g
        g_x = np.ascontiguousarray(_wide(used, x) * (g_hat - _wide(_mean(g_hat), x)))
        g_width, g_gamma, g_beta = _total(g_hat * centred), _total(g * centred), _total(g)
    values = g_x.reshape(*x.shape[:2], -1)  # [B, C, places]
    pull = _chunk_constant(x, chunks, factor) / chunks * scale * scale * g_width
    for highest, lowest in zip(*_extremes(x, chunks), strict=True):
        values[highest] -= pull
        values[lowest] += pull
    return g_x, g_gamma * used, g_beta


def range_constant(n: int) -> float:
    """C(n) = 1 / sqrt(2 ln n); ValueError below 2, where the logarithm is not positive."""
    if n < 2:
        raise ValueError(f"n = {n}: expected at least 2 values to take a range of")
    return float(1 / np.sqrt(2 * log(float(n))))


def batch_statistics(x: np.ndarray, eps: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """``(mu, D)`` [C] of `batch_norm`; the paper's running statistics average these."""
    x = _with_channels(x)
    if _compiled(x):
        from refquant.autodiff import normalization_kernels  # imports Numba

        return normalization_kernels.statistics(x, eps)
    mu = _mean(x)
    centred = x - _wide(mu, x)
    return mu, np.sqrt(_mean(centred * centred) + eps)


def range_statistics(x: np.ndarray, eps: float = 1e-5, chunks: int = 1,
                     factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """``(mu, 1 / D)`` [C] of `range_batch_norm`; what the authors' running buffers average."""
    x = _with_channels(x)
    constant, values = _chunk_constant(x, chunks, factor), x.reshape(*x.shape[:2], -1)
    highest, lowest = (mean(np.stack([values[place] for place in places]), 0) for places in _extremes(x, chunks))
    with np.errstate(divide="ignore"):
        return _mean(x), 1 / (constant * (highest - lowest) + eps)


def _normalized(x: np.ndarray, mu: np.ndarray, width: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """``scale ((x - mu) / width) + shift``, all of these [C]."""
    x = _with_channels(x)
    if _compiled(x):
        from refquant.autodiff import normalization_kernels  # imports Numba

        return normalization_kernels.normalized(x, mu, width, scale, shift)
    return _wide(scale, x) * ((x - _wide(mu, x)) / _wide(width, x)) + _wide(shift, x)


def _chunk_constant(x: np.ndarray, chunks: int, factor: float) -> float:
    """The constant C of one chunk."""
    n = x.size // x.shape[1]
    if chunks < 1 or n % chunks:
        raise ValueError(f"chunks = {chunks}: expected a divisor of the {n} values a channel")
    return factor * range_constant(n // chunks)


Place = tuple[np.ndarray, np.ndarray, np.ndarray]


def _extremes(x: np.ndarray, chunks: int) -> tuple[list[Place], list[Place]]:
    """Where each chunk has its first maximum and its first minimum: indices (image, channel, place), each [C]."""
    parts = x.reshape(*x.shape[:2], -1)
    images, channels, places = parts.shape
    channel = np.arange(channels)
    if images % chunks:  # chunks that cut images: each becomes one, [chunks, C, length]
        parts = np.moveaxis(parts, 1, 0).reshape(channels, chunks, -1).swapaxes(0, 1)
    found: tuple[list[Place], list[Place]] = [], []
    for k, part in enumerate(np.split(parts, chunks)):
        for extreme, at in zip((np.argmax, np.argmin), found, strict=True):
            inner = extreme(part, 2)  # [images, C]
            image = extreme(np.take_along_axis(part, inner[:, :, None], 2)[:, :, 0], 0)
            position = (k * len(part) + image) * part.shape[2] + inner[image, channel]
            at.append((position // places, channel, position % places))
    return found


def _compiled(x: np.ndarray) -> bool:
    """Whether `normalization_kernels` serves: for images in pairs, of long rows."""
    return len(x) % 2 == 0 and x.size >= LONG * x.shape[0] * x.shape[1] and large(x)


def _with_channels(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: expected [B, C] or [B, C, H, W]")
    return x


def _wide(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    """[C] shaped to broadcast against [B, C, ...]."""
    return v.reshape(-1, *(1,) * (x.ndim - 2))


def _total(x: np.ndarray) -> np.ndarray:
    """The sum of each channel [C], images in order."""
    return total(x, (0, *range(2, x.ndim)))


def _mean(x: np.ndarray) -> np.ndarray:
    """The mean of each channel [C]."""
    return mean(x, (0, *range(2, x.ndim)))
