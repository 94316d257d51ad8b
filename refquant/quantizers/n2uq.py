"""Liu, Cheng, Huang, Xing, Shen 2022: Nonuniform-to-Uniform Quantization (arXiv 2111.14826): N2UQ.

n bits, K = 2^n - 1 learned intervals a_1..a_K from a start s, input and output scales b1, b2 (all per tensor):

    grid        d_0 = s,  d_i = s + a_1 + ... + a_i           a_i counts as at least eps
    thresholds  T_i = d_{i-1} + a_i / 2                       the middle of interval i          (eq. 10)
    forward     z = b1 x,  q(z) = number of T_i <= z,  y = b2 Delta q(z)                        (eq. 2)
    E(z)        sum over i of clip((z - d_{i-1}) / a_i, 0, 1): the mean of a stochastic q

Backward, G-STE: the derivative of E. In segment i, where z lies between d_{i-1} and d_i (outside all segments: 0):

    dE/dz = 1 / a_i,  dE/ds = -1 / a_i,  dE/da_k = -1 / a_i for k < i,  -(z - d_{i-1}) / a_i^2 for k = i,  0 for k > i
    dL/db2 = sum of g Delta q, of the forward's own q;  dL/da_k = 0 where a_k <= eps

    paper           Delta = 1,      a threshold belongs to the level above,  segments [d_{i-1}, d_i)
    authors' code   Delta = 2 / K,  to the level below,                      segments (d_{i-1}, d_i]

Weights, entropy preserving, per filter (section 3.2.3 and appendix A):

    sf = (2^n - 1) / 2^(n-1) * mean|W|,   F(w) = 2 / K * round((clip(w, -1, 1) + 1) K / 2) - 1
    paper  W_q = F(W / sf)        authors' code  W_q = sf F(W / sf)
"""
from __future__ import annotations

import math
from typing import Literal

import numpy as np

from refquant.autodiff.engine import Op
from refquant.autodiff.loss import softmax, softmax_cross_entropy
from refquant.integers import Fixed, IntFormat
from refquant.integers.fixed import along
from refquant.integers.quantize import choice
from refquant.integers.rounding import Frozen, half_even
from refquant.quantizers.grid import check_finite, check_variant, compiles, on_grid
from refquant.reals import mean, total

__all__ = ["distillation_loss", "expected_level", "initial_intervals", "n2uq_quantize", "n2uq_weight"]


@Op
def n2uq_quantize(x, a, start, scale1, scale2, *, bits, eps=1e-3, variant="paper"):
    """``x`` as levels 0..K of learned thresholds: a Fixed of its shape, of scale |b2| Delta (signed where b2 < 0).

    x : reals, any shape; infinities have the outer levels.
    a : the intervals [K], in units of z = b1 x, K = 2^bits - 1.  start : s, in the same units, one number.
    scale1, scale2 : b1 and b2, one number each. All four are learned.
    bits : 2 or more.  eps : what an interval counts as at least, one positive number.
    variant : "paper" or "authors", which differ in Delta and in what lies on a threshold.

    Backward: the derivative of `expected_level` (G-STE), but scale2's is of the forward's own level, and an interval at
    or below eps has none.

    Raises ValueError for other shapes, NaN, learned numbers that are not finite, scale2 = 0, or an unknown variant.

    Source: Liu 2022, eq. 2 and 10, section 3.2.2 (theorem 1); b1, b2 and eps: section 4.1 and the authors' code.
    """
    grid, lengths, delta = _grid(a, start, bits, eps, variant)
    z, output = _one(scale1, "scale1") * x, _one(scale2, "scale2")
    if np.isnan(z).any():
        raise ValueError("x holds NaN: a NaN has no level")
    if output == 0:
        raise ValueError(f"scale2 = {output}: expected a number other than 0")
    q = _counted(z, grid[:-1] + lengths / 2, variant)
    format = IntFormat(bits, signed=False) if output > 0 else IntFormat(bits + 1)
    return Fixed(q if output > 0 else -q.astype(np.int64), abs(output) * delta, format)


