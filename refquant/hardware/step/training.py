"""Training in integers from start to end: the steps whose vectors the suite holds, and what they lead to.

Weights start as sums of four uniform numbers, near normal, with deviation sqrt(2 / fan-in); every random number is
drawn by Philox for (seed, name, step), the order of the images too: the same run everywhere. `METHODS` holds the five
methods by name; the first `TRAINED_ON` digits are trained on, a gray level being `GRAY` codes.
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

__all__ = ["constants", "first_state", "images", "number", "random_bits", "random_shapes", "train"]

METHODS = {module.METHOD.name: module.METHOD for module in (banner, sat, n2uq, hindsight, int4)}
TRAINED_ON = 1500  # of the digits; the others are for tests
GRAY = 15  # codes a gray level
UNIFORM = math.sqrt(4 / 12) * (1 << RANDOM_BITS)  # deviation of a sum of four


def first_state(method: Method, seed: int) -> Arrays:
    """Weights, momenta and what ``method`` carries, before the first step, by name.

    method : one of `METHODS`.  seed : 0 to 2^64 - 1.

    Returns ``<layer>_w`` int16 and ``<layer>_w_v`` int32 [out, ...]; the method's own in their formats, and ``_v`` of
    those that are learned.

    Raises ValueError for another seed.

    Source: refquant's own; the deviation sqrt(2 / fan-in) is He et al. 2015's.
    """
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
    """The name and shape of all random bits of a step: of gradients [B, ...], and of what is updated, in its shape.

    method : one of `METHODS`.  batch : B.

    Raises nothing of its own.

    Source: refquant's own.
    """
    weights = {f"{layer.name}_w": layer.weight for layer in LAYERS}
    learned = {name: method.state[name][1].shape for name in method.learned}
    return {name: (batch, *shape) for name, shape in method.random.items()} | weights | learned


def random_bits(method: Method, batch: int, seed: int, step: int) -> Arrays:
    """The random bits of step ``step``, by name: 16 an element, uint16 of `random_shapes`.

    method, batch : as for `random_shapes`, one method and one number.  seed : 0 to 2^64 - 1.  step : 0 to 2^32 - 2.

    Raises ValueError for another seed or step.

    Source: refquant's own streams of Philox4x32-10 (Salmon et al. 2011).
    """
    return {name: philox_bits(RANDOM_BITS, shape, seed, number(name), step + 1)
            for name, shape in random_shapes(method, batch).items()}


def number(name: str) -> int:
    """The one number that Philox knows the tensor ``name`` by: its CRC-32.

    Raises nothing of its own.

    Source: refquant's own.
    """
    return zlib.crc32(name.encode())


def constants(method: Method, batch: int) -> Arrays:
    """The tables that a step is given, by name: exp, uint16 [256], and the method's own.

    method : one of `METHODS`.  batch : images a step, one number.

    Raises ValueError for a batch below 1 where the method normalizes.

    Source: refquant's own.
    """
    return {"exp": exp_table()} | method.constants(batch)


def images(batch: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """``(x [B, 1, 8, 8] uint8, labels [B] uint8)`` of a step: digits drawn at random; one may come twice.

    batch : B.  seed : 0 to 2^64 - 1.  step : 0 to 2^32 - 1.

    Raises ValueError for another seed or step.

    Source: `refquant.data.digits`, drawn by Philox4x32-10 (Salmon et al. 2011).
    """
    x, y = digits()
    chosen = philox_bits(32, (batch,), seed, number("images"), step).astype(np.int64) % TRAINED_ON
    return (x[chosen, None] * GRAY).astype(np.uint8), y[chosen].astype(np.uint8)


def train(method: Method, state: Arrays, *, batch: int, seed: int, start: int, count: int, rate: int,
          learned_rate: int, done: Callable[[], None] = lambda: None) -> Arrays:
    """The state after ``count`` steps from step ``start`` on.

    method : one of `METHODS`.  state : before step ``start``, as `first_state` returns it; it is not changed.
    batch, seed, start, count : one number each.  rate, learned_rate : in 2^-12, one integer each, 1 or more.
    done : called after each step.

    Returns a state: arrays by name, `<layer>_w` [out, ...] and the others.

    Raises ValueError and KeyError as `refquant.hardware.step.run.step` does.

    Source: as `refquant.hardware.step.run.step`.
    """
    tables = constants(method, batch)
    for step in range(start, start + count):
        _, state = steps(method, tables, state, [images(batch, seed, step)], [random_bits(method, batch, seed, step)],
                         rate, learned_rate)
        done()
    return state
