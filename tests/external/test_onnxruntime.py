"""ONNX Runtime's CPU kernels, answered by refquant to the bit.

What they compute, found by experiment and held fast here:

    MatMulInteger, ConvInteger   exact int32 that wraps, with one exception (below)
    QLinearMatMul, QLinearConv   fp32_rint of the int32 sum, by the float32 scale (a_scale * b_scale) / y_scale: the
                                 product first, each operation rounded to float32. The zero point joins after rounding.
                                 Types: u8 u8 -> u8, u8 s8 -> u8, s8 s8 -> s8; there are no others.
    QuantizeLinear               half_even of x / y_scale in float32, zero point after
    DequantizeLinear             (x - zero point) * scale in float32

The exception: for u8 times s8, x86 processors without VNNI take the instruction vpmaddubsw, which adds the products of
two neighbours along K in int16 and saturates. 255 * 127 twice is 64770 and becomes 32767. Other types are exact
everywhere. `neighbours_saturate` asks the machine; the tests expect either kind of answer, and say which.
"""
from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from refquant.gemm import Geometry, conv, matmul
from refquant.integers import Accumulator, Fixed, IntFormat, dequantize, quantize, requantize

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

FORMATS = {name: IntFormat.parse(name) for name in ("u8", "s8", "u16", "s16")}
SIGNS = list(itertools.product(("u8", "s8"), repeat=2))
TYPES = [("u8", "u8", "u8"), ("u8", "s8", "u8"), ("s8", "s8", "s8")]  # of a, b and the output
NOTHING, EVERYTHING = (getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
                       for level in ("DISABLE_ALL", "ENABLE_ALL"))


def run(operator, inputs, output, constant=(), level=EVERYTHING, **attributes) -> np.ndarray:
    """The one output, of dtype ``output``, of a model of one node.

    inputs : arrays, None for one left out.  constant : which of them are part of the model, so that kernels can
    prepare them.
    """
    def element_type(dtype):
        return onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    arrays = {f"input{k}": np.asarray(x) for k, x in enumerate(inputs) if x is not None}
    fed = {name: x for name, x in arrays.items() if int(name[5:]) not in constant}
    node = onnx.helper.make_node(operator, [f"input{k}" if x is not None else "" for k, x in enumerate(inputs)], ["y"],
                                 **attributes)
    graph = onnx.helper.make_graph(
        [node], "one_node",
        [onnx.helper.make_tensor_value_info(name, element_type(x.dtype), x.shape) for name, x in fed.items()],
        [onnx.helper.make_tensor_value_info("y", element_type(output), None)],
        [onnx.numpy_helper.from_array(x, name) for name, x in arrays.items() if name not in fed])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.graph_optimization_level = 1, level
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, fed)[0]


@functools.cache
def neighbours_saturate() -> bool:
    """Whether this machine's kernel of u8 times s8 saturates the sum of two neighbouring products to int16."""
    a, b = np.full((1, 2), 255, np.uint8), np.full((2, 1), 127, np.int8)
    return int(run("MatMulInteger", [a, b], np.int32)[0, 0]) != 2 * 255 * 127


def codes(rng, shape, format, extremes=0.0) -> np.ndarray:
    """Random codes, a share of them qmin or qmax."""
    ends = rng.choice([format.qmin, format.qmax], shape)
    return np.where(rng.random(shape) < extremes, ends, rng.integers(format.qmin, format.qmax + 1, shape)).astype(
        format.dtype)


def product(a, b, a_zero_point=0, b_zero_point=0) -> np.ndarray:
    """The int32 product, as this machine's kernel has it."""
    if not (neighbours_saturate() and a.dtype == np.uint8 and b.dtype == np.int8):
        return matmul(a, b, a_zero_point=a_zero_point, b_zero_point=b_zero_point)[0]
    # the zero points are taken into account after the sum, exactly
    rest = matmul(a, b, a_zero_point=a_zero_point, b_zero_point=b_zero_point)[0] - matmul(a, b)[0].astype(np.int64)
    even = ((0, 0), (0, a.shape[1] % 2))
    x, y = (np.pad(m.astype(np.int64), even) for m in (a, b.T))
    products = x[:, None, :] * y  # [M, N, K]
    pairs, _ = Accumulator(16, "saturate_final").sum(products.reshape(*products.shape[:2], -1, 2))
    return IntFormat(32).wrap(pairs.sum(axis=-1, dtype=np.int64) + rest)


