"""How a step's gradients move what is learned: SGD on fixed-point masters, rounded stochastically.

Masters are integers in 2^-fraction_bits, momenta in 2^-20; a learning rate is an integer in 2^-12.
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.hardware import sgd
from refquant.hardware.step.progress import S32, S64, Progress
from refquant.integers import IntFormat

MASTER_BITS, MOMENTUM_BITS, RATE_BITS = 12, 20, 12
UNIT = Fraction(1, 1 << MASTER_BITS)
MOMENTUM = 29491  # 0.9 in 2^-15
LEAST = 4  # what a number that must stay positive is raised to


def move(step: Progress, name: str, g: np.ndarray, scale: Fraction, rate: int, format: IntFormat,
         fraction_bits: int = MASTER_BITS, least: int | None = None) -> None:
    """Update the state ``<name>`` and its momentum ``<name>_v`` by gradient ``g`` of this ``scale``."""
    constants = sgd.constants(rate=Fraction(rate, 1 << RATE_BITS), g_scale=scale,
                              w_scale=Fraction(1, 1 << fraction_bits), v_scale=Fraction(1, 1 << MOMENTUM_BITS))
    moved = sgd.updated(step.state[name], step.state[f"{name}_v"], g, constants, momentum=MOMENTUM, nesterov=False,
                        w_format=format, rbits=step.random(name))
    step.keep(name, moved.w if least is None else np.maximum(moved.w, least), format)
    step.keep(f"{name}_v", moved.v, S32)


def learn(step: Progress, name: str, g: np.ndarray | int, scale: Fraction, format: IntFormat = S32,
          fraction_bits: int = MASTER_BITS, least: int | None = LEAST) -> None:
    """The same for what a method learns besides weights, whose gradient is recorded too."""
    recorded = step.put(f"{name}_gradient", g, S64)
    gradient_scale = step.put_scale(f"{name}_gradient_scale", scale)
    move(step, name, recorded, gradient_scale, step.learned_rate, format, fraction_bits, least)
