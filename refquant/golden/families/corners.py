"""Corner cases of products: operands, accumulator and requantization, each chosen to tell right from wrong.

A corner fixes everything but the operands' shapes, so matrix products and convolutions share the list. Its scale is
chosen after the accumulators are known:

    fit         the largest accumulator lands a little outside the output format
    ties        a power of two 2^-e, e >= 2, and numbers just above one, so that many results are halfway or almost
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from refquant.golden.families import products, requantization
from refquant.golden.operation import Arrays, Attrs
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale

FLAVOURS = ("tosa_single", "tosa_double", "ruy_double", "fp32_rint")
ALL_FLAVOURS = (*FLAVOURS, "mul16", "rndnu", "fp32_round")
ROUNDINGS = ("half_even",)
ALL_ROUNDINGS = ("half_even", "half_away", "half_up", "floor")


@dataclass(frozen=True)
class Corner:
    """One way to fill a product.

    set : the stimulus set.  first, second : format and zero point of the operands.  fills : their sets of codes, or
    "small" for codes near the zero point.  shape : "small", "wide", "square", "deep" or "tiled", read by the operation.
    """

    set: str
    first: tuple[str, int]
    second: tuple[str, int]
    requantized: Attrs
    scaling: str = "fit"
    fills: tuple[str, str] = ("random", "random")
    bits: int = 32
    overflow: str = "wrap"
    shape: str = "small"
    bias: bool = False


def level_1(flavours: tuple[str, ...], roundings: tuple[str, ...], has_bias: bool) -> list[Corner]:
    """The corners that level 1 has for an operation of these flavours and roundings."""
    rq = requantization.attributes
    none = rq("none", format="s32")
    s8, u8 = ("s8", 0), ("u8", 131)
    small = ("small", "small")
    corners = [
        # every rounding on ties, with the zero points and the channels that tell them apart
        *(Corner("ties", s8, s8, rq(flavour, per_channel=True, zero_point=3 if flavour in FLAVOURS else 0), "ties",
                 small, shape="wide") for flavour in flavours),
        Corner("ties", s8, s8, rq("tosa_double", zero_point=-5, zero_point_at="before"), "ties", small, shape="wide"),
        *(Corner("ties", s8, s8, rq("shift", rounding=rounding, zero_point=1), "ties", small, shape="wide")
          for rounding in roundings),
        Corner("random", u8, s8, rq("tosa_double", format="u8", zero_point=77, per_channel=True), bias=has_bias),
        Corner("saturation", s8, s8, rq("tosa_single"), "saturating", shape="square"),
        Corner("saturation", s8, s8, rq("ruy_double", overflow="wrap"), "saturating"),
        Corner("zero_point_edges", ("u8", 255), ("s8", -128), none, "none", shape="square"),
        Corner("saturation", ("s4", 0), ("u4", 9), rq("tosa_single", format="s4"), "saturating", bias=has_bias),
        # accumulators: order, width, overflow
        Corner("accumulator_limits", s8, s8, none, "none", bits=16, overflow="saturate_running", shape="deep"),
        Corner("accumulator_limits", s8, s8, none, "none", bits=16, overflow="saturate_final", shape="deep"),
        Corner("accumulator_limits", s8, s8, none, "none", ("max_then_minus_ones", "all_max"), 18, shape="deep"),
        Corner("accumulator_limits", s8, s8, rq("fp32_rint"), "fit", ("all_min", "all_min"), shape="deep"),
        Corner("accumulator_limits", ("s16", 0), ("s16", 0), none, "none", ("all_min", "all_min")),
        Corner("random", ("s16", 0), ("s16", 0), none, "none", ("alternating", "all_min"), 40),
        Corner("random", ("s16", 0), ("s8", 0), none, "none", bits=48),
        Corner("single_bit", s8, ("u8", 0), none, "none", ("single_bit", "ramp"), 20),
    ]
    if has_bias:
        corners.append(Corner("accumulator_limits", s8, s8, none, "none", bias=True))
    # more rows, columns and terms than a tile of a kernel has, and no multiple of one
    corners.append(Corner("random", s8, s8, rq("tosa_single", per_channel=True), bias=has_bias, shape="tiled"))
    return corners


def of_onnx(linear_has_bias: bool) -> list[Corner]:
    """What ONNX's integer operators compute too: uint8 by int8 and by uint8, as accumulators and as uint8 codes."""
    u8, s8 = ("u8", 131), ("s8", 0)
    linear = requantization.attributes("fp32_rint", format="u8", zero_point=120)
    plain = requantization.attributes("none", format="s32")
    return [
        *(Corner("random", u8, second, plain, "none") for second in (("s8", -3), ("u8", 77))),
        Corner("random", u8, s8, linear | {"per_channel": True}, bias=linear_has_bias),
        Corner("random", u8, ("u8", 77), linear, bias=linear_has_bias),
    ]


