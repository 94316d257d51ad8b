"""The ops of reals: rules against differences, forwards against plain loops, and the points where a slope changes."""
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from refquant.autodiff import (
    OPS,
    Tensor,
    average_pool,
    batch_norm,
    conv,
    dequantize,
    flatten,
    global_average_pool,
    gradient_errors,
    gradients,
    linear,
    matmul,
    max_pool,
    mean_squared_error,
    one_hot,
    per_channel,
    pixel_shuffle,
    prelu,
    quantize_gradient,
    range_batch_norm,
    relu,
    relu6,
    reshape,
    softmax,
    softmax_cross_entropy,
    sum_all,
)
from refquant.autodiff.normalization import AUTHORS_FACTOR, batch_statistics, range_constant, range_statistics
from refquant.gemm import Geometry

RNG = np.random.default_rng(1)


def some(*shape):
    """Reals with 0.05 and more between any two of them, none near 0, nor near a whole number when multiplied by 20."""
    size = math.prod(shape)
    return ((RNG.permutation(size) - size // 2) * 0.05 + 0.02 + 0.01 * RNG.random(size)).reshape(shape)


def positive(*shape):
    return 0.5 + RNG.random(shape)


# op: [(inputs, parameters)], the inputs away from kinks
CASES = {
    "add": [((some(3, 2), some(3, 2)), {}), ((some(2, 1, 3), some(4, 1)), {})],
    "subtract": [((some(3, 2), some(3, 2)), {}), ((some(3), some(2, 1)), {})],
    "multiply": [((some(3, 2), some(3, 2)), {}), ((some(2, 1, 3), some()), {})],
    "divide": [((some(3, 2), positive(3, 2)), {}), ((some(3), -positive(2, 1)), {})],
    "relu": [((some(3, 4),), {})],
    "relu6": [((20 * some(5, 6),), {})],
    "prelu": [((some(3, 4), some(4)), {}), ((some(2, 3, 2, 2), some(3)), {}), ((some(2, 3), some()), {}), ((some(2, 3), some(1)), {})],
    "per_channel": [((some(3), some(2, 3, 2, 2)), {}), ((some(3), some(2, 3)), {}), ((some(), some(2, 3)), {})],
    "reshape": [((some(3, 4),), {"shape": (2, -1)}), ((some(6),), {"shape": (1, 2, 3)})],
    "flatten": [((some(2, 3, 2, 2),), {}), ((some(3),), {})],
    "pixel_shuffle": [((some(2, 8, 2, 3),), {"factor": 2}), ((some(1, 9, 1, 2),), {"factor": 3}), ((some(1, 2, 3, 2),), {"factor": 1})],
    "sum_all": [((some(2, 3),), {}), ((some(),), {}), ((some(2, 1, 4),), {})],
    "dequantize": [((some(2, 3),), {})],
    "quantize_gradient": [((some(2, 3),), {"quantizer": lambda g: g})],
    "max_pool": [((some(2, 2, 5, 4),), {"size": 2}), ((some(1, 2, 5, 4),), {"size": 3, "stride": 1}), ((some(1, 1, 6, 7),), {"size": 2, "stride": 3})],
    "average_pool": [((some(2, 2, 5, 4),), {"size": 2}), ((some(1, 2, 5, 4),), {"size": 3, "stride": 1}), ((some(1, 1, 6, 7),), {"size": 2, "stride": 3})],
    "global_average_pool": [((some(2, 3, 3, 2),), {})],
    "batch_norm": [((some(6, 2), some(2), some(2)), {}), ((some(3, 2, 2, 2), some(2), some(2)), {"eps": 0.5}), ((some(5, 1), some(1), some(1)), {"eps": 0})],
    "range_batch_norm": [((some(6, 2), some(2), some(2)), {"eps": 0}), ((some(3, 2, 2, 2), some(2), some(2)), {"eps": 0.5}),
                         ((some(4, 3, 2, 2), some(3), some(3)), {"chunks": 4, "factor": AUTHORS_FACTOR}), ((some(6, 2), some(2), some(2)), {"chunks": 3, "eps": 0}),
                         ((some(4, 3), some(3), some(3)), {"quantize_scale": lambda scale: scale + 0.25}),
                         ((some(6, 2), some(2), some(2)), {"chunks": 2, "factor": 0.5, "quantize_scale": lambda scale: scale - 0.125})],
    "softmax_cross_entropy": [((some(3, 4), positive(3, 4)), {}), ((some(1, 1), positive(1, 1)), {})],
    "mean_squared_error": [((some(3, 4), some(3, 4)), {}), ((some(5), some(5)), {})],
    "matmul": [((some(2, 3), some(3, 4)), {})],
    "linear": [((some(2, 3), some(4, 3)), {})],
    "conv": [((some(2, 2, 4, 3), some(3, 2, 3, 2)), {}), ((some(1, 4, 5, 5), some(4, 2, 2, 3)), {"geometry": Geometry((2, 1), (1, 0, 2, 1), (2, 1), 2)})],
}
WRT = {"per_channel": (0,)}  # of x it takes the shape alone


def test_every_op_has_its_case():
    assert set(CASES) == {name for name, op in OPS.items() if op.__module__.startswith("refquant.autodiff.")}


def test_every_op_has_a_rule():
    assert [name for name, op in OPS.items() if op.backward is None] == []


@pytest.mark.parametrize("name, case", [(name, case) for name, cases in CASES.items() for case in range(len(cases))])
def test_every_rule_is_the_derivative(name, case):
    inputs, params = CASES[name][case]
    errors = gradient_errors(OPS[name], *inputs, wrt=WRT.get(name), **params)
    assert len(errors) == len(WRT.get(name, inputs)) and max(errors) < 1e-7, errors


# Element by element: integers, so that every sum is exact, with each input's gradient collected place by place.

def sources(shape, out_shape):
    """For each place of the output, the flat place of the input of ``shape`` that was broadcast there."""
    return np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), out_shape).ravel()