def convolvable(rng, shape, a, b) -> np.ndarray:
    """Random weights; for a kernel that saturates neighbours, of 7 bits, which keeps every pair within int16.

    ConvInteger multiplies weights by patches, in that order, so there it is u8 weights that meet s8 codes.
    """
    format = FORMATS[b]
    narrow = neighbours_saturate() and a != b
    return codes(rng, shape, IntFormat(7, format.signed) if narrow else format, 0.2).astype(format.dtype)


# ---- integer products

SHAPES = [(1, 1, 1), (1, 64, 40), (3, 7, 5), (5, 32, 16), (17, 300, 33), (64, 129, 65), (4, 5003, 9)]  # M, K, N


@pytest.mark.parametrize("constant", [(), (1, 3)], ids=["b_fed", "b_constant"])
@pytest.mark.parametrize("a, b", SIGNS)
def test_matmul_integer(a, b, constant, compare):
    rng = np.random.default_rng(1)
    for (m, k, n), zero_points, extremes in itertools.product(SHAPES, ("none", "scalar", "per_column"), (0.0, 0.7)):
        if neighbours_saturate() and m * k * n > 1 << 18:
            continue  # the expected answer would take [M, N, K] products
        x, w = codes(rng, (m, k), FORMATS[a], extremes), codes(rng, (k, n), FORMATS[b], extremes)
        za = codes(rng, (), FORMATS[a], 0.3) if zero_points != "none" else None
        zb = codes(rng, (n,) if zero_points == "per_column" else (), FORMATS[b], 0.3) if za is not None else None
        inputs = [x, w] if za is None else [x, w, za, zb]
        compare(run("MatMulInteger", inputs, np.int32, [i for i in constant if i < len(inputs)]),
                product(x, w, *((za, zb) if za is not None else ())), (m, k, n, zero_points))


@pytest.mark.parametrize("a, b", SIGNS)
def test_matmul_integer_wraps_over_a_long_sum(a, b, compare):
    k = 200_000
    ends = [FORMATS[name].qmin or FORMATS[name].qmax for name in (a, b)]
    if neighbours_saturate() and (a, b) == ("u8", "s8"):
        ends[1] = -64
    x, w = np.full((3, k), ends[0], FORMATS[a].dtype), np.full((k, 5), ends[1], FORMATS[b].dtype)
    x[1], x[2] = 1, np.arange(k) % 2
    expected, overflowed = matmul(x, w)
    assert overflowed[0].all() and not overflowed[1].any()
    compare(run("MatMulInteger", [x, w], np.int32), expected)


