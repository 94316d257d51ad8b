"""onnx: every exported model gives the case's answer in onnx.reference and in ONNX Runtime, to the bit.

Except where these are known to be wrong; the tests say where, and that they are wrong there alone.
"""
import itertools
import warnings

import numpy as np
import pytest

from refquant.golden import export as exports
from refquant.golden.errors import GoldenError
from refquant.golden.export import onnx as exported
from refquant.golden.families import requantization
from refquant.golden.families.products import attributes
from refquant.golden.operations import OPERATIONS
from refquant.golden.vector import Vector
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat

BYTES = ("s8", "u8")
RUNTIME_OUTPUTS = {("u8", "u8"): "u8", ("u8", "s8"): "u8", ("s8", "s8"): "s8"}  # the QLinear kernels that it has


def vector_of(name, attrs, inputs, id="case"):
    operation = OPERATIONS[name]
    tensors = inputs | operation.reference(attrs, inputs)
    return Vector({"id": id, "op": name, "summary": "", "attrs": attrs},
                  {tensor: tensors[tensor] for tensor in operation.tensors(attrs)})


def codes(rng, name, shape, most=127):
    format = IntFormat.parse(name)
    return rng.integers(max(format.qmin, -most), min(format.qmax, most) + 1, shape).astype(format.dtype)


def scales(rng, shape):
    """Some make ties."""
    return np.where(rng.random(shape) < 0.5, 2.0 ** -rng.integers(2, 9, shape), rng.uniform(0.001, 0.1, shape)).astype(
        np.float32)


def products(kind):
    """Vectors of matrix products or convolutions: types, zero points, channels, bias, geometry."""
    rng = np.random.default_rng(11)
    matrix = kind == "gemm.forward"
    names = ("a", "b") if matrix else ("x", "w")
    layouts = [(1, (0, 0, 0, 0), 1, 1), (2, (1, 0, 2, 1), 1, 2), (1, (1, 1, 1, 1), 2, 4)]
    found = itertools.product(BYTES, BYTES, ("none", *BYTES), (False, True), range(3))
    for count, (first, second, out, per_channel, layout) in enumerate(found):
        if out == "none" and per_channel:
            continue
        operands = {names[0]: (first, int(codes(rng, first, ()))), names[1]: (second, int(codes(rng, second, (), 63)))}
        rq = requantization.attributes("none", format="s32") if out == "none" else requantization.attributes(
            "fp32_rint", per_channel=per_channel, zero_point=int(codes(rng, out, (), 9)), format=out)
        stride, padding, dilation, groups = layouts[layout]
        shapes = ((5, 12), (12, 8)) if matrix else ((2, 4, 7, 9), (8, 4 // groups, 3, 2))
        geometry = {} if matrix else {"stride": [stride, 1], "padding": list(padding), "dilation": [1, dilation],
                                      "groups": groups}
        bias = not matrix and out != "none" and count % 2 == 0
        attrs = attributes(operands, rq, bias=bias, **geometry)
        # weights of 7 bits: no pair of products leaves int16, where ONNX Runtime saturates on some machines
        inputs = {f"in_{names[0]}": codes(rng, first, shapes[0], 255),
                  f"in_{names[1]}": codes(rng, second, shapes[1], 63)}
        inputs |= {"in_bias": rng.integers(-999, 999, 8).astype(np.int32)} if bias else {}
        inputs |= {"in_scale": scales(rng, (8 if per_channel else 1,))} if out != "none" else {}
        yield vector_of(kind, attrs, inputs)


def stimuli(name, level=2):
    for k, stimulus in enumerate(OPERATIONS[name].stimuli(level, 0)):
        yield vector_of(name, stimulus.attrs, stimulus.inputs, f"case-{k}")


def files_of(vector):
    pytest.importorskip("onnx")
    return exported.export(vector, None)


def model_and_data(found):
    """The model, its inputs and its output, from the bytes of the export."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(found["onnx/model.onnx"])
    tensors = {}
    for path, data in found.items():
        if path.endswith(".pb"):
            tensor = onnx.load_tensor_from_string(data)
            tensors[path.removeprefix("onnx/test_data_set_0/")] = (tensor.name, onnx.numpy_helper.to_array(tensor))
    fed = dict(tensors[f"input_{k}.pb"] for k in range(len(model.graph.input)))
    assert list(fed) == [value.name for value in model.graph.input]
    (name, expected), = (tensor for path, tensor in tensors.items() if path.startswith("output"))
    assert [name] == [value.name for value in model.graph.output]
    assert len(tensors) == len(fed) + 1
    return model, fed, expected


def reference_answer(model, fed):
    reference = pytest.importorskip("onnx.reference")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it casts infinities to integers
        return reference.ReferenceEvaluator(model).run(None, fed)[0]


def runtime_answer(model, fed):
    """ONNX Runtime's answer, as the model is written and optimized; None when it has no such kernel."""
    runtime = pytest.importorskip("onnxruntime")
    answers = []
    for level in ("DISABLE_ALL", "ENABLE_ALL"):
        options = runtime.SessionOptions()
        options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, f"ORT_{level}")
        options.log_severity_level = 4
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, fed)[0])
    assert equal(*answers)
    return answers[0]