@settings(deadline=None)
@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3), st.sampled_from(["add", "subtract", "multiply", "divide"]),
       st.integers(0, 2**32))
def test_broadcasting(shapes, name, seed):
    rng, (shape_x, shape_y), out_shape = np.random.default_rng(seed), shapes.input_shapes, shapes.result_shape
    x, g = rng.integers(-8, 9, shape_x).astype(float), rng.integers(-8, 9, out_shape).astype(float)
    y = 2.0 ** rng.integers(-2, 3, shape_y) * rng.choice([-1, 1], shape_y)
    a, b = Tensor(x), Tensor(y)
    out = OPS[name](a, b)
    wide_x, wide_y = (v.ravel()[sources(v.shape, out_shape)] for v in (x, y))
    value, by_x, by_y = {"add": (wide_x + wide_y, 1 + 0 * wide_x, 1 + 0 * wide_y), "subtract": (wide_x - wide_y, 1 + 0 * wide_x, -1 - 0 * wide_y),
                         "multiply": (wide_x * wide_y, wide_y, wide_x), "divide": (wide_x / wide_y, 1 / wide_y, -wide_x / wide_y**2)}[name]
    assert out.shape == out_shape and (out.value.ravel() == value).all()
    for tensor, slope, found in zip((a, b), (by_x, by_y), gradients(out, [a, b], g), strict=True):
        collected = np.zeros(tensor.value.size)
        for place, term in zip(sources(tensor.shape, out_shape), g.ravel() * slope, strict=True):
            collected[place] += term
        assert found.shape == tensor.shape and (found.ravel() == collected).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 3), min_size=2, max_size=4), st.sampled_from(["per channel", "one"]))
