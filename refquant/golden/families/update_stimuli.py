"""Weights, memories and gradients for update.sgd: ties everywhere, both ends, digits, draws; every random value."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refquant.golden.families import chance, natural
from refquant.golden.operation import Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import sgd
from refquant.integers.formats import IntFormat

W_FORMATS = ("s16", "s24", "s32")
ROUNDINGS = ("half_even", "half_away", "half_up", "half_down", "floor", "trunc")
MOMENTUM = 29491  # 0.9
S32 = IntFormat(32)


def stimuli(level: int, seed: int) -> Iterator[Stimulus]:
    for index, rounding in enumerate(ROUNDINGS):
        yield _ties(rounding, nesterov=bool(index % 2))
    usual = sgd.constants(rate=0.1, g_scale=2**-9, w_scale=2**-12, v_scale=2**-16, decay=1e-3)
    for set in ("zeros", "all_max", "all_min"):
        draw = Draw(seed, f"update.sgd.{set}")
        g, w, v = (draw.codes(IntFormat(bits), (8,), set) for bits in (8, 16, 32))
        yield _case(set, g, w, v, usual, "s8", "s16", _philox(draw, 8, 8))
    for nesterov in (False, True):
        draw = Draw(seed, f"update.sgd.{nesterov}")
        yield _saturation(draw, nesterov)
        yield _random(draw, 300, nesterov)
    yield _natural(Draw(seed, "update.sgd.natural"))
    for tier, count, size in ((2, 20, 3000), (3, 200, 30_000)):
        if level < tier:
            break
        draw = Draw(seed, f"update.sgd.{tier}")
        for _ in range(count):
            yield _random(draw, size, bool(draw.integers(0, 1)), tier)


Random = tuple[int, np.ndarray, dict[str, Any] | None]  # n, the random values, where they came from


def _philox(draw: Draw, n: int, count: int) -> Random:
    draw.step += 1
    return n, *chance.philox(n, count, draw.seed, draw.tensor, draw.step)


def _ties(rounding: str, nesterov: bool) -> Stimulus:
    """Scales of powers of two: g / 4, w / 8, v / 2 tie and steps are sixteenths; every random value of 4 bits."""
    scales = sgd.constants(rate=1 / 16, g_scale=1 / 4, w_scale=1, v_scale=1, decay=1 / 8)
    places = np.arange(512)
    g, w, v = (places % 256 - 128).astype(np.int8), places * 7 % 67 - 33, places * 11 % 61 - 30
    rbits = np.resize(np.roll(chance.every_pattern(4), 5), 512)
    return _case("ties", g, w, v, scales, "s8", "s16", (4, rbits, None), 1 << 14, nesterov, rounding)


def _saturation(draw: Draw, nesterov: bool) -> Stimulus:
    """Weights and memories at their ends and amid, pushed both ways, by little and by much."""
    s16 = IntFormat(16)
    scales = sgd.constants(rate=2**-14, g_scale=2**20, w_scale=1, v_scale=1, decay=2**8)
    g = np.repeat(np.array([-128, -100, -1, 1, 100, 127], np.int8), 25)
    w = np.tile(np.repeat([s16.qmin, s16.qmin + 9, 0, s16.qmax - 9, s16.qmax], 5), 6)
    v = np.tile([S32.qmin, S32.qmin // 2, 5, S32.qmax // 2, S32.qmax], 30)
    return _case("saturation", g, w, v, scales, "s8", "s16", _philox(draw, 12, 150), 31000, nesterov)


def _natural(draw: Draw) -> Stimulus:
    """The trained layer's weights as 24-bit masters, and its gradient on 32 digits."""
    layer = natural.trained_layer()
    x, labels = natural.images(32, start=100)
    g = x.reshape(32, 64).astype(np.int64).T @ natural.output_gradient(x, labels, layer).astype(np.int64)
    scales = sgd.constants(rate=0.02, g_scale=2**-12, w_scale=2**-14, v_scale=2**-20, decay=5e-3)
    v = draw.integers(-(2**18), 2**18, (640,))
    return _case("natural", g.reshape(-1), layer.reshape(-1).astype(np.int64) << 7, v, scales, "s24", "s24",
                 _philox(draw, 16, 640), nesterov=True)


def _random(draw: Draw, size: int, nesterov: bool, tier: int = 1) -> Stimulus:
    """Weights of any size, whose steps reach from parts of a unit to the whole format."""
    w_format, g_format = str(draw.pick(W_FORMATS)), str(draw.pick(["s8", "s16", "s32"]))
    w_bits, g_bits = IntFormat.parse(w_format).bits, IntFormat.parse(g_format).bits
    scales = sgd.constants(rate=int(draw.integers(1, 300)) / 1000, g_scale=2.0**(4 - g_bits),
                           w_scale=2.0**(3 - w_bits), v_scale=2.0**-24, decay=int(draw.integers(1, 50)) / 1000)
    w, g = draw.codes(IntFormat(w_bits), (size,)), draw.codes(IntFormat(g_bits), (size,))
    v = draw.integers(-(2**27), 2**27, (size,))
    return _case("random", g, w, v, scales, g_format, w_format, _philox(draw, int(draw.pick([8, 16, 24])), size),
                 int(draw.integers(1 << 13, 1 << 15)), nesterov, str(draw.pick(ROUNDINGS)), tier)


def _case(set: str, g: np.ndarray, w: np.ndarray, v: np.ndarray, scales: sgd.Constants, g_format: str, w_format: str,
          random: Random, momentum: int = MOMENTUM, nesterov: bool = False, rounding: str = "half_even",
          tier: int = 1) -> Stimulus:
    n, rbits, record = random
    attrs = {"g_format": g_format, "w_format": w_format, "momentum": momentum, "nesterov": nesterov,
             "rounding": rounding, "n": n}
    inputs = {"rbits_w": rbits, "in_g": IntFormat.parse(g_format).saturate(g),
              "state0_w": IntFormat.parse(w_format).saturate(w), "state0_v": S32.saturate(v)}
    for name, (multiplier, shift) in scales._asdict().items():
        inputs |= {f"in_{name}_multiplier": np.array([multiplier], np.int32),
                   f"in_{name}_shift": np.array([shift], np.uint8)}
    kind = "nesterov" if nesterov else "plain"
    label = f"{len(w)}_{g_format}_{w_format}_m{momentum}_{kind}_n{n}_{rounding.replace('_', '-')}"
    return Stimulus(set, label, attrs, inputs, tier, record)