@n2uq_quantize.def_backward
def n2uq_quantize_backward(g, out, x, a, start, scale1, scale2, *, bits, eps=1e-3, variant="paper"):
    grid, lengths, delta = _grid(a, start, bits, eps, variant)
    input_scale, output_scale = _one(scale1, "scale1"), _one(scale2, "scale2")
    z, levels = input_scale * x, len(lengths)
    segment = _counted(z, grid, variant)  # 1..K; 0 and K + 1 outside
    slope, weighted = _slopes(g, z, segment, grid, lengths, output_scale, delta)
    passed, g_a = _sums(slope, segment, levels), -_sums(weighted, segment, levels)
    for k in range(levels):
        g_a[k] -= total(passed[k + 1:])
    x = np.where((segment >= 1) & (segment <= levels), x, 0.0)  # outside, where the slope is 0, it may be infinite
    g_start, g_scale1 = -total(slope), total(slope * x)
    g_scale2 = total(g * np.abs(out.codes.astype(np.float64))) * delta
    return (slope * input_scale, np.where(a > eps, g_a, 0.0), g_start.reshape(start.shape),
            g_scale1.reshape(scale1.shape), g_scale2.reshape(scale2.shape))


def _counted(z: np.ndarray, bounds: np.ndarray, variant: str) -> np.ndarray:
    """How many ``bounds`` each element has reached; one on a bound has, in the paper, and has not, in "authors"."""
    side: Literal["left", "right"] = "right" if variant == "paper" else "left"
    if compiles(z):
        from refquant.quantizers import threshold_kernels
        return threshold_kernels.counted(z, bounds, side)
    return np.searchsorted(bounds, z, side)


def _slopes(g, z, segment, grid, lengths, output_scale: float, delta: float):
    """``(g dy/dz, that times (z - d) / a)``, d and a of the element's own segment; 0 outside all segments."""
    if compiles(z):
        from refquant.quantizers import threshold_kernels
        return threshold_kernels.slopes(g, z, segment, grid, lengths, output_scale, delta)
    within = (segment >= 1) & (segment <= len(lengths))
    k = np.clip(segment, 1, len(lengths)) - 1
    slope = np.where(within, g * output_scale * delta / lengths[k], 0.0)
    weighted = slope * (np.where(within, z, 0.0) - grid[k]) / lengths[k]  # outside, z may be infinite
    return slope, weighted


def _sums(values: np.ndarray, segment: np.ndarray, levels: int) -> np.ndarray:
    """For each segment 1..levels the sum of its ``values``, those of others counting as 0."""
    if compiles(values) and values.size > 1:
        from refquant.quantizers import threshold_kernels
        return threshold_kernels.sums(values, segment, levels)
    return np.array([total(np.where(segment == k, values, 0.0)) for k in range(1, levels + 1)])


def expected_level(x, a, start, scale1, scale2, *, bits, eps=1e-3, variant="paper") -> np.ndarray:
    """``b2 Delta E(b1 x)``: the mean of the stochastic quantizer, whose derivative G-STE is (but for b2).

    x, a, start, scale1, scale2, bits, eps, variant : as for `n2uq_quantize`; NaN stays NaN.

    Returns float64 of x's shape (any shape).

    Raises ValueError for other shapes, learned numbers that are not finite, or an unknown variant.

    Source: Liu 2022, section 3.2.2. (Theorem 1 prints 0 above the last interval, where its own sum is K, as here.)
    """
    grid, lengths, delta = _grid(a, start, bits, eps, variant)
    z = (_one(scale1, "scale1") * np.asarray(x, np.float64))[..., None]
    return _one(scale2, "scale2") * delta * total(np.clip((z - grid[:-1]) / lengths, 0, 1), -1)


def initial_intervals(bits: int) -> np.ndarray:
    """a_i = 2 / K, float64 [K] for K = 2^``bits`` - 1: with start 0 and both scales 1 the uniform quantizer of [0, 2].

    Raises nothing of its own.

    Source: Liu 2022, section 4.1.
    """
    levels = 2**bits - 1
    return np.full(levels, 2 / levels)


