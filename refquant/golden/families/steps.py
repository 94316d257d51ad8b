"""Whole training steps as cases: two consecutive ones, cut from a run that trains on the digits in integers.

Tensors are named by step and layer: ``mid_0_conv2_acc``, ``rbits_1_linear_w``, ``state0_conv1_w``. They are listed in
the order in which they are computed, so that the first that differs is where a device went wrong.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from refquant.golden import schema
from refquant.golden.mutants import attribute, changed
from refquant.golden.operation import Arrays, Attrs, Mutant, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware.step import training
from refquant.hardware.step.method import Method
from refquant.hardware.step.progress import RANDOM_BITS, S16, S32, U8
from refquant.hardware.step.run import steps
from refquant.integers.formats import IntFormat
from refquant.scalar import training_step as scalar

STEPS = 2
LABEL, RBITS = IntFormat(4, signed=False), IntFormat(RANDOM_BITS, signed=False)
CONSTANTS = {"exp": IntFormat(16, signed=False), "tanh": IntFormat(32, signed=False), "multiplier": S32, "shift": U8}
ATTRIBUTES = {"batch": schema.integer(1, 1024), "rate": schema.integer(1, 2**16),
              "learned_rate": schema.integer(1, 2**16)}

Run = Callable[[Method, Attrs, Arrays], Arrays]


def operation(method: Method, summary: str, mutants: tuple[Mutant, ...]) -> Operation:
    """The operation of ``method``'s steps, with the mutants of its own."""
    def tensors(attrs):
        return _formats(method)

    def reference(attrs, inputs):
        return run(method, attrs, inputs)

    def element(attrs, inputs, tensor, index, note):
        return {tensor: scalar.element(method.name, attrs, inputs, tensor, index, note=note)}

    def operands(attrs, inputs, index):
        return {}

    shared = (*MUTANTS, LEARNED) if method.learned else MUTANTS
    return Operation(f"step.{method.name}", summary, ATTRIBUTES, tensors, reference, element,
                     functools.partial(_stimuli, method), (*shared, *mutants), operands)


def run(method: Method, attrs: Attrs, inputs: Arrays) -> Arrays:
    """The results of the steps, by full names."""
    batches = [(inputs[f"in_{k}_x"], inputs[f"in_{k}_labels"]) for k in range(STEPS)]
    rbits = [_part(inputs, f"rbits_{k}_") for k in range(STEPS)]
    done, state = steps(method, _part(inputs, "in_"), _part(inputs, "state0_"), batches, rbits, attrs["rate"],
                        attrs["learned_rate"])
    results = {_name(k, name): array for k, progress in enumerate(done) for name, array in progress.tensors.items()}
    return results | {f"state1_{name}": array for name, array in state.items()}


def with_rule(name: str, says: str, method: Method, **rules: Any) -> Mutant:
    """``method`` with other rules in place of its own."""
    wrong = replace(method, **rules)
    return Mutant(name, says, lambda reference, attrs, inputs: run(wrong, attrs, inputs))


def gradient_zero_point_omitted(method: Method) -> Mutant:
    """The codes of the gradient multiplied as they are."""
    def rule(step, layer, g, scale):
        return tuple(replace(codes, zero_point=0) for codes in method.gradient(step, layer, g, scale))
    return with_rule("gradient_zero_point_omitted", "the gradient's zero point is left out of both products", method,
                     gradient=rule)


