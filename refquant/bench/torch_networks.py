# mypy: disable-error-code="import-not-found,misc"
"""The networks `cnn` and `resnet20` of `refquant.training.models` in torch.

A method (`refquant.bench.torch_methods`) says what stands around products, and what normalizes.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Product(nn.Module):
    """A convolution or linear layer between its method's quantizers.  place : first, inner or last."""

    def __init__(self, layer: nn.Module, method: Any, place: str):
        super().__init__()
        self.layer, self.method, self.place = layer, method, place
        self.state: dict[str, Any] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.method.product(self.layer, x, self.place, self.state)


class Residual(nn.Module):
    """``relu(body(x) + shortcut(x))``."""

    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def network(model: str, size: int, method: Any) -> nn.Module:
    return cnn(size, method) if model == "cnn" else resnet20(method)


def cnn(size: int, method: Any, width: int = 16) -> nn.Module:
    left = size // 4
    return nn.Sequential(
        *_conv(1, width, method, "first"), nn.ReLU(), nn.MaxPool2d(2),
        *_conv(width, 2 * width, method), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        Product(nn.Linear(2 * width * left * left, 64, bias=False), method, "inner"), method.norm(64), nn.ReLU(),
        Product(nn.Linear(64, 10), method, "last"))


def resnet20(method: Any, width: int = 16) -> nn.Module:
    layers, inputs = [*_conv(3, width, method, "first"), nn.ReLU()], width
    for stage in range(3):
        for block in range(3):
            outputs, stride = width << stage, 2 if stage and not block else 1
            body = nn.Sequential(*_conv(inputs, outputs, method, stride=stride), nn.ReLU(),
                                 *_conv(outputs, outputs, method))
            same = inputs == outputs
            layers.append(Residual(body, nn.Identity() if same else
                                   nn.Sequential(*_conv(inputs, outputs, method, stride=stride, kernel=1))))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), Product(nn.Linear(inputs, 10), method, "last"))


def _conv(inputs: int, outputs: int, method: Any, place: str = "inner", stride: int = 1,
          kernel: int = 3) -> list[nn.Module]:
    """A convolution and its norm."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [Product(layer, method, place), method.norm(outputs)]
