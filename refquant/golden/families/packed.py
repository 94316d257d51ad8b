"""Stimuli and mistakes of packing."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refquant.golden.operation import Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat

ATTRIBUTES = {"format": {"enum": ["s2", "u2", "s4", "u4"]}}


def stimuli(level: int, seed: int) -> Iterator[Stimulus]:
    """Every code in order, and random codes of even and odd number."""
    for name in ("s4", "u4", "s2", "u2"):
        format = IntFormat.parse(name)
        codes = np.arange(format.qmin, format.qmax + 1).astype(format.dtype)
        every = np.concatenate([np.roll(codes, -k) for k in range(len(codes))])
        yield Stimulus("exhaustive", f"{name}_{len(every)}", {"format": name}, {"in_codes": every})
        draw = Draw(seed, f"packed.{name}")
        count = 37 if format.bits == 4 else 39
        odd = draw.codes(format, (count,))
        odd[-1] = -1 if format.signed else format.qmax  # a tail that shows when it is lost
        yield Stimulus("random", f"{name}_{count}", {"format": name}, {"in_codes": odd})
    for tier, size in ((2, 100_001), (3, 10_000_001)):
        for name in ("s4", "u4", "s2", "u2") if level >= tier else ():
            draw = Draw(seed, f"packed.{tier}.{name}")
            yield Stimulus("random", f"{name}_{size}", {"format": name},
                           {"in_codes": draw.codes(IntFormat.parse(name), (size,))}, tier)


def reversed_lanes(data: np.ndarray, bits: int) -> np.ndarray:
    """Each byte with its lanes of ``bits`` in the opposite order."""
    lanes = [(data >> np.uint8(k)) & np.uint8((1 << bits) - 1) for k in range(0, 8, bits)]
    swapped = np.zeros_like(data)
    for k, lane in enumerate(reversed(lanes)):
        swapped |= lane << np.uint8(k * bits)
    return swapped


def bytes_reversed(name: str):
    """The change of an output that `reversed_lanes` makes."""
    def change(attrs, inputs, results):
        return {name: reversed_lanes(results[name], IntFormat.parse(attrs["format"]).bits)}
    return change
