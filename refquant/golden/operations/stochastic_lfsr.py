"""stochastic.lfsr: n random bits an element from a right-shifting Galois LFSR."""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.mutants import changed
from refquant.golden.operation import Mutant, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import POLYNOMIALS, lane_dtype, lane_width, lfsr_bits, taps
from refquant.scalar import randombits as scalar

ATTRIBUTES = {"width": {"enum": list(POLYNOMIALS)}, "n": schema.integer(1, 32), "steps": schema.integer(1, 64),
              "count": schema.integer(0, 2**40)}


def tensors(attrs):
    return {"in_seed": IntFormat(32, signed=False), "out_r": IntFormat(lane_width(attrs["n"]), signed=False)}


def reference(attrs, inputs):
    seed = int(inputs["in_seed"][0])
    return {"out_r": lfsr_bits(attrs["n"], (attrs["count"],), attrs["width"], seed, attrs["steps"])}


def element(attrs, inputs, tensor, index, note):
    return {"out_r": scalar.lfsr_bits(index[0], attrs["n"], attrs["width"], inputs["in_seed"][0], attrs["steps"],
                                      note=note)}


def stimuli(level, seed):
    listed = [(8, 4, 4), (8, 8, 8), (16, 8, 8), (16, 16, 1), (24, 8, 8), (32, 16, 16), (32, 32, 1)]
    for tier, count in ((1, 255), (2, 5000), (3, 500_000)):
        for width, n, steps in listed if level >= tier else ():
            start = Draw(seed, f"stochastic.lfsr.{tier}.{width}.{n}").integers(1, 2**width - 1, (1,))
            attrs = {"width": width, "n": n, "steps": steps, "count": count}
            yield Stimulus("random", f"w{width}_n{n}_steps{steps}_{count}", attrs,
                           {"in_seed": start.astype(np.uint32)}, tier)


def _stepping(name: str, says: str, step, take=lambda before, after, n, width: after & ((1 << n) - 1)) -> Mutant:
    """An LFSR of another kind: ``step(state, width)``, and which bits are ``take``n from before and after the steps."""
    def run(reference, attrs, inputs):
        state, n, width = int(inputs["in_seed"][0]), attrs["n"], attrs["width"]
        r = np.empty(attrs["count"], lane_dtype(n))
        for i in range(len(r)):
            before = state
            for _ in range(attrs["steps"]):
                state = step(state, width)
            r[i] = take(before, state, n, width)
        return {"out_r": r}
    return Mutant(name, says, run)


def _galois(state: int, width: int) -> int:
    return (state >> 1) ^ (taps(width) if state & 1 else 0)


def _fibonacci(state: int, width: int) -> int:
    """The sum of the tapped bits is shifted in from the left."""
    bit = sum((state >> (width - e)) & 1 for e in POLYNOMIALS[width]) & 1
    return (state >> 1) | bit << (width - 1)


def _left(state: int, width: int) -> int:
    """Shifting left, the taps mirrored."""
    out = state >> (width - 1) & 1
    mirrored = int(f"{taps(width):0{width}b}"[::-1], 2)
    return ((state << 1) & ((1 << width) - 1)) ^ (mirrored if out else 0)


OPERATION = Operation(
    "stochastic.lfsr", "random bits from a Galois LFSR", ATTRIBUTES, tensors, reference, element, stimuli,
    (_stepping("fibonacci", "a Fibonacci LFSR of the same polynomial", _fibonacci),
     _stepping("left_shifting", "the register shifts left", _left),
     _stepping("state_before_steps", "the bits are taken before the steps", _galois,
               lambda before, after, n, width: before & ((1 << n) - 1)),
     _stepping("high_bits", "the most significant bits of the state are taken", _galois,
               lambda before, after, n, width: after >> (width - n)),
     changed("one_step", "the register steps once an element",
             lambda attrs, inputs: (attrs | {"steps": 1}, inputs) if attrs["steps"] > 1 else None)),
    lambda attrs, inputs, index: {"index": np.uint64(index[0]), "seed": inputs["in_seed"][0]})
