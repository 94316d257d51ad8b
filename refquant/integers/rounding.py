"""Rounding, always by name: of reals, and exactly as a right shift of integers.

    half_even    to the nearest integer, ties to the even one        half_up     ties toward +infinity
    half_away    ties away from zero                                 half_down   ties toward -infinity
    half_zero    ties toward zero
    floor, ceil  toward -infinity, +infinity                         trunc, away  toward zero, away from zero
    odd          inexact values to whichever neighbour is odd (von Neumann, "jamming")

Each mode is one rule: given the integer below, whether that integer is odd, where the remainder lies against one
half, and the sign, does the result go up? The rule is written once and serves reals and integers alike:

    half_even(x)                 reals rounded to integers
    half_even.shift(values, s)   integers / 2^s rounded to integers
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers.formats import as_int64, as_integers, extremes

__all__ = [
    "MODES", "OTHER_NAMES", "Frozen", "Rounding", "away", "ceil", "floor", "half_away", "half_down", "half_even",
    "half_up", "half_zero", "named", "odd", "translate", "trunc",
]


@dataclass(frozen=True)
class Rounding:
    """A named rounding mode: call it on reals ``x``, or `shift` integers with it, of any shape.

    Called, it gives whole numbers in x's float dtype (float64 for what is not float32); infinities and NaN stay.

    name : what `named` finds it by.
    goes_up : the mode's rule for inexact values, of four boolean arrays of one shape: ``goes_up(below, half, negative,
        odd)``. below, half: the remainder above the floor is under one half, is exactly one half; negative: the value
        is; odd: the floor is.
    on_floats : IEEE 754's own function of the same rule, where NumPy has one: the same numbers, sooner.

    Raises TypeError, when called, for what are no reals, and as `shift` says.

    Source: IEEE 754 (five of the modes), RISC-V vxrm, ap_fixed, QONNX: each mode names its own, `OTHER_NAMES` them all.
    """

    name: str
    goes_up: Callable[..., np.ndarray]
    on_floats: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """``x`` (reals, any shape) rounded to integers, in x's float dtype; infinities and NaN stay.

        Exact for every float: the fraction is measured from the truncated value, which loses no bit, so that
        0.49999999999999994 is below a tie and 2^52 + 1 is an integer. float32 and float64 stay; integers and float16
        become float64. Raises TypeError for anything else.
        """
        x = as_reals(x)
        if self.on_floats is not None:
            with np.errstate(invalid="ignore"):
                return np.where(x == 0, x, self.on_floats(x) + 0.0)  # the rule gives +0 for what is not 0 itself
        with np.errstate(invalid="ignore"):
            floor, distance, negative = np.floor(x), np.abs(x - np.trunc(x)), x < 0
            # the remainder above the floor is the distance from the truncated value, or for negatives 1 minus it
            below = np.where(negative, distance > 0.5, distance < 0.5)
            up = self.goes_up(below, distance == 0.5, negative, np.fmod(floor, 2) != 0)
            return np.where((distance > 0) & up, floor + x.dtype.type(1), floor)

    def shift(self, values: ArrayLike, shift: ArrayLike, plus: ArrayLike = 0) -> np.ndarray:
        """``plus + values / 2^shift`` rounded to integers, exactly.

        values : integers within int64, any shape.
        shift : 0..63, of a shape that broadcasts.
        plus : integers likewise, that join before the rounding, and so matter to what is even or negative.

        Returns int64, which the sum must fit.

        Raises ValueError for a shift or a value out of range, TypeError for floats.
        """
        values, amount, remainder, half = split(values, shift)
        floor = (values >> amount) + plus
        up = self.goes_up(remainder < half, remainder == half, floor < 0, (floor & 1) != 0)
        return floor + ((remainder != 0) & up)

    def __repr__(self) -> str:
        return f"<rounding {self.name}>"


half_even = Rounding("half_even", lambda below, half, negative, odd: np.where(half, odd, ~below), np.rint)
"""To the nearest integer, ties to the even one. Source: IEEE 754 roundTiesToEven; ONNX Round and QuantizeLinear."""
half_away = Rounding("half_away", lambda below, half, negative, odd: np.where(half, ~negative, ~below))
"""To the nearest integer, ties away from zero. Source: IEEE 754 roundTiesToAway; C's round."""
half_up = Rounding("half_up", lambda below, half, negative, odd: ~below)
"""To the nearest integer, ties toward +infinity. Source: TOSA SINGLE_ROUND; RISC-V rnu; ap_fixed AP_RND."""
half_down = Rounding("half_down", lambda below, half, negative, odd: ~(below | half))
"""To the nearest integer, ties toward -infinity. Source: ap_fixed AP_RND_MIN_INF; APyTypes TIES_NEG."""
half_zero = Rounding("half_zero", lambda below, half, negative, odd: np.where(half, negative, ~below))
"""To the nearest integer, ties toward zero. Source: ap_fixed AP_RND_ZERO; APyTypes TIES_ZERO."""
floor = Rounding("floor", lambda below, half, negative, odd: np.zeros_like(negative), np.floor)
"""Toward -infinity: an arithmetic right shift. Source: IEEE 754 roundTowardNegative; RISC-V rdn; ap_fixed AP_TRN."""
ceil = Rounding("ceil", lambda below, half, negative, odd: np.ones_like(negative), np.ceil)
"""Toward +infinity. Source: IEEE 754 roundTowardPositive; APyTypes TO_POS."""
trunc = Rounding("trunc", lambda below, half, negative, odd: negative, np.trunc)
"""Toward zero: C's division and conversion. Source: IEEE 754 roundTowardZero; ap_fixed AP_TRN_ZERO."""
away = Rounding("away", lambda below, half, negative, odd: ~negative)
"""Away from zero. Source: QONNX UP; APyTypes TO_AWAY."""
odd = Rounding("odd", lambda below, half, negative, odd: ~odd)
"""Integers stay; what is inexact goes to whichever neighbour is odd. Source: von Neumann; RISC-V rod."""

