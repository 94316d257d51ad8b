# mypy: disable-error-code="import-not-found,misc,name-defined,no-any-return"
"""Fake quantization in torch, in float32, for `refquant.bench.torch_methods`.

Forward it is torch.fake_quantize_per_tensor_affine. For gradients torch has nothing, so they are scaled, dithered,
floored and clipped in place.
"""
from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

LEAST = 1e-8  # of a range


def product(layer: nn.Module, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
    if isinstance(layer, nn.Conv2d):
        return functional.conv2d(x, w, b, layer.stride, layer.padding)
    return functional.linear(x, w, b)


class Rounded(torch.autograd.Function):
    """Itself; its gradient quantized."""

    @staticmethod
    def forward(context, x, quantize):
        context.quantize = quantize
        return x.view_as(x)

    @staticmethod
    def backward(context, g):
        return context.quantize(g), None


class Bifurcated(torch.autograd.Function):
    """A product, each of whose gradients is made of a copy of the output gradient of its own."""

    @staticmethod
    def forward(context, x, w, layer, for_input, for_weight):
        context.save_for_backward(x, w)
        context.layer, context.for_input, context.for_weight = layer, for_input, for_weight
        return product(layer, x, w, None)

    @staticmethod
    def backward(context, g):
        x, w = context.saved_tensors
        needed = context.needs_input_grad[0]
        coarse, fine = context.for_input(g) if needed else None, context.for_weight(g)
        if isinstance(context.layer, nn.Linear):
            return coarse @ w if needed else None, fine.T @ x, None, None, None

        def gradients(of, which):
            return torch.ops.aten.convolution_backward(of, x, w, None, context.layer.stride, context.layer.padding,
                                                       [1, 1], False, [0, 0], 1, which)
        return (gradients(coarse, [True, False, False])[0] if needed else None,
                gradients(fine, [False, True, False])[1], None, None, None)


def grid(low: torch.Tensor, high: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``(scale, zero point)`` of unsigned codes on the range, widened to hold 0."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = (high - low).clamp(min=LEAST) / (2**bits - 1)
    return scale, (-low / scale).round()


def asymmetric(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, bits: int = 8) -> torch.Tensor:
    scale, zero_point = grid(low, high, bits)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero_point.to(torch.int32), 0, 2**bits - 1)


def dithered(g: torch.Tensor, scale: float, zero_point: float, low: int, high: int) -> torch.Tensor:
    """``g`` on the grid, rounded stochastically."""
    return (torch.rand_like(g).add_(g, alpha=1 / scale).add_(zero_point).floor_().clamp_(low, high)
            .sub_(zero_point).mul_(scale))


def by_tensor(w: torch.Tensor) -> torch.Tensor:
    """On the tensor's min and max."""
    return asymmetric(w, *torch.aminmax(w.detach()))


def by_sample(x: torch.Tensor) -> torch.Tensor:
    """On the mean of the samples' min, and of their max."""
    dimensions = tuple(range(1, x.ndim))
    return asymmetric(x, x.detach().amin(dimensions).mean(), x.detach().amax(dimensions).mean())


def stochastic_8(g: torch.Tensor, known: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
    """On a known range, or on the gradient's own."""
    low, high = known or torch.aminmax(g)
    scale, zero_point = grid(low, high, 8)
    return dithered(g, float(scale), float(zero_point), 0, 255)


def even_16(g: torch.Tensor) -> torch.Tensor:
    return asymmetric(g, *torch.aminmax(g), bits=16)
