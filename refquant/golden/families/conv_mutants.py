"""Mistakes that kernels make with a convolution's geometry."""
from __future__ import annotations

import numpy as np

from refquant.golden.mutants import changed, operand
from refquant.golden.operation import Mutant


def _swapped(a: str, b: str):
    def change(attrs, inputs):
        return None if attrs[a] == attrs[b] else (attrs | {a: attrs[b], b: attrs[a]}, inputs)
    return change


def _reversed(key: str):
    def change(attrs, inputs):
        flipped = attrs[key][::-1]
        return None if flipped == attrs[key] else (attrs | {key: flipped}, inputs)
    return change


def _other_end(attrs, inputs):
    top, bottom, left, right = attrs["padding"]
    return None if (top, left) == (bottom, right) else (attrs | {"padding": [bottom, top, right, left]}, inputs)


def _other_order(attrs, inputs):
    top, bottom, left, right = attrs["padding"]
    return None if bottom == left else (attrs | {"padding": [top, left, bottom, right]}, inputs)


def _padded_with_code_0(attrs, inputs):
    """The padding made explicit, of code 0."""
    if attrs["x_zero_point"] == 0 or not any(attrs["padding"]):
        return None
    top, bottom, left, right = attrs["padding"]
    padded = np.pad(inputs["in_x"], ((0, 0), (0, 0), (top, bottom), (left, right)))
    return attrs | {"padding": [0, 0, 0, 0]}, inputs | {"in_x": padded}


def _interleaved(axis: int):
    def change(array, attrs):
        groups, channels = attrs["groups"], array.shape[axis]
        if groups == 1 or groups == channels:
            return None
        order = np.arange(channels).reshape(-1, groups).T.reshape(-1)
        return array.take(order, axis)
    return change


GEOMETRY_MUTANTS: tuple[Mutant, ...] = (
    changed("stride_dilation_swapped", "stride and dilation are swapped", _swapped("stride", "dilation")),
    changed("stride_transposed", "the strides of rows and columns are swapped", _reversed("stride")),
    changed("dilation_transposed", "the dilations of rows and columns are swapped", _reversed("dilation")),
    changed("padding_at_other_end", "padding is put at the opposite sides", _other_end),
    changed("padding_in_other_order", "padding's bottom is taken for its left, its left for its bottom", _other_order),
)

PADDING_MUTANT = changed("padding_with_code_0", "padding has code 0 instead of the zero point", _padded_with_code_0)

KERNEL_MUTANTS: tuple[Mutant, ...] = (
    operand("kernel_channels_transposed", "the kernel's input and output channels are swapped", "in_w",
            lambda w, attrs: w.transpose(1, 0, 2, 3) if w.shape[0] == w.shape[1] and w.shape[0] > 1 else None),
    operand("kernel_rows_columns_transposed", "the kernel's rows and columns are swapped", "in_w",
            lambda w, attrs: w.transpose(0, 1, 3, 2) if w.shape[2] == w.shape[3] and w.shape[2] > 1 else None),
)


def kernel_rotated(name: str, says: str) -> Mutant:
    return operand(name, says, "in_w", lambda w, attrs: w[:, :, ::-1, ::-1] if w[0, 0].size > 1 else None)


def groups_interleaved(tensor: str) -> Mutant:
    return operand("groups_interleaved", "a group takes every groups-th channel instead of neighbours", tensor,
                   _interleaved(1))


def first_image_only(name: str) -> Mutant:
    """Every image of operand ``name`` but the first set to the zero point."""
    def change(array, attrs):
        if len(array) < 2:
            return None
        alone = np.full(array.shape, attrs[f"{name}_zero_point"], np.int32)
        alone[:1] = array[:1]
        return alone
    return operand("first_image_only", "only the first image of the batch is added", f"in_{name}", change)
