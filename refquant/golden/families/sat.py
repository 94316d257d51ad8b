"""What SAT's two operations share: the table of tanh, the weights of their cases, mistakes made before the levels.

Natural weights are those of the trained layer [10, 64]; ties come of weights so small that tanh is the weight itself.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refquant.golden.families import natural
from refquant.golden.families.remembering import remembering_case
from refquant.golden.mutants import operand
from refquant.golden.operation import Arrays, Attrs, Mutant, Note
from refquant.golden.stimuli import Draw, Shape
from refquant.hardware import sat
from refquant.integers.formats import IntFormat
from refquant.scalar import sat as scalar

U32 = IntFormat(32, signed=False)
TINY = 20  # fraction bits at which tanh of every s8 weight is the weight


def with_table(w: np.ndarray, w_format: str, fraction_bits: int) -> Arrays:
    """The tensors of weights ``w``, in units of 2^-fraction_bits."""
    format = IntFormat.parse(w_format)
    return {"in_w": w.astype(format.dtype), "in_tanh": sat.tanh_table(format, fraction_bits)}


def ties() -> np.ndarray:
    """Tiny weights [12, 20] of a magnitude up to 120: in 4 bits a level every 16, a tie at every multiple of 16."""
    return np.arange(-120, 120).reshape(12, 20)


@remembering_case
def highest(attrs: Attrs, inputs: dict[str, Any], note: Note) -> int:
    """T by the scalar model."""
    return scalar.highest(np.array(inputs["in_w"]).ravel().tolist(), inputs["in_tanh"], note=note)


def layer() -> np.ndarray:
    """s8 weights [10, 64] of the trained layer."""
    return natural.trained_layer().T


def bell(draw: Draw, format: IntFormat, shape: Shape) -> np.ndarray:
    """Weights as training leaves them: bell-shaped, the largest near the format's ends."""
    return format.saturate(sum(draw.uniform(format, shape).astype(np.int64) for _ in range(3)) // 2)


def fraction_bits_of(table: np.ndarray) -> int:
    """f of a table: its second entry, tanh(2^-f), is 2^(30-f) or a little less."""
    return 30 - (int(table[1]) - 1).bit_length()


def top_of(numbers: np.ndarray) -> int:
    """What a highest is made to be by mistake; an error where it is none that could divide."""
    top = int(numbers.max())
    if top < 1:
        raise ValueError(f"the largest is {top}: expected 1 or more")
    return top


def per_output(t: np.ndarray) -> np.ndarray:
    """The highest |t| of each output [out, ...], 1 where an output is 0, in a shape that divides t."""
    return np.maximum(np.abs(t).max(axis=tuple(range(1, t.ndim)), keepdims=True), 1)


def _linear(table: np.ndarray, attrs) -> np.ndarray:
    return np.arange(len(table)) << (30 - fraction_bits_of(table))


def _lowest_saturates(w: np.ndarray, attrs) -> np.ndarray:
    format = IntFormat.parse(attrs["w_format"])
    return np.maximum(w.astype(np.int64), -format.qmax)


OF_WEIGHTS = (
    operand("tanh_missing", "w itself stands for tanh w", "in_tanh", _linear),
    operand("lowest_saturates", "the most negative weight has the largest one's magnitude", "in_w", _lowest_saturates),
)

# another T: of t, and of the weights and the table that it comes from
HIGHESTS: tuple[tuple[str, str, Callable[[np.ndarray, Arrays], np.ndarray | int]], ...] = (
    ("highest_signed", "the highest is the largest tanh, not the largest magnitude", lambda t, inputs: top_of(t)),
    ("highest_per_output", "every output has a highest of its own", lambda t, inputs: per_output(t)),
    ("highest_of_w", "the highest is that of w, not of tanh w", lambda t, inputs: top_of(
        np.abs(inputs["in_w"].astype(np.int64)) << (30 - fraction_bits_of(inputs["in_tanh"])))),
)


def highest_mutants(results: Callable[..., Arrays | None]) -> tuple[Mutant, ...]:
    """`HIGHESTS` as mutants: ``results(attrs, inputs, t, top)`` are an operation's with this T."""
    def mutant(name, says, change):
        def run(reference, attrs, inputs):
            t = sat.bent(inputs["in_w"], inputs["in_tanh"])
            return results(attrs, inputs, t, change(t, inputs))
        return Mutant(name, says, run)
    return tuple(mutant(*listed) for listed in HIGHESTS)
