"""Mistakes in integer products: extension, zero points, bias, loops over terms, order in memory, accumulators."""
from __future__ import annotations

import numpy as np

from refquant.golden.families import requantization
from refquant.golden.mutants import attribute, changed, instead, operand
from refquant.golden.operation import Mutant
from refquant.integers.accumulator import Accumulator
from refquant.integers.fixed import along
from refquant.integers.formats import IntFormat

S16 = IntFormat(16)


def of_operand(name: str) -> list[Mutant]:
    """Extension and zero point of operand ``name``."""
    format, zero_point = f"{name}_format", f"{name}_zero_point"

    def extended(signed):
        def change(array, attrs):
            own = IntFormat.parse(attrs[format])
            return None if own.signed == signed else IntFormat(own.bits, signed).wrap(array).astype(np.int32)
        return change

    return [
        operand(f"{name}_sign_extended", f"{name} is sign-extended though it is unsigned", f"in_{name}",
                extended(signed=True)),
        operand(f"{name}_zero_extended", f"{name} is zero-extended though it is signed", f"in_{name}",
                extended(signed=False)),
        attribute(f"{name}_zero_point_omitted", f"{name}'s zero point is left out", zero_point, 0),
        changed(f"{name}_zero_point_added", f"{name}'s zero point is added instead of subtracted",
                lambda attrs, inputs: (attrs | {zero_point: -attrs[zero_point]}, inputs) if attrs[zero_point]
                else None),
    ]


def of_bias(axis: int) -> list[Mutant]:
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
        operand("first_bias_for_all", "every channel takes the first one's bias", "in_bias",
                lambda bias, attrs: np.broadcast_to(bias[:1], bias.shape)),
        Mutant("bias_after_requantization", "the bias is added after requantization instead of before", after),
        operand("bias_next_channel", "every channel takes its neighbour's bias", "in_bias",
                lambda bias, attrs: np.roll(bias, -1) if len(bias) > 1 else None),
    ]


def _narrower(bits: int) -> Mutant:
    return attribute(f"accumulator_{bits}", f"the accumulator has {bits} bits", "accumulator_bits", bits,
                     lambda attrs: attrs["accumulator_bits"] > bits)


OF_ACCUMULATOR = (
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


def cut_to_16_bits(product) -> Mutant:
    """Every product of two codes wrapped to 16 bits before it is added."""
    name, axes = product.terms_of

    def run(reference, attrs, inputs):
        array, zero_point = inputs[f"in_{name}"], attrs[f"{name}_zero_point"]
        largest = [int(np.abs(inputs[f"in_{other}"].astype(np.int64) - attrs[f"{other}_zero_point"]).max(initial=0))
                   for other in product.operands]
        if largest[0] * largest[1] <= S16.qmax:
            return None
        exact = attrs | {"accumulator_bits": 64, "accumulator_overflow": "wrap"}
        unbiased = {key: value for key, value in inputs.items() if key != "in_bias"}
        terms = []
        for place in np.ndindex(*(array.shape[axis] for axis in axes)):
            at = [slice(None)] * array.ndim
            for axis, index in zip(axes, place, strict=True):
                at[axis] = slice(index, index + 1)
            alone = np.full(array.shape, zero_point, np.int32)
            alone[tuple(at)] = array[tuple(at)]
            terms.append(S16.wrap(product.accumulate(exact, unbiased | {f"in_{name}": alone})[0]))
        bias = along(inputs["in_bias"], product.channel_axis, terms[0].ndim) if "in_bias" in inputs else 0
        register = Accumulator(attrs["accumulator_bits"], attrs["accumulator_overflow"])
        acc, overflowed = register.sum(np.stack(terms, axis=-1), bias)
        return requantization.apply(attrs, inputs, acc, overflowed, product.channel_axis)

    return Mutant("products_cut_to_16_bits", "each product is cut to 16 bits before it is added", run)


def end_dropped(name: str, axis: int, what: str) -> tuple[Mutant, Mutant]:
    """A loop over ``axis`` of operand ``name`` that ends one too early, and one that starts at 1."""
    def without(index):
        def change(array, attrs):
            cut = array.astype(np.int32)
            cut[(slice(None),) * axis + (index,)] = attrs[f"{name}_zero_point"]  # adds nothing
            return cut
        return change
    return (operand(f"last_{what}_dropped", f"the last {what} of the sum is dropped", f"in_{name}", without(-1)),
            operand(f"first_{what}_dropped", f"the first {what} of the sum is dropped: the loop starts at 1",
                    f"in_{name}", without(0)))


def second_tile(what: str, size: int, **axes: int) -> Mutant:
    """Indices along these axes of the operands taken modulo ``size``: what a pointer does that is not advanced."""
    def change(attrs, inputs):
        counts = {inputs[f"in_{name}"].shape[axis] for name, axis in axes.items()}
        if len(counts) > 1 or max(counts) <= size:
            return None
        again = np.arange(max(counts)) % size
        return attrs, inputs | {f"in_{name}": inputs[f"in_{name}"].take(again, axis) for name, axis in axes.items()}
    return changed(f"second_tile_of_{what}_repeats_first", f"{what} from the {size}th on are the first {size} again",
                   change)


def first_for_all(name: str, axis: int) -> Mutant:
    """Every row of the result made from the first row, or column, of operand ``name``."""
    def change(array, attrs):
        return np.broadcast_to(array.take([0], axis), array.shape) if array.shape[axis] > 1 else None
    says = f"every row of the result is made from {name}'s first {('row', 'column')[axis]}"
    return operand("first_row_for_all", says, f"in_{name}", change)


def transposed(array: np.ndarray, attrs) -> np.ndarray | None:
    """A matrix read as if its transpose lay in memory; of a square one that is the transpose."""
    return array.reshape(array.shape[::-1]).T if min(array.shape) > 1 else None


def result_transposed(says: str) -> Mutant:
    """Results written as their transpose."""
    def run(reference, attrs, inputs):
        return {name: array.T.reshape(array.shape) for name, array in reference(attrs, inputs).items()}
    return Mutant("result_transposed", says, run)
