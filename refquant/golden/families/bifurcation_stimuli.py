"""Stimuli of the two gradients from two copies: corners that matrix products and convolutions share.

A corner's scales follow from its tensors:

    fit         the largest g lands a little outside each copy, the largest accumulator a little outside dx and dw
    saturating  several times as far outside
    ties        g of few bits times 2^-4 and 2^-2, accumulators times 2^-2: remainders of a half, and of every multiple
                of a unit of 4 random bits
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from refquant.gemm import Geometry, conv
from refquant.golden.families import chance, conv_stimuli, natural
from refquant.golden.families.bifurcation import ACCUMULATOR, COPY, Layer, copies
from refquant.golden.operation import Arrays, Attrs, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import MODES

Shape = tuple[int, ...]
Sizes = tuple[int, int, int, int, int, int, int]  # as in conv_stimuli
Shaped = tuple[tuple[Shape, Shape, Shape], Attrs]  # of g, x and w; the geometry
FACTOR = {"fit": Fraction(5, 4), "saturating": Fraction(6)}


@dataclass(frozen=True)
class Corner:
    """One way to fill a case.

    set : the stimulus set.  x, w : format and zero point.  fills : of g, x and w.  bits, n : of the copy for dx.
    dx, dw : their formats.  layout : shapes, read by the operation.
    """

    set: str
    x: tuple[str, int] = ("u8", 0)
    w: tuple[str, int] = ("s8", 0)
    g_format: str = "s32"
    fills: tuple[str, str, str] = ("random", "random", "random")
    bits: int = 8
    n: int = 16
    rounding: str = "half_even"
    scaling: str = "fit"
    dx: str = "s16"
    dw: str = "s16"
    layout: str = "strided"


TIES = Corner("ties", ("u8", 3), n=4, scaling="ties", fills=("small", "random", "random"))
LEVEL_1 = (
    *(replace(TIES, rounding=rounding) for rounding in MODES),
    replace(TIES, bits=4, w=("s4", -2)),
    Corner("random", ("u8", 131), dx="s32", dw="s32", layout="grouped"),
    Corner("random", ("s8", -3), ("u8", 117), bits=4, n=8, layout="depthwise"),
    Corner("random", ("s4", 0), ("s4", 0), "s16", n=8, dx="s8", dw="s8n", layout="uneven"),
    Corner("random", ("u8", 131), ("s8", 5), "s24", layout="square"),
    Corner("saturation", ("u8", 7), ("s8", 2), scaling="saturating", n=8, layout="uneven"),
    Corner("saturation", ("s8", 0), scaling="saturating", bits=4, n=5, dx="s8", dw="s32", layout="dilated"),
    Corner("zeros", fills=("zeros", "random", "random")), Corner("all_max", fills=("all_max", "all_max", "all_max")),
    Corner("all_min", ("s8", 0), fills=("all_min", "all_min", "all_min"), dw="s32"),
    Corner("alternating", fills=("alternating", "ramp", "alternating")),
    Corner("single_bit", fills=("single_bit", "random", "ramp")),
    Corner("accumulator_limits", w=("s16", 0), fills=("all_min", "random", "all_min"), dx="s32", layout="many_outputs"),
    Corner("accumulator_limits", ("s16", 0), fills=("all_min", "all_min", "random"), dw="s48", layout="many_positions"),
    # more terms than fit 20 and 24 bits, without a sum that is all of one sign
    Corner("accumulator_limits", ("s16", 0), ("s16", 0), dx="s32", dw="s48"),
)


def stimuli(layer: Layer, name: str, shaped: Callable[[str], Shaped], drawn: Callable[[Draw], Shaped],
            of_digits: Callable[[], tuple[Arrays, Attrs]]) -> Callable[[int, int], Iterator[Stimulus]]:
    """The stimuli of one operation.

    shaped : of a layout.  drawn : at random.  of_digits : natural g, x and w.
    """
    def filled(corner: Corner, shapes: tuple[Shape, Shape, Shape], draw: Draw) -> Arrays:
        formats = (corner.g_format, corner.x[0], corner.w[0])
        return {f"in_{tensor}": _codes(IntFormat.parse(format), shape, fill, draw)
                for tensor, format, shape, fill in zip("gxw", formats, shapes, corner.fills, strict=True)}

    def finished(corner: Corner, inputs: Arrays, how: Attrs, draw: Draw, tier: int = 1) -> Stimulus:
        g = inputs["in_g"]
        inputs |= _scales(corner, g)
        rbits, record = chance.philox(corner.n, g.size, draw.seed, draw.tensor, draw.step + 1)
        draw.step += 1
        inputs |= {"rbits_g": rbits.reshape(g.shape)}
        attrs: Attrs = {
            "g_format": corner.g_format, "x_format": corner.x[0], "x_zero_point": corner.x[1],
            "w_format": corner.w[0], "w_zero_point": corner.w[1], "input_bits": corner.bits, "n": corner.n,
            "rounding": corner.rounding, "dx_format": corner.dx, "dw_format": corner.dw, **how}
        attrs |= {f"{gradient}_shift": _shift(corner, attrs, inputs, layer, gradient) for gradient in COPY}
        return Stimulus(corner.set.replace("_", "-"), _label(corner, inputs, how), attrs, inputs, tier, record)

    def all_of_level(level: int, seed: int) -> Iterator[Stimulus]:
        for index, corner in enumerate(LEVEL_1):
            draw = Draw(seed, f"{name}.1.{index}")
            shapes, how = shaped(corner.layout)
            yield finished(corner, filled(corner, shapes, draw), how, draw)
        yield finished(Corner("natural", dw="s32"), *of_digits(), Draw(seed, f"{name}.natural"))
        for tier, count in ((2, 20), (3, 300)):
            if level < tier:
                break
            draw = Draw(seed, f"{name}.{tier}")
            for _ in range(count):
                corner, (shapes, how) = _drawn(draw), drawn(draw)
                yield finished(corner, filled(corner, shapes, draw), how, draw, tier)

    return all_of_level


def of_product(layer: Layer) -> Callable[[int, int], Iterator[Stimulus]]:
    """The stimuli of gemm.bifurcated."""
    named = {"square": (9, 9, 8), "many_outputs": (2, 3, 540), "many_positions": (600, 3, 2)}  # M, K, N

    def shaped(m: int, k: int, n: int) -> Shaped:
        return ((m, n), (m, k), (k, n)), {}

    def drawn(draw: Draw) -> Shaped:
        m, k, n = (int(draw.integers(1, most)) for most in (40, 40, 40))
        return shaped(m, k + n, n)

    def of_digits() -> tuple[Arrays, Attrs]:
        """Eight digits through the trained layer: scores, less 64 at the label, before they are shifted to int8."""
        images, labels = natural.images(8)
        x, w = images.reshape(8, 64), natural.trained_layer()
        g = (x.astype(np.int64)[:, :, None] * w).sum(1)
        g[np.arange(8), labels] -= 64 << 12
        return {"in_g": g.astype(np.int32), "in_x": x, "in_w": w}, {}

    return stimuli(layer, "gemm.bifurcated", lambda layout: shaped(*named.get(layout, (9, 10, 8))), drawn, of_digits)


def of_convolution(layer: Layer) -> Callable[[int, int], Iterator[Stimulus]]:
    """The stimuli of conv.bifurcated."""
    layouts = zip(("strided", "grouped", "depthwise", "uneven", "dilated", "square"),
                  (*conv_stimuli.LAYOUTS, conv_stimuli.PLAIN), strict=True)
    # so many images that compiled kernels take the products
    named = {name: ((max(3, sizes[0] + 1), *sizes[1:]), how) for name, (sizes, how) in layouts}
    named |= {"many_outputs": ((1, 1, 3, 3, 65, 3, 3), Geometry(padding=1)),
              "many_positions": ((1, 1, 26, 26, 2, 1, 1), Geometry())}

    def shaped(sizes: Sizes, how: Geometry) -> Shaped:
        b, c, h, w, o, kh, kw = sizes
        return (((b, o, *how.output_size(h, w, (kh, kw))), (b, c, h, w), (o, c // how.groups, kh, kw)),
                {"stride": list(how.stride), "padding": list(how.padding), "dilation": list(how.dilation),
                 "groups": how.groups})

    def of_digits() -> tuple[Arrays, Attrs]:
        """Two digits; the gradient is what the edge filters answer to two others."""
        x, how = natural.images(2)[0], Geometry(padding=1)
        g, _ = conv(natural.images(2, start=100)[0], natural.EDGE_FILTERS, how)
        return {"in_g": g, "in_x": x, "in_w": natural.EDGE_FILTERS}, shaped((2, 1, 8, 8, 8, 3, 3), how)[1]

    def drawn(draw: Draw) -> Shaped:
        (_, c, h, w, o, kh, kw), how = named[str(draw.pick(list(named)))]
        return shaped((int(draw.integers(1, 5)), c, h, w, o, kh, kw), how)

    return stimuli(layer, "conv.bifurcated", lambda layout: shaped(*named[layout]), drawn, of_digits)


def _codes(format: IntFormat, shape: Shape, fill: str, draw: Draw) -> np.ndarray:
    return format.saturate(draw.integers(-60, 60, shape)) if fill == "small" else draw.codes(format, shape, fill)


def _scales(corner: Corner, g: np.ndarray) -> Arrays:
    """in_multiplier and in_shift of both copies."""
    largest = max(1, int(np.abs(g.astype(np.int64)).max()))
    scales = [Fraction(1, 16), Fraction(1, 4)]
    if corner.scaling != "ties":
        scales = [FACTOR[corner.scaling] * top / largest for top in (2 ** (corner.bits - 1) - 1, 2**15 - 1)]
    pairs = [multiplier_from_scale(scale) for scale in scales]
    return {"in_multiplier": np.array([multiplier for multiplier, _ in pairs], np.int32),
            "in_shift": np.array([shift for _, shift in pairs], np.uint8)}


def _shift(corner: Corner, attrs: Attrs, inputs: Arrays, layer: Layer, gradient: str) -> int:
    """The shift of dx or dw."""
    if corner.scaling == "ties":
        return 2
    copy = copies(attrs, inputs)[COPY[gradient]]
    acc = layer.accumulate[gradient](attrs, inputs, copy, ACCUMULATOR[gradient]).astype(np.int64)
    largest = int(np.abs(acc).max())
    room = IntFormat.parse(attrs[f"{gradient}_format"]).qmax * FACTOR[corner.scaling]
    return int(largest // room).bit_length()


def _label(corner: Corner, inputs: Arrays, how: Attrs) -> str:
    shape = "-".join("x".join(map(str, inputs[f"in_{name}"].shape)) for name in ("x", "w"))
    geometry = [] if not how else [f"s{how['stride'][0]}{how['stride'][1]}", "p" + "".join(map(str, how["padding"]))]
    points = [str(point).replace("-", "m") for point in (corner.x[1], corner.w[1])]
    zero_points = ["z" + ".".join(points)] if any((corner.x[1], corner.w[1])) else []
    return "_".join([shape, *geometry, f"{corner.g_format}x{corner.x[0]}x{corner.w[0]}", *zero_points,
                     f"i{corner.bits}n{corner.n}", corner.rounding.replace("_", "-")])


def _drawn(draw: Draw) -> Corner:
    """A corner at random: every format, zero point, rounding and number of random bits with every other."""
    formats = [str(f) for f in draw.pick(["u8", "s8", "s4", "u4", "s16"], (2,))]
    points = [int(draw.pick([0, 0, 1, IntFormat.parse(f).qmin, IntFormat.parse(f).qmax])) for f in formats]
    return Corner(
        "random", (formats[0], points[0]), (formats[1], points[1]), str(draw.pick(["s32", "s32", "s24", "s16"])),
        bits=int(draw.pick([4, 8])), n=int(draw.integers(1, 24)), rounding=str(draw.pick(list(MODES))),
        scaling=str(draw.pick(["fit", "fit", "saturating"])), dx=str(draw.pick(["s8", "s16", "s32"])),
        dw=str(draw.pick(["s8", "s16", "s32", "s48"])))
