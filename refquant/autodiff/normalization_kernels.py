"""Normalization of images compiled, read in place: equal to the formulas of `normalization` in NumPy, bit for bit.

Every kernel takes float64 images [B, C, n/B] with an even B and arrays [C]. A sum over a channel is the one that
`refquant.reals.total` makes: image b is added to image b + B/2 while they are read, then `halved` goes on. One channel
is finished before the next begins, so that what its second reading needs is still in a cache.
"""
from __future__ import annotations

import numpy as np

from refquant.compiling import compiled
from refquant.reals.halving import halved


def statistics(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """``(mu, D)`` of batch norm."""
    mu, width = np.empty(x.shape[1]), np.empty(x.shape[1])
    _statistics(_rows(x, x), eps, _halves(x, 1)[0], mu, width)
    return mu, width


def normalized(x: np.ndarray, mu: np.ndarray, width: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """``scale ((x - mu) / width) + shift``."""
    out = np.empty(x.shape)
    _normalized(_rows(x, x), *_channels(x, mu, width, scale, shift), _rows(out, x))
    return out


def batch_norm_backward(g: np.ndarray, x: np.ndarray, mu: np.ndarray, width: np.ndarray,
                        gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(dx, dgamma, dbeta)``."""
    g_x, sums = np.empty(x.shape), np.empty((2, x.shape[1]))
    _batch_norm_backward(_rows(g, x), _rows(x, x), *_channels(x, mu, width, gamma), _halves(x, 2), _rows(g_x, x), sums)
    return g_x, sums[0], sums[1]


def range_backward(g: np.ndarray, x: np.ndarray, mu: np.ndarray, scale: np.ndarray,
                   gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``(scale (g_hat - mean g_hat), sum g_hat c, sum g c, sum g)``, c = x - mu: all but the part of the extremes."""
    g_x, sums = np.empty(x.shape), np.empty((4, x.shape[1]))
    _range_backward(_rows(g, x), _rows(x, x), *_channels(x, mu, scale, gamma), _halves(x, 4), _rows(g_x, x), sums)
    return g_x, sums[1], sums[2], sums[3]


def _rows(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``values`` of x's shape as [B, C, n/B], writable, which is the one type that the kernels are compiled for."""
    if values.shape != x.shape:
        raise ValueError(f"g has shape {values.shape}: expected x's, {x.shape}")
    return np.require(values, np.float64, ["C", "W"]).reshape(*x.shape[:2], -1)


def _channels(x: np.ndarray, *vectors: np.ndarray) -> list[np.ndarray]:
    """Each of ``vectors`` as [C]."""
    return [np.array(np.broadcast_to(v, x.shape[1]), np.float64) for v in vectors]


def _halves(x: np.ndarray, sums: int) -> np.ndarray:
    """Memory for the first level of so many sums over one channel."""
    return np.empty((sums, x.size // x.shape[1] // 2))


@compiled
def _statistics(x, eps, added, mu, width):
    images, channels, places = x.shape
    pairs, n = images // 2, images * places
    for c in range(channels):
        for b in range(pairs):
            first, second, to = x[b, c], x[b + pairs, c], added[b * places:(b + 1) * places]
            for j in range(places):
                to[j] = first[j] + second[j]
        m = halved(added) / n
        for b in range(pairs):
            first, second, to = x[b, c], x[b + pairs, c], added[b * places:(b + 1) * places]
            for j in range(places):
                low, high = first[j] - m, second[j] - m
                to[j] = low * low + high * high
        mu[c], width[c] = m, np.sqrt(halved(added) / n + eps)


@compiled
def _normalized(x, mu, width, scale, shift, out):
    images, channels, places = x.shape
    for b in range(images):
        for c in range(channels):
            row, to, m, w, s, t = x[b, c], out[b, c], mu[c], width[c], scale[c], shift[c]
            for j in range(places):
                to[j] = s * np.divide(row[j] - m, w) + t


@compiled
def _batch_norm_backward(g, x, mu, width, gamma, added, out, sums):
    images, channels, places = x.shape
    pairs, n = images // 2, images * places
    for c in range(channels):
        m, w = mu[c], width[c]
        for b in range(pairs):
            low, high, g_low, g_high = x[b, c], x[b + pairs, c], g[b, c], g[b + pairs, c]
            to_low, to_high = out[b, c], out[b + pairs, c]  # x_hat waits where dx will stand
            to, to_g = added[0][b * places:(b + 1) * places], added[1][b * places:(b + 1) * places]
            for j in range(places):
                hat_low, hat_high = np.divide(low[j] - m, w), np.divide(high[j] - m, w)
                to_low[j], to_high[j] = hat_low, hat_high
                to[j] = g_low[j] * hat_low + g_high[j] * hat_high
                to_g[j] = g_low[j] + g_high[j]
        for k in range(len(sums)):
            sums[k, c] = halved(added[k])
        pull, mean, slope = sums[0, c] / n, sums[1, c] / n, gamma[c]
        for b in range(images):
            row, to = g[b, c], out[b, c]
            for j in range(places):
                to[j] = np.divide(slope * ((row[j] - mean) - to[j] * pull), w)


@compiled
def _range_backward(g, x, mu, scale, gamma, added, out, sums):
    images, channels, places = x.shape
    pairs, n = images // 2, images * places
    for c in range(channels):
        m, slope, s = mu[c], gamma[c], scale[c]
        for b in range(pairs):
            low, high, g_low, g_high = x[b, c], x[b + pairs, c], g[b, c], g[b + pairs, c]
            start, end = b * places, (b + 1) * places
            hat, hat_x = added[0][start:end], added[1][start:end]
            plain_x, plain = added[2][start:end], added[3][start:end]
            for j in range(places):
                centred_low, centred_high = low[j] - m, high[j] - m
                hat_low, hat_high = slope * g_low[j], slope * g_high[j]
                hat[j] = hat_low + hat_high
                hat_x[j] = hat_low * centred_low + hat_high * centred_high
                plain_x[j] = g_low[j] * centred_low + g_high[j] * centred_high
                plain[j] = g_low[j] + g_high[j]
        for k in range(len(sums)):
            sums[k, c] = halved(added[k])
        mean = sums[0, c] / n
        for b in range(images):
            row, to = g[b, c], out[b, c]
            for j in range(places):
                to[j] = s * (slope * row[j] - mean)