def equal(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())


@pytest.mark.parametrize("kind", ["gemm.forward", "conv.forward"])
def test_products_in_the_reference(kind):
    """onnx.reference adds the zero point before rounding: other codes at ties, if the zero point is odd."""
    operators, channels, wrong = set(), 0, 0
    for vector in itertools.chain(products(kind), stimuli(kind)):
        found = files_of(vector)
        if isinstance(found, str):
            continue
        model, fed, expected = model_and_data(found)
        operators.add(model.graph.node[0].op_type)
        channels += vector.attrs["per_channel"]
        assert expected.tolist() == vector.tensors["out_y"].tolist()
        answer = reference_answer(model, fed)
        excused = (vector.tensors["flags_y"] & flag.TIE != 0) & (vector.attrs["zero_point"] % 2 == 1)
        assert equal(np.where(excused, expected, answer), expected), vector.attrs
        wrong += int((answer != expected).sum())
    assert channels >= 20
    assert operators == ({"MatMulInteger", "QLinearMatMul"} if kind[0] == "g" else {"ConvInteger", "QLinearConv"})
    assert wrong  # or it was mended, and the excuse can go


@pytest.mark.parametrize("kind", ["gemm.forward", "conv.forward"])
def test_products_in_onnx_runtime(kind):
    compared = 0
    first, second = ("a", "b") if kind == "gemm.forward" else ("x", "w")
    for vector in itertools.chain(products(kind), stimuli(kind)):
        found = files_of(vector)
        attrs = vector.attrs
        types = attrs[f"{first}_format"], attrs[f"{second}_format"]
        if isinstance(found, str) or (attrs["flavour"] != "none" and RUNTIME_OUTPUTS.get(types) != attrs["format"]):
            continue
        model, fed, expected = model_and_data(found)
        if _pairs_may_saturate(vector, types, first, second):
            continue
        assert equal(runtime_answer(model, fed), expected), attrs
        compared += 1
    assert compared >= 20


def _pairs_may_saturate(vector, types, first, second):
    """u8 times s8: on x86 without VNNI, ONNX Runtime is wrong when two products leave int16 together."""
    largest = [int(np.abs(vector.tensors[f"in_{name}"].astype(int)).max()) for name in (first, second)]
    return types[0] != types[1] and 2 * largest[0] * largest[1] >= 2**15


