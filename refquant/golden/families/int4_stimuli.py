"""Stimuli of int4.trajectory: real errors, and the corners of the clip and of the test that moves the clip factor."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refquant.golden.families import chance
from refquant.golden.families.trajectories import errors
from refquant.golden.operation import Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat


def stimuli(level: int, seed: int) -> Iterator[Stimulus]:
    draw = Draw(seed, "int4.trajectory.1")
    yield _case("natural", "errors", "s32", 4, 8, errors(8, 40), 700, draw)
    yield _case("natural", "errors", "s32", 8, 16, errors(10, 10), 995, draw)
    yield _exhaustive(draw)
    yield _case("random", "zeros", "s16", 4, 8, _with_zeros(draw), 600, draw)
    yield _case("saturation", "edges", "s16", 5, 6, _clip_edges(500), 500, draw)
    yield from _fractions(draw)
    yield from _extremes(draw)
    for tier, count, most in ((2, 20, 2000), (3, 150, 50_000)):
        if level < tier:
            break
        draw = Draw(seed, f"int4.trajectory.{tier}")
        for _ in range(count):
            yield _drawn(draw, most, tier)


def _exhaustive(draw: Draw) -> Stimulus:
    """Every gradient of 8 bits with every pattern of 4 random bits; so -128 is there, whose magnitude is 128."""
    g = np.repeat(np.arange(-128, 128), 16)[None]
    case = _case("exhaustive", "", "s8", 4, 4, g, 500, draw)
    return Stimulus(case.set, case.label, case.attrs,
                    case.inputs | {"rbits_g": np.tile(chance.every_pattern(4), 256)[None]})


def _tailed(draw: Draw, shape: tuple[int, int], largest: int) -> np.ndarray:
    """Many small magnitudes, few large ones."""
    return draw.pick([-1, 1], shape) * (draw.integers(0, largest, shape) >> draw.integers(0, 12, shape))


def _with_zeros(draw: Draw) -> np.ndarray:
    """An odd number of gradients; steps of zeros, and one with a single gradient."""
    g = _tailed(draw, (9, 37), 30_000)
    g[[0, 4, 5]] = 0
    g[6, 1:] = 0
    g[:, -1] = np.array([0, 9000, -9000, 7000, 0, 0, 0, -8000, 12_345])  # a tail that shows when it is lost
    return g


def _clip_edges(clip_factor: int) -> np.ndarray:
    """Gradients next to and at the clip, of steps whose largest is 1000: there the clip is the clip factor."""
    edge = clip_factor + np.arange(8)[:, None]  # in so few gradients it rises by 1 each step
    return np.concatenate([side * (edge + near) for side in (1, -1) for near in (-1, 0, 1)]
                          + [np.full((8, 1), -1000), np.arange(8)[:, None] * 100, edge // 2], axis=1)


def _fractions(draw: Draw) -> Iterator[Stimulus]:
    """As many gradients beyond the clip as the target says, one fewer, one more; both ends of the clip factor."""
    few = draw.integers(-200, 200, (8, 1201))
    for step in range(8):  # 1, 2, 3 of 1201: all above 1 of 15,000, but 1 below 1 of 1,000
        few[step, :step % 3 + 1] = 1000 * (-1) ** step
    yield _case("saturation", "few_clipped", "s16", 4, 8, few, 600, draw)
    target = draw.integers(-40, 40, (1, 15_000))
    target[0, 7] = -100
    yield _case("ties", "target", "s8", 4, 4, target, 500, draw)
    least = draw.integers(-2, 2, (1, 15_001))
    least[0, 3] = 2000
    yield _case("saturation", "least", "s16", 4, 4, least, 1, draw)


def _extremes(draw: Draw) -> Iterator[Stimulus]:
    """The widest gradients at both ends of the clip factor; steps of one gradient; one-sided steps."""
    s32 = IntFormat(32)
    sets = ("all_max", "all_min", "alternating", "random", "zeros", "max_then_minus_ones", "single_bit", "random")
    rows = np.concatenate([draw.codes(s32, (1, 21), set) for set in sets])
    for clip_factor, bits, n in ((999, 8, 24), (1, 5, 1), (30, 4, 32)):
        yield _case("accumulator_limits", f"k{clip_factor}", "s32", bits, n,
                    np.roll(rows, clip_factor % 3, axis=0), clip_factor, draw)
    single = np.array([0, 1, -1, 127, -128, 5, 0, -77, 100, -3, 2, 0])[:, None]
    yield _case("random", "single", "s8", 4, 2, single, 997, draw)


def _drawn(draw: Draw, most: int, tier: int) -> Stimulus:
    steps, count, format = int(draw.integers(8, 12)), int(draw.integers(1, most)), str(draw.pick(["s16", "s24", "s32"]))
    bits, n = int(draw.pick([4, 4, 4, 5, 8])), int(draw.integers(1, 32))
    clip_factor = int(draw.pick([int(draw.integers(1, 1000)), int(draw.integers(300, 900)), 1000, 999]))
    if draw.integers(0, 3) == 0:
        g = errors(steps, max(1, count // 10), int(draw.integers(0, 1700)))
        return _case("natural", "errors", "s32", bits, n, g, clip_factor, draw, tier)
    g = _tailed(draw, (steps, count), IntFormat.parse(format).qmax)
    g[draw.integers(0, 9, (steps,)) == 0] = 0
    return _case("random", f"k{clip_factor}", format, bits, n, g, clip_factor, draw, tier)


def _case(set: str, about: str, format: str, bits: int, n: int, g: np.ndarray, clip_factor: int, draw: Draw,
          tier: int = 1) -> Stimulus:
    draw.step += 1
    rbits, record = chance.philox(n, g.size, draw.seed, draw.tensor, draw.step)
    inputs = {"in_g": IntFormat.parse(format).saturate(g), "rbits_g": rbits.reshape(g.shape),
              "state0_clip_factor": np.array([clip_factor], np.uint16)}
    label = f"{len(g)}x{g.shape[1]}_{format}_s{bits}n_n{n}{f'_{about}' if about else ''}"
    return Stimulus(set, label, {"g_format": format, "bits": bits, "n": n}, inputs, tier, record)
