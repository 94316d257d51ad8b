"""Integer products, forward and both backward, against Python integers in object arrays; every product recorded."""
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant import reals
from refquant.autodiff import (
    FixedSum,
    Tensor,
    conv,
    gradients,
    linear,
    matmul,
    moved_scale,
    multiply,
    products,
    recorded,
)
from refquant.autodiff.values import parts, with_offset
from refquant.gemm import Geometry
from refquant.integers import Fixed, IntFormat

S4, S8, U8, S16 = IntFormat(4), IntFormat(8), IntFormat(8, signed=False), IntFormat(16)
U16 = IntFormat(16, signed=False)
RNG = np.random.default_rng(2)


def random_fixed(shape, format, scale=0.3, zero_point=0, axis=None, rng=RNG):
    codes = rng.choice([format.qmin, format.qmax, *rng.integers(format.qmin, format.qmax + 1, 6)], shape)
    return Fixed(codes.astype(format.dtype), scale, format, zero_point, axis)


def quantizer(format, scale, zero_point=0):
    """A gradient quantizer: rounded to a grid, saturated."""
    return lambda g: Fixed(np.clip(np.rint(g / scale) + zero_point, format.qmin, format.qmax).astype(format.dtype), scale, format, zero_point)


def integers(part):
    """Codes less zero point, as Python integers."""
    points = np.asarray(part.zero_point, object)
    if points.ndim:
        points = points.reshape([-1 if d == part.axis else 1 for d in range(part.codes.ndim)])
    return part.codes.astype(object) - points


def rows_times_columns(a, b):
    out = np.zeros((a.shape[0], b.shape[1]), object)
    for i, j, k in np.ndindex(*out.shape, a.shape[1]):
        out[i, j] += a[i, k] * b[k, j]
    return out


def exact(a, b, sums, scale=lambda p, q: float(p.scale) * float(q.scale)):
    """The integer sums of all parts, each times its scales; parts added as floats."""
    total = None
    for p in parts(a):
        for q in parts(b):
            value = scale(p, q) * sums(integers(p), integers(q)).astype(np.float64)
            total = value if total is None else total + value
    return total


def calls(trace):
    return [call.operation for call in trace]


def check_trace(trace, multiplied):
    """The recorded accumulators are the products of the recorded operands; ``multiplied``: operation -> sums."""
    for call in trace:
        sums = multiplied[call.operation](integers(call.a), integers(call.b))
        assert (call.accumulators.codes.astype(object) == sums).all() and call.accumulators.zero_point == 0
        assert call.accumulators.format.bits in (32, 64)
        assert abs(sums).max() < 1 << (call.accumulators.format.bits - 1)


FORMATS = st.sampled_from([S4, S8, U8, S16, U16])
POINTS = st.sampled_from([0, 1, -3, 128, -128, 65535, -32768])
SIZES = st.tuples(*[st.integers(1, 4)] * 3)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.tuples(FORMATS, FORMATS), st.tuples(POINTS, POINTS), st.sampled_from([S8, S16]), st.sampled_from([S4, S16]), POINTS, st.integers(0, 2**32))
def test_linear_and_matmul_per_tensor(same_bits, sizes, formats, points, of_dx, of_dw, gradient_point, seed):
    (batch, inputs, outputs), rng = sizes, np.random.default_rng(seed)
    x = random_fixed((batch, inputs), formats[0], 0.3, points[0], rng=rng)
    w = random_fixed((outputs, inputs), formats[1], 0.7, points[1], rng=rng)
    turned = Fixed(w.codes.T, w.scale, w.format, w.zero_point)
    g = rng.normal(size=(batch, outputs))
    q_x, q_w = quantizer(of_dx, 0.11), quantizer(of_dw, 0.013, gradient_point)
    for op, second in ((linear, w), (matmul, turned)):
        leaves = Tensor(x), Tensor(second)
        with recorded() as trace:
            out = op(*leaves, input_gradient=q_x, weight_gradient=q_w)
            g_x, g_w = gradients(out, leaves, g)
        assert calls(trace) == ["gemm.forward", "gemm.dx", "gemm.dw"]
        check_trace(trace, dict.fromkeys(calls(trace), rows_times_columns))
        same_bits(out.value, exact(x, w, lambda a, b: rows_times_columns(a, b.T)))
        same_bits(g_x, exact(q_x(g), w, rows_times_columns))
        of_w = exact(q_w(g), x, lambda a, b: rows_times_columns(a.T, b))
        same_bits(g_w, of_w if op is linear else of_w.T)


