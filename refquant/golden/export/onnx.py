"""onnx/model.onnx with its test_data_set_0, as ONNX's backend tests lay them out, where ONNX means exactly the case.

    gemm.forward         MatMulInteger, or QLinearMatMul for flavour fp32_rint
    conv.forward         ConvInteger, or QLinearConv for flavour fp32_rint
    quantize.quantize    QuantizeLinear
    quantize.dequantize  DequantizeLinear

The case's operands are the model's inputs; scales and zero points are constants in it. A case's scale becomes that of
the first operand (per channel: of the second), the other scales are 1, so that their quotient is the scale itself.

ONNX rounds x / y_scale half to even and adds the zero point after. It does not say in which precision an accumulator
is scaled, so a case is refused when float32 and exact arithmetic would give different codes.

Known to be wrong: onnx.reference (1.23) adds the zero point before rounding in QLinearMatMul and QLinearConv, which
breaks ties the other way when the zero point is odd; its QuantizeLinear turns quotients beyond int32 into the smallest
code. ONNX Runtime adds products of u8 and s8 in pairs that saturate at int16, on x86 without VNNI.
"""
from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np

from refquant.golden.errors import GoldenError
from refquant.golden.export.onnxnodes import OPERATORS, Node
from refquant.golden.vector import Vector
from refquant.integers.formats import IntFormat
from refquant.integers.packing import pack

OPSET, IR_VERSION = 21, 10
TYPES = {"s4": "INT4", "u4": "UINT4", "s8": "INT8", "u8": "UINT8", "s16": "INT16", "u16": "UINT16", "s32": "INT32",
         "f32": "FLOAT"}


def export(vector: Vector, word: int | None) -> dict[str, bytes] | str:
    """The model and its data by path, or why there is none."""
    node = refusal_or_node(vector)
    if isinstance(node, str):
        return node
    found = {"onnx/model.onnx": _bytes(_model(node, vector.id))}
    for kind, tensors in (("input", node.inputs), ("output", [node.output])):
        for k, (name, array, format) in enumerate(tensors):
            found[f"onnx/test_data_set_0/{kind}_{k}.pb"] = _bytes(_tensor(name, array, format))
    return found


def onnx_model(vector: Vector) -> Any:
    """The ModelProto that means exactly the case, or a string that says why there is none."""
    node = refusal_or_node(vector)
    return node if isinstance(node, str) else _model(node, vector.id)


def refusal_or_node(vector: Vector) -> Node | str:
    """The ONNX node that is the case, or why there is none."""
    operator = OPERATORS.get(vector.record["op"])
    if operator is None:
        return f"ONNX has no operator for {vector.record['op']}"
    if any(array.size == 0 for array in vector.tensors.values()):
        return "a tensor is empty"
    node = operator(vector)
    if not isinstance(node, str) and vector.attrs.get("flavour") == "fp32_rint" and not _same_when_exact(vector):
        return "the codes depend on the precision of the scaled accumulator, which ONNX leaves open"
    return node


def onnx_package() -> Any:
    """The onnx package; a GoldenError that says how to get it when it is missing."""
    try:
        return import_module("onnx")
    except ImportError:
        raise GoldenError("export to onnx needs the onnx package: pip install refquant[oracles]") from None


def _same_when_exact(vector: Vector) -> bool:
    """Whether rounding acc * scale, without float32 in between, gives the case's codes."""
    attrs, tensors = vector.attrs, vector.tensors
    format = IntFormat.parse(attrs["format"])
    scales = [Fraction(float(scale)) for scale in tensors["in_scale"]]
    for index, acc in np.ndenumerate(tensors["mid_acc"]):
        scale = scales[index[1] if attrs["per_channel"] else 0]  # the channels of both products are axis 1
        code = round(int(acc) * scale) + attrs["zero_point"]
        if min(max(code, format.qmin), format.qmax) != tensors["out_y"][index]:
            return False
    return True


def _model(node: Node, id: str) -> Any:
    onnx = onnx_package()
    inputs = [_value_info(name, array, format) for name, array, format in node.inputs]
    names = [name for name, _, _ in [*node.inputs, *node.constants]]
    name, array, format = node.output
    made = onnx.helper.make_node(node.operator, [n if n in names else "" for n in node.order], [name],
                                 **node.attributes)
    graph = onnx.helper.make_graph([made], id, inputs, [_value_info(name, array, format)],
                                   [_tensor(*constant) for constant in node.constants])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                   producer_name="refquant")
    onnx.checker.check_model(model)
    return model


def _value_info(name: str, array: np.ndarray, format: str) -> Any:
    onnx = onnx_package()
    return onnx.helper.make_tensor_value_info(name, getattr(onnx.TensorProto, TYPES[format]), array.shape)


def _tensor(name: str, array: np.ndarray, format: str) -> Any:
    """The tensor as ONNX stores it: little-endian, 4-bit codes packed with element 0 in the low half."""
    onnx = onnx_package()
    if TYPES[format].endswith("INT4"):
        data = pack(array, IntFormat.parse(format)).tobytes()
    else:
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return onnx.TensorProto(name=name, dims=array.shape, data_type=getattr(onnx.TensorProto, TYPES[format]),
                            raw_data=data)


def _bytes(message: Any) -> bytes:
    return message.SerializeToString(deterministic=True)