def geometries(rng, count):
    for k in range(count):
        groups = (1, 1, 2, 4)[k % 4]
        top, bottom, left, right = (int(v) for v in rng.integers(0, 3, 4))
        geometry = Geometry(tuple(int(v) for v in rng.integers(1, 4, 2)), (top, bottom, left, right),
                            tuple(int(v) for v in rng.integers(1, 3, 2)), groups)
        attributes = {"strides": geometry.stride, "pads": (top, left, bottom, right), "dilations": geometry.dilation,
                      "group": groups}
        outputs = 4 if k % 8 == 7 else 8  # 4 inputs in 4 groups: depthwise
        yield geometry, attributes, (outputs, 4 // groups, 3, int(rng.choice([1, 3])))


@pytest.mark.parametrize("a, b", SIGNS)
def test_conv_integer(a, b, compare):
    rng = np.random.default_rng(2)
    for geometry, attributes, kernel in geometries(rng, 16):
        x, w = codes(rng, (2, 4, 11, 9), FORMATS[a], 0.3), convolvable(rng, kernel, a, b)
        zx, zw = codes(rng, (), FORMATS[a]), convolvable(rng, (), a, b)
        expected, _ = conv(x, w, geometry, x_zero_point=int(zx), w_zero_point=int(zw))
        compare(run("ConvInteger", [x, w, zx, zw], np.int32, **attributes), expected, attributes)


# ---- products requantized

def scales_near_ties(rng, count):
    """(a_scale, b_scale, y_scale) whose quotient is nearly half an odd number over a small one.

    So many an accumulator lands on a tie or next to one, where the last bit of the scale decides.
    """
    for _ in range(count):
        a_scale, b_scale = rng.uniform(0.001, 0.1, 2).astype(np.float32)
        half, accumulator = rng.integers(0, 3) + 0.5, int(rng.integers(3, 2000))
        yield a_scale, b_scale, np.float32(np.float64(a_scale) * b_scale * accumulator / half)


def float32_scale(a_scale, b_scale, y_scale) -> np.ndarray:
    """ONNX Runtime's order of operations."""
    return np.float32(a_scale) * np.asarray(b_scale, np.float32) / np.float32(y_scale)


OTHER_READINGS = {
    "a * (b / y)": lambda a, b, y: {"scale": a * (b / y)},
    "(a / y) * b": lambda a, b, y: {"scale": (a / y) * b},
    "rounded to float32 once": lambda a, b, y: {"scale": np.float32(np.float64(a) * np.float64(b) / np.float64(y))},
    "ties away from zero": lambda a, b, y: {"scale": a * b / y, "flavour": "fp32_round"},
    "zero point before": lambda a, b, y: {"scale": a * b / y, "zero_point_at": "before"},
}


def every_product(operator, a, b):
    """``(acc, answer)``: the products of all codes of a with all of b, and a function that requantizes them."""
    x, w = (np.arange(f.qmin, f.qmax + 1).astype(f.dtype) for f in (FORMATS[a], FORMATS[b]))
    if operator == "QLinearMatMul":
        x, w = x[:, None], w[None, :]  # K = 1
        acc, _ = matmul(x, w)
    else:
        x, w = x.reshape(1, 1, 16, 16), w.reshape(-1, 1, 1, 1)
        acc, _ = conv(x, w)

    def answer(a_scale, b_scale, y_scale, y_zero_point):
        zero = [np.zeros((), array.dtype) for array in (x, w)]
        return run(operator, [x, a_scale, zero[0], w, b_scale, zero[1], y_scale, y_zero_point], y_zero_point.dtype,
                   range(1, 8))
    return acc, answer


@pytest.mark.parametrize("a, b, y", TYPES)
@pytest.mark.parametrize("operator", ["QLinearMatMul", "QLinearConv"])
def test_every_product_of_codes_requantized(operator, a, b, y, compare):
    """With scales near ties, and with powers of two, which make exact ties; every other reading is wrong somewhere."""
    rng = np.random.default_rng(3)
    acc, answer = every_product(operator, a, b)
    wrong = dict.fromkeys(OTHER_READINGS, 0)
    powers = [tuple(np.float32(2.0) ** np.float32([-2, -3, k])) for k in (-1, 1, 3, 5)]
    for scales in [*scales_near_ties(rng, 12), *powers]:
        y_zero_point = codes(rng, (), FORMATS[y])
        given = {"flavour": "fp32_rint", "zero_point": y_zero_point, "format": FORMATS[y]}
        expected = answer(*scales, y_zero_point)
        compare(requantize(acc, scale=float32_scale(*scales), **given), expected, scales)
        for name, reading in OTHER_READINGS.items():
            wrong[name] += int((requantize(acc, **given | reading(*scales)) != expected).sum())
    assert all(wrong.values()), wrong


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("a, b, y", TYPES)
def test_qlinear_matmul(a, b, y, per_column, compare):
    rng = np.random.default_rng(4)
    for m, k, n in [*SHAPES, (2, 100_000, 3)]:
        x = codes(rng, (m, k), FORMATS[a], 0.3)
        w = convolvable(rng, (k, n), a, b)
        columns = (n,) if per_column else ()
        za, zb, zy = codes(rng, (), FORMATS[a]), codes(rng, columns, FORMATS[b]), codes(rng, (), FORMATS[y])
        acc, _ = matmul(x, w, a_zero_point=za, b_zero_point=zb)
        a_scale, b_scale = np.float32(rng.uniform(0.01, 0.1)), rng.uniform(0.01, 0.1, columns).astype(np.float32)
        y_scale = np.float32((np.abs(acc).mean() + 1) * a_scale * b_scale.mean() / rng.uniform(10, 100))
        actual = requantize(acc, flavour="fp32_rint", scale=float32_scale(a_scale, b_scale, y_scale),
                            axis=1 if per_column else None, zero_point=zy, format=FORMATS[y])
        for constant in ((), range(1, 8)):
            compare(actual, run("QLinearMatMul", [x, a_scale, za, w, b_scale, zb, y_scale, zy], zy.dtype, constant),
                    (m, k, n))


@pytest.mark.parametrize("level", [NOTHING, EVERYTHING], ids=["as_written", "optimized"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("a, b, y", TYPES)
def test_qlinear_conv(a, b, y, per_channel, level, compare):
    """Strides, padding, dilations, groups, depthwise, zero points, bias."""
    rng = np.random.default_rng(5)
    for k, (geometry, attributes, kernel) in enumerate(geometries(rng, 24)):
        x, w = codes(rng, (2, 4, 11, 9), FORMATS[a], 0.3), convolvable(rng, kernel, a, b)
        bias = rng.integers(-20_000, 20_000, kernel[0]).astype(np.int32) if k % 2 else None
        zx, zy = codes(rng, (), FORMATS[a]), codes(rng, (), FORMATS[y])
        zw = convolvable(rng, (), a, b) if k % 3 == 0 else np.zeros((), w.dtype)
        channels = kernel[:1] if per_channel else ()
        acc, _ = conv(x, w, geometry, x_zero_point=int(zx), w_zero_point=int(zw), bias=bias)
        x_scale, w_scale = np.float32(rng.uniform(0.01, 0.1)), rng.uniform(0.01, 0.1, channels).astype(np.float32)
        y_scale = np.float32((np.abs(acc).mean() + 1) * x_scale * w_scale.mean() / rng.uniform(10, 100))
        actual = requantize(acc, flavour="fp32_rint", scale=float32_scale(x_scale, w_scale, y_scale),
                            axis=1 if per_channel else None, zero_point=zy, format=FORMATS[y])
        inputs = [x, x_scale, zx, w, w_scale, np.full(channels, zw), y_scale, zy, bias]
        inputs = inputs if bias is not None else inputs[:-1]
        compare(actual, run("QLinearConv", inputs, zy.dtype, range(1, len(inputs)), level, **attributes), attributes)


@pytest.mark.parametrize("a, b, y", TYPES)
def test_qlinear_conv_with_a_weight_zero_point_for_each_channel(a, b, y, compare):
    """refquant's conv takes one for all; so here it takes each output channel alone."""
    rng = np.random.default_rng(6)
    x, w = codes(rng, (1, 3, 9, 9), FORMATS[a]), convolvable(rng, (6, 3, 3, 3), a, b)
    zx, zw, zy = codes(rng, (), FORMATS[a]), convolvable(rng, (6,), a, b), codes(rng, (), FORMATS[y])
    acc = np.concatenate([conv(x, kernel[None], x_zero_point=int(zx), w_zero_point=int(z))[0]
                          for kernel, z in zip(w, zw, strict=True)], axis=1)
    scales = np.float32(0.02), rng.uniform(0.01, 0.1, 6).astype(np.float32), np.float32(2)
    actual = requantize(acc, flavour="fp32_rint", scale=float32_scale(*scales), axis=1, zero_point=zy,
                        format=FORMATS[y])
    compare(actual, run("QLinearConv", [x, scales[0], zx, w, scales[1], zw, scales[2], zy], zy.dtype, range(1, 8)))


# ---- quantize and dequantize

@pytest.mark.parametrize("name", FORMATS)
def test_quantize_linear_on_and_beside_every_tie(name, compare):
    rng, format = np.random.default_rng(7), FORMATS[name]
    halves = np.arange(2 * format.qmin - 9, 2 * format.qmax + 10, max(1, 1 << format.bits >> 9)).astype(np.float32) / 2
    for scale in (np.float32(1), np.float32(0.25), *rng.uniform(0.001, 9, 5).astype(np.float32)):
        for zero_point in {0, 1, format.qmin, format.qmax, int(codes(rng, (), format))}:
            x = (halves - np.float32(zero_point)) * scale
            x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf)),
                                np.float32([np.inf, -np.inf, 3e38, -3e38, 0, -0.0])])
            compare(quantize(x, scale, format, zero_point=zero_point).codes,
                    run("QuantizeLinear", [x, scale, np.asarray(zero_point, format.dtype)], format.dtype),
                    (scale, zero_point))


@pytest.mark.parametrize("name", FORMATS)
def test_quantize_linear_per_channel(name, compare):
    rng, format = np.random.default_rng(8), FORMATS[name]
    scale, zero_point = rng.uniform(0.001, 9, 5).astype(np.float32), codes(rng, (5,), format)
    for axis in range(3):
        shape = tuple(np.roll((5, 13, 17), axis))
        x = rng.normal(0, (format.qmax - format.qmin) * scale.mean(), shape).astype(np.float32)
        compare(quantize(x, scale, format, zero_point=zero_point, axis=axis).codes,
                run("QuantizeLinear", [x, scale, zero_point], format.dtype, axis=axis), axis)


@pytest.mark.parametrize("name", FORMATS)
def test_dequantize_linear_of_every_code(name, compare):
    rng, format = np.random.default_rng(9), FORMATS[name]
    x = np.arange(format.qmin, format.qmax + 1).astype(format.dtype)
    for scale in rng.uniform(0.001, 9, 5).astype(np.float32):
        zero_point = codes(rng, (), format)
        compare(dequantize(Fixed(x, scale, format, int(zero_point))),
                run("DequantizeLinear", [x, scale, zero_point], np.float32), (scale, zero_point))