@settings(deadline=None, max_examples=30)
@given(SIZES, FORMATS, st.booleans(), st.integers(0, 2**32))
def test_linear_with_weights_per_output(same_bits, sizes, format, with_points, seed):
    """The scale of each output moves to the gradient, which is quantized then."""
    (batch, inputs, outputs), rng = sizes, np.random.default_rng(seed)
    scales = rng.uniform(0.1, 3, outputs)
    points = rng.integers(-9, 9, outputs) if with_points else 0
    x, w = random_fixed((batch, inputs), U8, 0.3, 100, rng=rng), random_fixed((outputs, inputs), format, scales, points, 0, rng=rng)
    g, q = rng.normal(size=(batch, outputs)), quantizer(S8, 0.02)
    leaves = Tensor(x), Tensor(w)
    with recorded() as trace:
        out = linear(*leaves, weight_gradient=q)
        _, g_w = gradients(out, leaves, g)
    assert calls(trace) == ["gemm.forward", "gemm.dw"], "no quantizer for dx: that product is real"
    same_bits(out.value, exact(x, w, lambda a, b: rows_times_columns(a, b.T), lambda p, q: np.float64(p.scale) * q.scale))
    same_bits(g_w, exact(q(g), x, lambda a, b: rows_times_columns(a.T, b)))
    out = linear(*leaves, input_gradient=q, weight_gradient=q)
    if with_points:  # a zero point of each output stands inside the sum over outputs
        with pytest.raises(ValueError, match="axis 0: the product sums over that axis"):
            gradients(out, leaves, g)
        return
    with recorded() as trace:
        g_x, again = gradients(out, leaves, g)
    assert calls(trace) == ["gemm.dx", "gemm.dw"]
    same_bits(g_x, exact(q(g * scales), Fixed(w.codes, 1.0, w.format), rows_times_columns))
    same_bits(again, g_w)


KINDS = {"per tensor": (0.7, 3, None), "symmetric": (0.7, 0, None), "per output": ("scales", 0, 0), "zero points per output": ("scales", "points", 0)}


@pytest.mark.parametrize("kind", KINDS)
def test_conv(convolution, convolved, same_bits, kind):
    shape, of_w, of_y, geometry = convolution
    scale, point, axis = KINDS[kind]
    scales, points = RNG.uniform(0.1, 3, of_w[0]), RNG.integers(-9, 10, of_w[0])
    x = random_fixed(shape, U8, 0.3, 100)
    w = random_fixed(of_w, S8, scales if scale == "scales" else scale, points if point == "points" else point, axis)
    g, q_x, q_w = RNG.normal(size=of_y), quantizer(S8, 0.02, -5), quantizer(S16, 0.0003, 7)
    leaves = Tensor(x), Tensor(w)
    in_integers = kind != "zero points per output"
    with recorded() as trace:
        out = conv(*leaves, geometry=geometry, input_gradient=q_x if in_integers else None, weight_gradient=q_w)
        g_x, g_w = gradients(out, leaves, g)
    assert calls(trace) == ["conv.forward", *["conv.dx"] * in_integers, "conv.dw"]
    assert all(call.geometry == geometry for call in trace)
    zeros = [np.zeros(size, object) for size in (shape, of_w, of_y)]
    check_trace(trace, {"conv.forward": lambda a, b: convolved(a, b, zeros[2], geometry)[0],
                        "conv.dx": lambda a, b: convolved(zeros[0], b, a, geometry)[1],
                        "conv.dw": lambda a, b: convolved(a, zeros[1], b, geometry)[2]})

    def per_output(p, q):
        return p.scale * (q.scale[:, None, None] if np.ndim(q.scale) else q.scale)
    same_bits(out.value, exact(x, w, lambda a, b: convolved(a, b, zeros[2], geometry)[0], per_output))
    same_bits(g_w, exact(x, q_w(g), lambda a, b: convolved(a, zeros[1], b, geometry)[2]))
    if in_integers:
        moved, rest = (g * scales[:, None, None], Fixed(w.codes, 1.0, S8)) if axis == 0 else (g, w)
        same_bits(g_x, exact(q_x(moved), rest, lambda a, b: convolved(zeros[0], b, a, geometry)[1]))
    else:
        same_bits(g_x, convolved(np.zeros(shape), w.value, g, geometry)[1])


