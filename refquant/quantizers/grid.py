"""What the quantizers of all five papers end with: reals in units of codes, clipped, rounded, and stored as integers.

    u = ((x - start) / divisor + before) * times + after       reals in units of codes
    codes = round(clip(u, qmin, qmax))                         value = scale * (codes - zero_point)
    codes = round(clip(u, qmin - z, qmax - z)) + z             where the zero point z joins after rounding

The rounding is an argument. Besides those of `refquant.integers` there is the released code's own stochastic rounding,
`Dithered`; and `refquant.integers.rounding.Frozen`, which measures straight-through gradients: rounding then is not
rounding at all, so what comes back are reals and not a Fixed.

Large tensors go through all of it in one compiled pass (`refquant.quantizers.kernels`), with equal codes.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refquant.integers import Fixed, IntFormat, rounding
from refquant.integers.fixed import along
from refquant.integers.quantize import check_width, choice
from refquant.integers.rounding import Frozen, half_even, named
from refquant.worth import worth_compiling

__all__ = ["Dithered", "Units", "on_grid"]

COMPILED_FROM = 1 << 12  # elements: for fewer the compiler, or its cache, is not worth waking


@dataclass(frozen=True)
class Units:
    """How reals x become units of codes: ((x - start) / divisor + before) * times + after.

    start, divisor, before, times, after : one number each. Called with x, float64 of any shape, it returns those units,
        float64; each of the five operations is rounded on its own.

    Raises nothing of its own.

    Source: refquant's own, the operations of the five papers' quantizers in their order.
    """

    start: float = 0.0
    divisor: float = 1.0
    before: float = 0.0
    times: float = 1.0
    after: float = 0.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """``x`` in units of codes; infinite where that is no float, and clipped all the same."""
        with np.errstate(over="ignore"):
            return ((x - self.start) / self.divisor + self.before) * self.times + self.after


def on_grid(x: np.ndarray, scale, format: IntFormat, *, units: Units = Units(), zero_point: int = 0,
            axis: int | None = None, rounding=half_even, plus: int = 0):
    """The Fixed tensor whose codes are ``x``, in ``units`` of codes, clipped to ``format`` and rounded.

    x : float64, an array of any shape; infinities have the outer codes.
    scale, zero_point, axis : of the Fixed: one number each, or with ``axis`` the scales of its channels [C].
    format : IntFormat, at most 32 bits.
    units : `Units`, whether or not they agree with ``scale``.
    rounding : a mode, its name, `Stochastic` or `Dithered`; with `Frozen` the result is reals, not a Fixed.
    plus : an integer that joins after rounding (it matters to ties), as the zero point may.

    Raises ValueError where ``x`` is NaN, which has no code, for a scale that is not positive and finite, a zero point
    beyond int32, an axis or shape that does not fit, and an unknown rounding.

    Source: refquant's own: what the quantizers of all five papers end with. Clipping comes before rounding, as in the
    authors' codes; at whole ends the codes are the same either way.
    """
    check_width(format)
    rounding, codes = named(rounding), None
    if compiles(x):
        from refquant.quantizers import kernels
        codes = kernels.codes(x, units, format, rounding, plus)
    if codes is None:
        u = units(x)
        check_no_nan(u)
        rounded = rounding(np.clip(u, format.qmin - plus, format.qmax - plus)) + plus
        if isinstance(rounding, Frozen):
            return along(np.asarray(scale), axis, u.ndim) * (rounded - zero_point)
        codes = np.clip(rounded, format.qmin, format.qmax).astype(format.dtype)
    return Fixed(codes, scale, format, zero_point, axis)


def compiles(x: np.ndarray) -> bool:
    """Whether ``x`` is large enough for a compiled loop, and there is a compiler."""
    return x.dtype == np.float64 and worth_compiling(x.size, COMPILED_FROM)


def passed(g: np.ndarray, x: np.ndarray, low: float, high: float) -> np.ndarray:
    """The gradient that a clip passes: ``g`` where ``x`` is within [low, high], both ends included, else 0."""
    if compiles(x):
        from refquant.quantizers import kernels
        return kernels.passed(g, x, low, high)
    return np.where((x >= low) & (x <= high), g, 0.0)


LEAST_WIDTH = 1e-8  # of a range: one of no width, as of a tensor of zeros, has no grid


def some_width(range_min: float, range_max: float) -> tuple[float, float]:
    """The range, but [0, `LEAST_WIDTH`] for [0, 0]."""
    return range_min, LEAST_WIDTH if range_min == range_max == 0 else range_max


def highest(x: np.ndarray) -> float:
    """max|x|, 0 for no elements: from the two ends, which takes no array of magnitudes."""
    return abs(max(float(x.max(initial=0.0)), -float(x.min(initial=0.0))))


def finite_highest(x: np.ndarray, name: str) -> float:
    """`highest`, where all is finite: else the ValueError of `check_finite`."""
    found = highest(x)
    if not np.isfinite(found):
        check_finite(x, name)
    return found


def check_no_nan(u: np.ndarray) -> None:
    """A ValueError naming the first NaN of ``u``."""
    if np.isnan(u).any():
        where = tuple(int(i) for i in np.argwhere(np.isnan(u))[0])
        raise ValueError(f"x is NaN at {where}, or its scale is: a NaN has no code")


def check_finite(x: np.ndarray, name: str) -> None:
    """A ValueError naming the first element of ``x`` that is infinite or NaN: a range taken from it would be too."""
    if not np.isfinite(x).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(f"{name} is {x[where]} at {where}: expected finite numbers")


@dataclass(frozen=True, eq=False)
class Dithered:
    """Stochastic rounding as Banner's and Kim's released codes have it: half_even of the value plus noise.

    noise : reals, uniform on (-1/2, 1/2), any shape that broadcasts against what is rounded.

    Called with float64 of any shape, already clipped, it returns integers in float64.

    Raises nothing of its own (NumPy's ValueError for noise that does not broadcast).

    Source: the released codes of Banner 2018 (quantized.pytorch) and Kim 2024. They clip after the noise: the codes are
    the same, as it is below 1/2.
    """

    noise: np.ndarray
    name = "dithered"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return rounding.half_even(x + self.noise)


def inside(u: np.ndarray, format: IntFormat) -> np.ndarray:
    """Where ``u``, in units of codes, is within the format, both ends included: where a clip passes the gradient."""
    return (u >= format.qmin) & (u <= format.qmax)


VARIANTS = ("paper", "authors")


def check_variant(variant: str) -> str:
    """``variant``, or a ValueError: "paper" is what the paper says, "authors" what its released code does."""
    choice("variant", variant, VARIANTS)
    return variant
