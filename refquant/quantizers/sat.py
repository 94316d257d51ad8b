"""Jin, Yang, Liao 2019: Towards Efficient Training for Neural Network Quantization (arXiv 1912.10207): SAT and CG-PACT.

With a = 2^k - 1 and u in [0, 1], k bits:

    original    q(u) = round(a u) / a                                 DoReFa; the paper's
    modified    q(u) = min(floor(2^k u), 2^k - 1) / 2^k               AdaBits
    centered    q(u) = (min(floor(2^k u), 2^k - 1) + 1/2) / 2^k       AdaBits; mean 0

Weights [out, ...]:  W_hat = tanh W / T, T = max|tanh W| (clamped);  Q = 2 q((W_hat + 1) / 2) - 1
    backward, straight through q:  dW = G sech^2(W) / T,  and with T differentiated, as the authors' code does, at its
    element j less  sign(W_j) sech^2(W_j) / T^2 * sum(G tanh W)

SAT, for layers that no batch norm follows:  Q* = s Q, s a constant in backward
    constant    s = 1 / sqrt(n_out VAR[Q])          n_out: outputs, times the kernel's places for a convolution
    stddev      s = sqrt(VAR[W] / VAR[Q])           VAR: sample variance, N - 1

Activations, x~ = clip(x, 0, alpha):  y = alpha q(x~ / alpha), q original
    dy/dx = 1 for 0 < x < alpha, else 0
    PACT        dy/dalpha = 1 for x >= alpha, else 0
    CG-PACT     dy/dalpha = 1 for x >= alpha, else q(x~ / alpha) - x~ / alpha
    two-sided   x~ = clip(x, -alpha, alpha), y = alpha (2 q((x~ / alpha + 1) / 2) - 1); dy/dalpha = -1 for x <= -alpha

Notes: the paper was read through its authors' code (AdaBits) and notes; its equation numbers are not known to us.
"""
from __future__ import annotations

import numpy as np

from refquant.autodiff.engine import Op
from refquant.integers import Fixed, IntFormat, rounding
from refquant.integers.quantize import choice
from refquant.integers.rounding import Frozen, half_even
from refquant.quantizers.grid import Units, check_finite, check_no_nan, check_variant, compiles, highest, on_grid
from refquant.reals import sample_variance, tanh, total

__all__ = ["pact", "q_k", "sat_clamp", "sat_weight"]

SCHEMES = ("original", "modified", "centered")
RESCALES = ("constant", "stddev")


@Op
def q_k(u, *, bits, scheme="original", rounding=half_even):
    """``u`` on the grid of ``scheme`` in [0, 1], in ``bits`` bits: a Fixed of its shape, per tensor.

    u : reals, any shape; clipped to [0, 1].
    bits : 2 to 32; centered's codes, odd, take one bit more.
    scheme : "original", "modified" or "centered".
    rounding : of "original", a mode, its name or `Stochastic`; the others floor. With `Frozen` the result is reals.

    Backward: g where 0 <= u <= 1, else 0: the derivative of the clip, the rounding error held constant.

    Raises ValueError for NaN in ``u`` and an unknown choice.

    Source: Jin 2019, q_k, which is DoReFa's; "modified" and "centered": the authors' code.
    """
    choice("scheme", scheme, SCHEMES)
    if scheme == "original":
        format = IntFormat(bits, signed=False)
        return on_grid(u, 1 / format.qmax, format, units=Units(times=format.qmax), rounding=rounding)
    index = _index(u, bits, rounding)
    if isinstance(rounding, Frozen):
        return (index + (scheme == "centered") / 2) / 2**bits
    if scheme == "modified":
        return Fixed(index.astype(np.int64), 2.0**-bits, IntFormat(bits, signed=False))
    return Fixed(2 * index.astype(np.int64) + 1, 2.0 ** -(bits + 1), IntFormat(bits + 1, signed=False))


@q_k.def_backward
def q_k_backward(g, out, u, *, bits, scheme="original", rounding=half_even):
    return np.where((u >= 0) & (u <= 1), g, 0.0),