def test_prelu_s_slopes_are_the_channels(seed, shape, kind):
    rng = np.random.default_rng(seed)
    x, g = rng.integers(-4, 5, shape).astype(float), rng.integers(-4, 5, shape).astype(float)
    slope = rng.integers(-4, 5, shape[1] if kind == "per channel" else ()).astype(float)
    leaves = Tensor(x), Tensor(slope)
    out = prelu(*leaves)
    g_x, g_slope = gradients(out, leaves, g)
    collected = np.zeros(slope.shape)
    for at in np.ndindex(*shape):
        channel = (at[1],) if slope.ndim else ()
        factor = 1 if x[at] > 0 else slope[channel]
        assert out.value[at] == x[at] * factor and g_x[at] == g[at] * factor
        collected[channel] += 0 if x[at] > 0 else g[at] * x[at]
    assert (g_slope == collected).all() and g_slope.shape == slope.shape


SMALLEST = 5e-324


def test_relu_at_0(same_bits):
    x = Tensor([-1.0, -SMALLEST, -0.0, 0.0, SMALLEST, 1.0])
    out = relu(x)
    same_bits(out.value, np.array([0.0, 0.0, 0.0, 0.0, SMALLEST, 1.0]))
    same_bits(gradients(out, [x], np.full(6, -2.0))[0], np.array([0.0, 0.0, 0.0, 0.0, -2.0, -2.0]))


def test_relu6_at_0_and_at_6(same_bits):
    below, above = np.nextafter(6.0, 0.0), np.nextafter(6.0, 7.0)
    x = Tensor([-1.0, -0.0, 0.0, SMALLEST, 3.0, below, 6.0, above, 7.0])
    out = relu6(x)
    same_bits(out.value, np.array([0.0, 0.0, 0.0, SMALLEST, 3.0, below, 6.0, 6.0, 6.0]))
    same_bits(gradients(out, [x], np.full(9, -2.0))[0], np.array([0.0, 0.0, 0.0, -2.0, -2.0, -2.0, 0.0, 0.0, 0.0]))


def test_prelu_at_0_takes_the_slope():
    x, slope = Tensor([[-4.0, 0.0, -0.0, 4.0]]), Tensor(0.25)
    out = prelu(x, slope)
    assert (out.value == [[-1, 0, 0, 4]]).all()
    g_x, g_slope = gradients(out, [x, slope], np.full((1, 4), 2.0))
    assert (g_x == [[0.5, 0.5, 0.5, 2]]).all() and g_slope == -8


# Shapes

def test_reshape_and_flatten_keep_the_order():
    x, g = np.arange(12.0).reshape(2, 3, 2), np.arange(12.0)
    leaf = Tensor(x)
    for out, shape in ((reshape(leaf, shape=(4, -1)), (4, 3)), (flatten(leaf), (2, 6))):
        assert out.shape == shape and out.value.ravel().tolist() == list(range(12))
        assert (gradients(out, [leaf], g.reshape(shape))[0] == x).all()


def test_per_channel_broadcasts_along_axis_1():
    v, x = Tensor([1.0, 2.0, 3.0]), np.zeros((2, 3, 4, 5))
    assert per_channel(v, x).shape == (1, 3, 1, 1) and per_channel(v, x[:, :, 0, 0]).shape == (1, 3)
    assert per_channel(2.0, x).shape == ()
    out = per_channel(v, x) + x
    assert (out.value == np.array([1, 2, 3])[None, :, None, None]).all()
    assert (gradients(out, [v], np.ones(out.shape))[0] == 2 * 4 * 5).all()