MODES = {mode.name: mode for mode in
         (half_even, half_away, half_up, half_down, half_zero, floor, ceil, trunc, away, odd)}
"""The ten modes by their names. Source: refquant's own names; "nearest" is none."""

# What others call these modes.
OTHER_NAMES: dict[str, dict[str, str]] = {
    "TOSA": {"SINGLE_ROUND": "half_up"},
    "TFLite": {"SaturatingRoundingDoublingHighMul": "half_up", "RoundingDivideByPOT": "half_away",
               "TfLiteRound": "half_away"},
    "XNNPACK": {"fp32 (lrintf)": "half_even", "rndna": "half_away", "rndnu": "half_up"},
    "ONNX": {"QuantizeLinear": "half_even", "Round": "half_even"},
    "ap_fixed": {"AP_RND": "half_up", "AP_RND_ZERO": "half_zero", "AP_RND_MIN_INF": "half_down",
                 "AP_RND_INF": "half_away", "AP_RND_CONV": "half_even", "AP_TRN": "floor", "AP_TRN_ZERO": "trunc"},
    "QONNX": {"ROUND": "half_even", "HALF_EVEN": "half_even", "HALF_UP": "half_away", "HALF_DOWN": "half_zero",
              "CEIL": "ceil", "FLOOR": "floor", "UP": "away", "DOWN": "trunc"},
    "RISC-V vxrm": {"rnu": "half_up", "rne": "half_even", "rdn": "floor", "rod": "odd"},
    "APyTypes": {"TO_NEG": "floor", "TO_POS": "ceil", "TO_ZERO": "trunc", "TO_AWAY": "away",
                 "TIES_EVEN": "half_even", "TIES_AWAY": "half_away", "TIES_ZERO": "half_zero",
                 "TIES_POS": "half_up", "TIES_NEG": "half_down", "JAM_UNBIASED": "odd"},
}
"""Our name for another system's: ``OTHER_NAMES[system][name]``. Source: the documentation of each system."""


def translate(system: str, name: str) -> str:
    """Our name for the rounding that ``system`` calls ``name``: ``translate("ap_fixed", "AP_RND") == "half_up"``.

    system, name : text.

    Raises ValueError for a system or a name that `OTHER_NAMES` does not have.

    Source: the documentation of each system.
    """
    try:
        names = OTHER_NAMES[system]
    except KeyError:
        raise ValueError(f"system = {system!r}: expected one of {', '.join(OTHER_NAMES)}") from None
    try:
        return names[name]
    except KeyError:
        raise ValueError(f"name = {name!r}: {system} has {', '.join(names)}") from None


def named(rounding: Any) -> Any:
    """The rounding of this name; a value that already rounds (`Rounding`, `Stochastic`, `Frozen`) is itself.

    rounding : a name of `MODES`, or a function of reals of any shape.

    Raises ValueError for an unknown name, or what cannot be called.

    Source: refquant's own: every rounding has a name, "nearest" is none.
    """
    if isinstance(rounding, str) and rounding in MODES:
        return MODES[rounding]
    if callable(rounding):
        return rounding
    raise ValueError(f"rounding = {rounding!r}: expected one of {', '.join(MODES)}, or Stochastic(rbits, n)")


def as_reals(x: ArrayLike) -> np.ndarray:
    """``x`` as a float array: float32 and float64 stay, integers become float64."""
    array = np.asarray(x)
    if array.dtype in (np.float32, np.float64):
        return array
    if array.dtype.kind in "iub" or (array.dtype.kind == "f" and array.dtype.itemsize < 4):
        return array.astype(np.float64)
    raise TypeError(f"x has dtype {array.dtype}: expected float32 or float64")


def split(values: ArrayLike, shift: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``(values, shift, remainder, half)`` of a right shift; the last two unsigned, half = 0 for shift 0."""
    values, shift = as_int64(values, "values"), check_shift(shift)
    one = np.uint64(1)
    unit = one << shift.astype(np.uint64)
    return values, shift, values.astype(np.uint64) & (unit - one), unit >> one


def check_shift(shift: ArrayLike, low: int = 0, high: int = 63) -> np.ndarray:
    """``shift`` as int64, or a ValueError naming the first value outside ``low..high``."""
    array = as_integers(shift, "shift").astype(np.int64)
    least, most = extremes(array)
    if array.size and (least < low or most > high):
        bad = (array < low) | (array > high)
        raise ValueError(f"shift = {int(array[bad].flat[0])}: expected {low} to {high}")
    return array


class Frozen:
    """A rounding of reals whose error is measured once and then held constant.

    The straight-through estimator is the derivative of a quantizer whose rounding error does not change, so with
    ``Frozen`` in place of a mode an ordinary finite difference measures the straight-through gradient.

    rounding : a mode or its name, whose error it is: what it gives for the first ``x`` (reals, any shape), less that x.
        A later x has the same shape.

    Raises ValueError for an unknown name, or a later shape that does not fit.

    Source: Bengio 2013 for the estimator; freezing the error is refquant's own.
    """

    name = "frozen"

    def __init__(self, rounding: Rounding | str):
        self.rounding, self.error = named(rounding), None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """``x`` (reals, any shape) plus the rounding error of the first x."""
        if self.error is None:
            self.error = self.rounding(x) - x
        return x + self.error
