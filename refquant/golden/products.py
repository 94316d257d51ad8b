"""What the operations that are integer products share: attributes, tensors, requantization, mutants.

A product has one or two operands, each with a format and a zero point (attributes ``a_format``, ``a_zero_point``),
perhaps a bias, an accumulator and a requantization. An operation adds how its accumulators are computed, twice.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refquant.golden import requantization, schema
from refquant.golden.mutants import attribute, changed, instead, operand
from refquant.golden.operation import Arrays, Attrs, Mutant, Operation, Stimulus
from refquant.integers.accumulator import Accumulator
from refquant.integers.fixed import along
from refquant.integers.formats import IntFormat

BIAS = IntFormat(32)


@dataclass(frozen=True)
class Product:
    """How one product's accumulators are computed.

    operands : names of the operand tensors without ``in_``, in the order of the case.
    accumulate : (attrs, inputs) -> (acc, overflowed), vectorized.
    accumulate_element : (attrs, inputs, index, note) -> (acc, overflowed), from the scalar model.
    channel_axis : the axis of the accumulators along which per-channel scales run.
    terms : (attrs, inputs, index) -> the vectors that one accumulator is made from.
    attributes : further attributes, a convolution's geometry.
    """

    operands: tuple[str, ...]
    accumulate: Callable[[Attrs, Arrays], tuple[np.ndarray, np.ndarray]]
    accumulate_element: Callable[..., tuple[int, bool]]
    channel_axis: int
    terms: Callable[[Attrs, Arrays, tuple[int, ...]], dict[str, Any]]
    attributes: dict[str, Any]
    has_bias: bool = False


def operation(name: str, summary: str, product: Product, stimuli: Callable[[int, int], Iterator[Stimulus]],
              mutants: tuple[Mutant, ...], flavours: tuple[str, ...], roundings: tuple[str, ...]) -> Operation:
    """The operation of ``product``, its results requantized as each case says, by these flavours and roundings."""
    attributes = {key: value for operand in product.operands for key, value in (
        (f"{operand}_format", schema.FORMAT), (f"{operand}_zero_point", schema.INT32))}
    attributes |= {"bias": schema.BOOLEAN} if product.has_bias else {}
    attributes |= {"accumulator_bits": schema.ACCUMULATOR_BITS, "accumulator_overflow": schema.ACCUMULATOR_OVERFLOW}
    attributes |= product.attributes | requantization.ATTRIBUTES

    def tensors(attrs):
        own = {f"in_{operand}": IntFormat.parse(attrs[f"{operand}_format"]) for operand in product.operands}
        bias = {"in_bias": BIAS} if attrs.get("bias") else {}
        acc = IntFormat(attrs["accumulator_bits"])
        return own | bias | requantization.given(attrs) | requantization.results(attrs, acc)

    def reference(attrs, inputs):
        acc, overflowed = product.accumulate(attrs, inputs)
        return requantization.apply(attrs, inputs, acc, overflowed, product.channel_axis)

    def element(attrs, inputs, tensor, index, note):
        acc, overflowed = product.accumulate_element(attrs, inputs, index, note)
        return requantization.element(attrs, inputs, acc, overflowed, index[product.channel_axis], note)

    def operands(attrs, inputs, index):
        return product.terms(attrs, inputs, index) | requantization.operands(attrs, inputs, index[product.channel_axis])

    shared = [mutant for name in product.operands for mutant in _operand_mutants(name)]
    shared += _bias_mutants(product.channel_axis) if product.has_bias else []
    return Operation(
        name, summary, attributes, tensors, reference, element, stimuli,
        (*mutants, *shared, *ACCUMULATOR_MUTANTS, *requantization.mutants(flavours, roundings)), operands,
        ("accumulator_overflow", *requantization.SEMANTICS))


def accumulator(attrs: Attrs) -> Accumulator:
    return Accumulator(attrs["accumulator_bits"], attrs["accumulator_overflow"])


def attributes(operands: dict[str, tuple[str, int]], requantized: Attrs, *, bits: int = 32, overflow: str = "wrap",
               bias: bool | None = None, **further: Any) -> Attrs:
    """The attributes of a case: each operand's format and zero point, the accumulator, the requantization."""
    attrs: Attrs = {}
    for name, (format, zero_point) in operands.items():
        attrs |= {f"{name}_format": format, f"{name}_zero_point": zero_point}
    attrs |= {} if bias is None else {"bias": bias}
    return attrs | {"accumulator_bits": bits, "accumulator_overflow": overflow} | further | requantized


