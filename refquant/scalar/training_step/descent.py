"""Gradient descent on what a step's state holds: weights (s16 in 2^-12) and learned numbers (s32 in 2^-12).

Every number w has a momentum v (s32 in 2^-20); `sgd` moves both, with momentum 29491 / 2^15, no decay, half_even, and
16 random bits: g by ratio(gradient scale * 2^20), v by ratio(rate * 2^-8). A rate is given in 2^-12. A learned number
that must stay positive is raised to at least 2^-10.
"""
from fractions import Fraction

from ..scaling import ratio
from ..sgd import updated
from .copies import RANDOM_BITS
from .nested import at, shape_of
from .record import Quantity, once

FRACTION, VELOCITY_FRACTION, RATE_FRACTION = 12, 20, 12
ONE = 1 << FRACTION  # of weights and learned numbers
MOMENTUM = 29491
LEAST = 4  # 2^-10


def weights(step, layer, gradient):
    """Move the weights of a layer by a Quantity."""
    _descend(step, f"{layer}_w", gradient, "rate", 16, FRACTION, None)


def learned(step, name, gradients, scale, *, bits=32, fraction=FRACTION, least=None):
    """Record the gradients of a learned number, all of them by gradients(note), and move it."""
    full = f"{name}_gradient"
    gradient = Quantity(step.whole(full, shape_of(step.state[name]), gradients), step.scale(full, scale))
    _descend(step, name, gradient, "learned_rate", bits, fraction, least)


def positive(step, name):
    """Learned numbers that must be positive, as the step finds them. ValueError where one of them is not."""
    numbers = step.state[name]
    if min(numbers) <= 0:
        raise ValueError(f"{name} {numbers}: expected numbers above 0")
    return numbers


def _descend(step, name, gradient, rate, bits, fraction, least):
    """Record `<name>_after` and `<name>_v_after` of a number of so many bits, in 2^-fraction."""
    g_multiplier, g_shift = ratio(gradient.scale * 2**VELOCITY_FRACTION)
    rate_multiplier, rate_shift = ratio(Fraction(step.attrs[rate] << fraction, 1 << RATE_FRACTION + VELOCITY_FRACTION))
    w, v, rbits = step.state[name], step.state[f"{name}_v"], step.rbits[name]

    @once
    def moved(index, note):
        return updated(at(w, index), at(v, index), at(gradient.numbers, index), g_multiplier, g_shift, 0, 0,
                       rate_multiplier, rate_shift, MOMENTUM, False, bits, "half_even", at(rbits, index), RANDOM_BITS,
                       note=note)

    def after(index, note):
        new = moved(index, note)["w"]
        if least is not None and new < least:
            note(f"raised to {least}")
            return least
        return new

    step.tensor(f"{name}_after", shape_of(w), after)
    step.tensor(f"{name}_v_after", shape_of(w), lambda index, note: moved(index, note)["v"])
