"""What units demand of their arguments. Each error names the argument, its value and what was allowed."""
from __future__ import annotations

import math
import operator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.stochastic import Stochastic


def integer(name: str, value: Any, low: int, high: int) -> int:
    """``value`` as a Python integer; ValueError unless it is one from ``low`` to ``high``. A boolean is none."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} = {value!r}: expected an integer, {_text(low)} to {_text(high)}")
    if not low <= number <= high:
        raise ValueError(f"{name} = {number}: expected {_text(low)} to {_text(high)}")
    return number


def positive(name: str, value: float | Fraction) -> None:
    """ValueError unless ``value`` is positive and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} = {value}: expected a positive finite number")


def not_negative(name: str, value: float | Fraction) -> None:
    """ValueError unless ``value`` is 0 or more, and finite."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} = {value}: expected a finite number, 0 or more")


def shape(name: str, array: ArrayLike, expected: tuple[int, ...]) -> None:
    """ValueError unless ``array`` has this shape."""
    if np.shape(array) != expected:
        raise ValueError(f"{name} has shape {np.shape(array)}: expected {expected}")


def weights(w: np.ndarray, axes: int) -> None:
    """ValueError unless ``w`` is [out, ...], of ``axes`` at least, and not empty."""
    if w.ndim < axes or not w.size:
        raise ValueError(f"w has shape {w.shape}: expected [out, ...], with a weight at least")


def within(format: IntFormat, name: str, values: np.ndarray) -> np.ndarray:
    """``values``; ValueError unless all are codes of ``format``."""
    if not format.contains(values):
        raise ValueError(f"{name} runs from {values.min()} to {values.max()}: expected values within {format}")
    return values


def channels(format: IntFormat, name: str, values: ArrayLike, count: int) -> np.ndarray:
    """``values`` as int64 [count]; ValueError for another shape, and for what is no code of ``format``."""
    shape(name, values, (count,))
    return within(format, name, as_int64(values, name))


def random_bits(name: str, rounding: Any, expected: tuple[int, ...]) -> None:
    """ValueError unless ``rounding`` is `Stochastic`, with a random value for each element of this shape."""
    if not isinstance(rounding, Stochastic):
        raise ValueError(f"{name} = {rounding!r}: expected Stochastic(rbits, n)")
    shape(f"rbits of {name}" if name != "rbits" else name, rounding.rbits, expected)


def broadcast(**arrays: ArrayLike) -> tuple[int, ...]:
    """The shape that these arrays have together; ValueError where there is none."""
    try:
        return np.broadcast_shapes(*map(np.shape, arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {np.shape(array)}" for name, array in arrays.items())
        raise ValueError(f"shapes {shapes}: expected shapes that broadcast") from None


def _text(number: int) -> str:
    """A limit as people write it: 2^15, 2^31 - 1, -2^47; small ones in digits."""
    if abs(number) <= 1000:
        return str(number)
    sign, size = "-" * (number < 0), abs(number)
    if size.bit_count() == 1:
        return f"{sign}2^{size.bit_length() - 1}"
    return f"{sign}2^{size.bit_length()} - 1" if (size + 1).bit_count() == 1 and not sign else str(number)
