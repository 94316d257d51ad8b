"""What gemm.bifurcated and conv.bifurcated share: two copies of one output gradient, and the two gradients they give.

    g_input  = saturate(floor(g m0 / 2^s0 + r / 2^n), s<input_bits>)     few bits, stochastic: for the input gradient
    g_weight = saturate(round(g m1 / 2^s1), s16)                         for the weight gradient
    acc_dx   = the layer's input gradient of g_input                     32 bits, wrapping
    acc_dw   = its weight gradient of g_weight                           48 bits, wrapping
    dx, dw   = saturate(round(acc / 2^shift)), each with a shift and a format of its own

Banner 2018, section 4: the input gradient waits for the layer above and has to be fast, the weight gradient does not.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refquant.golden import schema
from refquant.golden.families.remembering import remembering
from refquant.golden.operation import Arrays, Attrs, Mutant, Operation, Stimulus
from refquant.hardware.scaling import scaled
from refquant.integers.accumulator import Accumulator
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_width
from refquant.integers.rounding import named
from refquant.integers.stochastic import Stochastic
from refquant.scalar import bifurcation as scalar
from refquant.scalar import formats as scalar_formats
from refquant.scalar import rounding as scalar_rounding

S16, S32, SHIFT = IntFormat(16), IntFormat(32), IntFormat(8, signed=False)
ACCUMULATOR = {"dx": Accumulator(32), "dw": Accumulator(48)}
COPY = {"dx": "mid_g_input", "dw": "mid_g_weight"}  # of which copy each gradient is made

ATTRIBUTES = {
    "g_format": schema.FORMAT, "x_format": schema.FORMAT, "x_zero_point": schema.INT32, "w_format": schema.FORMAT,
    "w_zero_point": schema.INT32, "input_bits": {"enum": [4, 8]}, "n": schema.integer(1, 62),
    "rounding": schema.ROUNDING, "dx_shift": schema.integer(0, 62), "dx_format": schema.FORMAT,
    "dw_shift": schema.integer(0, 62), "dw_format": schema.FORMAT,
}

# what the accumulators do not depend on, given the copies
UNSEEN = ("g_format", "x_format", "w_format", "input_bits", "n", "rounding", "dx_shift", "dx_format", "dw_shift",
          "dw_format")

Accumulate = Callable[[Attrs, Arrays, np.ndarray, Accumulator], np.ndarray]


@dataclass(frozen=True)
class Layer:
    """The two gradients of a layer, for "dx" and "dw" each, from a copy of g.

    accumulate : (attrs, inputs, copy, accumulator) -> acc, vectorized.
    accumulate_element : (attrs, inputs, copy, index, bits, note) -> acc, lists in, from the scalar model.
    terms : (attrs, inputs, index) -> the vectors that one element of dx is made from.
    attributes : further attributes, a convolution's geometry.
    """

    accumulate: dict[str, Accumulate]
    accumulate_element: dict[str, Callable[..., int]]
    terms: Callable[[Attrs, Arrays, tuple[int, ...]], dict[str, Any]]
    attributes: dict[str, Any]


def tensors(attrs: Attrs) -> dict[str, IntFormat | str]:
    own = {f"in_{name}": IntFormat.parse(attrs[f"{name}_format"]) for name in ("g", "x", "w")}
    return {
        **own,
        "in_multiplier": S32, "in_shift": SHIFT, "rbits_g": IntFormat(lane_width(attrs["n"]), signed=False),
        "mid_g_input": IntFormat(attrs["input_bits"]), "mid_g_weight": S16,
        "mid_acc_dx": ACCUMULATOR["dx"].format, "mid_acc_dw": ACCUMULATOR["dw"].format,
        "out_dx": IntFormat.parse(attrs["dx_format"]), "out_dw": IntFormat.parse(attrs["dw_format"])}


def unlimited(inputs: Arrays, copy: int, rounding: Any) -> np.ndarray:
    """g in the units of copy 0 (for dx) or 1 (for dw), before its format limits it."""
    return scaled(inputs["in_g"], int(inputs["in_multiplier"][copy]), int(inputs["in_shift"][copy]), rounding)


def copies(attrs: Attrs, inputs: Arrays) -> Arrays:
    """mid_g_input and mid_g_weight."""
    chance = Stochastic(inputs["rbits_g"], attrs["n"])
    return {"mid_g_input": IntFormat(attrs["input_bits"]).saturate(unlimited(inputs, 0, chance)),
            "mid_g_weight": S16.saturate(unlimited(inputs, 1, attrs["rounding"]))}


def narrowed(attrs: Attrs, gradient: str, acc: np.ndarray) -> np.ndarray:
    """The accumulators of "dx" or "dw", shifted and rounded, before their format limits them."""
    return named(attrs["rounding"]).shift(acc.astype(np.int64), attrs[f"{gradient}_shift"])


def answer(attrs: Attrs, gradient: str, acc: np.ndarray) -> np.ndarray:
    """out_dx or out_dw from accumulators."""
    return IntFormat.parse(attrs[f"{gradient}_format"]).saturate(narrowed(attrs, gradient, acc))


def _copy(attrs: Attrs, inputs: dict[str, Any], gradient: str) -> list[Any]:
    """The scalar model's copy of all of g, nested as g is: every element of dx and dw needs much of it."""
    g, which = inputs["in_g"], list(COPY).index(gradient)
    multiplier, shift = inputs["in_multiplier"][which], inputs["in_shift"][which]
    if gradient == "dx":
        return _input_copies(g, inputs["rbits_g"], multiplier, shift, attrs["n"], attrs["input_bits"])
    return _weight_copies(g, multiplier, shift, attrs["rounding"])


