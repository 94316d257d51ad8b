"""What the operations that are integer products share: attributes, tensors, requantization.

A product has one or two operands, each with a format and a zero point (attributes ``a_format``, ``a_zero_point``),
perhaps a bias, an accumulator and a requantization. An operation adds how its accumulators are computed, twice.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from refquant.golden import schema
from refquant.golden.families import product_mutants, requantization, requantization_mutants
from refquant.golden.families.remembering import remembering
from refquant.golden.operation import Arrays, Attrs, Mutant, Operation, Stimulus
from refquant.integers.accumulator import Accumulator
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
    terms_of : the operand, of two, and its axes, whose index tells the products of one accumulator apart.
    """

    operands: tuple[str, ...]
    accumulate: Callable[[Attrs, Arrays], tuple[np.ndarray, np.ndarray]]
    accumulate_element: Callable[..., tuple[int, bool]]
    channel_axis: int
    terms: Callable[[Attrs, Arrays, tuple[int, ...]], dict[str, Any]]
    attributes: dict[str, Any]
    has_bias: bool = False
    terms_of: tuple[str, tuple[int, ...]] | None = None


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

    accumulate = _remembering(product.accumulate)

    def reference(attrs, inputs):
        acc, overflowed = accumulate(attrs, inputs)
        return requantization.apply(attrs, inputs, acc, overflowed, product.channel_axis)

    def element(attrs, inputs, tensor, index, note):
        acc, overflowed = product.accumulate_element(attrs, inputs, index, note)
        return requantization.element(attrs, inputs, acc, overflowed, index[product.channel_axis], note)

    def operands(attrs, inputs, index):
        return product.terms(attrs, inputs, index) | requantization.operands(attrs, inputs, index[product.channel_axis])

    shared = [mutant for name in product.operands for mutant in product_mutants.of_operand(name)]
    shared += product_mutants.of_bias(product.channel_axis) if product.has_bias else []
    shared += [product_mutants.cut_to_16_bits(product)] if product.terms_of else []
    return Operation(
        name, summary, attributes, tensors, reference, element, stimuli,
        (*mutants, *shared, *product_mutants.OF_ACCUMULATOR,
         *requantization_mutants.mutants(flavours, roundings, product.channel_axis)),
        operands, ("accumulator_overflow", *requantization.SEMANTICS))


def _remembering(accumulate: Callable) -> Callable:
    """``accumulate`` that knows its last answer: most mutants ask for the same accumulators again."""
    def question(attrs, inputs):
        return (repr([item for item in attrs.items() if item[0] not in requantization.ATTRIBUTES]),
                *((name, array.dtype.str, array.shape, array.tobytes()) for name, array in inputs.items()
                  if name not in requantization.TENSORS))

    known = remembering(accumulate, question)
    return lambda attrs, inputs: tuple(array.copy() for array in known(attrs, inputs))


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