def _part(tensors: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _name(step: int, name: str) -> str:
    return f"{'out' if name == 'logits' else 'mid'}_{step}_{name}"


@functools.cache
def _formats(method: Method) -> dict[str, IntFormat | str]:
    """The format of every tensor: those of the state are the method's, those computed are recorded as they are."""
    batch = 1
    state = training.first_state(method, 0)
    given: dict[str, IntFormat | str] = {
        f"in_{name}": CONSTANTS[name.rsplit("_", 1)[-1]] for name in training.constants(method, batch)}
    for k in range(STEPS):
        given |= {f"in_{k}_x": U8, f"in_{k}_labels": LABEL}
        given |= {f"rbits_{k}_{name}": RBITS for name in training.random_shapes(method, batch)}
    kinds = {name: S16 if name.endswith("_w") else S32 for name in state} | {
        name: format for name, (format, _) in method.state.items()}
    given |= {f"state0_{name}": format for name, format in kinds.items()}
    (progress,), _ = steps(method, training.constants(method, batch), state, [training.images(batch, 0, 0)],
                           [training.random_bits(method, batch, 0, 0)], 1, 1)
    computed = {_name(k, name): format for k in range(STEPS) for name, format in progress.formats.items()}
    return given | computed | {f"state1_{name}": format for name, format in kinds.items()}


def _stimuli(method: Method, level: int, seed: int) -> Iterator[Stimulus]:
    yield _case(method, seed, 16, 8, 1)
    for tier, count, batch in ((2, 2, 16), (3, 20, 64)):
        draw = Draw(seed, f"step.{method.name}.{tier}")
        for index in range(count if level >= tier else 0):
            yield _case(method, seed ^ (index + 1), int(draw.integers(0, 60)), batch, tier)


RATE = 200  # in 2^-12


def _case(method: Method, seed: int, start: int, batch: int, tier: int) -> Stimulus:
    """Steps ``start`` and ``start`` + 1 of a run."""
    attrs = {"batch": batch, "rate": RATE, "learned_rate": method.learned_rate}
    inputs: Arrays = {f"in_{name}": array for name, array in training.constants(method, batch).items()}
    tensors = {}
    for k in range(STEPS):
        inputs[f"in_{k}_x"], inputs[f"in_{k}_labels"] = training.images(batch, seed, start + k)
        for name, bits in training.random_bits(method, batch, seed, start + k).items():
            inputs[f"rbits_{k}_{name}"] = bits
            tensors[f"rbits_{k}_{name}"] = {"tensor": training.number(name), "step": start + k + 1}
    inputs |= {f"state0_{name}": array for name, array in _state(method, batch, seed, start).items()}
    record = {"generator": "philox4x32-10", "n": RANDOM_BITS, "seed": seed, "tensors": tensors,
              "element_map": "element i: lane i mod 8 of block i div 8, lanes of 16 bits from the lowest"}
    return Stimulus("natural", f"b{batch}_from{start}", attrs, inputs, tier, record)


@functools.lru_cache(maxsize=16)
def _state(method: Method, batch: int, seed: int, start: int) -> Arrays:
    return training.train(method, training.first_state(method, seed), batch=batch, seed=seed, start=0, count=start,
                          rate=RATE, learned_rate=method.learned_rate)


def _from_first_step(reference, attrs, inputs):
    """The second step from the state before the first: its answers are those of a first step on its images."""
    again = inputs | {f"{kind}_0_{name}": array for kind in ("in", "rbits")
                      for name, array in _part(inputs, f"{kind}_1_").items()}
    alone = reference(attrs, again)
    return reference(attrs, inputs) | {
        name.replace("_0_", "_1_", 1): array for name, array in alone.items() if name.startswith(("mid_0_", "out_0_"))}


def _inputs(change: Callable[[str, np.ndarray], np.ndarray]) -> Callable:
    return lambda attrs, inputs: (attrs, {name: change(name, array) for name, array in inputs.items()})


def _rolled(array: np.ndarray, by: int) -> np.ndarray:
    return np.roll(array.reshape(-1), by).reshape(array.shape)


MUTANTS: tuple[Mutant, ...] = (
    Mutant("state_not_carried", "the second step starts from the state before the first", _from_first_step),
    changed("momentum_forgotten", "momenta start at 0", _inputs(
        lambda name, array: np.zeros_like(array) if name.startswith("state0") and name.endswith("_v") else array)),
    changed("labels_of_next_image", "every image takes its neighbour's label", _inputs(
        lambda name, array: np.roll(array, -1) if name.endswith("_labels") else array)),
    changed("logits_in_eighths", "the logits are read in eighths where the table has sixteenths", _inputs(
        lambda name, array: array[np.arange(len(array)) // 2] if name == "in_exp" else array)),
    changed("lane_off_by_one", "every element takes its neighbour's random bits", _inputs(
        lambda name, array: _rolled(array, -1) if name.startswith("rbits_") else array)),
    changed("no_random_bits", "the random bits are left out: floor", _inputs(
        lambda name, array: np.zeros_like(array) if name.startswith("rbits_") else array)),
    changed("same_bits_every_step", "the second step takes the first one's random bits",
            lambda attrs, inputs: (attrs, inputs | {f"rbits_1_{name}": array
                                                    for name, array in _part(inputs, "rbits_0_").items()})),
    changed("not_divided_by_batch", "the loss is summed over the batch instead of averaged",
            lambda attrs, inputs: (attrs | {key: attrs[key] * attrs["batch"] for key in ("rate", "learned_rate")},
                                   inputs)),
)
LEARNED = attribute("learned_at_full_rate", "learned numbers move at the rate of weights", "learned_rate", RATE)