def label(shape: str, attrs: Attrs, operands: tuple[str, ...]) -> str:
    """The part of a case's id that names its shape and semantics: ``16x24x40_s8xs8_acc32w_rq-tosa-double_s8_pc``."""
    policy = {"wrap": "w", "saturate_running": "sr", "saturate_final": "sf"}[attrs["accumulator_overflow"]]
    formats = "x".join(attrs[f"{name}_format"] for name in operands)
    points = [attrs[f"{name}_zero_point"] for name in operands]
    zero_points = ["z" + ".".join(str(p).replace("-", "m") for p in points)] if any(points) else []
    bias = ["bias"] if attrs.get("bias") else []
    return "_".join([shape, formats, *zero_points, *bias, f"acc{attrs['accumulator_bits']}{policy}",
                     requantization.label(attrs)])


def _operand_mutants(name: str) -> list[Mutant]:
    format, zero_point = f"{name}_format", f"{name}_zero_point"

    def other_extension(array, attrs):
        own = IntFormat.parse(attrs[format])
        return IntFormat(own.bits, not own.signed).wrap(array).astype(np.int32)

    return [
        operand(f"{name}_extended_wrongly", f"{name} is sign-extended where unsigned, zero-extended where signed",
                f"in_{name}", other_extension),
        attribute(f"{name}_zero_point_omitted", f"{name}'s zero point is left out", zero_point, 0),
        changed(f"{name}_zero_point_added", f"{name}'s zero point is added instead of subtracted",
                lambda attrs, inputs: (attrs | {zero_point: -attrs[zero_point]}, inputs) if attrs[zero_point]
                else None),
    ]


def _bias_mutants(axis: int) -> list[Mutant]:
    def without(attrs, inputs):
        return attrs | {"bias": False}, {name: array for name, array in inputs.items() if name != "in_bias"}

    def after(reference, attrs, inputs):
        if not attrs["bias"] or attrs["flavour"] == "none":
            return None
        results = reference(*without(attrs, inputs))
        y = results["out_y"].astype(np.int64)
        code = y + along(inputs["in_bias"].astype(np.int64), axis, y.ndim)
        return results | {"out_y": IntFormat.parse(attrs["format"]).saturate(code)}

    return [
        changed("bias_omitted", "the bias is left out",
                lambda attrs, inputs: without(attrs, inputs) if attrs["bias"] else None),
        Mutant("bias_after_requantization", "the bias is added after requantization instead of before", after),
        operand("bias_next_channel", "every channel takes its neighbour's bias", "in_bias",
                lambda bias, attrs: np.roll(bias, -1) if len(bias) > 1 else None),
    ]


def _narrower(bits: int) -> Mutant:
    return attribute(f"accumulator_{bits}", f"the accumulator has {bits} bits", "accumulator_bits", bits,
                     lambda attrs: attrs["accumulator_bits"] > bits)


ACCUMULATOR_MUTANTS = (
    *(_narrower(bits) for bits in (16, 20, 24, 31)),
    instead("accumulator_overflow", "wrap", "saturate_final", "the accumulator saturates at the end"),
    instead("accumulator_overflow", "wrap", "saturate_running", "the accumulator saturates after every addition"),
    instead("accumulator_overflow", "saturate_running", "saturate_final",
            "the accumulator saturates only at the end"),
    instead("accumulator_overflow", "saturate_running", "wrap", "the accumulator wraps"),
    instead("accumulator_overflow", "saturate_final", "saturate_running",
            "the accumulator saturates after every addition"),
    instead("accumulator_overflow", "saturate_final", "wrap", "the accumulator wraps"),
)


def last_term_dropped(first: str, second: str | None, first_axis: int, second_axis: int = 0) -> Mutant:
    """The last index of the contraction left out: a loop that ends one too early."""
    def change(attrs, inputs):
        a = inputs[f"in_{first}"]
        if a.shape[first_axis] < 2:
            return None
        cut = {f"in_{first}": a.take(range(a.shape[first_axis] - 1), first_axis)}
        if second is not None:
            b = inputs[f"in_{second}"]
            cut[f"in_{second}"] = b.take(range(b.shape[second_axis] - 1), second_axis)
        return attrs, inputs | cut
    return changed("last_term_dropped", "the last term of the sum is dropped", change)


def transposed(array: np.ndarray, attrs: Attrs) -> np.ndarray | None:
    """A square matrix read the wrong way round."""
    return array.T if array.shape[0] == array.shape[1] else None


def result_transposed(says: str) -> Mutant:
    """Square results, transposed."""
    def run(reference, attrs, inputs):
        results = reference(attrs, inputs)
        if results["out_y"].shape[0] != results["out_y"].shape[1]:
            return None
        return {name: array.T for name, array in results.items()}
    return Mutant("result_transposed", says, run)


def without_last(array: np.ndarray, axis: int, zero_point: int) -> np.ndarray | None:
    """The last index along ``axis`` set to the zero point, so that it adds nothing."""
    if array.shape[axis] < 2:
        return None
    cut = array.astype(np.int32)
    cut[(slice(None),) * axis + (-1,)] = zero_point
    return cut