def of_kind(kind: str, listed: list[Corner], linear_has_bias: bool) -> list[Corner]:
    """``listed`` as one of the four products takes it.

    forward : ONNX's own combinations too; linear_has_bias: whether its QLinear operator has a bias.
    db : a bias gradient sums one operand: 16-bit codes, and enough of them, where accumulators are to overflow.
    """
    if kind == "forward":
        return listed + of_onnx(linear_has_bias)
    if kind != "db":
        return listed
    widened = [replace(corner, first=("s16", 0), fills=("all_max", "") if corner.bits == 18 else corner.fills)
               if corner.set == "accumulator_limits" else corner for corner in listed]
    many = Corner("accumulator_limits", ("s16", 0), ("s8", 0), requantization.attributes("none", format="s32"),
                  fills=("all_min", ""), shape="many")
    return [*widened, many]


def with_operands(corner: Corner, names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], draw: Draw) -> Arrays:
    """The operands of ``corner``."""
    inputs = {}
    for name, shape, (format_name, zero_point), fill in zip(names, shapes, (corner.first, corner.second), corner.fills,
                                                           strict=False):
        format = IntFormat.parse(format_name)
        if fill == "small":
            inputs[f"in_{name}"] = format.saturate(zero_point + draw.integers(-3, 3, shape))
        else:
            inputs[f"in_{name}"] = draw.codes(format, shape, fill)
    return inputs


def attributes(corner: Corner, names: tuple[str, ...], has_bias: bool, **further) -> Attrs:
    """The attributes of a case made from ``corner``."""
    operands = dict(zip(names, (corner.first, corner.second), strict=False))
    return products.attributes(operands, corner.requantized, bits=corner.bits, overflow=corner.overflow,
                               bias=corner.bias if has_bias else None, **further)


def add_bias(corner: Corner, inputs: Arrays, channels: int, draw: Draw) -> None:
    """A bias that brings the accumulators of an "accumulator_limits" corner near their ends, else one of their size."""
    if not corner.bias:
        return
    if corner.set == "accumulator_limits":
        ends = [2**31 - 1, -(2**31), 2**31 - 5000, -(2**31) + 5000, 2**30, -(2**30), 0]
        inputs["in_bias"] = np.resize(np.array(ends, np.int64), channels).astype(np.int32)
    else:
        inputs["in_bias"] = draw.integers(-3000, 3000, (channels,)).astype(np.int32)


