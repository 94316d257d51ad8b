"""N2UQ's activations as an accelerator computes them: comparisons with thresholds, slopes by segment, five gradients.

The real method (`refquant.quantizers.n2uq`) sees z = b1 x of x = s_acc * acc. z rises with acc, so that a place p of
the real grid is one integer t, with bisection found from the quantizer's own comparison; K = 2^bits - 1:

    paper, "at_or_above"     t = the least acc with p <= z,     reached: t <= acc      T_i and d_i, both by this rule
    authors, "above"         t = one less than the least acc with p < z,   t < acc
    forward     code = number of thresholds reached
    backward    L_k = d_k - d_{k-1};  segment k: d_{k-1} is reached and d_k is not; in it, with F fraction bits:
                dx = saturate(scaled(g, ratio(2^F / L_k)));  outside all segments 0
                P_k = sum of g,  M_k = sum of g (acc - d_{k-1});  over all elements  dscale2 = sum of g * code
                da_k    = half_even(-2^F (M_k / L_k^2 + sum over j > k of P_j / L_j))
                dstart  = half_even(-2^F sum of P_j / L_j),  dscale1 = half_even(2^F sum of (M_j + d_{j-1} P_j) / L_j)

With a_k = b1 s_acc L_k, y's scale b2 Delta and g in units of s_g these are the real rules: one unit of each result is

    dx          s_g b2 Delta / (s_acc 2^F)            dscale1   s_g b2 Delta / (b1 2^F)
    da, dstart  s_g b2 Delta / (b1 s_acc 2^F)         dscale2   s_g Delta

exactly where the d_i are multiples of b1 s_acc, else with L_k off by less than 1. The caller drops da_k if a_k <= eps.
"""
from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refquant.hardware import checks
from refquant.hardware.scaling import scaled
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.quantize import choice
from refquant.integers.rounding import Rounding, half_even
from refquant.quantizers.grid import check_finite, check_variant

__all__ = ["backward", "forward", "integer_thresholds", "segments", "slopes"]

S32, S48, S64 = IntFormat(32), IntFormat(48), IntFormat(64)
REACHED = {"paper": "at_or_above", "authors": "above"}
FRACTION_BITS = 62  # at most: 2^F is an int64
SIDES = {"at_or_above": "right", "above": "left"}  # of numpy.searchsorted


def integer_thresholds(a: ArrayLike, start: float, scale1: float, acc_scale: float, *, bits: int, acc_format: IntFormat,
                       variant: str = "paper", eps: float = 1e-3) -> np.ndarray:
    """s32 [K]: the thresholds that give every accumulator of ``acc_format`` the real quantizer's code.

    a [K], start, scale1, bits, variant, eps : the real quantizer's.  acc_scale : s_acc, one number.
    One that none reaches lies one above the format, one that all reach at its lower end ("authors": one lower, both).
    Raises ValueError for another shape, a scale that is not positive, a number not finite, a threshold outside s32.
    Source: Liu 2022, eq. 10; in integers by refquant.
    """
    grid, lengths = _grid(a, start, bits, eps)
    least = _least_reaching(grid[:-1] + lengths / 2, scale1, acc_scale, acc_format.qmin, acc_format.qmax, variant)
    return _as_format(least, S32, "thresholds")


def segments(a: ArrayLike, start: float, scale1: float, acc_scale: float, *, bits: int, variant: str = "paper",
             eps: float = 1e-3) -> np.ndarray:
    """s32 [K + 1]: the bounds d_0..d_K that put every accumulator into the real quantizer's segment.

    a, start, scale1, acc_scale, bits, variant, eps : as for `integer_thresholds`.
    Raises ValueError as it does, and for an interval in which no accumulator lies.
    Source: Liu 2022, section 3.2.2; in integers by refquant.
    """
    grid, _ = _grid(a, start, bits, eps)
    bounds = _as_format(_least_reaching(grid, scale1, acc_scale, 2 * S32.qmin, 2 * S32.qmax, variant), S32, "bounds")
    _check_bounds(bounds)
    return bounds


