"""stochastic.philox: n random bits an element from Philox4x32-10, keyed by seed, tensor and step."""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.mutants import changed
from refquant.golden.operation import Mutant, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_dtype, lane_width, philox4x32, philox_bits
from refquant.scalar import randombits as scalar

WORD = IntFormat(32, signed=False)
ATTRIBUTES = {"n": schema.integer(1, 64), "count": schema.integer(0, 2**40)}


def tensors(attrs):
    return {"in_seed": WORD, "in_tensor": WORD, "in_step": WORD,
            "out_r": IntFormat(lane_width(attrs["n"]), signed=False)}


def _stream(inputs):
    """``(seed, tensor, step)``; in_seed holds the low word, then the high one."""
    low, high = (int(word) for word in inputs["in_seed"])
    return low | high << 32, int(inputs["in_tensor"][0]), int(inputs["in_step"][0])


def reference(attrs, inputs):
    return {"out_r": philox_bits(attrs["n"], (attrs["count"],), *_stream(inputs))}


def element(attrs, inputs, tensor, index, note):
    return {"out_r": scalar.philox_bits(index[0], attrs["n"], *_stream(inputs), note=note)}


def operands(attrs, inputs, index):
    seed, tensor, step = _stream(inputs)
    return {"index": np.uint64(index[0]), "seed": np.uint64(seed), "tensor": np.uint32(tensor), "step": np.uint32(step)}


def stimuli(level, seed):
    for n in (1, 8, 11, 16, 24, 32, 64):
        yield _case(n, Draw(seed, f"stochastic.philox.1.{n}"), 150, 1)
    for tier, count in ((2, 20_000), (3, 10_000_000)):
        for n in (4, 8, 16, 32) if level >= tier else ():
            yield _case(n, Draw(seed, f"stochastic.philox.{tier}.{n}"), count, tier)


def _case(n: int, draw: Draw, count: int, tier: int) -> Stimulus:
    inputs = {"in_seed": draw.words(32, (2,)), "in_tensor": draw.words(32, (1,)), "in_step": draw.words(32, (1,))}
    return Stimulus("random", f"{count}_n{n}", {"n": n, "count": count}, inputs, tier)


def _lanes(name: str, says: str, take) -> Mutant:
    """The right words, their lanes taken wrongly: ``take(lanes [blocks, lanes a block], width, n)``."""
    def run(reference, attrs, inputs):
        n, width = attrs["n"], lane_width(attrs["n"])
        whole = reference({"n": width, "count": -(-attrs["count"] * width // 128) * (128 // width)}, inputs)["out_r"]
        lanes = take(whole.reshape(-1, 128 // width), whole.dtype.type(width - n))
        return {"out_r": lanes.reshape(-1)[:attrs["count"]].astype(lane_dtype(n))}
    return Mutant(name, says, run)


def _words(name: str, says: str, words) -> Mutant:
    """Other words: ``words(counter [blocks, 4], key)``."""
    def run(reference, attrs, inputs):
        n, width = attrs["n"], lane_width(attrs["n"])
        seed, tensor, step = _stream(inputs)
        blocks = np.arange(-(-attrs["count"] * width // 128))
        counter = np.stack([blocks, blocks * 0, blocks * 0 + tensor, blocks * 0 + step], axis=1)
        lanes = words(counter, (seed & 0xFFFFFFFF, seed >> 32)).astype("<u4").view(lane_dtype(n).newbyteorder("<"))
        lanes = lanes.reshape(-1)[:attrs["count"]]
        return {"out_r": (lanes >> lanes.dtype.type(width - n)).astype(lane_dtype(n))}
    return Mutant(name, says, run)


def _swapped(a: str, b: str):
    return lambda attrs, inputs: (attrs, inputs | {a: inputs[b], b: inputs[a]})


OPERATION = Operation(
    "stochastic.philox", "random bits from Philox4x32-10", ATTRIBUTES, tensors, reference, element, stimuli,
    (_words("seven_rounds", "Philox4x32-7", lambda counter, key: philox4x32(counter, key, 7)),
     _words("nine_rounds", "one round too few", lambda counter, key: philox4x32(counter, key, 9)),
     _words("counter_first", "the counter is incremented before the first block, as NumPy does",
            lambda counter, key: philox4x32(counter + np.array([1, 0, 0, 0]), key)),
     _words("words_reversed", "a block's words are taken from the last",
            lambda counter, key: np.ascontiguousarray(philox4x32(counter, key)[:, ::-1])),
     _lanes("low_bits", "the least significant bits of a lane are taken",
            lambda lanes, drop: lanes & (lanes.dtype.type(-1 % (1 << 8 * lanes.itemsize)) >> drop)),
     _lanes("lanes_reversed", "a block's lanes are taken from the highest bits",
            lambda lanes, drop: lanes[:, ::-1] >> drop),
     changed("seed_words_swapped", "the key's words are swapped",
             lambda attrs, inputs: (attrs, inputs | {"in_seed": inputs["in_seed"][::-1]})),
     changed("tensor_step_swapped", "tensor and step are swapped", _swapped("in_tensor", "in_step"))),
    operands)