def test_quantize_in_both():
    """onnx.reference turns quotients beyond int32 into the smallest code."""
    wrong = compared = 0
    for vector in stimuli("quantize.quantize"):
        found = files_of(vector)
        if isinstance(found, str):
            continue
        compared += 1
        model, fed, expected = model_and_data(found)
        attrs, tensors = vector.attrs, vector.tensors
        axis = attrs["axis"]
        scale = tensors["in_scale"].reshape([-1 if a == axis else 1 for a in range(tensors["in_x"].ndim)])
        with np.errstate(over="ignore"):
            beyond = np.abs(tensors["in_x"] / scale) >= 2**31
        answer = reference_answer(model, fed)
        assert equal(np.where(beyond, expected, answer), expected), attrs
        wrong += int((answer != expected).sum())
        if attrs["format"][1:] != "4":  # its Python interface has no arrays of 4 bits
            assert equal(runtime_answer(model, fed), expected), attrs
    assert compared >= 5
    assert wrong  # or it was mended, and the excuse can go


def test_dequantize_in_both():
    compared = 0
    for vector in stimuli("quantize.dequantize"):
        found = files_of(vector)
        if isinstance(found, str):
            continue
        compared += 1
        model, fed, expected = model_and_data(found)
        assert equal(reference_answer(model, fed), expected), vector.attrs
        if vector.attrs["format"][1:] != "4":
            assert equal(runtime_answer(model, fed), expected), vector.attrs
    assert compared >= 5


def small(**changes):
    """A matrix product that ONNX has, but for ``changes``."""
    rng = np.random.default_rng(1)
    attrs = attributes({"a": ("u8", 3), "b": ("s8", -2)}, requantization.attributes("fp32_rint", format="u8"),
                       bias=False) | changes
    inputs = {"in_a": codes(rng, attrs["a_format"].removesuffix("n"), (2, 3)), "in_b": codes(rng, "s8", (3, 4))}
    inputs |= {"in_bias": np.zeros(4, np.int32)} if attrs["bias"] else {}
    if attrs["flavour"].startswith("fp32"):
        inputs["in_scale"] = np.array([0.01], np.float32)
    elif attrs["flavour"] != "none":
        inputs |= {"in_multiplier": np.array([2**30], np.int32), "in_shift": np.array([37], np.uint8)}
    return vector_of("gemm.forward", attrs, inputs)


def test_a_matrix_product_that_onnx_has():
    onnx = pytest.importorskip("onnx")
    model = exported.onnx_model(small())
    assert isinstance(model, onnx.ModelProto)
    node, = model.graph.node
    assert node.op_type == "QLinearMatMul"
    assert list(node.input) == ["a", "a_scale", "a_zero_point", "b", "b_scale", "b_zero_point",
                                "y_scale", "y_zero_point"]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert constants["a_scale"] == np.float32(0.01) and constants["b_scale"] == constants["y_scale"] == 1
    assert (constants["a_zero_point"], constants["b_zero_point"], constants["y_zero_point"]) == (3, -2, 0)
    assert (constants["a_zero_point"].dtype, constants["b_zero_point"].dtype) == (np.uint8, np.int8)


def test_a_zero_point_of_0_may_be_added_before_or_after():
    pytest.importorskip("onnx")
    assert not isinstance(exported.onnx_model(small(zero_point_at="before")), str)


def test_a_narrow_operand_is_an_operand():
    pytest.importorskip("onnx")
    assert not isinstance(exported.onnx_model(small(a_format="s8n")), str)


@pytest.mark.parametrize("changes, reason", [
    ({"a_format": "s4"}, "a is s4: the operator takes s8, u8"),
    ({"a_zero_point": 256}, "the zero point of a, 256, is not a code of u8"),
    ({"format": "s16"}, "y is s16"), ({"format": "s8n"}, "y is s8n"),
    ({"zero_point": 256}, "the zero point of y, 256, is not a code of u8"),
    ({"flavour": "tosa_double"}, "flavour tosa_double: ONNX scales in floating point"),
    ({"flavour": "fp32_round"}, "flavour fp32_round"),
    ({"zero_point_at": "before", "zero_point": 1}, "the zero point is added before rounding"),
    ({"overflow": "wrap"}, "codes outside the format wrap"), ({"bias": True}, "a bias"),
    ({"flavour": "none", "bias": True}, "a bias"),
    ({"accumulator_bits": 24}, "the accumulator has 24 bits and overflow wrap"),
    ({"accumulator_overflow": "saturate_final"}, "the accumulator has 32 bits and overflow saturate_final"),
])
def test_products_that_onnx_does_not_have(changes, reason):
    assert reason in exported.onnx_model(small(**changes))
    assert exported.export(small(**changes), None) == exported.onnx_model(small(**changes))


