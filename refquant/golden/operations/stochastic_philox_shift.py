"""stochastic.philox_shift: stochastic.shift with bits from Philox4x32-10 that the device makes itself.

    r_i = the n bits of element i for (seed, tensor, step);   y_i = saturate((v_i + r_i 2^(shift-n)) >> shift)
"""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import generated
from refquant.golden.mutants import changed
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.operations import stochastic_shift
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_width, philox4x32, philox_bits
from refquant.scalar import generated as scalar

WORD = schema.integer(0, 2**32 - 1)
ATTRIBUTES = generated.ATTRIBUTES | {"n": schema.integer(1, 62), "seed": schema.integer(0, 2**64 - 1), "tensor": WORD,
                                     "step": WORD}
SHIFT = stochastic_shift.OPERATION


def tensors(attrs):
    return {"in_v": IntFormat.parse(attrs["v_format"])} | generated.tensors(attrs)


def reference(attrs, inputs):
    r = philox_bits(attrs["n"], inputs["in_v"].shape, attrs["seed"], attrs["tensor"], attrs["step"])
    return generated.rounded(SHIFT, attrs, inputs, r)


def element(attrs, inputs, tensor, index, note):
    r, number, flags = scalar.philox_shift(inputs["in_v"][index[0]], index[0], attrs["shift"], attrs["n"],
                                           attrs["seed"], attrs["tensor"], attrs["step"], note=note)
    return generated.element(attrs, r, number, flags, note)


def stimuli(level, seed):
    for index, (n, formats) in enumerate(zip((16, 4, 24, 8, 37), generated.FORMATS, strict=True)):
        yield _case(formats, n, Draw(seed, f"stochastic.philox_shift.1.{index}"), 220, 1)
    for tier, count, size in ((2, 15, 5000), (3, 200, 100_000)):
        draw = Draw(seed, f"stochastic.philox_shift.{tier}")
        for _ in range(count) if level >= tier else ():
            formats = generated.FORMATS[int(draw.integers(0, 4))]
            yield _case(formats, int(draw.integers(1, 40)), draw, size, tier)


def _case(formats: tuple[str, str, int], n: int, draw: Draw, count: int, tier: int) -> Stimulus:
    v_format, format, shift = formats
    stream = {"seed": int(draw.words(64, (1,))[0]), "tensor": int(draw.words(32, (1,))[0]),
              "step": int(draw.words(32, (1,))[0])}
    attrs = {"v_format": v_format, "format": format, "shift": shift, "n": n} | stream
    v = generated.values(draw, attrs, philox_bits(n, (count,), **stream))
    return Stimulus("random", f"{count}_{v_format}_{format}_shift{shift}_n{n}", attrs, {"in_v": v}, tier)


def _swapped_words(attrs, inputs):
    low, high = attrs["seed"] & 0xFFFFFFFF, attrs["seed"] >> 32
    return attrs | {"seed": low << 32 | high}, inputs


def _seven_rounds(reference, attrs, inputs):
    return _lanes(attrs, inputs, rounds=7) >> np.uint64(lane_width(attrs["n"]) - attrs["n"])


def _low_bits(reference, attrs, inputs):
    return _lanes(attrs, inputs) & np.uint64((1 << attrs["n"]) - 1) if attrs["n"] != lane_width(attrs["n"]) else None


def _lanes(attrs, inputs, rounds: int = 10) -> np.ndarray:
    """The whole lane of each element, uint64."""
    width, count = lane_width(attrs["n"]), len(inputs["in_v"])
    blocks = np.arange(-(-count * width // 128))
    counter = np.stack([blocks, 0 * blocks, 0 * blocks + attrs["tensor"], 0 * blocks + attrs["step"]], axis=1)
    words = philox4x32(counter, (attrs["seed"] & 0xFFFFFFFF, attrs["seed"] >> 32), rounds).astype("<u4")
    return words.view(f"<u{width // 8}").reshape(-1)[:count].astype(np.uint64)


OPERATION = Operation(
    "stochastic.philox_shift", "integers shifted right and rounded by the device's own Philox4x32-10", ATTRIBUTES,
    tensors, reference, element, stimuli,
    (changed("same_bits_every_step", "the training step is left out of the counter",
             lambda attrs, inputs: (attrs | {"step": 0}, inputs)),
     changed("same_bits_every_tensor", "the tensor is left out of the counter",
             lambda attrs, inputs: (attrs | {"tensor": 0}, inputs)),
     changed("tensor_step_swapped", "tensor and step are swapped",
             lambda attrs, inputs: (attrs | {"tensor": attrs["step"], "step": attrs["tensor"]}, inputs)),
     changed("seed_words_swapped", "the key's words are swapped", _swapped_words),
     generated.other_bits(SHIFT, "seven_rounds", "Philox4x32-7", _seven_rounds),
     generated.other_bits(SHIFT, "low_bits", "the least significant bits of a lane are taken", _low_bits),
     *generated.of_shift(SHIFT)),
    lambda attrs, inputs, index: {"v": inputs["in_v"][index]})
