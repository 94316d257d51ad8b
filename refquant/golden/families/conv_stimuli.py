"""Stimuli of the convolution and its gradients.

    forward   x [B, C, H, W], w [O, C/groups, KH, KW]
    dx        g [B, O, OH, OW], w
    dw        x, g
    db        g

The geometries are chosen so that mistakes keep the shape of the result: stride 2 with dilation 1 gives as many rows
as stride 1 with dilation 2 on an image of 5 + 2, strides (3, 2) as many as (2, 3) on one of 5 + 1, and so on.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refquant.gemm import Geometry
from refquant.golden import schema
from refquant.golden.families import corners, natural, products, requantization
from refquant.golden.families.corners import Corner
from refquant.golden.operation import Arrays, Attrs, Stimulus
from refquant.golden.stimuli import Draw

OPERANDS: dict[str, tuple[str, ...]] = {"forward": ("x", "w"), "dx": ("g", "w"), "dw": ("x", "g"), "db": ("g",)}

PAIR = {"type": "array", "items": schema.integer(1, 2**20), "minItems": 2, "maxItems": 2}
FOUR = {"type": "array", "items": schema.integer(0, 2**20), "minItems": 4, "maxItems": 4}
GEOMETRY = {"stride": PAIR, "padding": FOUR, "dilation": PAIR, "groups": schema.integer(1, 2**20)}

Sizes = tuple[int, int, int, int, int, int, int]  # B, C, H, W, O, KH, KW

STRIDED = Geometry(stride=2, padding=1)
LAYOUTS: tuple[tuple[Sizes, Geometry], ...] = (
    ((2, 4, 5, 5, 6, 3, 3), STRIDED),
    ((2, 4, 6, 6, 6, 2, 2), Geometry(stride=2, padding=(0, 1, 0, 1), dilation=(1, 2), groups=2)),
    ((2, 4, 6, 6, 4, 3, 3), Geometry(padding=1, groups=4)),
    ((3, 3, 5, 5, 6, 3, 3), Geometry(stride=(3, 2), padding=(0, 1, 1, 0))),
    ((1, 6, 5, 5, 6, 3, 3), Geometry(padding=2, dilation=2, groups=3)),
)
WIDE: tuple[Sizes, Geometry] = ((4, 4, 6, 6, 6, 3, 3), Geometry(padding=1))  # many results a channel
DEEP: tuple[Sizes, Geometry] = ((2, 6, 5, 5, 12, 3, 3), Geometry(padding=1))  # many terms a result
TILED: tuple[Sizes, Geometry] = ((2, 17, 5, 5, 35, 3, 3), Geometry(padding=1))  # more channels than a tile
MANY_CHANNELS: tuple[Sizes, Geometry] = ((3, 1, 4, 4, 200, 3, 3), Geometry(padding=1))  # for sums that leave only those
MANY_POSITIONS: tuple[Sizes, Geometry] = ((1, 1, 182, 181, 1, 1, 1), Geometry())
PLAIN: tuple[Sizes, Geometry] = ((4, 4, 4, 4, 4, 3, 3), Geometry(padding=1))  # square in every way


def geometry(attrs: Attrs) -> Geometry:
    return Geometry(tuple(attrs["stride"]), tuple(attrs["padding"]), tuple(attrs["dilation"]), attrs["groups"])


def keywords(attrs: Attrs) -> dict[str, Any]:
    """The geometry as the scalar model takes it."""
    return {"stride": tuple(attrs["stride"]), "padding": tuple(attrs["padding"]),
            "dilation": tuple(attrs["dilation"]), "groups": attrs["groups"]}


def conv_stimuli(kind: str, accumulate: Callable, channel_axis: int, flavours: tuple[str, ...],
                 roundings: tuple[str, ...]) -> Callable[[int, int], Iterator[Stimulus]]:
    """The stimuli of one of the four products, computed by ``accumulate``."""
    names = OPERANDS[kind]
    has_bias = kind == "forward"

    def case(corner: Corner, sizes: Sizes, how: Geometry, draw: Draw, tier: int = 1) -> Stimulus:
        inputs = corners.with_operands(corner, names, _operand_shapes(kind, sizes, how), draw)
        corners.add_bias(corner, inputs, sizes[4], draw)
        return finished(corner, sizes, how, inputs, draw, tier)

    def finished(corner: Corner, sizes: Sizes, how: Geometry, inputs: Arrays, draw: Draw, tier: int = 1) -> Stimulus:
        further: dict[str, Any] = {}
        if kind != "db":
            further = {"stride": list(how.stride), "padding": list(how.padding), "dilation": list(how.dilation),
                       "groups": how.groups}
        if kind == "dx":
            further["size"] = list(sizes[2:4])
        if kind == "dw":
            further["kernel"] = list(sizes[5:7])
        attrs = corners.attributes(corner, names, has_bias, **further)
        attrs = corners.add_scale(corner, attrs, inputs, accumulate, channel_axis, draw)
        label = products.label(_shape_label(kind, sizes, how), attrs, names)
        return Stimulus(corner.set.replace("_", "-"), label, attrs, inputs, tier)

    def stimuli(level: int, seed: int) -> Iterator[Stimulus]:
        for index, corner in enumerate(corners.of_kind(kind, corners.level_1(flavours, roundings, has_bias), True)):
            yield case(corner, *_layout(kind, corner, index), Draw(seed, f"conv.{kind}.1.{index}"))
        yield _natural(kind, names, Draw(seed, f"conv.{kind}.natural"), finished)
        for tier, count in ((2, 40), (3, 400)):
            if level < tier:
                break
            draw = Draw(seed, f"conv.{kind}.{tier}")
            for corner in corners.drawn(flavours, roundings, has_bias, draw, count):
                yield case(corner, *_random_layout(draw), draw, tier)

    return stimuli


def _layout(kind: str, corner: Corner, index: int) -> tuple[Sizes, Geometry]:
    if kind == "db" and corner.shape not in ("square", "tiled"):
        return MANY_POSITIONS if corner.shape == "many" else MANY_CHANNELS
    named = {"square": PLAIN, "wide": WIDE, "deep": DEEP, "tiled": TILED}
    return named.get(corner.shape, LAYOUTS[index % len(LAYOUTS)])


def _operand_shapes(kind: str, sizes: Sizes, how: Geometry) -> tuple[tuple[int, ...], ...]:
    b, c, h, w, o, kh, kw = sizes
    x, kernel = (b, c, h, w), (o, c // how.groups, kh, kw)
    g = (b, o, *how.output_size(h, w, (kh, kw)))
    return {"forward": (x, kernel), "dx": (g, kernel), "dw": (x, g), "db": (g,)}[kind]


def _random_layout(draw: Draw) -> tuple[Sizes, Geometry]:
    groups = int(draw.pick([1, 1, 2, 4]))
    c, o = groups * int(draw.integers(1, 4)), groups * int(draw.integers(1, 4))
    kh, kw, sh, sw, dh, dw = (int(draw.integers(1, most)) for most in (4, 4, 3, 3, 2, 2))
    padding = tuple(int(p) for p in draw.integers(0, 2, (4,)))
    h, w = dh * (kh - 1) + 1 + int(draw.integers(0, 7)), dw * (kw - 1) + 1 + int(draw.integers(0, 7))
    return (int(draw.integers(1, 3)), c, h, w, o, kh, kw), Geometry((sh, sw), padding, (dh, dw), groups)


def _shape_label(kind: str, sizes: Sizes, how: Geometry) -> str:
    b, c, h, w, o, kh, kw = sizes
    if kind == "db":
        return "x".join(map(str, (b, o, *how.output_size(h, w, (kh, kw)))))
    parts = [f"{b}x{c}x{h}x{w}_{o}x{kh}x{kw}"]
    parts += [f"s{how.stride[0]}{how.stride[1]}"] if how.stride != (1, 1) else []
    parts += ["p" + "".join(map(str, how.padding))] if any(how.padding) else []
    parts += [f"d{how.dilation[0]}{how.dilation[1]}"] if how.dilation != (1, 1) else []
    parts += [f"g{how.groups}"] if how.groups > 1 else []
    return "_".join(parts)


def _natural(kind: str, names: tuple[str, ...], draw: Draw, finished: Callable) -> Stimulus:
    """Two digits through the edge filters; the gradient is what the filters answer to two other digits."""
    sizes, how = (2, 1, 8, 8, 8, 3, 3), Geometry(padding=1)
    x, w = natural.images(2)[0], natural.EDGE_FILTERS
    g = natural.edges(natural.images(2, start=100)[0])
    arrays = {"x": x, "w": w, "g": g}
    corner = Corner("natural", ("u8" if names[0] == "x" else "s8", 0), ("s8", 0),
                    requantization.attributes("tosa_double", per_channel=kind in ("forward", "dw")))
    inputs: Arrays = {f"in_{name}": np.ascontiguousarray(arrays[name]) for name in names}
    return finished(corner, sizes, how, inputs, draw)
