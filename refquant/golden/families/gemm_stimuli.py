"""Stimuli of the matrix product and its gradients: x [M, K] @ w [K, N] = y [M, N].

Shapes are given as (rows, terms, columns) of the product that is computed, whose operands are for

    forward   a [rows, terms],  b [terms, columns]
    dx        g [rows, terms],  w [columns, terms]
    dw        x [terms, rows],  g [terms, columns]
    db        g [terms, columns]
"""
from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from refquant.golden.families import corners, natural, products, requantization
from refquant.golden.families.corners import Corner
from refquant.golden.operation import Arrays, Attrs, Stimulus
from refquant.golden.stimuli import Draw

SHAPES = {"small": (8, 10, 6), "wide": (24, 10, 12), "square": (6, 6, 6), "deep": (4, 40, 6), "tiled": (37, 130, 35),
          "large": (33, 96, 41)}

OPERANDS: dict[str, tuple[str, ...]] = {"forward": ("a", "b"), "dx": ("g", "w"), "dw": ("x", "g"), "db": ("g",)}


def gemm_stimuli(kind: str, accumulate: Callable, channel_axis: int, flavours: tuple[str, ...],
                 roundings: tuple[str, ...]) -> Callable[[int, int], Iterator[Stimulus]]:
    """The stimuli of one of the four products, computed by ``accumulate``."""
    names = OPERANDS[kind]
    has_bias = kind == "forward"

    def case(corner: Corner, shape: tuple[int, int, int], draw: Draw, tier: int = 1) -> Stimulus:
        inputs = corners.with_operands(corner, names, _operand_shapes(kind, shape), draw)
        corners.add_bias(corner, inputs, shape[2], draw)
        attrs = corners.attributes(corner, names, has_bias)
        return finished(corner, attrs, inputs, draw, tier)

    def finished(corner: Corner, attrs: Attrs, inputs: Arrays, draw: Draw, tier: int = 1) -> Stimulus:
        attrs = corners.add_scale(corner, attrs, inputs, accumulate, channel_axis, draw)
        shape = "-".join("x".join(map(str, inputs[f"in_{name}"].shape)) for name in names)
        label = products.label(shape, attrs, names)
        return Stimulus(corner.set.replace("_", "-"), label, attrs, inputs, tier)

    def stimuli(level: int, seed: int) -> Iterator[Stimulus]:
        for index, corner in enumerate(corners.of_kind(kind, corners.level_1(flavours, roundings, has_bias), False)):
            yield case(corner, _shape(kind, corner), Draw(seed, f"gemm.{kind}.1.{index}"))
        draw = Draw(seed, f"gemm.{kind}.natural")
        yield _natural(kind, names, draw, finished)
        for tier, count in ((2, 60), (3, 600)):
            if level < tier:
                break
            draw = Draw(seed, f"gemm.{kind}.{tier}")
            for corner in corners.drawn(flavours, roundings, has_bias, draw, count):
                rows, terms, columns = (int(draw.integers(1, most)) for most in SHAPES[corner.shape])
                yield case(corner, (rows, terms, rows if corner.shape == "square" else columns), draw, tier)

    return stimuli


def _operand_shapes(kind: str, shape: tuple[int, int, int]) -> tuple[tuple[int, ...], ...]:
    rows, terms, columns = shape
    return {"forward": ((rows, terms), (terms, columns)), "dx": ((rows, terms), (columns, terms)),
            "dw": ((terms, rows), (terms, columns)), "db": ((terms, columns),)}[kind]


def _shape(kind: str, corner: Corner) -> tuple[int, int, int]:
    if corner.shape == "many":
        return 1, 2**15 + 1, 1
    rows, terms, columns = SHAPES[corner.shape]
    return (rows, 16, 300) if kind == "db" and corner.shape in ("small", "wide") else (rows, terms, columns)


def _natural(kind: str, names: tuple[str, ...], draw: Draw, finished: Callable) -> Stimulus:
    """Eight digits through the trained layer, and the gradient of their error back."""
    images, labels = natural.images(8)
    x, w = images.reshape(8, 64), natural.trained_layer()
    g = natural.output_gradient(x, labels, w)
    arrays = {"a": x, "b": w, "x": x, "w": w, "g": g}
    formats = {"a": "u8", "x": "u8"}
    requantized = requantization.attributes("tosa_double", per_channel=kind != "db")
    corner = Corner("natural", (formats.get(names[0], "s8"), 0), ("s8", 0), requantized, fills=("random", "random"))
    inputs: Arrays = {f"in_{name}": np.ascontiguousarray(arrays[name]) for name in names}
    return finished(corner, corners.attributes(corner, names, kind == "forward"), inputs, draw)
