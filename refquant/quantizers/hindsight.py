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

__all__ = ["CURRENT", "HINDSIGHT", "RUNNING", "Estimator", "collected_range", "cosine_distance", "dsgc_clip",
           "hindsight_quantize", "symmetric_quantize"]

Range = tuple[float, float]
NAMES = ("current", "running", "hindsight")
COARSE = 8  # clips that the search for DSGC's looks at first


@dataclass(frozen=True)
class Estimator:
    """How a quantization range is found; `CURRENT`, `RUNNING` and `HINDSIGHT` are the three with eta 0.9.

    name : "current", "running" or "hindsight".
    eta : the momentum, one number, 0 <= eta < 1: the weight of what was before.

    Raises ValueError for another name or eta.

    Source: Fournarakis 2021, the rule as LUQ, eq. 18, quotes it for max|x|; min and max, eta and the first step follow
    the public quantization library of its authors' group, as the paper's text was not at hand.
    """

    name: str = "hindsight"
    eta: float = 0.9

    def __post_init__(self):
        choice("name", self.name, NAMES)
        if not 0 <= self.eta < 1:
            raise ValueError(f"eta = {self.eta}: expected 0 <= eta < 1")

    @property
    def static(self) -> bool:
        """Whether the range is known before the tensor is, so that no high-precision copy has to be kept."""
        return self.name == "hindsight"

    def range(self, seen: Range, state: Range | None) -> Range:
        """The range, (min, max), to quantize a tensor with.

        seen : (min, max) of that tensor.  state : what `update` gave after the step before, None at first.
        """
        if state is None or self.name == "current":
            return seen
        return state if self.static else self.update(seen, state)

    def update(self, seen: Range, state: Range | None) -> Range:
        """The state, (min, max), after a tensor that showed ``seen``, from the ``state`` before it."""
        if state is None or self.name == "current":
            return seen
        low, high = ((1 - self.eta) * new + self.eta * old for new, old in zip(seen, state, strict=True))
        return low, high


def collected_range(accumulators: Fixed) -> Range:
    """``(min, max)`` of the values of a product, from its sums: the statistic of a step, before any rounding.

    accumulators : Fixed, any shape, per tensor or per channel, of zero point 0.

    What an accelerator keeps two registers an accumulator scale for, compared as integers as the sums go by; the
    scale multiplies once, at the end. Equal to the minimum and maximum of ``accumulators.value``.

    Raises ValueError for a tensor without elements, or with another zero point.

    Source: Fournarakis 2021, whose statistics are collected at the accelerator's output; the registers are refquant's.
    """
    codes, axis = accumulators.codes, accumulators.axis
    if codes.size == 0:
        raise ValueError(f"accumulators have shape {codes.shape}: expected at least one sum")
    if np.any(accumulators.zero_point):
        raise ValueError(f"accumulators have zero_point {accumulators.zero_point}: expected 0, as sums have")
    if np.ndim(accumulators.scale) == 0:
        return float(accumulators.scale * codes.min()), float(accumulators.scale * codes.max())
    others = tuple(d for d in range(codes.ndim) if d != axis)
    low, high = accumulators.scale * codes.min(others), accumulators.scale * codes.max(others)
    return float(low.min()), float(high.max())


CURRENT = Estimator("current")
"""The range of the tensor itself; it has to be there, whole, before it is quantized."""
RUNNING = Estimator("running")
"""The moving average that the tensor has joined already; so it too must wait for the tensor."""
HINDSIGHT = Estimator("hindsight")
"""The moving average of the steps before: known before the tensor is."""


@Op
def hindsight_quantize(x, *, range_min, range_max, bits, rounding=half_even):
    """``x`` on the range widened to hold 0, in ``bits`` unsigned bits: a Fixed of its shape, per tensor.

    x : reals, any shape; infinities have the outer codes.
    range_min, range_max : one number each, in x's units, range_min <= range_max; [0, 0] counts as [0, 1e-8].
    bits : 2 to 32.
    rounding : a mode, its name, `Stochastic` or `refquant.quantizers.grid.Dithered`; with `Frozen` the result is reals.

    Backward: g where x lies within the widened range, ends included, else 0: the derivative of the clip to it.

    Raises ValueError for NaN in ``x``, a range that is not finite, is the wrong way round, or so wide or narrow that
    float64 or the zero point's int32 does not hold its grid, and for an unknown rounding.

    Source: the public quantization library of Fournarakis 2021's authors' group; the paper's own choice is not known to
    us. The zero point is rounded half away, as `refquant.integers.affine.gemmlowp` does.
    """
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
    """``x`` on [-max_abs, max_abs] in ``bits`` narrow bits, zero point 0: the quantizer of weights, and of DSGC.

    x : reals, any shape; infinities have the outer codes.
    max_abs : one number, in x's units, 0 or more; 0 counts as 1e-8.
    bits : 2 to 32.  rounding : as for `hindsight_quantize`.

    Returns a Fixed of x's shape, per tensor.
    Backward: g where |x| <= max_abs, else 0: the derivative of the clip.

    Raises ValueError for NaN in ``x``, a max_abs that is negative, not finite or too small for a scale, and for an
    unknown rounding.

    Source: Zhu et al. 2020 (arXiv 1912.12607), scale c / 127 in 8 bits; for weights refquant's own choice.
    """
    format = IntFormat(bits, narrow=True)
    scale, _ = affine.symmetric(max_abs or LEAST_WIDTH, format)
    return on_grid(x, scale, format, units=Units(divisor=scale), rounding=rounding)


@symmetric_quantize.def_backward
def symmetric_quantize_backward(g, out, x, *, max_abs, bits, rounding=half_even):
    level = max_abs or LEAST_WIDTH
    return passed(g, x, -level, level),


def cosine_distance(g: np.ndarray, q: np.ndarray) -> float:
    """1 - <g, q> / (|g| |q|), one number; 1 where either is 0.

    g, q : reals of one shape, any shape.

    Raises nothing of its own.

    Source: Zhu et al. 2020 (arXiv 1912.12607); the 1 is refquant's own.
    """
    lengths = float(np.sqrt(total(g * g)) * np.sqrt(total(q * q)))
    return 1 - float(total(g * q)) / lengths if lengths > 0 else 1.0


def dsgc_clip(g: np.ndarray, bits: int = 8, tolerance: float = 1e-3, quantized: Callable | None = None) -> float:
    """The clip c in (0, max|g|] whose symmetric quantization is closest in direction to ``g``; 0 for a g of zeros.

    g : reals, any shape.  bits : 2 to 32.
    tolerance : of the golden section on c / max|g|, one number.
    quantized : a function of the clip that gives the quantized gradient, of g's shape; `symmetric_quantize` in ``bits``
        bits, half_even, unless given.

    Raises ValueError for a ``g`` that is not finite.

    Source: Zhu et al. 2020 (Direction Sensitive Gradient Clipping, arXiv 1912.12607); the search, golden section after
    a coarse look, is refquant's own.
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
