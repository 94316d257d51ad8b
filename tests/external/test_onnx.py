"""ONNX's own backend node tests of its quantization operators, every one of them, answered by refquant.

The tests are those that the onnx package generates. Codes, accumulators and float32 values must be equal to the bit.
How the operators are written here:

    QuantizeLinear           quantize, half_even, zero point after; blocks along an axis one by one
    DequantizeLinear         dequantize
    MatMulInteger            matmul in int32
    ConvInteger              conv in int32, one output channel at a time, since each has its weight zero point
    QLinearMatMul, -Conv     matmul or conv, then fp32_rint with the float32 scale (a_scale * b_scale) / y_scale
    DynamicQuantizeLinear    affine.gemmlowp with its scale rounded to float32, then quantize
"""
from __future__ import annotations

import importlib
import pkgutil
import re

import numpy as np
import pytest

from refquant.gemm import Geometry, conv, matmul
from refquant.integers import Fixed, IntFormat, affine, dequantize, quantize, requantize

# the node tests of 1.17 have int8 products that wrapped where they should saturate
onnx = pytest.importorskip("onnx", minversion="1.23")
node_tests = pytest.importorskip("onnx.backend.test.case.node")
TensorProto = onnx.TensorProto

FORMATS = {TensorProto.DataType.Value(name): IntFormat.parse(f"{name[0].lower().replace('i', 's')}{bits}")
           for bits in (2, 4, 8, 16) for name in (f"INT{bits}", f"UINT{bits}")}

FLOAT8 = "its codes are 8-bit floats"
FLOAT4 = "its codes are 4-bit floats"
OUT_OF_SCOPE = {
    "test_dequantizelinear_e4m3fn": FLOAT8,
    "test_dequantizelinear_e4m3fn_float16": FLOAT8,
    "test_dequantizelinear_e4m3fn_zero_point": FLOAT8,
    "test_dequantizelinear_e5m2": FLOAT8,
    "test_dequantizelinear_float4e2m1": FLOAT4,
    "test_quantizelinear_e4m3fn": FLOAT8,
    "test_quantizelinear_e5m2": FLOAT8,
    "test_quantizelinear_float4e2m1": FLOAT4,
}

CHECKED = [
    "test_convinteger_with_padding", "test_convinteger_without_padding", "test_dequantizelinear",
    "test_dequantizelinear_axis", "test_dequantizelinear_blocked", "test_dequantizelinear_int16",
    "test_dequantizelinear_int2", "test_dequantizelinear_int4", "test_dequantizelinear_uint16",
    "test_dequantizelinear_uint2", "test_dequantizelinear_uint4", "test_dynamicquantizelinear",
    "test_dynamicquantizelinear_expanded", "test_dynamicquantizelinear_max_adjusted",
    "test_dynamicquantizelinear_max_adjusted_expanded", "test_dynamicquantizelinear_min_adjusted",
    "test_dynamicquantizelinear_min_adjusted_expanded", "test_matmulinteger", "test_qlinearconv",
    "test_qlinearmatmul_2D_int8_float16", "test_qlinearmatmul_2D_int8_float32", "test_qlinearmatmul_2D_uint8_float16",
    "test_qlinearmatmul_2D_uint8_float32", "test_qlinearmatmul_3D_int8_float16", "test_qlinearmatmul_3D_int8_float32",
    "test_qlinearmatmul_3D_uint8_float16", "test_qlinearmatmul_3D_uint8_float32", "test_quantizelinear",
    "test_quantizelinear_axis", "test_quantizelinear_blocked_asymmetric", "test_quantizelinear_blocked_symmetric",
    "test_quantizelinear_int16", "test_quantizelinear_int2", "test_quantizelinear_int4", "test_quantizelinear_uint16",
    "test_quantizelinear_uint2", "test_quantizelinear_uint4",
]

# How many of the checked tests round, and how many of these half_away in place of half_even passes too.
ROUNDING, PASSED_BY_HALF_AWAY = 25, 25


def load() -> dict:
    """The package's node tests of quantization operators, by name."""
    for module in pkgutil.iter_modules(node_tests.__path__):
        if re.search("quant|^q|integer", module.name):
            importlib.import_module(f"{node_tests.__name__}.{module.name}")
    return {case.name: case for case in node_tests._NodeTestCases
            if re.search("quant|test_q|integer", case.name)}


CASES = load()


# ---- the operators, written with refquant: each takes what the node takes, and the rounding of its quantizer

def quantize_linear(x, scale, zero_point=None, *, rounding, format, axis=1, block_size=0):
    zero_point = np.zeros(scale.shape, np.int64) if zero_point is None else integers(zero_point)

    def one(x, scale, zero_point, axis):
        return quantize(x, scale, format, zero_point=zero_point, axis=axis, rounding=rounding).codes

    return one_by_one_block(one, x, scale, zero_point, axis, block_size)


def dequantize_linear(x, scale, zero_point=None, *, rounding, format, axis=1, block_size=0):
    zero_point = np.zeros(scale.shape, np.int64) if zero_point is None else integers(zero_point)

    def one(x, scale, zero_point, axis):
        return dequantize(Fixed(x, scale, format, zero_point, axis))

    return one_by_one_block(one, integers(x), scale, zero_point, axis, block_size)


