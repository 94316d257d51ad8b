"""What the operations of several training steps share: random bits, natural tensors.

A trajectory takes tensors of a row a step, [T, N], and a state that every step hands to the next.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refquant.golden.families import chance, natural
from refquant.golden.mutants import operand
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.integers.rounding import floor
from refquant.integers.stochastic import Stochastic


def _flat(mutant: Mutant, bits: str) -> Mutant:
    """A mutant of the random bits of `chance`, for tensor ``bits`` of a row a step."""
    def run(reference, attrs, inputs):
        if bits not in inputs:
            return None
        shape, others = inputs[bits].shape, {key: array for key, array in inputs.items() if key != bits}

        def flat(attrs, inputs):
            return reference(attrs, others | {bits: inputs["rbits_y"].reshape(shape)})
        return mutant.run(flat, attrs, {"rbits_y": inputs[bits].reshape(-1)})
    return Mutant(mutant.name, mutant.says, run)


def _from_1(v, shift, r, n):
    full = r == (1 << n) - 1
    return Stochastic(np.where(full, 0, r + 1), n).shift(v, shift) + full


ROUNDED = (
    ("r_from_1_to_2^n", "r lies in (0, 2^n] instead of [0, 2^n)", _from_1),
    ("bits_at_wrong_end", "the random bits are aligned to the lowest bit",
     lambda v, shift, r, n: floor.shift(v + r, shift)),
    ("sign_magnitude", "magnitudes are rounded instead of taking the floor",
     lambda v, shift, r, n: np.sign(v) * Stochastic(r, n).shift(np.abs(v), shift)),
)


def of_chance(bits: str, product: Callable[[Arrays, Arrays], np.ndarray],
              finish: Callable[[Attrs, Arrays, np.ndarray], Arrays]) -> tuple[Mutant, ...]:
    """Mistakes with the random bits ``bits``, and in how they round ``product(inputs, results)`` by mid_shift.

    finish : (attrs, results, rounded) -> the results with codes that come of these rounded numbers.
    """
    def rounding(name, says, round):
        def run(reference, attrs, inputs):
            if bits not in inputs:
                return None
            results = reference(attrs, inputs)
            shift, r = results["mid_shift"][:, None].astype(np.int64), inputs[bits].astype(np.int64)
            return finish(attrs, results, round(product(inputs, results), shift, r, attrs["n"]))
        return Mutant(name, says, run)

    return (*(_flat(mutant, bits) for mutant in chance.RBITS_MUTANTS), *(rounding(*listed) for listed in ROUNDED),
            operand("same_bits_every_step", "every step takes the first one's random bits", bits,
                    lambda rbits, attrs: np.broadcast_to(rbits[:1], rbits.shape)))


def scores(steps: int, batch: int, start: int = 0) -> np.ndarray:
    """The trained layer's accumulators for consecutive batches of digits, int32 [steps, 10 batch]."""
    x, _ = natural.images(steps * batch, start)
    return (x.reshape(len(x), 64).astype(np.int32) @ natural.trained_layer().astype(np.int32)).reshape(steps, -1)


def errors(steps: int, batch: int, start: int = 0) -> np.ndarray:
    """Gradients of a squared error of these scores: less 2^18 at the label, int32 [steps, 10 batch]."""
    _, labels = natural.images(steps * batch, start)
    error = scores(steps, batch, start).reshape(-1, 10)
    error[np.arange(len(labels)), labels] -= 1 << 18
    return error.reshape(steps, -1)