@remembering
def _input_copies(g, rbits, multiplier, shift, n, bits):
    return _nested(lambda code, r: scalar.input_copy(code, multiplier, shift, r, n, bits), g, rbits)


@remembering
def _weight_copies(g, multiplier, shift, rounding):
    return _nested(lambda code: scalar.weight_copy(code, multiplier, shift, rounding), g)


def _nested(function: Callable[..., int], *nested: Any) -> Any:
    if isinstance(nested[0], list):
        return [_nested(function, *parts) for parts in zip(*nested, strict=True)]
    return function(*nested)


def _copy_element(attrs, inputs, tensor, index, note):
    g, r = inputs["in_g"], inputs["rbits_g"]
    for i in index:
        g, r = g[i], r[i]
    multipliers, shifts = inputs["in_multiplier"], inputs["in_shift"]
    if tensor == "mid_g_input":
        return scalar.input_copy(g, multipliers[0], shifts[0], r, attrs["n"], attrs["input_bits"], note=note)
    return scalar.weight_copy(g, multipliers[1], shifts[1], attrs["rounding"], note=note)


KNOWN = 4  # answers that are remembered: a mutant of one gradient asks for two, and the other gradient's is as before


def _knowing(accumulate: Accumulate) -> Accumulate:
    """``accumulate`` that knows its last answers: most mutants ask for the same accumulators again."""
    def question(attrs, inputs, copy, accumulator):
        return (repr([item for item in attrs.items() if item[0] not in UNSEEN]), accumulator,
                *((array.dtype.str, array.shape, array.tobytes())
                  for array in (copy, inputs["in_x"], inputs["in_w"])))

    known = remembering(accumulate, question, KNOWN)
    return lambda *arguments: known(*arguments).copy()


def operation(name: str, summary: str, layer: Layer, stimuli: Callable[[int, int], Iterator[Stimulus]],
              mutants: tuple[Mutant, ...]) -> Operation:
    """The operation of ``layer``."""
    accumulates = {gradient: _knowing(accumulate) for gradient, accumulate in layer.accumulate.items()}

    def reference(attrs, inputs):
        results = copies(attrs, inputs)
        for gradient, accumulate in accumulates.items():
            acc = accumulate(attrs, inputs, results[COPY[gradient]], ACCUMULATOR[gradient])
            results |= {f"mid_acc_{gradient}": acc, f"out_{gradient}": answer(attrs, gradient, acc)}
        return results

    def element(attrs, inputs, tensor, index, note):
        if tensor in COPY.values():
            return {tensor: _copy_element(attrs, inputs, tensor, index, note)}
        gradient = tensor[-2:]
        note(f"g is {COPY[gradient]}, the copy of {attrs['input_bits'] if gradient == 'dx' else S16.bits} bits")
        acc = layer.accumulate_element[gradient](attrs, inputs, _copy(attrs, inputs, gradient), index,
                                                 ACCUMULATOR[gradient].bits, note)
        rounded = scalar_rounding.round_shift(acc, attrs[f"{gradient}_shift"], attrs["rounding"], note=note)
        bits, signed, narrow = scalar_formats.parse(attrs[f"{gradient}_format"])
        code, _ = scalar_formats.into_format(rounded, bits, signed, narrow, "saturate", note=note)
        return {f"mid_acc_{gradient}": acc, f"out_{gradient}": code}

    def operands(attrs, inputs, index):
        return layer.terms(attrs, inputs, index) | {"multiplier": inputs["in_multiplier"][0],
                                                    "shift": inputs["in_shift"][0]}

    return Operation(name, summary, ATTRIBUTES | layer.attributes, tensors, reference, element, stimuli, mutants,
                     operands, ("rounding",))
