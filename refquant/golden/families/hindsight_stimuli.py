"""Stimuli of hindsight.trajectory: what ranges meet in a training, and the corners of their arithmetic."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refquant.golden.families import chance
from refquant.golden.families.trajectories import errors, scores
from refquant.golden.operation import Attrs, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat

GIVEN_ROUNDINGS = ("half_even", "half_away", "half_up", "floor")
NINE_TENTHS, HALF = 58982, 1 << 15  # of 2^16
ZEROS = (0, 0)


def attributes(acc_format: str, bits: int = 8, fraction_bits: int = 8, momentum: int = NINE_TENTHS,
               first: bool = False, rounding: str = "half_even", n: int | None = None) -> Attrs:
    return {"acc_format": acc_format, "bits": bits, "fraction_bits": fraction_bits, "momentum": momentum,
            "first": first, "rounding": rounding, "n": n}


def stimuli(level: int, seed: int) -> Iterator[Stimulus]:
    draw = Draw(seed, "hindsight.trajectory.1")
    yield _case("natural", "scores", attributes("s32", first=True), scores(10, 8), ZEROS, draw)
    yield _case("natural", "errors", attributes("s32", first=True, rounding="stochastic", n=8), errors(8, 12), ZEROS,
                draw)
    for rounding in GIVEN_ROUNDINGS:
        yield _case("ties", "", attributes("s8", bits=4, rounding=rounding), _rolled(np.arange(-18, 43), 8),
                    (-18 << 8, 42 << 8), draw)
    every = np.arange(-128, 128)
    yield _case("exhaustive", "", attributes("s8", bits=5, momentum=HALF, fraction_bits=4), _rolled(every, 8),
                (-20 << 4, 35 << 4), draw)
    yield _all_random_bits(every, draw)
    yield from _ranges(draw)
    yield from _extremes(draw)
    for tier, count, most in ((2, 25, 1500), (3, 200, 50_000)):
        if level < tier:
            break
        draw = Draw(seed, f"hindsight.trajectory.{tier}")
        for _ in range(count):
            yield _drawn(draw, most, tier)


def _rolled(values: np.ndarray, steps: int) -> np.ndarray:
    return np.stack([np.roll(values, 7 * t) for t in range(steps)])


def _all_random_bits(every: np.ndarray, draw: Draw) -> Stimulus:
    """Every accumulator with every pattern of two random bits, in two steps."""
    case = _case("exhaustive", "", attributes("s8", bits=4, rounding="stochastic", n=2),
                 np.stack([np.repeat(every, 4)] * 2), (-100 << 8, 77 << 8), draw)
    case.inputs["rbits_y"] = np.stack([np.tile(chance.every_pattern(2), 256)] * 2)
    return Stimulus(case.set, case.label, case.attrs, case.inputs)


def _ranges(draw: Draw) -> Iterator[Stimulus]:
    """Ranges without 0, of no width, that jump; tensors of one element; ends that fall on a tie of the update."""
    def rows(low, high, steps=8, count=33):
        return draw.integers(low, high, (steps, count))

    yield _case("zero_point_edges", "positive", attributes("s16", first=True), rows(500, 1500), ZEROS, draw)
    yield _case("zero_point_edges", "negative", attributes("s16", bits=4), rows(-1500, -500), (-999 << 8, -777 << 8),
                draw)
    zeros = rows(-90, 300) * np.array([0, 0, 1, 1, 0, 1, 1, 1])[:, None]
    yield _case("zeros", "", attributes("s16", first=True, momentum=0), zeros, ZEROS, draw)
    jumps = rows(-2000, 1000, 10) * np.array([1, 1, 10, 10, 1, 1, 1, 12, 0, 1])[:, None]
    yield _case("saturation", "jumps", attributes("s16", bits=6), jumps, (-1500 << 8, 900 << 8), draw)
    yield _case("ties", "update", attributes("s16", fraction_bits=0, momentum=HALF, bits=4),
                _rolled(np.arange(-47, 71, 2), 9) + np.arange(9)[:, None] % 3, (-30, 33), draw)
    yield _case("random", "single", attributes("s8", first=True, rounding="stochastic", n=4, momentum=HALF),
                rows(-128, 127, 12, 1), ZEROS, draw)


def _extremes(draw: Draw) -> Iterator[Stimulus]:
    """The widest accumulators, with as many fraction bits as 48 bits leave, and the heaviest momentum."""
    s32 = IntFormat(32)
    sets = ("all_max", "all_min", "alternating", "random", "zeros", "max_then_minus_ones", "single_bit", "random")
    rows = np.concatenate([draw.codes(s32, (1, 21), set) for set in sets])
    ends = (-(1 << 47), (1 << 47) - 1)
    for momentum, rounding, n in ((2**16 - 1, "half_even", None), (0, "stochastic", 24)):
        yield _case("accumulator_limits", f"m{momentum}",
                    attributes("s32", fraction_bits=16, momentum=momentum, rounding=rounding, n=n), rows, ends, draw)


def _drawn(draw: Draw, most: int, tier: int) -> Stimulus:
    """Tensors whose middle and width wander, or real ones from another place in the digits."""
    steps, count = int(draw.integers(8, 12)), int(draw.integers(1, most))
    rounding = str(draw.pick([*GIVEN_ROUNDINGS, "half_even", "stochastic", "stochastic"]))
    n = int(draw.integers(1, 32)) if rounding == "stochastic" else None
    momentum = int(draw.pick([0, HALF, NINE_TENTHS, NINE_TENTHS, 64881, 2**16 - 1]))
    attrs = attributes(str(draw.pick(["s16", "s24", "s32"])), int(draw.integers(2, 8)), int(draw.integers(0, 16)),
                       momentum, bool(draw.integers(0, 1)), rounding, n)
    if draw.integers(0, 3) == 0:
        acc, start = str(draw.pick(["scores", "errors"])), int(draw.integers(0, 1700))
        rows = {"scores": scores, "errors": errors}[acc](steps, max(1, count // 10), start)
        attrs["acc_format"] = "s32"
    else:
        acc, half = "", IntFormat.parse(attrs["acc_format"]).qmax >> int(draw.integers(1, 8))
        middle, width = draw.integers(-half // 4, half // 4, (steps, 1)), draw.integers(1, half // 2, (steps, 1))
        rows = middle + draw.integers(-1024, 1024, (steps, count)) * width // 1024
    seen = int(rows.min()), int(rows.max())
    state = ZEROS if attrs["first"] else tuple((end << attrs["fraction_bits"]) * 3 // 4 for end in seen)
    return _case("natural" if acc else "random", acc, attrs, rows, state, draw, tier)


def _case(set: str, about: str, attrs: Attrs, acc: np.ndarray, state: tuple[int, ...], draw: Draw,
          tier: int = 1) -> Stimulus:
    inputs = {"in_acc": IntFormat.parse(attrs["acc_format"]).saturate(acc), "state0_range": np.array(state, np.int64)}
    record = None
    if attrs["n"] is not None:
        draw.step += 1
        bits, record = chance.philox(attrs["n"], acc.size, draw.seed, draw.tensor, draw.step)
        inputs["rbits_y"] = bits.reshape(acc.shape)
    label = [f"{len(acc)}x{acc.shape[1]}_{attrs['acc_format']}_u{attrs['bits']}_f{attrs['fraction_bits']}",
             attrs["rounding"].replace("_", "-"), *([f"n{attrs['n']}"] if record else []), *([about] if about else [])]
    return Stimulus(set, "_".join(label), attrs, inputs, tier, record)