def slopes(bounds: ArrayLike, fraction_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """``(multiplier s32 [K], shift u8 [K])`` of each segment's 2^F / L_k, from ``bounds`` [K + 1] and F.

    Raises ValueError unless the bounds rise, F = ``fraction_bits`` is 0..62, and every slope below 2^30.
    Source: Liu 2022, section 3.2.2; in integers by refquant.
    """
    one, bounds = _one(fraction_bits), as_int64(bounds, "bounds")
    _check_bounds(bounds)
    pairs = [multiplier_from_scale(Fraction(one, int(length))) for length in np.diff(bounds)]
    multipliers, shifts = zip(*pairs, strict=True)
    return np.array(multipliers, np.int32), np.array(shifts, np.uint8)


def forward(acc: ArrayLike, thresholds: ArrayLike, *, bits: int, reached: str) -> np.ndarray:
    """Codes u<bits> of ``acc``, of its shape: how many thresholds each has ``reached``, "at_or_above" or "above".

    acc : integers, any shape.  thresholds : integers, [1, K] for all, or [C, K] for the channels of axis 1.
    Raises ValueError for another shape, a row that falls or an unknown ``reached``, TypeError for what is no integers.
    Source: Liu 2022, eq. 2; "above": the authors' code.
    """
    acc, thresholds, side = as_int64(acc, "acc"), as_int64(thresholds, "thresholds"), _side(reached)
    format = IntFormat(bits, signed=False)
    allowed = [(1, format.qmax), *((channels, format.qmax) for channels in acc.shape[1:2])]
    if thresholds.shape not in allowed:
        raise ValueError(f"thresholds have shape {thresholds.shape}: expected {' or '.join(map(str, allowed))}")
    if (np.diff(thresholds, axis=1) < 0).any():
        raise ValueError("thresholds fall somewhere: expected each row to rise, or to stay")
    if len(thresholds) == 1:
        codes = np.searchsorted(thresholds[0], acc, side=side)
    else:
        codes = np.stack([np.searchsorted(row, acc[:, c], side=side) for c, row in enumerate(thresholds)], 1)
    return codes.astype(format.dtype)


def segment(acc: ArrayLike, bounds: ArrayLike, reached: str) -> np.ndarray:
    """The segment 1..K of each accumulator; 0 below all, K + 1 above all. ValueError unless the bounds rise."""
    bounds = as_int64(bounds, "bounds")
    _check_bounds(bounds)
    return np.searchsorted(bounds, as_int64(acc, "acc"), side=_side(reached))


def input_gradient(g: ArrayLike, segment: np.ndarray, multiplier: ArrayLike, shift: ArrayLike, *,
                   rounding: str | Rounding, dx_format: IntFormat) -> np.ndarray:
    """``g`` by the slope of its segment, 0 outside all of them, saturated into ``dx_format``."""
    multiplier, shift = np.asarray(multiplier), np.asarray(shift)
    within = (segment >= 1) & (segment <= len(multiplier))
    k = np.where(within, segment, 1) - 1
    return dx_format.saturate(np.where(within, scaled(g, multiplier[k], shift[k], rounding), 0))


def sums(g: ArrayLike, acc: ArrayLike, segment: np.ndarray, bounds: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """``(P s48 [K], M s64 [K])``: over each segment the sum of g, and of g (acc - d_{k-1})."""
    g, acc, bounds = as_int64(g, "g"), as_int64(acc, "acc"), as_int64(bounds, "bounds")
    checks.shape("g", g, acc.shape)
    levels = len(bounds) - 1
    largest, longest = max(-int(g.min(initial=0)), int(g.max(initial=0))), int(np.diff(bounds).max())
    if largest * g.size * max(longest, levels) >= 1 << 63:  # the codes, too, are multiplied by g and summed
        raise ValueError(f"{g.size} gradients up to {largest}, in segments up to {longest} long: "
                         "expected sums of g (acc - d) within int64")
    within = (segment >= 1) & (segment <= levels)
    k = segment[within] - 1
    passed, moments = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    np.add.at(passed, k, g[within])
    np.add.at(moments, k, g[within] * (acc[within] - bounds[k]))
    return _as_format(passed, S48, "sums of g"), moments


def parameter_gradients(passed: ArrayLike, moments: ArrayLike, bounds: ArrayLike,
                        fraction_bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(da [K], dstart [1], dscale1 [1])``, s64, from P, M and the bounds: over the lengths' least common multiple."""
    edges = [int(d) for d in np.asarray(bounds)]
    lengths = [above - below for below, above in itertools.pairwise(edges)]
    common = math.lcm(*lengths)
    unit = [common // length for length in lengths]  # 1 / L_k, in 1 / common
    steps = [int(p) * u for p, u in zip(np.asarray(passed), unit, strict=True)]
    inner = [int(m) * u for m, u in zip(np.asarray(moments), unit, strict=True)]
    later = list(itertools.accumulate(reversed(steps), initial=0))[-2::-1]  # of the segments after each
    whole = Fraction(_one(fraction_bits), common)
    da = [-whole * (Fraction(m * u, common) + after) for m, u, after in zip(inner, unit, later, strict=True)]
    dstart = -whole * sum(steps)
    dscale1 = whole * (sum(inner) + sum(d * p for d, p in zip(edges[:-1], steps, strict=True)))
    return _rounded(da, "da"), _rounded([dstart], "dstart"), _rounded([dscale1], "dscale1")


class Gradients(NamedTuple):
    """What `backward` returns: dx of g's shape, da [K], the others one number each, [1]; P and M [K]."""

    dx: np.ndarray
    da: np.ndarray
    dstart: np.ndarray
    dscale1: np.ndarray
    dscale2: np.ndarray
    sums: np.ndarray
    moments: np.ndarray


def backward(g: ArrayLike, acc: ArrayLike, thresholds: ArrayLike, bounds: ArrayLike, multiplier: ArrayLike,
             shift: ArrayLike, *, bits: int, fraction_bits: int, reached: str, dx_format: IntFormat,
             rounding: str | Rounding = half_even) -> Gradients:
    """`Gradients`: dx of g's shape; da, sums (P), moments (M) [K], dstart, dscale1, dscale2 [1], int64; see the module.

    g, acc : integers, any one shape.  thresholds [1, K], bounds [K + 1], multiplier and shift [K] (`slopes`).
    bits, reached : as for `forward`.  fraction_bits : F.  dx_format, rounding : of dx.
    Raises ValueError for other shapes, bounds that do not rise, sums that leave their formats; OverflowError by dx.
    Source: Liu 2022, section 3.2.2 (G-STE, the derivative of E; dscale2: of the codes), in integers by refquant.
    """
    levels = IntFormat(bits, signed=False).qmax
    for name, array, shape in (("thresholds", thresholds, (1, levels)), ("bounds", bounds, (levels + 1,)),
                               ("multiplier", multiplier, (levels,)), ("shift", shift, (levels,))):
        checks.shape(name, array, shape)
    g, places = as_int64(g, "g"), segment(acc, bounds, reached)
    passed, moments = sums(g, acc, places, bounds)
    dx = input_gradient(g, places, multiplier, shift, rounding=rounding, dx_format=dx_format)
    da, dstart, dscale1 = parameter_gradients(passed, moments, bounds, fraction_bits)
    codes = forward(acc, thresholds, bits=bits, reached=reached).astype(np.int64)
    dscale2 = _as_format((g * codes).sum().reshape(1), S48, "dscale2")
    return Gradients(dx, da, dstart, dscale1, dscale2, passed, moments)


def _grid(a: ArrayLike, start: float, bits: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """``(d_0..d_K, a_1..a_K at least eps)``, summed in the order of the real quantizer."""
    a, levels = np.asarray(a, np.float64), IntFormat(bits, signed=False).qmax
    if a.shape != (levels,):
        raise ValueError(f"a has shape {a.shape}: expected [{levels}], one interval a step")
    check_finite(a, "a")
    if not math.isfinite(start):
        raise ValueError(f"start = {start}: expected a finite number")
    checks.not_negative("eps", eps)
    lengths = np.where(a > eps, a, eps)
    return np.array(list(itertools.accumulate(lengths.tolist(), initial=float(start)))), lengths


def _least_reaching(points: np.ndarray, scale1: float, acc_scale: float, low: int, high: int,
                    variant: str) -> np.ndarray:
    """For each of ``points`` the integer by which ``low..high`` tell whether they have reached it."""
    checks.positive("scale1", scale1)  # codes must rise
    checks.positive("acc_scale", acc_scale)
    has_reached = np.less_equal if check_variant(variant) == "paper" else np.less
    least, beyond = np.full(len(points), low), np.full(len(points), high + 1)
    while (least < beyond).any():
        middle = (least + beyond) >> 1
        with np.errstate(over="ignore"):
            there = (least == beyond) | has_reached(points, scale1 * (acc_scale * middle))
        least, beyond = np.where(there, least, middle + 1), np.where(there, middle, beyond)
    return least - (variant == "authors")


def _one(fraction_bits: int) -> int:
    return 1 << checks.integer("fraction_bits", fraction_bits, 0, FRACTION_BITS)


def _check_bounds(bounds: np.ndarray) -> None:
    if bounds.ndim != 1 or len(bounds) < 2:
        raise ValueError(f"bounds has shape {bounds.shape}: expected [K + 1], two bounds at least")
    empty = np.flatnonzero(np.diff(bounds) <= 0)
    if len(empty):
        k = int(empty[0])
        raise ValueError(f"bounds {k} and {k + 1} are {bounds[k]} and {bounds[k + 1]}: expected bounds that rise, "
                         "each segment with an accumulator in it")


def _rounded(values: list[Fraction], name: str) -> np.ndarray:
    return _as_format(np.array([round(value) for value in values], object), S64, name)  # Python's round is half_even


def _as_format(values: np.ndarray, format: IntFormat, name: str) -> np.ndarray:
    if not format.contains(values):
        raise ValueError(f"{name} reach from {values.min()} to {values.max()}: expected codes of {format}")
    return values.astype(format.dtype)


def _side(reached: str):
    choice("reached", reached, tuple(SIDES))
    return SIDES[reached]
