"""Stimuli of Range BN: corners that forward and backward share; x is [B, C, H, W], n = B H W.

Fills of x, besides the named sets of `refquant.golden.stimuli`:

    uniform   every code as likely              shrinking   uniform, each channel half as wide as the one before
    few       codes -1 to 1: many equal extremes            constant    one code a channel, no range at all
    ends      a maximum first, a minimum last, little between; every other channel the other way round
    far       uniform over the top eighth of the format: both extremes on one side of 0

Epsilon makes roundings tell: "power" brings the first channel's width to a power of two, so that x_hat has ties;
"division" to a number whose inverse is rounded up.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refquant.autodiff.normalization import AUTHORS_FACTOR
from refquant.gemm import Geometry, conv
from refquant.golden.families import natural
from refquant.golden.families import range_bn as family
from refquant.golden.operation import Arrays, Attrs, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import range_bn
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import MODES

Finished = Callable[["Corner", Attrs, Arrays, Draw, int], Stimulus]


@dataclass(frozen=True)
class Corner:
    """One way to fill a case.

    set : the stimulus set.  bits : fraction_bits and normal_bits.  out : format and shift of y, or of dx.
    """

    set: str
    fill: str = "uniform"
    shape: tuple[int, int, int, int] = (3, 4, 4, 4)
    x_format: str = "s8"
    g_format: str = "s8"
    bits: tuple[int, int] = (4, 8)
    chunks: int = 1
    epsilon: int | str = 0
    rounding: str = "half_even"
    out: tuple[str, int] = ("s8", 9)
    momentum: int = 3277  # a tenth
    factor: float = 1.0


TIES = Corner("ties", "random", bits=(0, 5), epsilon="power", out=("s16", 2))
FINE = Corner("random", bits=(12, 14), epsilon="division", out=("s24", 3))
LEVEL_1 = (
    *(replace(TIES, rounding=rounding) for rounding in MODES),
    FINE, replace(FINE, x_format="u8", fill="shrinking"),
    Corner("zeros", "zeros"), Corner("no_range", "constant", epsilon=3),
    Corner("all_max", "all_max", x_format="s16", bits=(8, 12)), Corner("all_min", "all_min", epsilon=1),
    Corner("alternating", "alternating", x_format="s16", bits=(8, 12), out=("s8", 13)),
    Corner("max_then_minus_ones", "max_then_minus_ones"), Corner("ramp", "ramp", x_format="s4", out=("s4", 13)),
    Corner("equal_extremes", "few", x_format="s2", out=("s16", 4), epsilon=1),
    Corner("equal_extremes", "few", chunks=6, out=("s16", 4)),
    Corner("single_extremes", "ends", out=("s16", 4)), Corner("single_extremes", "ends", chunks=4, out=("s16", 4)),
    Corner("one_sided", "far", x_format="u8", out=("s16", 4)),
    Corner("random", chunks=2, out=("s16", 4), epsilon=5), Corner("random", chunks=8, out=("s16", 4), g_format="s16"),
    Corner("random", "shrinking", out=("s16", 4), momentum=29491),
    Corner("random", "random", (8, 5, 1, 1), "u8", out=("u8", 9)), Corner("random", shape=(2, 3, 1, 1)),
    Corner("saturation", "random", out=("s8", 6), momentum=2**15), Corner("saturation", out=("s4n", 11), momentum=0),
)
NATURAL = (Corner("natural", bits=(8, 12), g_format="s16", out=("s8", 13)),
           Corner("natural", bits=(8, 12), g_format="s16", out=("s8", 13), chunks=16, factor=AUTHORS_FACTOR))


def forward_stimuli(level: int, seed: int) -> Iterator[Stimulus]:
    """Stimuli of rangebn.forward."""
    return _stimuli("forward", level, seed, _forward)


def backward_stimuli(level: int, seed: int) -> Iterator[Stimulus]:
    """Stimuli of rangebn.backward."""
    return _stimuli("backward", level, seed, _backward)


def _stimuli(kind: str, level: int, seed: int, finished: Finished) -> Iterator[Stimulus]:
    for index, corner in enumerate(LEVEL_1):
        draw = Draw(seed, f"rangebn.{kind}.1.{index}")
        yield finished(corner, *_started(corner, _filled(corner, draw), draw), draw, 1)
    for index, corner in enumerate(NATURAL):
        draw = Draw(seed, f"rangebn.{kind}.natural.{index}")
        yield finished(corner, *_started(corner, natural.edges(natural.images(2)[0]), draw), draw, 1)
    for tier, count in ((2, 20), (3, 300)):
        if level < tier:
            break
        draw = Draw(seed, f"rangebn.{kind}.{tier}")
        for _ in range(count):
            corner = _drawn(draw)
            yield finished(corner, *_started(corner, _filled(corner, draw), draw), draw, tier)


def _started(corner: Corner, x: np.ndarray, draw: Draw) -> tuple[Attrs, Arrays]:
    """What forward and backward have in common: attributes, x, gamma and the constants."""
    (fraction_bits, normal_bits), count = corner.bits, x.size // x.shape[1]
    constants = range_bn.constants(count, corner.chunks, fraction_bits, corner.factor)
    inputs = {"in_x": x, "in_gamma": draw.integers(-250, 250, (x.shape[1],)).astype(np.int16)}
    inputs |= family.given_constants(constants)
    attrs: Attrs = {"x_format": corner.x_format, "fraction_bits": fraction_bits, "normal_bits": normal_bits,
                    "chunks": corner.chunks, "epsilon": 0, "rounding": corner.rounding}
    return attrs | {"epsilon": _epsilon(corner.epsilon, family.statistics(attrs, inputs).width[0])}, inputs


def _epsilon(wanted: int | str, width: np.int64) -> int:
    if wanted == "power":
        return (1 << int(width).bit_length()) - int(width)
    if wanted == "division":
        return next(e for e in range(1, 1 << 20) if 2 * ((1 << 30) % (int(width) + e)) > int(width) + e)
    return int(wanted)


def _forward(corner: Corner, attrs: Attrs, inputs: Arrays, draw: Draw, tier: int) -> Stimulus:
    channels, unit = inputs["in_x"].shape[1], 1 << attrs["normal_bits"]
    found = family.statistics(attrs, inputs)
    drift = draw.integers(-8, 8, (2, channels)) << attrs["fraction_bits"]
    inputs |= {
        "in_beta": draw.integers(-99 * unit, 99 * unit, (channels,)).astype(np.int32),
        "state0_mean": (found.mean + drift[0]).astype(np.int32),
        "state0_width": np.maximum(found.width + drift[1], 1).astype(np.int32)}
    attrs |= {"y_format": corner.out[0], "y_shift": corner.out[1], "momentum": corner.momentum}
    return Stimulus(_set(corner), _label(corner, inputs), attrs, inputs, tier)


def _backward(corner: Corner, attrs: Attrs, inputs: Arrays, draw: Draw, tier: int) -> Stimulus:
    if corner.set == "natural":
        g, _ = conv(natural.images(2, start=100)[0], natural.EDGE_FILTERS, Geometry(padding=1))
        inputs |= {"in_g": g.astype(np.int16)}
    else:
        inputs |= {"in_g": draw.codes(IntFormat.parse(corner.g_format), inputs["in_x"].shape)}
    attrs |= {"g_format": corner.g_format, "dx_format": corner.out[0], "dx_shift": corner.out[1]}
    return Stimulus(_set(corner), _label(corner, inputs), attrs, inputs, tier)


def _set(corner: Corner) -> str:
    return corner.set.replace("_", "-")


def _label(corner: Corner, inputs: Arrays) -> str:
    shape = "x".join(map(str, inputs["in_x"].shape))
    chunks = [f"k{corner.chunks}"] if corner.chunks > 1 else []
    return "_".join([shape, corner.x_format, corner.out[0], f"f{corner.bits[0]}g{corner.bits[1]}", *chunks,
                     corner.rounding.replace("_", "-")])


def _filled(corner: Corner, draw: Draw) -> np.ndarray:
    """The codes x."""
    format, shape = IntFormat.parse(corner.x_format), corner.shape
    if corner.fill not in FILLS:
        return draw.codes(format, shape, corner.fill)
    return format.saturate(FILLS[corner.fill](format, shape, draw))


def _shrinking(format: IntFormat, shape: Any, draw: Draw) -> np.ndarray:
    middle = (format.qmin + format.qmax) // 2
    return middle + ((draw.uniform(format, shape).astype(np.int64) - middle) >> np.arange(shape[1])[:, None, None])


def _ends(format: IntFormat, shape: Any, draw: Draw) -> np.ndarray:
    x = draw.integers(-format.qmax // 4, format.qmax // 4, shape)
    x[0, :, 0, 0], x[-1, :, -1, -1] = format.qmax, format.qmin
    x[:, 1::2] = -x[:, 1::2]
    return x


FILLS: dict[str, Callable[[IntFormat, Any, Draw], np.ndarray]] = {
    "uniform": lambda format, shape, draw: draw.uniform(format, shape),
    "shrinking": _shrinking,
    "few": lambda format, shape, draw: draw.integers(-1, 1, shape),
    "constant": lambda format, shape, draw: np.broadcast_to(
        draw.integers(format.qmin, format.qmax, (shape[1], 1, 1)), shape),
    "ends": _ends,
    "far": lambda format, shape, draw: draw.integers(format.qmax - format.qmax // 8, format.qmax, shape),
}


def _drawn(draw: Draw) -> Corner:
    """A corner at random: every fill, format, precision, rounding and number of chunks with every other."""
    batch, channels, height, width = (int(n) for n in draw.integers(1, 8, (4,)))
    batch += 1
    count = batch * height * width
    chunks = int(draw.pick([k for k in range(1, count // 2 + 1) if count % k == 0]))
    fraction_bits = int(draw.integers(0, 8))
    normal_bits = fraction_bits + int(draw.integers(0, 6))
    return Corner(
        "random", str(draw.pick([*FILLS, "random", "random"])), (batch, channels, height, width),
        str(draw.pick(["s8", "u8", "s4", "s12", "s16"])), str(draw.pick(["s8", "s4", "s12"])),
        (fraction_bits, normal_bits), chunks, int(draw.pick([0, 1, 7, 100])), str(draw.pick(list(MODES))),
        (str(draw.pick(["s8", "u8", "s4n", "s16", "s24"])), int(draw.integers(1, normal_bits + 3))),
        int(draw.pick([0, 1, 328, 3277, 29491, 2**15])))