def test_sums_of_fixed_are_multiplied_part_by_part(same_bits):
    x, w = with_offset(random_fixed((3, 4), U8, 0.3, 100), 0.45), with_offset(random_fixed((2, 4), S8, 0.7, 3), -1.3)
    g, q_x, q_w = RNG.normal(size=(3, 2)), quantizer(S8, 0.02), quantizer(S16, 0.001)
    leaves = Tensor(x), Tensor(w)
    with recorded() as trace:
        out = linear(*leaves, input_gradient=lambda g: with_offset(q_x(g), 0.001), weight_gradient=q_w)
        g_x, g_w = gradients(out, leaves, g)
    assert calls(trace) == ["gemm.forward"] * 4 + ["gemm.dx"] * 4 + ["gemm.dw"] * 2
    check_trace(trace, dict.fromkeys(calls(trace), rows_times_columns))
    same_bits(out.value, exact(x, w, lambda a, b: rows_times_columns(a, b.T)))
    same_bits(g_x, exact(with_offset(q_x(g), 0.001), w, rows_times_columns))
    same_bits(g_w, exact(q_w(g), x, lambda a, b: rows_times_columns(a.T, b)))
    assert out.value == pytest.approx(reals.matmul(x.value, w.value.T), rel=1e-12)


def test_a_convolution_of_sums(convolved, same_bits):
    shape, geometry = (2, 2, 3, 3), Geometry(padding=1)
    x, w = with_offset(random_fixed(shape, U8), -0.45), random_fixed((3, 2, 2, 2), S8, 0.7, 3)
    g, q = RNG.normal(size=(2, 3, 4, 4)), quantizer(S8, 0.02)
    leaves = Tensor(x), Tensor(w)
    with recorded() as trace:
        out = conv(*leaves, geometry=geometry, weight_gradient=q)
        g_w, = gradients(out, leaves[1:], g)
    assert calls(trace) == ["conv.forward"] * 2 + ["conv.dw"] * 2
    nothing = np.zeros(g.shape, object)
    same_bits(out.value, exact(x, w, lambda a, b: convolved(a, b, nothing, geometry)[0]))
    same_bits(g_w, exact(x, q(g), lambda a, b: convolved(a, integers(w), b, geometry)[2]))


def test_with_offset():
    fixed = random_fixed((2, 3), S8)
    assert with_offset(fixed, 0.0) is fixed
    for offset in (0.25, -0.25):
        moved = with_offset(fixed, offset)
        assert isinstance(moved, FixedSum) and moved.shape == (2, 3) and parts(moved)[0] is fixed
        assert (moved.value == fixed.value + offset).all()


@pytest.mark.parametrize("given", [(), (random_fixed((2, 3), S8), random_fixed((3, 2), S8))])
def test_a_sum_of_nothing_or_of_different_shapes(given):
    with pytest.raises(ValueError, match="expected one shape, and at least one part"):
        FixedSum(given)


def test_16_bits_times_16_bits_need_more_than_32():
    """Every code the most negative one: the sum of four is 2^32, which wraps to 0 in 32 bits."""
    x, w = Fixed(np.full((1, 4), -32768), 1.0, S16), Fixed(np.full((4, 4), -32768), 1.0, S16)
    with recorded() as trace:
        leaves = Tensor(x), Tensor(w)
        out = linear(*leaves, input_gradient=quantizer(S16, 1.0), weight_gradient=quantizer(S16, 1.0))
        g_x, g_w = gradients(out, leaves, np.full((1, 4), -32768.0))
    assert [call.accumulators.format.bits for call in trace] == [64, 64, 32]
    assert (out.value == 2.0**32).all() and (g_x == 2.0**32).all() and (g_w == 2.0**30).all()


