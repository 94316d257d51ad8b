"""Convolutions of 8-bit integers, and what is drawn from their times.

Layers are written images x channels -> channels, size. Each is timed forward alone, and forward with both gradients:
of the input and of the weights.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refquant.bench.plan import Plan
from refquant.bench.rows import FASTER, Case, Figure, Table
from refquant.bench.timing import geometric_mean

LIBRARIES = ("refquant", "torch", "onnxruntime")

RESNET = {"1 x 64->64, 56x56": (1, 64, 64, 56, 1), "1 x 128->128, 28x28": (1, 128, 128, 28, 1),
          "1 x 256->256, 14x14": (1, 256, 256, 14, 1)}  # images, channels in, channels out, size, groups
OTHERS = {"64 x 1->16, 28x28": (64, 1, 16, 28, 1), "64 x 16->32, 14x14": (64, 16, 32, 14, 1),
          "64 x 16->16, 32x32": (64, 16, 16, 32, 1), "64 x 64->64, 8x8": (64, 64, 64, 8, 1),
          "64 x 64, 16x16, depthwise": (64, 64, 64, 16, 64)}
QUICK = {"8 x 16->32, 14x14": (8, 16, 32, 14, 1)}
FORWARD, WHOLE = "forward", "forward and both gradients"

OURS, RUNTIME_S8, RUNTIME_U8 = "refquant s8*s8", "onnxruntime s8*s8", "onnxruntime u8*u8"
LAYOUTS = ("NCHW", "channels_last")
TORCH = {layout: f"torch float32, {layout}" for layout in LAYOUTS}


def cases(quick: bool) -> list[Case]:
    layers = QUICK if quick else RESNET | OTHERS
    return [_case(name, layer, part) for name, layer in layers.items() for part in (FORWARD, WHOLE)]


def _case(name: str, layer: tuple[int, int, int, int, int], part: str) -> Case:
    images, inputs, outputs, size, groups = layer
    products = 1 if part == FORWARD else 3
    return Case(f"{name}, {part}", products * images * inputs // groups * outputs * 9 * size**2 / 1e9, "GMAC/s",
                {"layer": layer, "whole": part == WHOLE})


def figures(table: Table, machine: dict[str, Any], plan: Plan) -> Iterator[Figure]:
    ratios = {}
    for case in cases(plan.quick):
        ours, best = table.row(case.name, OURS), table.best(case.name, *TORCH.values())
        if ours is not None and best is not None:
            ratios[case.name] = best.median / ours.median
            yield Figure(FASTER, f"{case.name} / {best.peer}", ratios[case.name])
    resnet = [ratios[name] for name in (f"{layer}, {WHOLE}" for layer in RESNET) if name in ratios]
    if resnet:
        yield Figure(FASTER, f"{WHOLE} / torch float32, geometric mean of the {len(resnet)} layers of one image",
                     geometric_mean(resnet))
