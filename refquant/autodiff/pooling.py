"""Pooling over images [B, C, H, W].

    max pooling      the largest value of a window; its gradient goes to the first place that holds it
    average pooling  the mean of a window
    global pooling   the mean of a whole channel: [B, C]
"""
from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from refquant.autodiff.engine import Op
from refquant.reals import mean
from refquant.reals.large import large


@Op
def max_pool(x, *, size, stride=None):
    """The largest of each window of ``size`` x ``size``, ``stride`` (its size unless given) apart, no padding.

    x : reals [B, C, H, W].
    size : 1 to the smaller of H and W.
    stride : 1 or more; windows may overlap.

    Returns [B, C, OH, OW]; places that no whole window covers are left out; NaN where a window holds one.

    Backward: its derivative, at the first place that holds the largest.

    Raises ValueError for a window that does not fit, a stride below 1, or an x of other dimensions; TypeError for a
    Fixed.

    Source: ONNX MaxPool without padding; the first of equals as in torch.
    """
    windows = _windows(x, size, stride)
    if large(x):
        from refquant.autodiff import pooling_kernels  # imports Numba

        return pooling_kernels.max_pool(x, _places(x, size, stride), windows.shape[:4])
    held = windows.reshape(*windows.shape[:4], size * size)
    return np.take_along_axis(held, held.argmax(-1)[..., None], -1)[..., 0]


@max_pool.def_backward
def max_pool_backward(g, out, x, *, size, stride=None):
    if large(x) and (stride is None or stride >= size):
        from refquant.autodiff import pooling_kernels  # imports Numba

        return pooling_kernels.max_pool_backward(g, out, x, _places(x, size, stride)),
    first = _windows(x, size, stride).reshape(*g.shape, size * size).argmax(axis=-1)
    return _scattered([np.where(first == k, g, 0.0) for k in range(size * size)], x.shape, size, stride),


@Op
def average_pool(x, *, size, stride=None):
    """The mean of each window of ``size`` x ``size``, ``stride`` (its size unless given) apart, no padding.

    x, size, stride : as for `max_pool`; x [B, C, H, W].

    Returns [B, C, OH, OW].

    Backward: its derivative.

    Raises what `max_pool` does.

    Source: ONNX AveragePool without padding, summed in the order of `refquant.reals.total`.
    """
    return mean(_windows(x, size, stride), axis=(4, 5))


@average_pool.def_backward
def average_pool_backward(g, out, x, *, size, stride=None):
    return _scattered([g / size**2] * size**2, x.shape, size, stride),


@Op
def global_average_pool(x):
    """The mean over all places of ``x`` [B, C, H, W], as [B, C].

    Backward: its derivative.

    Raises ValueError for an x of fewer dimensions or without places, TypeError for a Fixed.

    Source: ONNX GlobalAveragePool, but without the last two axes; summed in the order of `refquant.reals.total`.
    """
    return mean(x, axis=(2, 3))


@global_average_pool.def_backward
def global_average_pool_backward(g, out, x):
    share = g / (x.shape[2] * x.shape[3])
    return np.broadcast_to(share[:, :, None, None], x.shape).copy(),


def _windows(x: np.ndarray, size: int, stride: int | None) -> np.ndarray:
    """[B, C, OH, OW, size, size] views."""
    if x.ndim != 4 or not 1 <= size <= min(x.shape[2:]):
        raise ValueError(f"size = {size!r}: expected a window that fits images [B, C, H, W]; x has shape {x.shape}")
    stride = size if stride is None else stride
    if stride < 1:
        raise ValueError(f"stride = {stride!r}: expected 1 or more")
    return sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]


def _scattered(shares: list[np.ndarray], shape: tuple[int, ...], size: int, stride: int | None) -> np.ndarray:
    """The gradient of x: ``shares[i * size + j]`` [B, C, OH, OW] added where place (i, j) of each window lies."""
    stride = size if stride is None else stride
    out = np.zeros(shape)
    for k, share in enumerate(shares):
        i, j = divmod(k, size)
        oh, ow = share.shape[2:]
        out[:, :, i:i + (oh - 1) * stride + 1:stride, j:j + (ow - 1) * stride + 1:stride] += share
    return out


def _places(x: np.ndarray, size: int, stride: int | None) -> np.ndarray:
    """[size^2, OH OW]: where place i * size + j of each window lies in an image of H W places."""
    height, width = x.shape[2:]
    windows = _windows(np.arange(height * width).reshape(1, 1, height, width), size, stride)
    return np.ascontiguousarray(windows.reshape(-1, size * size).T)