@pytest.mark.parametrize("x, w, groups, bits", [
    ((1, 1, 1, 1), (1, 1, 1, 1), 1, [32, 32, 32]),
    ((1, 2, 1, 1), (1, 2, 1, 1), 1, [64, 32, 32]),  # channels are added forward
    ((1, 1, 2, 1), (1, 1, 2, 1), 1, [64, 64, 32]),  # a kernel forward and for x
    ((1, 1, 1, 2), (1, 1, 1, 2), 1, [64, 64, 32]),
    ((1, 1, 1, 1), (2, 1, 1, 1), 1, [32, 64, 32]),  # output channels for x
    ((1, 2, 1, 1), (2, 1, 1, 1), 2, [32, 32, 32]),  # but only those of the group
    ((1, 1, 2, 1), (1, 1, 1, 1), 1, [32, 32, 64]),  # places and images for w
    ((2, 1, 1, 1), (1, 1, 1, 1), 1, [32, 32, 64]),
])
def test_what_a_convolution_adds_up_chooses_its_accumulator(convolved, x, w, groups, bits):
    """Every code -32768: one product, 2^30, fits 32 bits and two do not. (At the edges fewer meet.)"""
    lowest, leaves = quantizer(S16, 1.0), [Tensor(Fixed(np.full(shape, -32768), 1.0, S16)) for shape in (x, w)]
    with recorded() as trace:
        out = conv(*leaves, geometry=Geometry(groups=groups), input_gradient=lowest, weight_gradient=lowest)
        found = gradients(out, leaves, np.full(out.shape, -32768.0))
    assert [call.accumulators.format.bits for call in trace] == bits
    sums = convolved(*[np.full(shape, -32768, object) for shape in (x, w, out.shape)], Geometry(groups=groups))
    for array, expected in zip((out.value, *found), sums, strict=True):
        assert (array == expected).all()


def test_the_narrowest_of_two_accumulators_that_cannot_overflow():
    """2^14 (2^17 - 1) is below 2^31; one more product may reach it."""
    for terms, bits in ((2**17 - 1, 32), (2**17, 64)):
        ends = Fixed(np.full((1, terms), -128, np.int8), 1.0, S8)
        with recorded() as trace:
            out = linear(Tensor(ends), Tensor(ends))
        assert out.value == 2.0**14 * terms
        assert [call.accumulators.format for call in trace] == [IntFormat(bits)]


def test_a_bifurcation_has_two_gradients():
    """Banner: 8 bits for what goes on, 16 for the weights; each quantizer sees the real gradient, once."""
    x, w = Fixed(np.array([[3, -2]]), 0.5, S8), Fixed(np.array([[1, 4], [-5, 2]]), 0.25, S8)
    seen = []

    def watched(name, rule):
        def quantize(g):
            seen.append((name, g.tolist()))
            return rule(g)
        return quantize
    leaves = Tensor(x), Tensor(w)
    out = linear(*leaves, input_gradient=watched("x", quantizer(S8, 1.0)), weight_gradient=watched("w", quantizer(S16, 0.125)))
    g_x, g_w = gradients(out, leaves, [[1.375, -2.25]])
    assert sorted(seen) == [("w", [[1.375, -2.25]]), ("x", [[1.375, -2.25]])]
    assert (g_x == [[1 * 0.25 - 2 * -1.25, 1 * 1 - 2 * 0.5]]).all()
    assert (g_w == [[1.375 * 1.5, -1.375], [-2.25 * 1.5, 2.25]]).all()


@pytest.fixture
def counted(monkeypatch):
    """How often integer and real products were made."""
    count = SimpleNamespace(integer=0, real=0)

    def watch(module, name, kind):
        function = getattr(module, name)

        def called(*arguments, **options):
            setattr(count, kind, getattr(count, kind) + 1)
            return function(*arguments, **options)
        monkeypatch.setattr(module, name, called)
    for name in ("matmul_fixed", "conv_fixed", "conv_input_gradient_fixed", "conv_weight_gradient_fixed"):
        watch(products, name, "integer")
    watch(reals, "matmul", "real")
    return count


X, W = random_fixed((3, 4), U8), random_fixed((2, 4), S8)
IMAGES, KERNELS = random_fixed((2, 2, 3, 3), U8), random_fixed((3, 2, 2, 2), S8, [0.5, 0.25, 2.0], 0, 0)
LAYERS = {"linear": (linear, X, W), "matmul": (matmul, X, random_fixed((4, 2), S8)), "conv": (conv, IMAGES, KERNELS)}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("x_fixed", [True, False])
@pytest.mark.parametrize("w_fixed", [True, False])
@pytest.mark.parametrize("dx", [True, False])
@pytest.mark.parametrize("dw", [True, False])
def test_a_product_of_two_fixed_is_one_of_integers_and_any_other_is_real(counted, layer, x_fixed, w_fixed, dx, dw):
    op, x, w = LAYERS[layer]
    leaves = Tensor(x if x_fixed else x.value), Tensor(w if w_fixed else w.value)
    q = quantizer(S8, 0.02)
    with recorded() as trace:
        out = op(*leaves, input_gradient=q if dx else None, weight_gradient=q if dw else None)
        gradients(out, leaves, RNG.normal(size=out.shape))
    expected = [name for name, fixed in (("forward", x_fixed and w_fixed), ("dx", dx and w_fixed), ("dw", dw and x_fixed)) if fixed]
    assert [call.operation.split(".")[1] for call in trace] == expected
    assert (counted.integer, counted.real) == (len(expected), 3 - len(expected))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("asked, left_out", [(0, 1), (1, 0)])
