"""A step under way: what it was given, and every tensor that it computes, by name and in order."""
from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from refquant.hardware.scaling import rounded_scale, scale_value
from refquant.integers import IntFormat, Stochastic

__all__ = ["Codes", "Progress"]

Arrays = dict[str, np.ndarray]

U8, S16, S32, S48, S64 = (IntFormat.parse(name) for name in ("u8", "s16", "s32", "s48", "s64"))
RANDOM_BITS = 16  # an element, wherever a step rounds stochastically


@dataclass(frozen=True)
class Codes:
    """A quantized tensor: value = scale * (codes - zero_point), the scale an exact number.

    codes : integers, any shape.  scale : one Fraction.  zero_point : one integer.

    Raises nothing of its own.

    Source: refquant's own.
    """

    codes: np.ndarray
    scale: Fraction
    zero_point: int = 0

    @property
    def centred(self) -> np.ndarray:
        """codes - zero_point, int32: what a multiplier is given."""
        return self.codes.astype(np.int32) - np.int32(self.zero_point)


@dataclass
class Progress:
    """One step under way.

    rate, learned_rate : of weights and of the method's learned numbers, in 2^-12, one integer each.
    constants : tables given once, by name (`training.constants`).
    rbits : random bits by name, unsigned integers of 16 bits of each tensor's shape (`training.random_bits`).
    state : what the steps before left, by name (`training.first_state`); the step replaces what it changes.
    tensors, formats : what has been computed, in order, of any shape; scalars are [1].

    Raises nothing of its own; its methods raise KeyError for a name that was not given, or not computed yet.

    Source: refquant's own.
    """

    rate: int
    learned_rate: int
    constants: Arrays
    rbits: Arrays
    state: Arrays
    tensors: Arrays = field(default_factory=dict)
    formats: dict[str, IntFormat] = field(default_factory=dict)

    def put(self, name: str, array, format: IntFormat) -> np.ndarray:
        """Record a tensor, any shape, and return it in its format's dtype; a scalar becomes [1].

        Raises ValueError for values outside its format, TypeError for what is not integers.
        """
        array = np.atleast_1d(array)
        if not np.array_equal(format.saturate(array), array):
            raise ValueError(f"{name} holds values from {array.min()} to {array.max()}: expected format {format}")
        self.tensors[name], self.formats[name] = array.astype(format.dtype), format
        return self.tensors[name]

    def put_scale(self, name: str, scale: Fraction) -> Fraction:
        """Record ``scale``, positive, rounded to 31 bits as [multiplier, shift]; the number that it then is."""
        pair = rounded_scale(scale)
        self.put(name, np.array(pair), S32)
        return scale_value(pair)

    def put_ratio(self, name: str, multiplier: int, shift: int) -> None:
        """Record what the tensor ``name`` is multiplied by to become codes, as ``<name>_ratio``."""
        self.put(f"{name}_ratio", np.array([multiplier, shift]), S32)

    def scale(self, name: str) -> Fraction:
        """A scale that was recorded under this name."""
        multiplier, shift = self.tensors[name].tolist()
        return scale_value((multiplier, shift))

    def random(self, name: str) -> Stochastic:
        """Stochastic rounding by the random bits of this name."""
        return Stochastic(self.rbits[name], RANDOM_BITS)

    def keep(self, name: str, array: np.ndarray, format: IntFormat) -> None:
        """Replace a part of the state, any shape, and record it as ``<name>_after``; errors of `put`."""
        self.state[name] = self.put(f"{name}_after", array, format)
