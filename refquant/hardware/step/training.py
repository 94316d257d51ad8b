"""Training in integers from start to end: the steps whose vectors the suite holds, and what they lead to.

Weights start as sums of four uniform numbers, near normal, with deviation sqrt(2 / fan-in); every random number is
drawn by Philox for (seed, name, step), the order of the images too: the same run everywhere.
"""
from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np

from refquant.data import digits
from refquant.hardware.step import banner, hindsight, int4, n2uq, sat
from refquant.hardware.step.learning import MASTER_BITS
from refquant.hardware.step.loss import exp_table
from refquant.hardware.step.method import Method
from refquant.hardware.step.network import LAYERS
from refquant.hardware.step.progress import RANDOM_BITS, S16, Arrays
from refquant.hardware.step.run import steps
from refquant.integers.randombits import philox_bits

METHODS = {module.METHOD.name: module.METHOD for module in (banner, sat, n2uq, hindsight, int4)}
TRAINED_ON = 1500  # of the digits; the others are for tests
GRAY = 15  # codes a gray level
UNIFORM = math.sqrt(4 / 12) * (1 << RANDOM_BITS)  # deviation of a sum of four


def first_state(method: Method, seed: int) -> Arrays:
    """Weights, momenta and what ``method`` carries, before the first step."""
    state: Arrays = {}
    for layer in LAYERS:
        words = philox_bits(RANDOM_BITS, (4, *layer.weight), seed, number(f"{layer.name}_w"), 0).astype(np.int64)
        deviation = math.sqrt(2 / math.prod(layer.weight[1:])) * (1 << MASTER_BITS)
        normal = words.sum(0) - (2 << RANDOM_BITS)
        state[f"{layer.name}_w"] = S16.saturate(np.rint(normal * (deviation / UNIFORM)).astype(np.int64))
        state[f"{layer.name}_w_v"] = np.zeros(layer.weight, np.int32)
    for name, (format, value) in method.state.items():
        state[name] = value.astype(format.dtype)
    return state | {f"{name}_v": np.zeros(state[name].shape, np.int32) for name in method.learned}


def random_shapes(method: Method, batch: int) -> dict[str, tuple[int, ...]]:
    """The name and shape of all random bits of a step."""
    weights = {f"{layer.name}_w": layer.weight for layer in LAYERS}
    learned = {name: method.state[name][1].shape for name in method.learned}
    return {name: (batch, *shape) for name, shape in method.random.items()} | weights | learned


def random_bits(method: Method, batch: int, seed: int, step: int) -> Arrays:
    """The random bits of step ``step``."""
    return {name: philox_bits(RANDOM_BITS, shape, seed, number(name), step + 1)
            for name, shape in random_shapes(method, batch).items()}


def number(name: str) -> int:
    """The number that Philox knows a tensor by."""
    return zlib.crc32(name.encode())


def constants(method: Method, batch: int) -> Arrays:
    """The tables that a step is given."""
    return {"exp": exp_table()} | method.constants(batch)


def images(batch: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """``(x [B, 1, 8, 8] uint8, labels [B] uint8)`` of a step: digits drawn at random."""
    x, y = digits()
    chosen = philox_bits(32, (batch,), seed, number("images"), step).astype(np.int64) % TRAINED_ON
    return (x[chosen, None] * GRAY).astype(np.uint8), y[chosen].astype(np.uint8)


def train(method: Method, state: Arrays, *, batch: int, seed: int, start: int, count: int, rate: int,
          learned_rate: int, done: Callable[[], None] = lambda: None) -> Arrays:
    """The state after ``count`` steps from step ``start`` on.  done : called after each."""
    tables = constants(method, batch)
    for step in range(start, start + count):
        _, state = steps(method, tables, state, [images(batch, seed, step)], [random_bits(method, batch, seed, step)],
                         rate, learned_rate)
        done()
    return state