@pytest.mark.parametrize("factor, shape", [(1, (2, 3, 2, 2)), (2, (2, 8, 3, 2)), (3, (1, 18, 2, 1))])
def test_pixel_shuffle_by_index(factor, shape):
    x = Tensor(np.arange(math.prod(shape)).reshape(shape))
    out = pixel_shuffle(x, factor=factor)
    b, c, h, w = shape
    assert out.shape == (b, c // factor**2, h * factor, w * factor)
    for n, k, i, j in np.ndindex(*out.shape):
        channel = k * factor**2 + i % factor * factor + j % factor
        assert out.value[n, k, i, j] == x.value[n, channel, i // factor, j // factor]
    assert (gradients(out, [x], out.value)[0] == x.value).all(), "backward undoes forward"


def test_pixel_shuffle_of_channels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"x has 6 channels: expected a multiple of factor\^2 = 4"):
        pixel_shuffle(np.zeros((1, 6, 2, 2)), factor=2)


def test_quantize_gradient_is_nothing_forward_and_the_quantizer_backward():
    x = Tensor([0.3, -0.7])
    out = quantize_gradient(x, quantizer=lambda g: np.trunc(g))
    assert (out.value == x.value).all() and (gradients(out * 10.0, [x], [0.25, -0.19])[0] == [2, -1]).all()


def test_dequantize_of_reals_is_nothing():
    assert (dequantize(np.array([0.3, -0.7])) == [0.3, -0.7]).all()


# Pooling

POOLS = [((2, 2, 4, 6), 2, None), ((1, 2, 5, 4), 3, 1), ((1, 1, 7, 8), 2, 3), ((2, 1, 3, 3), 3, None), ((1, 2, 3, 2), 1, 2)]


def windows(shape, size, stride):
    """{place of the output: the places of the input in its window, in order}"""
    stride = size if stride is None else stride
    places = {}
    for b, c in np.ndindex(*shape[:2]):
        for p, h in enumerate(range(0, shape[2] - size + 1, stride)):
            for q, v in enumerate(range(0, shape[3] - size + 1, stride)):
                places[b, c, p, q] = [(b, c, h + i, v + j) for i in range(size) for j in range(size)]
    return places


@pytest.mark.parametrize("shape, size, stride", POOLS)
def test_pooling_by_index(shape, size, stride):
    """Few different values, so that windows hold ties: the first place has the whole gradient."""
    x = Tensor(RNG.integers(-1, 2, shape))
    places = windows(shape, size, stride)
    out_shape = tuple(np.array(max(places)) + 1)
    g = RNG.integers(-8, 9, out_shape) * float(size**2)
    largest, average = max_pool(x, size=size, stride=stride), average_pool(x, size=size, stride=stride)
    assert largest.shape == average.shape == out_shape
    of_largest, of_average = np.zeros(shape), np.zeros(shape)
    for at, window in places.items():
        values = [x.value[place] for place in window]
        assert largest.value[at] == max(values) and average.value[at] == sum(values) / size**2
        of_largest[window[values.index(max(values))]] += g[at]
        for place in window:
            of_average[place] += g[at] / size**2
    assert (gradients(largest, [x], g)[0] == of_largest).all()
    assert (gradients(average, [x], g)[0] == of_average).all()


def test_a_maximum_that_several_places_share_is_the_first_s():
    x = Tensor([[[[1.0, 5.0, 0.0, -0.0], [5.0, 5.0, -0.0, 0.0]]]])
    out = max_pool(x, size=2)
    assert (out.value == [[[[5, 0]]]]).all()
    assert (gradients(out, [x], [[[[7.0, 3.0]]]])[0] == [[[[0, 7, 3, 0], [0, 0, 0, 0]]]]).all()


def test_global_average():
    x, g = Tensor(np.arange(24.0).reshape(2, 3, 2, 2)), np.array([[4.0, 8.0, 12.0], [0.0, -4.0, 2.0]])
    assert (global_average_pool(x).value == [[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]]).all()
    assert (gradients(global_average_pool(x), [x], g)[0] == g[:, :, None, None] / 4).all()


@pytest.mark.parametrize("pool", [max_pool, average_pool])
@pytest.mark.parametrize("shape, params, words", [
    ((1, 1, 3, 2), {"size": 3}, "size = 3: expected a window that fits images"),
    ((1, 1, 3, 2), {"size": 0}, "size = 0: expected a window"),
    ((3, 2), {"size": 1}, r"x has shape \(3, 2\)"),
    ((1, 1, 3, 2), {"size": 1, "stride": 0}, "stride = 0: expected 1 or more"),
    ((1, 1, 3, 2), {"size": 1, "stride": -1}, "stride = -1: expected 1 or more")])
def test_windows_that_do_not_fit(pool, shape, params, words):
    with pytest.raises(ValueError, match=words):
        pool(np.zeros(shape), **params)


# Normalization

def channels(x):
    """The values of each channel as Python floats, images in order."""
    return [[float(v) for v in np.asarray(x)[:, c].ravel()] for c in range(x.shape[1])]


def rows(y):
    """[C, n]"""
    return np.array(channels(y))


@pytest.mark.parametrize("shape", [(6, 3), (3, 2, 2, 3), (1, 4, 3, 1)])
@pytest.mark.parametrize("eps", [0, 1e-5, 2.0])
def test_batch_norm_plainly(shape, eps):
    x, gamma, beta = RNG.normal(3, 2, shape), RNG.normal(size=shape[1]), RNG.normal(size=shape[1])
    y = batch_norm(x, gamma, beta, eps=eps)
    mu, width = batch_statistics(x, eps)
    assert y.shape == shape
    for c, values in enumerate(channels(x)):
        mean = math.fsum(values) / len(values)
        deviation = math.sqrt(math.fsum((v - mean)**2 for v in values) / len(values) + eps)
        assert mu[c] == pytest.approx(mean, rel=1e-13) and width[c] == pytest.approx(deviation, rel=1e-13)
        assert rows(y)[c] == pytest.approx([gamma[c] * (v - mean) / deviation + beta[c] for v in values], rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("shape, chunks", [((6, 3), 1), ((6, 3), 3), ((3, 2, 2, 4), 1), ((3, 2, 2, 4), 4), ((4, 1, 1, 1), 2)])
@pytest.mark.parametrize("eps, factor", [(0, 1.0), (1e-5, AUTHORS_FACTOR), (0.5, 2.0)])
def test_range_batch_norm_plainly(shape, chunks, eps, factor):
    """The paper's equation 2, and the mean of chunks of the released code."""
    x, gamma, beta = RNG.normal(3, 2, shape), RNG.normal(size=shape[1]), RNG.normal(size=shape[1])
    y = range_batch_norm(x, gamma, beta, eps=eps, chunks=chunks, factor=factor)
    mu, scale = range_statistics(x, eps, chunks, factor)
    assert y.shape == shape
    for c, values in enumerate(channels(x)):
        length = len(values) // chunks
        parts = [values[k:k + length] for k in range(0, len(values), length)]
        mean, width = sum(values) / len(values), sum(max(part) - min(part) for part in parts) / chunks
        width = factor / math.sqrt(2 * math.log(length)) * width + eps
        assert mu[c] == pytest.approx(mean, rel=1e-13) and scale[c] == pytest.approx(1 / width, rel=1e-13)
        assert rows(y)[c] == pytest.approx([gamma[c] * (v - mean) / width + beta[c] for v in values], rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("n", [2, 5, 64, 1000])
def test_without_eps_the_range_after_range_bn_is_that_of_the_constant(n):
    y = range_batch_norm(RNG.normal(7, 3, (n, 1)), np.ones(1), np.zeros(1), eps=0)
    assert np.ptp(y) == pytest.approx(math.sqrt(2 * math.log(n)), rel=1e-12)
    assert 1 / range_constant(n) == pytest.approx(math.sqrt(2 * math.log(n)), rel=1e-15)


# n: E[range], C(n) E[range], the same with the released code's constant; of n standard normal numbers
EXPECTED_RANGES = {2: (1.1284, 0.9584, 0.5177), 8: (2.8472, 1.3961, 0.7542), 16: (3.5320, 1.4999, 0.8103), 64: (4.6875, 1.6253, 0.8780),
                   256: (5.6537, 1.6977, 0.9171), 4096: (7.2522, 1.7781, 0.9605), 65536: (8.5823, 1.8223, 0.9844)}


@pytest.mark.parametrize("n", EXPECTED_RANGES)
def test_the_constant_times_the_expected_range(n):
    """E[range] is the integral of 1 - F(x)^n - (1 - F(x))^n, F the normal distribution. Equation 4: 0.325 to 2."""
    step = 1 / 128
    below = [math.erfc(-k * step / math.sqrt(2)) / 2 for k in range(-1280, 1281)]
    expected = math.fsum(1 - f**n - (1 - f)**n for f in below) * step
    constant = range_constant(n)
    assert (expected, constant * expected, AUTHORS_FACTOR * constant * expected) == pytest.approx(EXPECTED_RANGES[n], abs=6e-5)
    assert 0.325 < constant * expected < 2


def test_the_authors_factor():
    assert pytest.approx(0.540208, abs=5e-7) == AUTHORS_FACTOR
    assert pytest.approx(0.175 * (1 + math.sqrt(math.pi * math.log(4))), rel=1e-15) == AUTHORS_FACTOR


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 5), st.integers(1, 40))
def test_the_gradient_of_range_bn_is_orthogonal_to_ones_and_without_eps_to_x(seed, chunks, length, levels):
    """Shifting and scaling x change nothing. With few levels many elements share an extreme."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels, (chunks * length, 1)) * 0.25
    x[:2, 0] = -1, levels  # a range in the first chunk at least
    g = rng.normal(size=x.shape)
    tensors = Tensor(x), Tensor([1.7]), Tensor([0.3])
    for eps in (0, 0.1):
        out = range_batch_norm(*tensors, eps=eps, chunks=chunks)
        g_x, _, g_beta = (gradient.ravel() for gradient in gradients(out, tensors, g))
        size = math.fsum(abs(g_x))
        assert abs(math.fsum(g_x)) <= 1e-13 * (size + abs(g).sum())
        if eps == 0:
            assert abs(math.fsum(g_x * x.ravel())) <= 1e-13 * (size + abs(g).sum()) * (levels + 1)
        assert g_beta[0] == pytest.approx(math.fsum(g.ravel()), abs=1e-12)


def test_an_extreme_that_several_elements_share_is_the_first_s():
    x, g = np.array([2.0, 5.0, 1.0, 5.0, 1.0, 5.0, 3.0, 3.0])[:, None], np.array([1.0, -2.0, 4.0, 3.0, -1.0, 0.5, 2.0, 7.0])[:, None]
    for chunks, highest, lowest in ((1, {1}, {2}), (2, {1, 5}, {2, 4})):
        leaf = Tensor(x)
        out = range_batch_norm(leaf, np.ones(1), np.zeros(1), eps=0, chunks=chunks)
        width = 4 / math.sqrt(2 * math.log(8 // chunks))
        # what the extremes add to the gradient of the centred x
        pull = (gradients(out, [leaf], g)[0] - (g - g.mean()) / width).ravel()
        strength = math.fsum((g * (x - x.mean())).ravel()) / (4 * chunks * width)
        assert abs(strength) > 0.1
        expected = [-strength if i in highest else strength if i in lowest else 0 for i in range(8)]
        assert pull == pytest.approx(expected, abs=1e-14)


def test_a_channel_of_one_value_needs_eps():
    leaves = Tensor(np.full((4, 1), 3.0)), Tensor([2.0]), Tensor([0.5])
    for op in (batch_norm, range_batch_norm):
        out = op(*leaves, eps=0.25)
        assert (out.value == 0.5).all()
        assert all(np.isfinite(gradient).all() for gradient in gradients(out, leaves, np.ones((4, 1))))


def test_chunks_that_cut_images_as_they_come():
    """Two images of four places: two chunks are the images."""
    x = np.array([0.0, 1, 2, 3, 10, 20, 30, 50]).reshape(2, 1, 2, 2)
    _, scale = range_statistics(x, 0, 2)
    assert 1 / scale[0] == pytest.approx((3 + 40) / 2 / math.sqrt(2 * math.log(4)), rel=1e-14)


@pytest.mark.parametrize("chunks", [4, 5, 12, 0, -1, -2])
def test_chunks_that_do_not_divide(chunks):
    with pytest.raises(ValueError, match=f"chunks = {chunks}: expected a divisor of the 6 values a channel"):
        range_batch_norm(np.arange(6.0)[:, None], np.ones(1), np.zeros(1), chunks=chunks)


def test_chunks_of_one_value():
    for n, chunks in ((6, 6), (1, 1)):
        with pytest.raises(ValueError, match="n = 1: expected at least 2 values to take a range of"):
            range_batch_norm(np.arange(float(n))[:, None], np.ones(1), np.zeros(1), chunks=chunks)


@pytest.mark.parametrize("op", [batch_norm, range_batch_norm])
def test_a_normalization_of_one_axis(op):
    with pytest.raises(ValueError, match=r"x has shape \(5,\): expected \[B, C\] or \[B, C, H, W\]"):
        op(np.arange(5.0), np.ones(1), np.zeros(1))


# Losses

def probabilities(logits):
    top = max(logits)
    powers = [math.exp(v - top) for v in logits]
    return [p / math.fsum(powers) for p in powers]


TARGETS = {"labels": one_hot([2, 0, 1], 3), "smoothed": one_hot([2, 0, 1], 3, 0.25), "a teacher's": softmax([[0.1, 2, -1], [3, 3, 3], [-5, 0, 5]]),
           "of no sum 1": np.array([[1.0, 2, 3], [0, 0, 0], [-1, 1, 0.5]])}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_cross_entropy_plainly(targets):
    x, p = Tensor([[1.0, 2.0, -0.5], [30.0, -30.0, 0.0], [0.0, 0.0, 0.0]]), Tensor(targets)
    loss = softmax_cross_entropy(x, p)
    of_x, of_p = gradients(loss, [x, p], 3.0)
    terms = []
    for b, logits in enumerate(x.value.tolist()):
        predicted = probabilities(logits)
        terms += [-t * math.log(q) / 3 for t, q in zip(targets[b], predicted, strict=True)]
        assert of_x[b] == pytest.approx([(math.fsum(targets[b]) * q - t) for t, q in zip(targets[b], predicted, strict=True)], abs=1e-15, rel=1e-13)
        assert of_p[b] == pytest.approx([-math.log(q) for q in predicted], rel=1e-13)
    assert loss.shape == () and loss.value == pytest.approx(math.fsum(terms), rel=1e-14)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_their_number():
    assert softmax_cross_entropy(np.zeros((4, 10)), one_hot([0, 3, 9, 9], 10)) == pytest.approx(math.log(10), rel=1e-15)


def test_a_student_that_equals_its_teacher_has_no_gradient():
    x = Tensor([[1.0, 2.0, 3.0], [-100.0, 0.0, 100.0]])
    of_x, = gradients(softmax_cross_entropy(x, softmax(x.value)), [x])
    assert abs(of_x).max() < 1e-16


def test_mean_squared_error_plainly():
    x, t = Tensor([[1.0, 2.0], [3.0, -4.0]]), Tensor([[0.0, 4.0], [3.0, 4.0]])
    loss = mean_squared_error(x, t)
    assert loss.shape == () and loss.value == (1 + 4 + 0 + 64) / 4
    of_x, of_t = gradients(loss, [x, t], 2.0)
    assert (of_x == [[1, -2], [0, -8]]).all() and (of_t == -of_x).all()


@pytest.mark.parametrize("smoothing", [0, Fraction(1, 4), Fraction(1, 2), 1])
def test_one_hot_with_smoothing(smoothing):
    targets = one_hot(np.array([3, 0], np.uint8), 4, float(smoothing))
    exact = [[(1 - smoothing) * (c == label) + smoothing * Fraction(1, 4) for c in range(4)] for label in (3, 0)]
    assert targets.tolist() == exact and targets.dtype == np.float64


@pytest.mark.parametrize("call, words", [
    (lambda: one_hot([0, 3], 3), "labels run from 0 to 3: expected 0 to 2"),
    (lambda: one_hot([-1, 2], 3), "labels run from -1 to 2: expected 0 to 2"),
    (lambda: one_hot([0.0, 1.0], 3), "labels has shape (2,) and dtype float64: expected integers [B]"),
    (lambda: one_hot([[0, 1]], 3), "labels has shape (1, 2)"),
    (lambda: one_hot([0], 3, 1.5), "smoothing = 1.5: expected 0 to 1"),
    (lambda: one_hot([0], 3, -0.5), "smoothing = -0.5: expected 0 to 1"),
    (lambda: one_hot([0], 3, math.nan), "smoothing = nan: expected 0 to 1"),
    (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.zeros((2, 1))), "x has shape (2, 3) and targets (2, 1): expected [B, C] both"),
    (lambda: softmax_cross_entropy(np.zeros(3), np.zeros(3)), "x has shape (3,)"),
    (lambda: mean_squared_error(np.zeros((2, 3)), np.zeros(3)), "targets has shape (3,): expected x's, (2, 3)"),
])
def test_errors_of_losses(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


# Products of reals: not near the loops, but their bits, since both add in the order of the indices under the sum

def test_the_bits_of_a_convolution(convolution, convolved, same_bits):
    shape, of_w, of_y, geometry = convolution
    x, w, g = Tensor(RNG.normal(size=shape)), Tensor(RNG.normal(size=of_w)), RNG.normal(size=of_y)
    out = conv(x, w, geometry=geometry)
    y, dx, dw = convolved(x.value, w.value, g, geometry)
    same_bits(out.value, y)
    for found, expected in zip(gradients(out, [x, w], g), (dx, dw), strict=True):
        same_bits(found, expected)


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 2**32))
def test_the_bits_of_matmul_and_linear(same_bits, sizes, seed):
    (m, k, n), rng = sizes, np.random.default_rng(seed)
    a, b, g = Tensor(rng.normal(size=(m, k))), Tensor(rng.normal(size=(k, n))), rng.normal(size=(m, n))
    loops = [in_order(a.value, b.value), in_order(g, b.value.T), in_order(a.value.T, g)]
    product = matmul(a, b)
    for found, expected in zip((product.value, *gradients(product, [a, b], g)), loops, strict=True):
        same_bits(found, expected)
    w = Tensor(b.value.T)
    layer = linear(a, w)
    for found, expected in zip((layer.value, *gradients(layer, [a, w], g)), (*loops[:2], in_order(g.T, a.value)), strict=True):
        same_bits(found, expected)


def in_order(a, b):
    """One Python float after another."""
    c = np.zeros((len(a), b.shape[1]))
    for i, j in np.ndindex(*c.shape):
        held = 0.0
        for k in range(a.shape[1]):
            held += float(a[i, k]) * float(b[k, j])
        c[i, j] = held
    return c


def test_the_sum_of_all():
    x = Tensor([[1.0, 2.0], [3.0, 5.0]])
    assert sum_all(x).value == 11 and sum_all(x).shape == ()
    assert (gradients(sum_all(x), [x], 3.0)[0] == np.full((2, 2), 3)).all()


def test_nan_is_not_hidden_by_a_relu():
    assert np.isnan(relu([np.nan, 1.0])[0]) and np.isnan(relu6([np.nan, 7.0])[0])


def test_empty_batches():
    assert flatten(np.zeros((0, 2, 3, 4))).shape == (0, 24)
    x = np.zeros((0, 2, 4, 4))
    assert max_pool.backward(np.zeros((0, 2, 2, 2)), max_pool(x, size=2), x, size=2)[0].shape == x.shape
    with pytest.raises(ValueError, match=r"x has shape \(0, 3\) .* none of them 0"):
        softmax_cross_entropy(np.zeros((0, 3)), np.zeros((0, 3)))


def test_values_a_channel_that_do_not_fit():
    for x, v in (((3,), (3,)), ((2, 1, 4, 4), (5,)), ((2, 3), (3, 1))):
        for op in (prelu, lambda x, v: per_channel(v, x)):
            with pytest.raises(ValueError, match="one value a channel has shape"):
                op(np.zeros(x), np.zeros(v))