def _grid(a, start, bits: int, eps: float, variant: str) -> tuple[np.ndarray, np.ndarray, float]:
    """``(d_0..d_K, a_1..a_K at least eps, Delta)``."""
    levels = 2**bits - 1
    if np.shape(a) != (levels,):
        raise ValueError(f"a has shape {np.shape(a)}: expected [{levels}], an interval for each step of {bits} bits")
    a = np.asarray(a, np.float64)
    check_finite(a, "a")
    lengths = np.where(a > eps, a, eps)
    grid = [_one(start, "start")]
    for length in lengths:
        grid.append(grid[-1] + float(length))
    return np.array(grid), lengths, 1.0 if check_variant(variant) == "paper" else 2 / levels


def _one(value, name: str) -> float:
    if np.size(value) != 1:
        raise ValueError(f"{name} has shape {np.shape(value)}: expected one number")
    check_finite(np.asarray(value, np.float64), name)
    return float(np.reshape(value, ()))


def distillation_loss(student, teacher: np.ndarray):
    """The cross-entropy of a student's logits with the probabilities of a teacher's, temperature 1: one number.

    student : a Tensor [B, C].  teacher : its logits [B, C], an array: nothing flows back to it.

    Raises ValueError for other shapes.

    Source: Liu 2022's authors' code: no hard label takes part (theirs had a ResNet-101 for its teacher).
    """
    return softmax_cross_entropy(student, softmax(teacher))


GRADIENTS = ("ste", "authors")


@Op
def n2uq_weight(w, *, bits, rounding=half_even, variant="paper", gradient=None):
    """Weights on 2^bits levels, near equally used, with no level at 0: a Fixed of their shape.

    w : reals [out, ...].
    bits : 2 to 32; the levels, odd multiples of half a step, take bits + 1 signed bits.
    rounding : a mode, its name or `Stochastic`; with `Frozen` the result is reals.
    variant : "paper", F(W / sf), per tensor; "authors", sf F(W / sf), one scale a filter [out].
    gradient : "ste": g dW_q/dW where |W / sf| <= 1, else 0; "authors": g / sf everywhere. The one of the variant's name
        ("ste" for "paper") unless given; the paper gives none.

    Backward: with the rounding error and sf constant, "ste" is the derivative of W_q, "authors" that of W / sf, which
    neither clips nor multiplies by sf again.

    Raises ValueError for a ``w`` that is not finite, filters without weights, or an unknown choice.

    Source: Liu 2022, section 3.2.3 and appendix A; the authors' code.
    """
    factor, u, levels = _filters(w, bits, variant, gradient)
    index = on_grid((np.clip(u, -1, 1) + 1) * levels / 2, 1.0, IntFormat(bits, signed=False), rounding=rounding)
    per_filter = factor if variant == "authors" else np.ones(len(w))
    if isinstance(rounding, Frozen):
        return along(per_filter, 0, w.ndim) * (2 * index / levels - 1)
    codes = 2 * index.codes.astype(np.int64) - levels
    if variant == "paper":
        return Fixed(codes, 1 / levels, IntFormat(bits + 1))
    return Fixed(codes, factor / levels, IntFormat(bits + 1), axis=0)


@n2uq_weight.def_backward
def n2uq_weight_backward(g, out, w, *, bits, rounding=half_even, variant="paper", gradient=None):
    factor, u, _ = _filters(w, bits, variant, gradient)
    if (gradient or {"paper": "ste", "authors": "authors"}[variant]) == "authors":
        return g / along(factor, 0, w.ndim),
    slope = 1.0 if variant == "authors" else 1 / along(factor, 0, w.ndim)
    return np.where(np.abs(u) <= 1, g * slope, 0.0),


def _filters(w: np.ndarray, bits: int, variant: str, gradient: str | None) -> tuple[np.ndarray, np.ndarray, int]:
    """``(sf [out], W / sf, K)``; a filter of zeros counts as sf = 1."""
    check_variant(variant)
    if gradient is not None:
        choice("gradient", gradient, GRADIENTS)
    check_finite(w, "w")
    levels = 2**bits - 1
    magnitude = mean(np.abs(w).reshape(len(w), math.prod(w.shape[1:])), 1)
    factor = np.where(magnitude > 0, levels / 2 ** (bits - 1) * magnitude, 1.0)
    return factor, w / along(factor, 0, w.ndim), levels