def _index(u: np.ndarray, bits: int, frozen) -> np.ndarray:
    """min(floor(2^k u), 2^k - 1); with a Frozen, 2^k u and the error that this made once."""
    check_no_nan(u)
    down = frozen if isinstance(frozen, Frozen) else rounding.floor
    levels = 2.0**bits * np.clip(u, 0, 1)
    return down(levels) if down is frozen else np.clip(down(levels), 0, 2**bits - 1)


@Op
def sat_weight(w, *, bits, scheme="original", rescale=None, rounding=half_even, variant="paper"):
    """Weights as DoReFa's levels in [-1, 1], times SAT's scale: a Fixed of their shape, per tensor.

    w : reals [out, ...].
    bits : 2 to 32. The levels of original and centered, odd multiples of half a step, take bits + 1 signed bits.
    scheme, rounding : as for `q_k`.
    rescale : None, or "constant" or "stddev" for SAT's scale where no batch norm follows.
    variant : of the gradient: whether T is constant ("paper", which does not say as far as we know; others read it so)
        or differentiated ("authors").

    Backward: the derivative of s tanh W / T, with the rounding error and s constant, and T as ``variant`` says.

    Raises ValueError for a ``w`` that is not finite or 0 everywhere, an unknown choice, and with ``rescale`` for fewer
    than two weights or quantized ones that are all equal.

    Source: Jin 2019 (DoReFa's weights; SAT's rescaling), as the authors' code has it.
    """
    check_variant(variant)
    levels = _levels(w, bits, scheme, rounding)
    if isinstance(levels, np.ndarray):  # a Frozen rounding; the scale, a constant, is that of the rounded weights
        return levels * _sat_scale(w, _levels(w, bits, scheme, rounding.rounding).value, rescale)
    return Fixed(levels.codes, levels.scale * _sat_scale(w, levels.value, rescale), levels.format, levels.zero_point)


@sat_weight.def_backward
def sat_weight_backward(g, out, w, *, bits, scheme="original", rescale=None, rounding=half_even, variant="paper"):
    if isinstance(out, Fixed):
        levels = Fixed(out.codes, _level_scale(bits, scheme), out.format, out.zero_point)
    else:
        levels = _levels(w, bits, scheme, rounding.rounding if isinstance(rounding, Frozen) else rounding)
    return _clamp_gradient(g * _sat_scale(w, levels.value, rescale), w, variant),


@Op
def sat_clamp(w, *, rescale=None, variant="paper"):
    """The clamped weights tanh W / max|tanh W|, times SAT's scale: full precision's weights under the same rules.

    w : reals [out, ...].  rescale, variant : as for `sat_weight`.

    Returns float64 of w's shape. Backward: as `sat_weight`, without a rounding error.

    Raises ValueError for a ``w`` that is not finite or 0 everywhere, an unknown rescale (or variant, in backward), and
    with ``rescale`` for fewer than two weights or ones that are all equal.

    Source: Jin 2019, clamped weights; the authors' code trains its full-precision baseline with them.
    """
    clamped = _clamped(w)[0]
    return clamped * _sat_scale(w, clamped, rescale)


@sat_clamp.def_backward
def sat_clamp_backward(g, out, w, *, rescale=None, variant="paper"):
    return _clamp_gradient(g * _sat_scale(w, _clamped(w)[0], rescale), w, variant),


def _levels(w: np.ndarray, bits: int, scheme: str, rounding):
    """2 q((W_hat + 1) / 2) - 1 as a Fixed; reals for a Frozen rounding."""
    u = _clamped(w)[0] * 0.5 + 0.5
    q = q_k.forward(u, bits=bits, scheme=scheme, rounding=rounding)
    if isinstance(rounding, Frozen):
        return 2 * q - 1
    codes, scale = q.codes.astype(np.int64), _level_scale(bits, scheme)
    if scheme == "modified":
        return Fixed(codes, scale, q.format, 1 << (bits - 1))
    top = 2**bits - 1 if scheme == "original" else 2**bits
    doubled = 2 * codes if scheme == "original" else codes  # centered's codes are 2 index + 1 already
    return Fixed(doubled - top, scale, IntFormat(bits + 1))


def _level_scale(bits: int, scheme: str) -> float:
    return {"original": 1 / (2**bits - 1), "modified": 2.0 ** (1 - bits), "centered": 2.0**-bits}[scheme]


