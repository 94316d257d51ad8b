"""stochastic.lfsr_shift: stochastic.shift with bits from a Galois LFSR that the device keeps from call to call.

    r_i = the n low bits of the register after (i + 1) steps steps;   y_i = saturate((v_i + r_i 2^(shift-n)) >> shift)

The register after the last element is the state that the next call starts from.
"""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import generated
from refquant.golden.mutants import attribute, changed, operand, output
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.operations import stochastic_shift
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import POLYNOMIALS, lfsr_bits, lfsr_states
from refquant.scalar import generated as scalar

ATTRIBUTES = generated.ATTRIBUTES | {"width": {"enum": list(POLYNOMIALS)}, "n": schema.integer(1, 32),
                                     "steps": schema.integer(1, 64)}
REGISTER = IntFormat(32, signed=False)
SHIFT = stochastic_shift.OPERATION


def tensors(attrs):
    return {"in_v": IntFormat.parse(attrs["v_format"]), "state0_lfsr": REGISTER} | generated.tensors(attrs) | {
        "state1_lfsr": REGISTER}


def _states(attrs, inputs, more: int = 0):
    """The register after each element, and after ``more`` than there are."""
    return lfsr_states(attrs["width"], int(inputs["state0_lfsr"][0]), len(inputs["in_v"]) + more, attrs["steps"])


def _low(states: np.ndarray, attrs) -> np.ndarray:
    return states & np.uint32((1 << attrs["n"]) - 1)


def reference(attrs, inputs):
    r = lfsr_bits(attrs["n"], inputs["in_v"].shape, attrs["width"], int(inputs["state0_lfsr"][0]), attrs["steps"])
    return generated.rounded(SHIFT, attrs, inputs, r) | {"state1_lfsr": _states(attrs, inputs)[-1:]}


def element(attrs, inputs, tensor, index, note):
    register, width, steps = inputs["state0_lfsr"][0], attrs["width"], attrs["steps"]
    if tensor == "state1_lfsr":
        return {tensor: scalar.lfsr_after(len(inputs["in_v"]), width, register, steps, note=note)}
    r, number, flags = scalar.lfsr_shift(inputs["in_v"][index[0]], index[0], attrs["shift"], width, attrs["n"], steps,
                                         register, note=note)
    return generated.element(attrs, r, number, flags, note)


def stimuli(level, seed):
    widths = [(16, 16, 1), (8, 4, 4), (32, 8, 8), (24, 5, 7), (32, 32, 3)]
    for index, ((width, n, steps), formats) in enumerate(zip(widths, generated.FORMATS, strict=True)):
        yield _case(formats, width, n, steps, Draw(seed, f"stochastic.lfsr_shift.1.{index}"), 160, 1)
    for tier, count, size in ((2, 12, 1500), (3, 200, 5000)):
        draw = Draw(seed, f"stochastic.lfsr_shift.{tier}")
        for _ in range(count) if level >= tier else ():
            width, formats = int(draw.pick(list(POLYNOMIALS))), generated.FORMATS[int(draw.integers(0, 4))]
            yield _case(formats, width, int(draw.integers(1, width)), int(draw.integers(1, 16)), draw, size, tier)


def _case(formats: tuple[str, str, int], width: int, n: int, steps: int, draw: Draw, count: int, tier: int) -> Stimulus:
    v_format, format, shift = formats
    attrs = {"v_format": v_format, "format": format, "shift": shift, "width": width, "n": n, "steps": steps}
    register = draw.integers(1, 2**width - 1, (1,)).astype(np.uint32)
    v = generated.values(draw, attrs, lfsr_bits(n, (count,), width, int(register[0]), steps))
    label = f"{count}_{v_format}_{format}_shift{shift}_w{width}_n{n}_steps{steps}"
    return Stimulus("random", label, attrs, {"in_v": v, "state0_lfsr": register}, tier)


def _before_steps(reference, attrs, inputs):
    return _low(np.concatenate([inputs["state0_lfsr"], _states(attrs, inputs)[:-1]]), attrs)


def _restarting(reference, attrs, inputs):
    return np.broadcast_to(_low(_states(attrs, inputs)[:1], attrs), inputs["in_v"].shape)


def _high(reference, attrs, inputs):
    return _states(attrs, inputs) >> np.uint32(attrs["width"] - attrs["n"])


def _one_more(attrs, inputs, results):
    return results | {"state1_lfsr": _states(attrs, inputs, 1)[-1:]}


OPERATION = Operation(
    "stochastic.lfsr_shift", "integers shifted right and rounded by the device's own LFSR", ATTRIBUTES, tensors,
    reference, element, stimuli,
    (operand("restarts_at_each_call", "the register starts from 1 whatever its state was", "state0_lfsr",
             lambda register, attrs: np.ones_like(register)),
     output("state_not_kept", "the register's state is not handed on",
            lambda attrs, inputs, results: results | {"state1_lfsr": inputs["state0_lfsr"]}),
     output("one_element_more", "the register steps for one element more than there are", _one_more),
     attribute("one_step", "the register steps once an element", "steps", 1),
     changed("n_steps", "the register steps n times an element",
             lambda attrs, inputs: (attrs | {"steps": attrs["n"]}, inputs)),
     generated.other_bits(SHIFT, "state_before_steps", "the register steps after its bits were used", _before_steps),
     generated.other_bits(SHIFT, "restarts_at_each_element", "every element starts from the given state", _restarting),
     generated.other_bits(SHIFT, "high_bits", "the most significant bits of the register are taken", _high),
     *generated.of_shift(SHIFT)),
    lambda attrs, inputs, index: {"v": inputs["in_v"][index]})
