# mypy: disable-error-code="import-not-found,misc,name-defined,no-any-return"
"""Three of the papers' methods in torch, quantizing where `refquant.training.methods` does.

    Hindsight   8 bits everywhere; ranges known from the steps before, while new ones are collected
    Banner      8 bits everywhere, also around Range BN; activations on the mean of the samples' ranges; the weight
                gradient is made of a copy of the output gradient in 16 bits
    Int4        4 bits but for the first and last product; clips learned, the gradients' adapted

``gradients=False`` leaves the gradients alone.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from refquant.bench.torch_quantizers import (
    LEAST,
    Bifurcated,
    Rounded,
    asymmetric,
    by_sample,
    by_tensor,
    dithered,
    even_16,
    product,
    stochastic_8,
)


class Real:
    """No quantization."""

    clips: tuple[torch.Tensor, ...] = ()

    def norm(self, channels: int) -> nn.Module:
        return Norm(channels)

    def product(self, layer: nn.Module, x: torch.Tensor, place: str, state: dict[str, Any]) -> torch.Tensor:
        return product(layer, x, layer.weight, layer.bias)


class Norm(nn.Module):
    """Batch norm of images or rows."""

    def __init__(self, channels: int):
        super().__init__()
        self.images, self.rows = nn.BatchNorm2d(channels), nn.BatchNorm1d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.images if x.ndim == 4 else self.rows)(x)


class Quantized:
    """What the methods share.  gradients : whether they are quantized."""

    def __init__(self, gradients: bool):
        self.gradients = gradients
        self.clips: list[torch.Tensor] = []

    def norm(self, channels: int) -> nn.Module:
        return Norm(channels)


class Hindsight(Quantized):
    """Every range from the steps before."""

    def product(self, layer, x, place, state):
        scale = layer.weight.detach().abs().max() / 127
        w = torch.fake_quantize_per_tensor_affine(layer.weight, scale, torch.zeros((), dtype=torch.int32), -127, 127)
        y = product(layer, asymmetric(x, *self._range(x.detach(), state, "x")), w, layer.bias)
        return Rounded.apply(y, lambda g: self._rounded(g, state)) if self.gradients else y

    def _rounded(self, g: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
        return stochastic_8(g, self._range(g, state, "g"))

    def _range(self, x: torch.Tensor, state: dict[str, Any], name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The range of the steps before; this one's moves it on."""
        seen = torch.stack(torch.aminmax(x))
        used = state.get(name, seen)
        state[name] = torch.lerp(used, seen, 0.1)
        return used[0], used[1]


class Banner(Quantized):
    """Range BN, and two copies of each output gradient."""

    def norm(self, channels: int) -> nn.Module:
        return RangeNorm(channels, self.gradients)

    def product(self, layer, x, place, state):
        x, w = by_sample(x), by_tensor(layer.weight)
        if self.gradients:
            y = Bifurcated.apply(x, w, layer, stochastic_8, even_16)
        else:
            y = product(layer, x, w, None)
        return y if layer.bias is None else y + by_tensor(layer.bias)


class RangeNorm(nn.Module):
    """Banner's Range BN between 8-bit quantizers."""

    def __init__(self, channels: int, gradients: bool):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.gradients = gradients

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, others = by_sample(x), tuple(d for d in range(x.ndim) if d != 1)
        shape = [-1 if d == 1 else 1 for d in range(x.ndim)]
        constant = 1 / math.sqrt(2 * math.log(x.numel() / x.shape[1]))
        mean, scale = x.mean(others), 1 / (constant * width(x) + 1e-5)
        with torch.no_grad():
            self.mean.lerp_(mean, 0.9)
            self.scale.lerp_(scale, 0.9)
        gamma, beta = by_tensor(self.gamma) * scale, by_tensor(self.beta)
        y = (x - mean.view(shape)) * gamma.view(shape) + beta.view(shape)
        return Rounded.apply(y, stochastic_8) if self.gradients else y


def width(x: torch.Tensor) -> torch.Tensor:
    """The largest less the least of each channel; the gradient goes to one element each, as the method has it."""
    rows = x.reshape(*x.shape[:2], -1)  # over places first: of torch's ways to do this the quickest, with its gradient
    return rows.max(2).values.max(0).values - rows.min(2).values.min(0).values


class Int4(Quantized):
    """Learned clips."""

    def product(self, layer, x, place, state):
        if place != "inner":
            return product(layer, x, layer.weight, layer.bias)
        half_normal = math.sqrt(1 - 2 / math.pi)
        w = self._clipped(layer.weight, state, "w", -7, 7, 3)
        y = product(layer, self._clipped(x, state, "x", 0, 15, 3 / half_normal), w, layer.bias)
        return Rounded.apply(y, lambda g: self._rounded(g, state)) if self.gradients else y

    def _clipped(self, x: torch.Tensor, state: dict[str, Any], name: str, low: int, high: int,
                 deviations: float) -> torch.Tensor:
        """On a learned step; its clip is ``high`` times that."""
        if name not in state:
            state[name] = nn.Parameter((deviations * x.detach().std() / high).reshape(1))
            self.clips.append(state[name])
        return torch._fake_quantize_learnable_per_tensor_affine(x, state[name], torch.zeros(1), low, high, 1.0)

    def _rounded(self, g: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
        """Clipped at a part of the largest; that part moves to where the wanted fraction is clipped."""
        factor, size = state.get("factor", 1.0), g.abs()
        clip = max(factor * float(size.max()), LEAST)
        clipped = int(torch.count_nonzero(size > clip)) / g.numel()
        direction = (clipped > 1e-3 / 15) - (clipped < 1e-3 / 15)
        state["factor"] = min(max(factor + 1e-3 * direction, 1e-3), 1.0)
        return dithered(g, clip / 7, 0.0, -7, 7)


METHODS: dict[str, Callable[[bool], Any]] = {"hindsight-8": Hindsight, "banner-8": Banner, "int4-4": Int4}
