"""n2uq.forward: y = the number of thresholds that an accumulator has reached, N2UQ's learned activation codes.

in_thresholds [1, K] for all, or [C, K] for the channels of axis 1; reached "at_or_above" counts thresholds <= acc (the
paper), "above" thresholds < acc (the authors' code).
"""
from __future__ import annotations

import functools
import operator

import numpy as np

from refquant.golden import schema
from refquant.golden.families import n2uq_mutants
from refquant.golden.families import n2uq_stimuli as of
from refquant.golden.mutants import operand, output
from refquant.golden.operation import Mutant, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import n2uq
from refquant.integers.formats import IntFormat
from refquant.scalar import n2uq as scalar

ATTRIBUTES = {"acc_format": schema.FORMAT, "bits": schema.integer(2, 8), "reached": {"enum": list(of.REACHED)},
              "per_channel": schema.BOOLEAN}


def tensors(attrs):
    return {"in_acc": IntFormat.parse(attrs["acc_format"]), "in_thresholds": of.S32,
            "out_y": IntFormat(attrs["bits"], signed=False)}


def reference(attrs, inputs):
    return {"out_y": n2uq.forward(inputs["in_acc"], inputs["in_thresholds"], bits=attrs["bits"],
                                  reached=attrs["reached"])}


def element(attrs, inputs, tensor, index, note):
    acc = functools.reduce(operator.getitem, index, inputs["in_acc"])
    row = inputs["in_thresholds"][index[1] if attrs["per_channel"] else 0]
    return {"out_y": scalar.code(acc, row, attrs["reached"], note=note)}


def stimuli(level, seed):
    s8, every = IntFormat(8), np.arange(-128, 128, dtype=np.int8)
    for index, bits in enumerate((2, 3, 4, 8)):
        reached, draw = of.REACHED[index % 2], Draw(seed, f"n2uq.forward.exhaustive.{bits}")
        bounds = of.learned_bounds(draw, bits, 200 if bits < 8 else 255)
        yield _case("exhaustive", every, of.middles(bounds, reached), "s8", bits, reached)
    for reached in of.REACHED:
        beyond = np.array([[s8.qmin - (reached == "above"), -100, -100, 0, 7, 7, s8.qmax + (reached == "at_or_above")]])
        yield _case("saturation", every, beyond.astype(np.int32), "s8", 3, reached)
        draw = Draw(seed, f"n2uq.forward.ties.{reached}")
        thresholds = of.middles(of.learned_bounds(draw, 4, 3_000_000_000), reached)
        yield _case("ties", of.near(thresholds, of.S32), thresholds, "s32", 4, reached)
        yield _channels("random", (2, 5, 5, 4), 3, reached, Draw(seed, f"n2uq.forward.channels.{reached}"))
    acc, _ = of.digit_edges(2)
    rows = np.concatenate([of.filling(acc[:, c], 4) for c in range(acc.shape[1])])
    yield _case("natural", acc, rows, "s32", 4, "at_or_above", True)
    yield _case("natural", acc, of.filling(acc, 2), "s32", 2, "above")
    for set, acc in (("zeros", np.zeros((3, 4), np.int32)), ("all_max", np.full(1, of.S32.qmax, np.int32)),
                     ("all_min", np.full(1, of.S32.qmin, np.int32))):
        yield _case(set, acc, np.array([[-1, 0, 1]], np.int32), "s32", 2, "above")
    for tier, count, size in ((2, 20, 3000), (3, 200, 30_000)):
        if level < tier:
            break
        draw = Draw(seed, f"n2uq.forward.{tier}")
        for _ in range(count):
            bits, reached = int(draw.integers(2, 8)), str(draw.pick(of.REACHED))
            name = str(draw.pick(["s16", "s24", "s32"]))
            bounds = of.learned_bounds(draw, bits, int(draw.integers(1000, IntFormat.parse(name).qmax)))
            acc = of.spread(draw, bounds, IntFormat.parse(name), (size,))
            yield _case("random", acc, of.middles(bounds, reached), name, bits, reached, tier=tier)
        every = np.arange(-(2**15), 2**15, dtype=np.int16)
        thresholds = of.middles(of.learned_bounds(draw, 4, 50_000), "above")
        yield _case("exhaustive", every, thresholds, "s16", 4, "above", tier=tier)


def _channels(set: str, shape: tuple[int, ...], bits: int, reached: str, draw: Draw) -> Stimulus:
    """Channels whose thresholds differ; axis 2 has as many, so that it can be taken for theirs."""
    bounds = [of.learned_bounds(draw, bits, 200 * (c + 1)) for c in range(shape[1])]
    acc = np.stack([of.spread(draw, row, of.S32, (shape[0], *shape[2:])) for row in bounds], 1)
    return _case(set, acc, np.concatenate([of.middles(row, reached) for row in bounds]), "s32", bits, reached, True)


def _case(set: str, acc: np.ndarray, thresholds: np.ndarray, format: str, bits: int, reached: str,
          per_channel: bool = False, tier: int = 1) -> Stimulus:
    attrs = {"acc_format": format, "bits": bits, "reached": reached, "per_channel": per_channel}
    shape, channels = "x".join(map(str, acc.shape)), "_pc" if per_channel else ""
    label = f"{shape}_{format}_u{bits}_{reached.replace('_', '-')}{channels}"
    return Stimulus(set, label, attrs, {"in_acc": acc, "in_thresholds": thresholds}, tier)


def _along_axis_2(reference, attrs, inputs):
    acc, rows = inputs["in_acc"], len(inputs["in_thresholds"])
    if not attrs["per_channel"] or acc.ndim < 3 or acc.shape[2] != rows:
        return None
    y = reference(attrs, inputs | {"in_acc": np.swapaxes(acc, 1, 2)})["out_y"]
    return {"out_y": np.swapaxes(y, 1, 2)}


def _from_the_top(attrs, inputs, results):
    return {"out_y": results["out_y"].dtype.type((1 << attrs["bits"]) - 1) - results["out_y"]}


OPERATION = Operation(
    "n2uq.forward", "activation codes by learned thresholds", ATTRIBUTES, tensors, reference, element, stimuli,
    (*n2uq_mutants.REACHED_MUTANTS, *n2uq_mutants.BETWEEN_THRESHOLDS, *n2uq_mutants.COUNTED_WRONG,
     *n2uq_mutants.READ_WRONG, *n2uq_mutants.OF_ACCUMULATORS,
     operand("first_channel_for_all", "every channel takes the first one's thresholds", "in_thresholds",
             lambda rows, attrs: rows[:1] if attrs["per_channel"] else None),
     operand("next_channel", "every channel takes its neighbour's thresholds", "in_thresholds",
             lambda rows, attrs: np.roll(rows, -1, 0) if attrs["per_channel"] else None),
     Mutant("wrong_axis", "the thresholds run along axis 2", _along_axis_2),
     output("counts_from_the_top", "the thresholds that are not reached are counted", _from_the_top)),
    lambda attrs, inputs, index: {
        "acc": inputs["in_acc"][index],
        "thresholds": inputs["in_thresholds"][index[1] if attrs["per_channel"] else 0]},
    ("reached",))
