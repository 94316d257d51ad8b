"""Which cases ONNX's operators mean exactly, and their nodes: see onnx.py."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refquant.golden.operation import Attrs
from refquant.golden.vector import Vector
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat

Tensor = tuple[str, np.ndarray, str]  # name, array, format

BYTES = ("s8", "u8")
CODES = ("s4", "u4", *BYTES, "s16", "u16")


@dataclass(frozen=True)
class Node:
    """A model of one node.

    order : the operator's inputs by name, "" for one that is left out.  inputs : those that are fed.  constants :
    those that are part of the model.
    """

    operator: str
    order: list[str]
    inputs: list[Tensor]
    constants: list[Tensor]
    output: Tensor
    attributes: dict[str, Any] = field(default_factory=dict)


def _matmul(vector: Vector) -> Node | str:
    return _product(vector, "a", "b", "MatMulInteger", "QLinearMatMul", {})


def _conv(vector: Vector) -> Node | str:
    attrs = vector.attrs
    top, bottom, left, right = attrs["padding"]
    return _product(vector, "x", "w", "ConvInteger", "QLinearConv", {
        "kernel_shape": vector.tensors["in_w"].shape[2:], "strides": attrs["stride"],
        "pads": [top, left, bottom, right], "dilations": attrs["dilation"], "group": attrs["groups"]})


def _product(vector: Vector, first: str, second: str, integer: str, linear: str, attributes: Attrs) -> Node | str:
    reason = next(_refusals(vector, first, second, linear == "QLinearConv"), None)
    if reason:
        return reason
    attrs, tensors = vector.attrs, vector.tensors
    operands = [(name, tensors[f"in_{name}"], _full(attrs[f"{name}_format"])) for name in (first, second)]
    if attrs["flavour"] == "none":
        points = [_code(f"{name}_zero_point", attrs[f"{name}_zero_point"], format) for name, _, format in operands]
        return Node(integer, [first, second, *(name for name, _, _ in points)], operands, points,
                    ("y", tensors["out_y"], "s32"), attributes)
    channels: tuple[int, ...] = tensors["in_scale"].shape if attrs["per_channel"] else ()
    scale = tensors["in_scale"].reshape(channels)
    one = np.ones((), np.float32)
    constants = [
        (f"{first}_scale", one if channels else scale, "f32"),
        _code(f"{first}_zero_point", attrs[f"{first}_zero_point"], operands[0][2]),
        (f"{second}_scale", scale if channels else one, "f32"),
        _code(f"{second}_zero_point", attrs[f"{second}_zero_point"], operands[1][2], channels),
        ("y_scale", one, "f32"), _code("y_zero_point", attrs["zero_point"], attrs["format"]),
    ]
    names = [name for name, _, _ in constants]
    order = [first, *names[:2], second, *names[2:]]
    if attrs["bias"]:
        operands.append(("bias", tensors["in_bias"], "s32"))
        order.append("bias")
    return Node(linear, order, operands, constants, ("y", tensors["out_y"], attrs["format"]), attributes)


def _refusals(vector: Vector, first: str, second: str, takes_bias: bool) -> Iterator[str]:
    """Why ONNX's integer products do not mean this case."""
    attrs, flags = vector.attrs, vector.tensors["flags_y"]
    for name in (first, second):
        yield from _outside(name, _full(attrs[f"{name}_format"]), attrs[f"{name}_zero_point"], BYTES)
    if (attrs["accumulator_bits"], attrs["accumulator_overflow"]) != (32, "wrap"):
        yield (f"the accumulator has {attrs['accumulator_bits']} bits and overflow {attrs['accumulator_overflow']}: "
               "ONNX's has 32 and wraps")
    if (flags & flag.ACCUMULATOR_OVERFLOW).any():
        yield "an accumulator overflows"
    if attrs["flavour"] not in ("none", "fp32_rint"):
        yield f"flavour {attrs['flavour']}: ONNX scales in floating point and rounds half to even"
    if attrs["bias"] and not (takes_bias and attrs["flavour"] == "fp32_rint"):
        yield "a bias: the operator takes none"
    if attrs["flavour"] == "fp32_rint":
        yield from _outside("y", attrs["format"], attrs["zero_point"], BYTES)
        yield from _other_codes(attrs)


def _quantize(vector: Vector) -> Node | str:
    attrs, tensors = vector.attrs, vector.tensors
    reason = next(_real_refusals(vector, attrs["format"]), None) or next(_other_codes(attrs), None)
    if attrs["division"] != "divide":
        reason = reason or "x is multiplied by the reciprocal of the scale: ONNX divides"
    if attrs["rounding"] != "half_even":
        reason = reason or f"rounding {attrs['rounding']}: ONNX rounds half to even"
    return reason or _linear(vector, "QuantizeLinear", ("x", tensors["in_x"], "f32"),
                             ("y", tensors["out_y"], attrs["format"]))


def _dequantize(vector: Vector) -> Node | str:
    tensors, codes = vector.tensors, _full(vector.attrs["format"])
    return next(_real_refusals(vector, codes), None) or _linear(
        vector, "DequantizeLinear", ("x", tensors["in_codes"], codes), ("y", tensors["out_y"], "f32"))


def _linear(vector: Vector, operator: str, x: Tensor, y: Tensor) -> Node:
    attrs = vector.attrs
    axis = attrs["axis"]
    scale = vector.tensors["in_scale"].reshape(-1 if axis is not None else ())
    codes = y[2] if operator == "QuantizeLinear" else x[2]
    constants = [("scale", scale, "f32"), _code("zero_point", attrs["zero_point"], codes, scale.shape)]
    return Node(operator, ["x", "scale", "zero_point"], [x], constants, y, {} if axis is None else {"axis": axis})


def _real_refusals(vector: Vector, codes: str) -> Iterator[str]:
    attrs = vector.attrs
    if attrs["x_format"] != "f32":
        yield f"reals are {attrs['x_format']}: ONNX's are float32 at most"
    yield from _outside("codes", codes, attrs["zero_point"], CODES)


def _other_codes(attrs: Attrs) -> Iterator[str]:
    if attrs["zero_point"] and attrs["zero_point_at"] != "after":
        yield "the zero point is added before rounding: ONNX adds it after"
    if attrs["overflow"] != "saturate":
        yield "codes outside the format wrap: ONNX saturates"


def _outside(name: str, format: str, zero_point: int, allowed: tuple[str, ...]) -> Iterator[str]:
    if format not in allowed:
        yield f"{name} is {format}: the operator takes {', '.join(allowed)}"
    elif not IntFormat.parse(format).qmin <= zero_point <= IntFormat.parse(format).qmax:
        yield f"the zero point of {name}, {zero_point}, is not a code of {format}"


def _full(format: str) -> str:
    """What is given may be narrow: a narrow format's codes are codes of the full one."""
    return format.removesuffix("n")


def _code(name: str, value: int, format: str, shape: tuple[int, ...] = ()) -> Tensor:
    return name, np.full(shape, value, IntFormat.parse(format).dtype), format


OPERATORS: dict[str, Callable[[Vector], Node | str]] = {
    "gemm.forward": _matmul, "conv.forward": _conv, "quantize.quantize": _quantize, "quantize.dequantize": _dequantize,
}
