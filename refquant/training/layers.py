"""Layers: descriptions that a `Run` calls. Every product goes through the quantizers of its place.

    x  -> activation quantizer  \\
                                  integer product -> real y          input gradient:  input_gradient quantizer of dL/dy
    w  -> weight quantizer      /                                    weight gradient: weight_gradient quantizer of dL/dy
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refquant import autodiff
from refquant.autodiff import Tensor
from refquant.autodiff.normalization import batch_statistics
from refquant.autodiff.products import moved_scale, scale_per_output
from refquant.gemm import Geometry
from refquant.gemm.geometry import DENSE
from refquant.training.quantizing import GradientQuantizer, Quantizers, as_reals
from refquant.training.run import Run

__all__ = ["Apply", "BatchNorm", "Conv", "Linear", "RPReLU", "Residual", "Sequential"]

Layer = Callable[[Tensor, Run], Tensor]


@dataclass(frozen=True)
class Product:
    """What `Linear` and `Conv` share: the quantizers around a product, and a bias.

    signed : whether its input may be negative (what follows no ReLU), for quantizers that tell the two apart.
    """

    name: str
    inputs: int
    outputs: int
    quantizers: Quantizers
    bias: bool = False
    signed: bool = False

    def product(self, op, x: Tensor, shape: tuple[int, ...], deviation: float, run: Run, **how) -> Tensor:
        """``op`` of the quantized ``x`` and the quantized weight [outputs, ...] of this ``shape``."""
        name, q = self.name, self.quantizers
        kind = "depthwise" if "geometry" in how and how["geometry"].groups == self.inputs > 1 else "weight"
        w = run.parameter(f"{name}.w", lambda: run.normal(f"{name}.w", shape, deviation), kind)
        if w.shape != shape:
            raise ValueError(f"{name}.w has shape {w.shape}: expected {shape}; the run it comes from has another model "
                             "or other images")
        w_q = q.weight(w, run, f"{name}.w")
        x_q = q.activation(x, run, f"{name}.x", self.signed)
        at: dict[str, Callable] = {}
        for role, key, slot in self._gradients(w_q.value):
            how[role] = at.setdefault(key, slot.at(run, key))
        y = op(x_q, w_q, **how)
        run.watch(y, lambda g: self._see(g, w_q.value, run))
        if not self.bias:
            return y
        b = run.parameter(f"{name}.b", lambda: np.zeros(self.outputs))
        return y + autodiff.per_channel(q.bias(b, run, f"{name}.b"), y)

    def _gradients(self, w) -> Iterator[tuple[str, str, GradientQuantizer]]:
        """(role, name, quantizer) of the gradients that are quantized.

        Equal quantizers are one: both products then take the same codes, unless the weight's scales move into one.
        """
        q = self.quantizers
        one = q.weight_gradient == q.input_gradient and not scale_per_output(w)
        for role, slot in (("input_gradient", q.input_gradient), ("weight_gradient", q.weight_gradient)):
            if slot is not None:
                yield role, f"{self.name}.{'input_gradient' if one else role}", slot

    def _see(self, g: np.ndarray, w, run: Run) -> None:
        """The gradient quantizers learn from the gradients they quantized, each once."""
        seen = {key: (role, slot) for role, key, slot in self._gradients(w)}
        for key, (role, slot) in seen.items():
            slot.see(moved_scale(g, w)[0] if role == "input_gradient" else g, run, key)


@dataclass(frozen=True)
class Linear(Product):
    """[B, inputs] to [B, outputs], reals; weights [outputs, inputs] start normal with deviation 1 / sqrt(inputs).

    name : of its parameters, "fc1" for "fc1.w".
    inputs, outputs : numbers of channels.
    quantizers : of the weight, input, gradients and bias: `Quantizers`.
    bias : whether it has one [outputs], 0 at first.
    signed : whether its input may be negative, for quantizers that tell the two apart.

    Backward: both products take the gradient through their own quantizer; see the module.

    Raises ValueError, when called, for an input or parameters of another shape, and as its quantizers.

    Source: refquant's own; the deviation is LeCun's (Efficient BackProp, 1998).
    """

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        return self.product(autodiff.linear, x, (self.outputs, self.inputs), float(1 / np.sqrt(self.inputs)), run)


@dataclass(frozen=True)
class Conv(Product):
    """[B, inputs, H, W] to [B, outputs, OH, OW], reals; weights start normal with deviation gain * sqrt(2 / fan-in).

    name, inputs, outputs, quantizers, bias, signed : as of `Linear`; weights [outputs, inputs/groups, kernel, kernel].
    kernel, geometry : its side; strides, padding, dilation and groups, a `Geometry`.
    gain : of the first weights, one number.

    Raises ValueError as `Linear`.

    Source: He 2015 for the deviation; the rest is refquant's own.
    """

    kernel: int = 3
    geometry: Geometry = DENSE
    gain: float = 1.0

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        shape = (self.outputs, self.inputs // self.geometry.groups, self.kernel, self.kernel)
        deviation = self.gain * float(np.sqrt(2 / (shape[1] * self.kernel**2)))
        return self.product(autodiff.conv, x, shape, deviation, run, geometry=self.geometry)


@dataclass(frozen=True)
class BatchNorm:
    """Batch norm [B, C, ...] over the batch in training, with running mean and width in evaluation.

    name : of gamma, beta (parameters), mean and width (state), all [C].
    channels : C.
    eps : joins the variance, one number.
    momentum : of the running numbers: momentum * old + (1 - momentum) * new; they begin with the first batch's.

    Backward: the derivative, the batch's statistics included.

    Raises ValueError, when called, for other channels; KeyError in evaluation before any training.

    Source: Ioffe, Szegedy 2015; the width sqrt(variance + eps) is averaged in the variance's place, refquant's own, as
    Range BN averages its scale.
    """

    name: str
    channels: int
    eps: float = 1e-5
    momentum: float = 0.9

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        x = as_reals(x)
        gamma = run.parameter(f"{self.name}.gamma", lambda: np.ones(self.channels))
        beta = run.parameter(f"{self.name}.beta", lambda: np.zeros(self.channels))
        if not run.training:
            mu, width = run.state[f"{self.name}.mean"], run.state[f"{self.name}.width"]
            return scaled(x, mu, 1 / width, gamma, beta)
        mu, width = batch_statistics(x.value, self.eps)
        average(run.state, f"{self.name}.mean", mu, self.momentum)
        average(run.state, f"{self.name}.width", width, self.momentum)
        return autodiff.batch_norm(x, gamma, beta, eps=self.eps, statistics=(mu, width))


def average(state: dict[str, np.ndarray], key: str, new: np.ndarray, momentum: float) -> None:
    """``state[key] = momentum * state[key] + (1 - momentum) * new``, starting from the first ``new``."""
    state[key] = momentum * state[key] + (1 - momentum) * new if key in state else np.asarray(new, np.float64)


def scaled(x: Tensor, mu: np.ndarray, scale: np.ndarray, gamma: Tensor, beta: Tensor) -> Tensor:
    """``(x - mu) * scale * gamma + beta``, channel by channel."""
    normal = (x - autodiff.per_channel(mu, x)) * autodiff.per_channel(scale, x)
    return normal * autodiff.per_channel(gamma, x) + autodiff.per_channel(beta, x)


@dataclass(frozen=True)
class RPReLU:
    """A bias, PReLU (slope 0.25 at first), a bias, for each channel of [B, C, ...]: N2UQ's nonlinearity.

    name : of its parameters before, slope and after, all [C].
    channels : C.

    Backward: the derivative.

    Raises ValueError, when called, for other channels.

    Source: Liu 2022's authors' code.
    """

    name: str
    channels: int

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        def parameter(part: str, value: float) -> Tensor:
            return run.parameter(f"{self.name}.{part}", lambda: np.full(self.channels, value))

        inner = x + autodiff.per_channel(parameter("before", 0.0), x)
        return autodiff.prelu(inner, parameter("slope", 0.25)) + autodiff.per_channel(parameter("after", 0.0), x)


@dataclass(frozen=True)
class Apply:
    """An op without parameters of its own, such as a ReLU or a pooling, on reals [B, ...].

    op : a function of a Tensor.
    how : its arguments by name.

    Raises what ``op`` raises.

    Source: refquant's own.
    """

    op: Callable
    how: dict[str, Any] = field(default_factory=dict)

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        return self.op(as_reals(x), **self.how)


@dataclass(frozen=True)
class Sequential:
    """One layer after another; the first takes what comes, [B, ...], and each the last one's answer.

    layers : functions of ``(x, run)``.

    Raises what the layers raise.

    Source: refquant's own.
    """

    layers: tuple[Layer, ...]

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        for layer in self.layers:
            x = layer(x, run)
        return x


@dataclass(frozen=True)
class Residual:
    """``body(x) + shortcut(x)``, both of one shape [B, ...]; the shortcut is x itself, as reals, unless given.

    body, shortcut : functions of ``(x, run)``.

    Raises ValueError, when called, where the shapes cannot be added.

    Source: He 2016, eq. 1 and 2.
    """

    body: Layer
    shortcut: Layer | None = None

    def __call__(self, x: Tensor, run: Run) -> Tensor:
        return self.body(x, run) + (as_reals(x) if self.shortcut is None else self.shortcut(x, run))