def add_scale(corner: Corner, attrs: Attrs, inputs: Arrays, accumulate: Callable, axis: int, draw: Draw) -> Attrs:
    """Put the scale's tensors into ``inputs``; returns the attributes, per channel only where there are channels."""
    if attrs["flavour"] == "none":
        return attrs
    acc = accumulate(attrs, inputs)[0].astype(np.int64)
    channels = acc.shape[axis] if attrs["per_channel"] else 1
    format = IntFormat.parse(attrs["format"])
    largest = max(1, int(np.abs(acc).max(initial=1)))
    room = max(format.qmax, 1) * (5 if corner.scaling == "saturating" else 1)
    exponent = max(2, (largest // room).bit_length())
    if corner.scaling == "ties" or attrs["flavour"] == "shift":
        scales = [Fraction(1, 2**exponent)] * channels
    else:
        scales = [Fraction(room * 6, largest * 5) * Fraction(int(n), 1024)
                  for n in draw.integers(700, 1400, (channels,))]
        scales = [min(scale, Fraction(1, 2)) for scale in scales]
    _put(attrs["flavour"], scales, inputs, corner.scaling == "ties")
    return attrs


# What ties multiply: exact powers of two, and numbers that are one only after a cut to 24 or to 16 bits.
ABOVE_ONE = (Fraction(1), 1 + Fraction(1, 2**30), 1 + Fraction(1, 2**20), 1 + Fraction(1, 2**10), Fraction(3, 2),
             2 - Fraction(1, 2**30))


def _put(flavour: str, scales: list[Fraction], inputs: Arrays, ties: bool) -> None:
    if ties and flavour != "shift":
        scales = [scale * ABOVE_ONE[i % len(ABOVE_ONE)] for i, scale in enumerate(scales)]
    if flavour.startswith("fp32"):
        inputs["in_scale"] = np.array([float(scale) for scale in scales], np.float32)
        return
    pairs = [multiplier_from_scale(scale, 24 if flavour == "rndnu" else 31) for scale in scales]
    if flavour == "shift":
        inputs["in_shift"] = np.array([scale.denominator.bit_length() - 1 for scale in scales], np.uint8)
        return
    inputs["in_multiplier"] = np.array([multiplier for multiplier, _ in pairs], np.int32)
    inputs["in_shift"] = np.array([shift for _, shift in pairs], np.uint8)


FORMATS = ("s8", "s8", "u8", "s4", "u4", "s2", "s16", "u16", "s8n", "s5", "u7")
FILLS = ("random", "random", "small", "ramp", "alternating", "all_min", "all_max")


def drawn(flavours: tuple[str, ...], roundings: tuple[str, ...], has_bias: bool, draw: Draw,
          count: int) -> list[Corner]:
    """Corners drawn at random: every set, flavour, format, zero point and accumulator with every other."""
    corners = []
    for _ in range(count):
        flavour = str(draw.pick([*flavours, "shift", "none"]))
        formats = [str(f) for f in draw.pick(FORMATS, (2,))]
        points = [_zero_point(IntFormat.parse(f), draw) for f in formats]
        out = str(draw.pick(["s8", "u8", "s4", "s16", "s8n"]))
        zero_point = _zero_point(IntFormat.parse(out), draw)
        requantized = requantization.attributes(
            flavour, per_channel=bool(draw.integers(0, 1)) and flavour != "none", zero_point=zero_point,
            zero_point_at=str(draw.pick(["after", "before"])),
            rounding=str(draw.pick(roundings)) if flavour == "shift" else None, format=out,
            overflow=str(draw.pick(["saturate", "saturate", "wrap"])))
        fills = [str(f) for f in draw.pick(FILLS, (2,))]
        widths = [16, 20, 24, 31, 32, 32] + ([48, 64] if flavour in ("none", "mul16", "shift") else [])
        widths = [w for w in widths if w <= 48 or flavour != "mul16"]
        corners.append(Corner(
            "ties" if fills == ["small", "small"] else "random", (formats[0], points[0]), (formats[1], points[1]),
            requantized if flavour != "none" else requantization.attributes("none", format="s32"),
            str(draw.pick(["fit", "ties", "saturating"])), (fills[0], fills[1]), int(draw.pick(widths)),
            str(draw.pick(["wrap", "wrap", "saturate_running", "saturate_final"])),
            str(draw.pick(["small", "square", "deep", "large"])), has_bias and bool(draw.integers(0, 1))))
    return corners


def _zero_point(format: IntFormat, draw: Draw) -> int:
    return int(draw.pick([0, 0, 1, format.qmin, format.qmax, (format.qmin + format.qmax) // 2 | 1]))