def _clamped(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """``(W_hat, tanh W, T)``."""
    check_finite(w, "w")
    bent = tanh(w)
    largest = highest(bent)
    if largest == 0:
        raise ValueError("w is 0 everywhere: expected weights to divide by the largest of")
    return bent / largest, bent, largest


def _clamp_gradient(g: np.ndarray, w: np.ndarray, variant: str) -> np.ndarray:
    _, bent, largest = _clamped(w)
    slope = (1 - bent) * (1 + bent)  # sech^2
    g_w = g * slope / largest
    if check_variant(variant) == "authors":
        j = np.unravel_index(np.abs(bent).argmax(), w.shape)
        g_w[j] -= np.sign(bent[j]) * slope[j] / largest**2 * total(g * bent)
    return g_w


def _sat_scale(w: np.ndarray, effective: np.ndarray, rescale: str | None) -> float:
    """SAT's constant s for the weights in use, ``effective``."""
    if rescale is None:
        return 1.0
    choice("rescale", rescale, RESCALES)
    variance = sample_variance(effective)
    if variance == 0:
        raise ValueError("the weights in use are all equal: expected a variance to divide by")
    if rescale == "stddev":
        return float(np.sqrt(sample_variance(w) / variance))
    outputs = w.shape[0] * int(np.prod(w.shape[2:]))
    return float(1 / np.sqrt(outputs * variance))


@Op
def pact(x, alpha, *, bits, calibrated=True, two_sided=False, rounding=half_even):
    """``x`` clipped to [0, alpha] and quantized: a Fixed of its shape, per tensor.

    x : reals, any shape; infinities are clipped.
    alpha : one number, learned, in x's units; its magnitude counts.
    bits : 2 to 32.
    calibrated : CG-PACT's gradient of alpha rather than PACT's.
    two_sided : clipped to [-alpha, alpha], on odd codes in bits + 1 signed bits.
    rounding : a mode, its name or `Stochastic`; with `Frozen` the result is reals.

    Backward: the derivative of y with the rounding error, in codes, held constant (CG-PACT); PACT's gradient of alpha
    is that of the clip alone, without rounding. A negative alpha's gradient changes sign.

    Raises ValueError for NaN in ``x`` and an alpha that is not one finite number other than 0.

    Source: Jin 2019, CG-PACT; two_sided and the magnitude of alpha: the authors' code.
    """
    clip = _clip_level(alpha)
    top = 2**bits - 1
    if not two_sided:
        return on_grid(x, clip / top, IntFormat(bits, signed=False), units=Units(divisor=clip, times=top),
                       rounding=rounding)
    index = on_grid(x, 1.0, IntFormat(bits, signed=False), units=Units(divisor=clip, before=1, times=top / 2),
                    rounding=rounding)
    if isinstance(rounding, Frozen):
        return clip * (2 * index / top - 1)
    return Fixed(2 * index.codes.astype(np.int64) - top, clip / top, IntFormat(bits + 1))


@pact.def_backward
def pact_backward(g, out, x, alpha, *, bits, calibrated=True, two_sided=False, rounding=half_even):
    clip = _clip_level(alpha)
    if calibrated and compiles(x):
        from refquant.quantizers import clip_kernels
        if clip_kernels.takes(out):
            g_x, g_clip = clip_kernels.cg_pact(g, out, x, -clip if two_sided else 0.0, clip)
            return g_x, (g_clip * np.sign(alpha)).reshape(alpha.shape)
    above, below = x >= clip, (x <= -clip) if two_sided else (x <= 0)
    between = ~above & ~below
    value = out if isinstance(out, np.ndarray) else out.value
    error = (value - np.clip(x, -clip if two_sided else 0, clip)) / clip if calibrated else 0.0
    slope = np.where(above, 1.0, np.where(between, error, -1.0 if two_sided else 0.0))
    g_alpha = total(g * slope) * np.sign(alpha)
    return np.where(between, g, 0.0), g_alpha.reshape(alpha.shape)


def _clip_level(alpha: np.ndarray) -> float:
    if alpha.size != 1 or not np.isfinite(alpha).all() or not alpha.all():
        raise ValueError(f"alpha = {alpha}: expected one finite number other than 0")
    return abs(float(alpha.reshape(())))