def test_an_accumulator_that_overflows():
    attrs = attributes({"a": ("u8", 0), "b": ("u8", 0)}, requantization.attributes("none", format="s32"), bias=False)
    ones = np.full((1, 2**31 // 255**2 + 2), 255, np.uint8)
    assert exported.onnx_model(vector_of("gemm.forward", attrs, {"in_a": ones, "in_b": ones.T})) == (
        "an accumulator overflows")


def test_a_case_whose_codes_depend_on_the_precision():
    """One accumulator whose float32 product is a tie and whose exact product is not."""
    scale = np.float32(1 / 6)  # a little more than a sixth: 3 times it is more than one half, and one half in float32
    assert np.float32(3) * scale == 0.5 and 3 * float(scale) > 0.5
    attrs = attributes({"a": ("s8", 0), "b": ("s8", 0)}, requantization.attributes("fp32_rint"), bias=False)
    inputs = {"in_a": np.array([[3]], np.int8), "in_b": np.array([[1]], np.int8), "in_scale": np.array([scale])}
    assert "which ONNX leaves open" in exported.onnx_model(vector_of("gemm.forward", attrs, inputs))


@pytest.mark.parametrize("name, changes, reason", [
    ("quantize.quantize", {"rounding": "half_away"}, "rounding half_away"),
    ("quantize.quantize", {"division": "reciprocal"}, "multiplied by the reciprocal"),
    ("quantize.quantize", {"zero_point_at": "before", "zero_point": 1}, "before rounding"),
    ("quantize.quantize", {"overflow": "wrap"}, "wrap"), ("quantize.quantize", {"format": "s8n"}, "codes is s8n"),
    ("quantize.quantize", {"format": "s2"}, "codes is s2"), ("quantize.dequantize", {"format": "s32"}, "codes is s32"),
    ("quantize.dequantize", {"zero_point": -200}, "-200, is not a code of s8"),
])
def test_quantizers_that_onnx_does_not_have(name, changes, reason):
    stimulus = next(s for s in OPERATIONS[name].stimuli(1, 0)
                    if (s.attrs["x_format"], s.attrs["axis"], s.attrs["format"]) == ("f32", None, "s8"))
    case = vector_of(name, stimulus.attrs, stimulus.inputs)
    assert reason in exported.onnx_model(Vector(case.record | {"attrs": case.attrs | changes}, case.tensors))


def test_float64_and_other_operations_and_empty_tensors_are_refused():
    double = next(v for v in stimuli("quantize.quantize", 1) if v.attrs["x_format"] == "f64")
    assert "reals are f64" in exported.onnx_model(double)
    assert exported.onnx_model(next(stimuli("gemm.dx", 1))) == "ONNX has no operator for gemm.dx"
    case = small()
    empty = vector_of("gemm.forward", case.attrs, case.tensors | {"in_a": np.zeros((0, 3), np.uint8)})
    assert exported.onnx_model(empty) == "a tensor is empty"


def test_the_same_bytes_twice():
    assert files_of(small()) == files_of(small())
    assert set(files_of(small())) == {"onnx/model.onnx", "onnx/test_data_set_0/input_0.pb",
                                      "onnx/test_data_set_0/input_1.pb", "onnx/test_data_set_0/output_0.pb"}


def test_without_onnx_it_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(exported, "import_module", missing)
    with pytest.raises(GoldenError, match=r"pip install refquant\[oracles\]") as error:
        exported.onnx_model(small())
    assert error.value.exit_code == 2
    with pytest.raises(GoldenError, match="oracles"):
        exports.check_request(("npz", "onnx"), None)