@pytest.mark.parametrize("shared", [False, True])
def test_a_gradient_that_nobody_needs_is_not_made(counted, same_bits, layer, asked, left_out, shared):
    """Nor quantized. The other one is as it was."""
    op, *values = LAYERS[layer]
    leaves, quantized = [Tensor(value) for value in values], []

    def seen(name):
        return lambda g: quantized.append(name) or quantizer(S8, 0.02)(g)

    names = "input_gradient", "weight_gradient"
    one = seen("both")
    how = dict.fromkeys(names, one) if shared else {name: seen(name) for name in names}
    out = op(*leaves, **how)
    g = RNG.normal(size=out.shape)
    expected = gradients(out, leaves, g)[asked]
    quantized.clear()
    counted.integer = 0
    same_bits(gradients(out, [leaves[asked]], g)[0], expected)
    assert counted.integer == 1 and quantized == ["both" if shared else names[asked]]
    with recorded() as trace:  # a trace is whole, whatever is asked
        same_bits(gradients(out, [leaves[asked]], g)[0], expected)
    assert [call.operation.split(".")[1] for call in trace] == ["dx", "dw"]


def test_a_real_operand_makes_the_real_product_of_the_values(same_bits):
    g, q = RNG.normal(size=(3, 2)), quantizer(S8, 0.02)
    x, w = Tensor(X), Tensor(W.value)
    out = linear(x, w, input_gradient=q)
    same_bits(out.value, reals.matmul(X.value, W.value.T))
    g_x, g_w = gradients(out, (x, w), g)
    same_bits(g_x, reals.matmul(q(g).value, W.value))
    same_bits(g_w, reals.matmul(g.T, X.value))


def test_no_tensors_no_graph():
    assert isinstance(linear(X, W), np.ndarray)


def test_recorded_holds_what_its_block_made_and_no_more():
    linear(X, W)
    with recorded() as outer:
        first = linear(Tensor(X), Tensor(W), input_gradient=quantizer(S8, 0.02))
        with recorded() as inner:
            conv(IMAGES, KERNELS)
            assert calls(inner) == ["conv.forward"] and calls(outer) == ["gemm.forward"]
        gradients(first, [first.inputs[0]], np.ones((3, 2)))
        linear(X.value, W)
    matmul(X, random_fixed((4, 2), S8))
    assert calls(outer) == ["gemm.forward", "gemm.dx"] and calls(inner) == ["conv.forward"]
    assert outer[0].a is X and outer[0].geometry is None
    assert inner[0].a is IMAGES and inner[0].b is KERNELS
    assert (outer[0].b.codes == W.codes.T).all() and outer[0].b.scale == W.scale


def test_recorded_ends_with_an_error():
    with pytest.raises(RuntimeError, match="within"), recorded() as trace:
        raise RuntimeError("within")
    linear(X, W)
    assert trace == []


# moved_scale

@settings(deadline=None, max_examples=30)
@given(st.sampled_from([(3, 4), (2, 3, 2, 2)]), st.integers(0, 2**32))
def test_the_moved_scale_leaves_each_product_what_it_was(of_w, seed):
    """Powers of two: exact."""
    rng = np.random.default_rng(seed)
    outputs = of_w[0]
    w = random_fixed(of_w, S8, 2.0 ** rng.integers(-3, 4, outputs), rng.integers(-5, 6, outputs), 0, rng=rng)
    g = rng.integers(-9, 10, (2, outputs, *[3] * (len(of_w) - 2))).astype(float)
    moved, rest = moved_scale(g, w)
    assert rest.scale == 1 and rest.format == S8 and (rest.codes == w.codes).all() and moved.shape == g.shape
    for o in range(outputs):
        assert (np.multiply.outer(moved[:, o], rest.value[o]) == np.multiply.outer(g[:, o], w.value[o])).all()


@pytest.mark.parametrize("w", [W, W.value, with_offset(W, 1.0), random_fixed((2, 4), S8, np.ones(4), 0, 1), random_fixed((2, 4), S8, 0.5, [1, 2], 0)])
def test_a_scale_that_is_not_one_per_output_stays(w):
    g = np.ones((3, 2))
    assert moved_scale(g, w) == (g, w)


