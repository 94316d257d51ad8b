"""Accumulators and clip levels for PACT, forward and backward.

    exhaustive      every accumulator of s8, where every odd multiple of half a code is a tie; every one of s12
    saturation      one clip level's own edges: 0 and alpha, and their neighbours
    ties            accumulators beside every tie of a 31-bit scale, and the format's ends
    natural         digits through the edge filters, clipped where one in twenty of the positive ones is
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from refquant.gemm import Geometry, conv
from refquant.golden.families import natural
from refquant.golden.stimuli import Draw
from refquant.hardware.pact import parameters
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import MODES

ROUNDINGS = ("half_even", "half_away", "half_down", "floor")


@dataclass(frozen=True)
class Layer:
    """Accumulators of ``acc_format`` and the quantizer behind them."""

    set: str
    label: str
    acc_format: str
    acc: np.ndarray
    bits: int
    rounding: str
    multiplier: int
    shift: int
    alpha_acc: int

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The tensors that every operation of PACT is given."""
        return {"in_acc": self.acc, "in_multiplier": np.array([self.multiplier], np.int32),
                "in_shift": np.array([self.shift], np.uint8)}


def layer(set: str, acc_format: str, acc, bits: int, alpha: float, acc_scale: float = 1.0,
          rounding: str = "half_even") -> Layer:
    """A layer whose clip level ``alpha`` and ``acc_scale`` are the real method's."""
    acc = np.asarray(acc).astype(IntFormat.parse(acc_format).dtype)
    label = f"{'x'.join(map(str, acc.shape))}_{acc_format}_u{bits}_{rounding.replace('_', '-')}"
    return Layer(set, label, acc_format, acc, bits, rounding, *parameters(alpha, acc_scale, bits))


def level_1(seed: int, name: str) -> Iterator[Layer]:
    """The layers of level 1, drawn for the operation ``name``."""
    s8, draw = np.arange(-128, 128), Draw(seed, f"{name}.1")
    for rounding in ROUNDINGS:
        yield layer("exhaustive", "s8", s8, 4, 120.0, rounding=rounding)  # one code every 8 accumulators
    yield layer("exhaustive", "s8", s8, 2, 1.5, 2.0**-6)  # one every 32
    yield layer("exhaustive", "s8", s8, 8, 102.0)  # 5/2 codes an accumulator
    yield layer("exhaustive", "s12", np.arange(-2048, 2048), 5, 6.0, float(draw.integers(4100, 8000)) * 2.0**-20)
    for acc_format, bits, alpha, acc_scale in (("s16", 4, 6.0, 0.0007), ("s24", 8, 2.5, 2.0**-17)):
        edge = parameters(alpha, acc_scale, bits)[2]
        acc = [edge - 1, edge, edge + 1, -1, 0, 1, -edge, 2 * edge, edge // 2, -edge // 2]
        yield layer("saturation", acc_format, np.reshape(acc, (2, 5)), bits, alpha, acc_scale)
    for set in ("zeros", "all_max", "all_min"):
        yield layer(set, "s32", draw.codes(IntFormat(32), (2, 3), set), 8, 10.0, 2.0**-20)
    yield layer("all_max", "s8", [127], 3, 127.0)  # the one element is at alpha
    yield _beside_ties("s32", 8, "half_even", draw, (10, 40))
    yield _beside_ties("s32", 3, "half_even", draw, (2, 3, 5, 7))
    yield from (_natural(bits) for bits in (4, 8))


def drawn(draw: Draw, size: int) -> Layer:
    """A layer of any format, bits and rounding, most of its accumulators beside ties."""
    return _beside_ties(str(draw.pick(["s12", "s16", "s20", "s24", "s32"])), int(draw.integers(2, 8)),
                        str(draw.pick(list(MODES))), draw, (size,))


def _beside_ties(acc_format: str, bits: int, rounding: str, draw: Draw, shape: tuple[int, ...]) -> Layer:
    """Halves the accumulators beside ties of a scale of no special form, a quarter from the format's ends."""
    format = IntFormat.parse(acc_format)
    acc_scale = float(draw.integers(1024, 2047)) * 2.0**-24
    alpha = acc_scale * format.qmax * float(draw.integers(30, 1000)) / 1024
    multiplier, shift, alpha_acc = parameters(alpha, acc_scale, bits)
    halves = 2 * draw.integers(-3, 2**bits + 1, shape) + 1
    beside = np.array([(int(half) << (shift - 1)) // multiplier for half in halves.flat]).reshape(shape)
    beside = beside + draw.integers(0, 1, shape)
    inside = (draw.words(30, shape).astype(np.int64) * (alpha_acc + alpha_acc // 8)) >> 30
    kind = draw.words(2, shape)
    acc = np.where(kind <= 1, beside, np.where(kind == 2, inside, draw.codes(format, shape)))
    return layer("ties", acc_format, format.saturate(acc), bits, alpha, acc_scale, rounding)


def _natural(bits: int) -> Layer:
    acc, _ = conv(natural.images(4)[0], natural.EDGE_FILTERS, Geometry(padding=1))
    positive = np.sort(acc[acc > 0])
    return layer("natural", "s32", acc, bits, float(positive[len(positive) * 19 // 20]) / 240, 1 / 240)
