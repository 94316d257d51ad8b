"""Fournarakis, Nagel 2021: In-Hindsight Quantization Range Estimation for Quantized Training (arXiv 2105.04246).

A tensor is quantized with a range known before it is computed, so that every quantization is static; meanwhile its own
minimum and maximum are collected for the next step. G_t: the tensor of step t, unquantized; eta the momentum.

    in hindsight   range_t = (1 - eta) minmax(G_{t-1}) + eta range_{t-1}          range_0 = minmax(G_0)
    running        range_t = (1 - eta) minmax(G_t)     + eta range_{t-1}          range_0 = minmax(G_0)
    current        range_t = minmax(G_t)
    DSGC           range_t = [-c, c], c the clip of least cosine distance, searched every so many steps (Zhu 2020)

So the in-hindsight range of a step is the running range of the step before. An estimator is two pure functions:

    range(seen, state)   the range to quantize with          seen: what the tensor shows, state: None at first
    update(seen, state)  the state for the next step

Quantizer (asymmetric): scale and zero point as `refquant.integers.affine.gemmlowp`, so 0 is exact;
codes = clip(round(x / scale) + zero_point); backward: straight through inside the range, 0 outside.

Notes: the paper's text was not at hand for eta = 0.9, the first step, and the quantizers; they follow its authors'
public quantization library and secondary sources.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import golden

from refquant.autodiff.engine import Op
from refquant.integers import Fixed, IntFormat, affine
from refquant.integers.quantize import choice
from refquant.integers.rounding import half_even
from refquant.quantizers.grid import LEAST_WIDTH, Units, finite_highest, on_grid, passed, some_width
from refquant.reals import total

Range = tuple[float, float]
NAMES = ("current", "running", "hindsight")
COARSE = 8  # clips that the search for DSGC's looks at first


@dataclass(frozen=True)
class Estimator:
    """How a quantization range is found: "current", "running" or "hindsight", by min and max with momentum eta.

    static : whether the range is known before the tensor is, so that no high-precision copy has to be kept.
    """

    name: str = "hindsight"
    eta: float = 0.9

    def __post_init__(self):
        choice("name", self.name, NAMES)
        if not 0 <= self.eta < 1:
            raise ValueError(f"eta = {self.eta}: expected 0 <= eta < 1")

    @property
    def static(self) -> bool:
        return self.name == "hindsight"

    def range(self, seen: Range, state: Range | None) -> Range:
        """The range to quantize with a tensor that shows ``seen`` (min, max), given the state of the steps before."""
        if state is None or self.name == "current":
            return seen
        return state if self.static else self.update(seen, state)

    def update(self, seen: Range, state: Range | None) -> Range:
        """The state after a tensor that showed ``seen``."""
        if state is None or self.name == "current":
            return seen
        low, high = ((1 - self.eta) * new + self.eta * old for new, old in zip(seen, state, strict=True))
        return low, high


def collected_range(accumulators: Fixed) -> Range:
    """The least and the greatest value of a product, from its sums: the statistic of a step, before any rounding.

    What an accelerator keeps two registers an accumulator scale for, compared as integers as the sums go by; the
    scale multiplies once, at the end. Equal to the minimum and maximum of ``accumulators.value``.
    """
    codes, axis = accumulators.codes, accumulators.axis
    if codes.size == 0:
        raise ValueError(f"accumulators have shape {codes.shape}: expected at least one sum")
    if np.ndim(accumulators.scale) == 0:
        return float(accumulators.scale * codes.min()), float(accumulators.scale * codes.max())
    others = tuple(d for d in range(codes.ndim) if d != axis)
    low, high = accumulators.scale * codes.min(others), accumulators.scale * codes.max(others)
    return float(low.min()), float(high.max())


CURRENT, RUNNING, HINDSIGHT = Estimator("current"), Estimator("running"), Estimator("hindsight")


@Op
def hindsight_quantize(x, *, range_min, range_max, bits, rounding=half_even):
    """``x`` on [range_min, range_max], widened to hold 0, in ``bits`` unsigned bits: a Fixed."""
    format = IntFormat(bits, signed=False)
    scale, zero_point = affine.gemmlowp(*some_width(range_min, range_max), format)
    return on_grid(x, scale, format, units=Units(divisor=scale), zero_point=zero_point, rounding=rounding,
                   plus=zero_point)


@hindsight_quantize.def_backward
def hindsight_quantize_backward(g, out, x, *, range_min, range_max, bits, rounding=half_even):
    low, high = some_width(range_min, range_max)
    return passed(g, x, min(low, 0), max(high, 0)),


@Op
def symmetric_quantize(x, *, max_abs, bits, rounding=half_even):
    """``x`` on [-max_abs, max_abs] in ``bits`` narrow bits, zero point 0: the quantizer of weights, and of DSGC."""
    format = IntFormat(bits, narrow=True)
    scale, _ = affine.symmetric(max_abs or LEAST_WIDTH, format)
    return on_grid(x, scale, format, units=Units(divisor=scale), rounding=rounding)


@symmetric_quantize.def_backward
def symmetric_quantize_backward(g, out, x, *, max_abs, bits, rounding=half_even):
    level = max_abs or LEAST_WIDTH
    return passed(g, x, -level, level),


def cosine_distance(g: np.ndarray, q: np.ndarray) -> float:
    """1 - <g, q> / (|g| |q|); 1 where either is 0."""
    lengths = float(np.sqrt(total(g * g)) * np.sqrt(total(q * q)))
    return 1 - float(total(g * q)) / lengths if lengths > 0 else 1.0


def dsgc_clip(g: np.ndarray, bits: int = 8, tolerance: float = 1e-3, quantized: Callable | None = None) -> float:
    """The clip c in (0, max|g|] whose symmetric quantization is nearest in direction to ``g``; 0 for a g of zeros.

    Found by golden section on c / max|g| to ``tolerance`` (Direction Sensitive Gradient Clipping: Zhu et al. 2020,
    arXiv 1912.12607).  quantized : what gives the quantized gradient for a clip; rounded to nearest unless given.
    """
    highest = finite_highest(g, "g")
    if highest == 0:
        return 0.0

    def distance(fraction: float) -> float:
        clip = min(fraction, 1.0) * highest
        q = symmetric_quantize.forward(g, max_abs=clip, bits=bits).value if quantized is None else quantized(clip)
        return cosine_distance(g, q) + max(fraction - 1, 0)  # beyond the maximum there is nothing to gain

    # golden section starts from three points, the middle one the lowest: found by a coarse look
    fractions = [tolerance, *(k / COARSE for k in range(1, COARSE + 2))]
    seen = [distance(fraction) for fraction in fractions]
    k = int(np.argmin(seen))
    if k == 0 or seen[k] >= min(seen[k - 1], seen[k + 1]):
        return fractions[k] * highest  # where every clip is as good
    return min(float(golden(distance, brack=tuple(fractions[k - 1:k + 2]), tol=tolerance)), 1.0) * highest