def test_a_real_input_and_weights_per_input(same_bits):
    """Legal, for the input gradient keeps that axis: its columns carry the scales. Square, so that no shape tells."""
    w, g, q = random_fixed((3, 3), S8, [0.5, 3.0, 0.1], 0, 1), RNG.normal(size=(2, 3)), quantizer(S8, 0.02)
    x = Tensor(RNG.normal(size=(2, 3)))
    out = linear(x, w, input_gradient=q)
    same_bits(gradients(out, [x], g)[0], exact(q(g), w, rows_times_columns, lambda p, q: p.scale * q.scale))


def of_shape(*shape, **how):
    return random_fixed(shape, S8, **how)


G = quantizer(S8, 0.02)
TWO, THREE = np.ones(2), np.ones(3)


@pytest.mark.parametrize("call, words", [
    (lambda: linear(of_shape(3, 4), of_shape(2, 3)), "a has shape (3, 4) and b has shape (3, 2): expected [M, K] and [K, N]"),
    (lambda: linear(np.ones((3, 4)), np.ones((2, 3))), "a has shape (3, 4) and b has shape (3, 2)"),
    (lambda: matmul(of_shape(3, 4), of_shape(3, 4)), "a has shape (3, 4) and b has shape (3, 4)"),
    (lambda: linear(of_shape(2, 3, scale=THREE, axis=1), of_shape(2, 3)), "a has a scale for each index along axis 1"),
    (lambda: linear(of_shape(2, 3), of_shape(2, 3, scale=THREE, axis=1)), "b has a scale for each index along axis 0"),
    (lambda: linear(of_shape(2, 3, scale=TWO, axis=0), of_shape(2, 3, scale=TWO, axis=0)), "a is per row and b per column"),
    (lambda: conv(of_shape(1, 2, 3, 3, scale=TWO, axis=1), of_shape(2, 2, 1, 1)), "x has a scale for each index along axis 1"),
    (lambda: conv(of_shape(1, 2, 3, 3), of_shape(2, 2, 1, 1, scale=TWO, axis=1)), "w has a scale for each index along axis 1"),
    (lambda: conv(of_shape(1, 2, 3, 3), of_shape(2, 3, 1, 1)), "x has 2 channels and w has shape (2, 3, 1, 1)"),
    (lambda: conv(np.ones((1, 2, 3, 3)), np.ones((2, 3, 1, 1))), "x has 2 channels and w has shape (2, 3, 1, 1)"),
    (lambda: conv(of_shape(1, 2, 3, 3), of_shape(2, 2, 4, 1)), "a kernel of (4, 1)"),
    (lambda: conv(of_shape(1, 2, 3, 3), of_shape(2, 2, 1, 1), geometry=Geometry(groups=2)), "with 2 groups expected"),
    (lambda: linear(Fixed(np.array([[1]]), 1.0, IntFormat(62)), Fixed(np.array([[1]]), 1.0, S8)), "1 products of s62 and s8 may need 70 bits: expected at most 64"),
    (lambda: backward(matmul, of_shape(2, 3), of_shape(3, 2, scale=TWO, axis=1), input_gradient=G), "b has a scale for each index along axis 0"),
    (lambda: backward(matmul, of_shape(2, 3, scale=TWO, axis=0), of_shape(3, 2), weight_gradient=G), "a has a scale for each index along axis 1"),
    (lambda: backward(linear, of_shape(2, 3, scale=TWO, axis=0), of_shape(2, 3), weight_gradient=G), "b has a scale for each index along axis 0"),
    (lambda: backward(conv, of_shape(1, 2, 3, 3), of_shape(2, 2, 1, 1, scale=TWO, zero_point=[1, 2], axis=0), input_gradient=G),
     "w has a scale for each index along axis 0"),
    (lambda: backward(linear, of_shape(2, 3), of_shape(2, 3), input_gradient=lambda g: Fixed(np.ones((2, 2), int), TWO, S8, 0, 1)),
     "a has a scale for each index along axis 1"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def backward(op, x, w, **quantizers):
    leaves = Tensor(x), Tensor(w)
    out = op(*leaves, **quantizers)
    return gradients(out, leaves, np.ones(out.shape))


def test_an_op_of_reals_takes_what_a_product_gives():
    """Products give reals, so that a chain of layers needs no word of it."""
    x, w = Tensor(X), Tensor(W)
    out = multiply(linear(x, w, input_gradient=G, weight_gradient=G), 2.0)
    assert [gradient.shape for gradient in gradients(out, [x, w], np.ones(out.shape))] == [(3, 4), (2, 4)]
