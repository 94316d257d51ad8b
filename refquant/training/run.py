"""One pass of a model: its parameters as tensors, its state, the random bits of its step.

A model is a description; what changes in training stands in two dictionaries of arrays, ``parameters`` (learned) and
``state`` (collected: running statistics, ranges, clip factors). Both fill themselves on the first pass, which is where
values that come from the first batch are at hand.
"""
from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from refquant.autodiff import Tensor, gradients
from refquant.integers import PhiloxRounding, philox_bits
from refquant.reals import log

__all__ = ["Run", "normal", "tensor_number"]

Arrays = dict[str, np.ndarray]


class Run:
    """One pass, in training or in evaluation.

    parameters : float64 arrays by name, any shape: read, and completed where the model meets one for the first time.
    state : float64 arrays by name: a copy is read and written; the caller keeps `Run.state` when the step is done.
    kinds : each parameter's kind, completed with ``parameters``.
    training : whether ranges and running statistics are collected; in evaluation what was collected is used.
    seed, step : of all random bits, below 2^64 and 2^32.

    Raises nothing of its own; a seed or step that does not fit is refused by the first draw.

    Source: refquant's own.
    """

    def __init__(self, parameters: Arrays, state: Arrays, kinds: dict[str, str], *, training: bool, seed: int = 0,
                 step: int = 0):
        self.parameters, self.state, self.kinds = parameters, dict(state), kinds
        self.training, self.seed, self.step = training, seed, step
        self.tensors: dict[str, Tensor] = {}
        self.watched: list[tuple[Tensor, Callable[[np.ndarray], None]]] = []
        self.found: dict[tuple, tuple[np.ndarray, Any]] = {}

    def parameter(self, name: str, initial: Callable[[], np.ndarray], kind: str = "other") -> Tensor:
        """The parameter ``name`` as a Tensor, one for the whole pass; ``initial()``, an array, the first time.

        kind : weight, depthwise, quantizer or other: what weight decay and learning rates tell apart.
        """
        if name not in self.tensors:
            if name not in self.parameters:
                self.parameters[name] = np.array(initial(), np.float64)
                self.kinds[name] = kind
            self.tensors[name] = Tensor(self.parameters[name])
        return self.tensors[name]

    def stochastic(self, name: str) -> PhiloxRounding:
        """The stochastic rounding of the tensor ``name`` at this step."""
        return PhiloxRounding(self.seed, tensor_number(name), self.step)

    def normal(self, name: str, shape: tuple[int, ...], deviation: float) -> np.ndarray:
        """Normal numbers [shape] of mean 0 and this ``deviation``, the first ``name``: by seed and name alone."""
        return deviation * normal(shape, self.seed, tensor_number(name))

    def watch(self, tensor: Tensor, see: Callable[[np.ndarray], None]) -> None:
        """Have ``see`` called with the gradient of ``tensor``, of its shape, when that is known; in training only."""
        if self.training:
            self.watched.append((tensor, see))

    def once(self, find: Callable[..., Any], g: np.ndarray, *how) -> Any:
        """``find(g, *how)``, found once in a pass: who quantizes a gradient and who learns from it ask the same."""
        key = (find, id(g), *how)
        if key not in self.found:
            self.found[key] = g, find(g, *how)  # g is kept, so that no other array comes to have its id
        return self.found[key][1]

    def gradients(self, loss: Tensor) -> Arrays:
        """The gradient of each parameter by name, of its shape; what is watched is seen.

        loss : a Tensor of one number.

        Nothing of the pass is kept but the parameters: else it would wait for Python's collector of cycles.
        """
        watched = [(tensor, functools.partial(self._see, see)) for tensor, see in self.watched]
        found = gradients(loss, self.tensors.values(), watched=watched)
        names = list(self.tensors)
        self.watched.clear()
        self.found.clear()
        return dict(zip(names, found, strict=True))

    def _see(self, see: Callable[[np.ndarray], None], g: np.ndarray) -> None:
        self.found.clear()  # of the gradient before
        see(g)


def tensor_number(name: str) -> int:
    """The number that Philox knows the tensor ``name`` by: CRC-32 of the name, so that other tensors do not move it.

    name : one text, any length. Returns one int below 2^32.

    Raises nothing of its own.

    Source: refquant's own; CRC-32 as in zlib.
    """
    return zlib.crc32(name.encode())


def normal(shape: tuple[int, ...], seed: int, tensor: int) -> np.ndarray:
    """Standard normal numbers, float64 [shape], the same bits on every machine: from + - * / sqrt and our own log.

    shape : a tuple of ints.
    seed, tensor : of the Philox stream, below 2^64 and 2^32. Try k of all elements is step k; an element takes its
        first try (u, v) inside the unit disc.

    Raises ValueError for a seed or tensor that does not fit.

    Source: Marsaglia's polar method (Marsaglia, Bray 1964) on bits of Philox4x32-10 (Salmon et al. 2011).
    """
    out, missing = np.zeros(shape), np.ones(shape, bool)
    for attempt in range(1 << 16):
        bits = philox_bits(64, shape, seed, tensor, attempt)
        halves = bits >> np.uint64(32), bits & np.uint64(2**32 - 1)
        u, v = ((half.astype(np.float64) + 0.5) / 2**31 - 1 for half in halves)
        s = u * u + v * v
        ok = missing & (s < 1)
        safe = np.where(ok, s, 0.5)
        out = np.where(ok, u * np.sqrt(-2 * log(safe) / safe), out)
        missing &= ~ok
        if not missing.any():
            break
    return out