def one_by_one_block(one, x, scale, zero_point, axis, block_size):
    if not block_size:
        axis = axis if np.size(scale) > 1 else None
        scale, zero_point = (a.reshape(()) if a.size == 1 else a for a in (scale, zero_point))
        return one(x, scale, zero_point, axis)
    moved, scale, zero_point = (np.moveaxis(a, axis, 0) for a in (x, scale, zero_point))  # [blocks, others]
    blocks = [one(moved[k * block_size:(k + 1) * block_size].reshape(-1, s.size), s.reshape(-1), z.reshape(-1), 1)
              for k, (s, z) in enumerate(zip(scale, zero_point, strict=True))]
    return np.moveaxis(np.concatenate(blocks).reshape(moved.shape), 0, axis)


def matmul_integer(a, b, a_zero_point=0, b_zero_point=0, *, rounding):
    batches = zip(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)
    acc = [matmul(x, y, a_zero_point=a_zero_point, b_zero_point=b_zero_point)[0] for x, y in batches]
    return np.stack(acc).reshape(*a.shape[:-1], b.shape[-1])


def conv_integer(x, w, x_zero_point=0, w_zero_point=0, *, rounding, pads=(0, 0, 0, 0)):
    top, left, bottom, right = pads
    channels = [conv(x, kernel[None], Geometry(padding=(top, bottom, left, right)), x_zero_point=int(x_zero_point),
                     w_zero_point=int(zero_point))[0]
                for kernel, zero_point in zip(w, np.broadcast_to(w_zero_point, len(w)), strict=True)]
    return np.concatenate(channels, axis=1)


def q_linear(product):
    def operator(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point, *, rounding, format):
        acc = product(a, b, a_zero_point, b_zero_point, rounding=rounding)
        a_scale, b_scale, y_scale = (np.float32(s.reshape(())) for s in (a_scale, b_scale, y_scale))
        flavour = {"half_even": "fp32_rint", "half_away": "fp32_round"}[rounding]
        return requantize(acc, flavour=flavour, scale=a_scale * b_scale / y_scale,
                          zero_point=y_zero_point.reshape(()), format=format)
    return operator


def dynamic_quantize_linear(x, *, rounding):
    format = IntFormat(8, signed=False)
    scale, zero_point = affine.gemmlowp(x.min(), x.max(), format)
    scale = np.float32(scale)
    codes = quantize(x, scale, format, zero_point=zero_point, rounding=rounding).codes
    return codes, scale, np.uint8(zero_point)


OPERATORS = {"QuantizeLinear": quantize_linear, "DequantizeLinear": dequantize_linear,
             "MatMulInteger": matmul_integer, "ConvInteger": conv_integer,
             "QLinearMatMul": q_linear(matmul_integer), "QLinearConv": q_linear(conv_integer),
             "DynamicQuantizeLinear": dynamic_quantize_linear}
ROUNDS = {"QuantizeLinear", "QLinearMatMul", "QLinearConv", "DynamicQuantizeLinear"}


# ---- running a node test

def run(case, rounding="half_even"):
    """``(operator, actual, expected)`` of one node test: two lists of arrays."""
    (inputs, expected), = case.data_sets
    inputs, expected = [array(x) for x in inputs], [array(y) for y in expected]
    nodes = case.model.graph.node
    # an expanded test is the same operator written out in others, and has the same inputs and outputs
    operator = "DynamicQuantizeLinear" if case.name.endswith("_expanded") else nodes[0].op_type
    how = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[0].attribute} if len(nodes) == 1 else {}
    how.pop("output_dtype", None)
    if operator in ("QuantizeLinear", "QLinearMatMul", "QLinearConv"):
        how["format"] = FORMATS[case.model.graph.output[0].type.tensor_type.elem_type]
    if operator == "DequantizeLinear":
        how["format"] = FORMATS[case.model.graph.input[0].type.tensor_type.elem_type]
    actual = OPERATORS[operator](*inputs, rounding=rounding, **how)
    return operator, list(actual) if isinstance(actual, tuple) else [actual], expected


def array(value) -> np.ndarray:
    """A test's array or TensorProto as an array; 2- and 4-bit integers as int8 or uint8."""
    value = onnx.numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    return integers(value) if re.fullmatch("u?int[24]", value.dtype.name) else value


def integers(value: np.ndarray) -> np.ndarray:
    narrow = re.fullmatch("(u?int)[24]", value.dtype.name)
    return value.astype(f"{narrow[1]}8") if narrow else value


@pytest.mark.parametrize("name", CHECKED)
def test_node(name, compare):
    _, actual, expected = run(CASES[name])
    assert len(actual) == len(expected)
    for k, (a, e) in enumerate(zip(actual, expected, strict=True)):
        compare(a, e, f"output {k}")


def test_every_node_test_is_checked_or_listed():
    assert set(CASES) - {*CHECKED, *OUT_OF_SCOPE} == set(), "new node tests: check them, or list them with the reason"
    assert not set(CHECKED) & set(OUT_OF_SCOPE)
    assert {*CHECKED, *OUT_OF_SCOPE} - set(CASES) == set(), "node tests that are gone"


def test_half_away_passes_them_all_too():
    """Where they hold ties, such as 1.5, the even integer is also the one away from zero."""
    rounding, passed = set(), set()
    for name in CHECKED:
        operator, actual, expected = run(CASES[name], "half_away")
        if operator in ROUNDS:
            rounding.add(name)
            if all(np.array_equal(a, e) for a, e in zip(actual, expected, strict=True)):
                passed.add(name)
    assert (len(rounding), len(passed)) == (ROUNDING, PASSED_BY_HALF_AWAY)
