"""Convolution and its gradients against one loop over Python ints, which lists every product under its sum."""
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.gemm import Geometry, conv, conv_bias_gradient, conv_input_gradient, conv_weight_gradient
from refquant.integers import Accumulator
from refquant.scalar import convolution as scalar
from refquant.scalar.accumulate import accumulate

# name: x shape, output channels, kernel, geometry
CASES = {
    "plain": ((2, 3, 5, 4), 4, (3, 2), Geometry()),
    "pointwise": ((2, 3, 3, 3), 5, (1, 1), Geometry()),
    "stride": ((1, 2, 7, 8), 3, (3, 3), Geometry(stride=(2, 3))),
    "stride leaves a rest": ((1, 1, 8, 6), 1, (3, 3), Geometry(stride=2)),
    "padding": ((2, 2, 4, 3), 2, (3, 3), Geometry(padding=1)),
    "one-sided padding": ((1, 2, 3, 4), 2, (2, 3), Geometry(padding=(0, 2, 1, 0))),
    "padding beyond the kernel": ((1, 1, 2, 2), 2, (2, 2), Geometry(padding=3)),
    "dilation": ((1, 2, 7, 9), 2, (3, 3), Geometry(dilation=(2, 3))),
    "groups": ((2, 4, 4, 4), 6, (2, 2), Geometry(groups=2)),
    "depthwise": ((2, 3, 5, 5), 3, (3, 3), Geometry(groups=3, padding=1)),
    "depthwise with a multiplier": ((1, 3, 4, 4), 6, (2, 2), Geometry(groups=3)),
    "all at once": ((2, 4, 6, 7), 4, (2, 3), Geometry((2, 1), (1, 0, 2, 1), (2, 1), 2)),
    "kernel as large as the image": ((3, 2, 3, 4), 2, (3, 4), Geometry()),
    "stride beyond the kernel": ((1, 2, 7, 7), 2, (1, 2), Geometry(stride=3)),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
POLICIES = ("wrap", "saturate_final", "saturate_running")
ZX, ZW, ZG = 3, -2, 5


def operands(case, dtype=np.int8):
    shape, outputs, kernel, geometry = case
    rng = np.random.default_rng(shape)
    size = geometry.output_size(*shape[2:], kernel)
    shapes = shape, (outputs, shape[1] // geometry.groups, *kernel), (shape[0], outputs, *size)
    info = np.iinfo(dtype)
    return [rng.integers(info.min, info.max, s, dtype, endpoint=True) for s in shapes]


def products(x, w, g, geometry, zx=ZX, zw=ZW, zg=ZG):
    """Of y, dx and dw: {element: [(index of the sum, product)]}, from the one relation between their indices."""
    (sh, sw), (top, _, left, _), (dh, dw) = geometry.stride, geometry.padding, geometry.dilation
    lists = [{index: [] for index in np.ndindex(*array.shape)} for array in (g, x, w)]
    per_group = w.shape[0] // geometry.groups
    for b, o, p, q in np.ndindex(*g.shape):
        for c, i, j in np.ndindex(*w.shape[1:]):
            h, v = p * sh + i * dh - top, q * sw + j * dw - left
            if 0 <= h < x.shape[2] and 0 <= v < x.shape[3]:
                channel = o // per_group * w.shape[1] + c
                xv, wv, gv = int(x[b, channel, h, v]) - zx, int(w[o, c, i, j]) - zw, int(g[b, o, p, q]) - zg
                lists[0][b, o, p, q].append(((c, i, j), xv * wv))
                lists[1][b, channel, h, v].append(((o, i, j), gv * wv))
                lists[2][o, c, i, j].append(((b, p, q), xv * gv))
    return lists


def check(got, sums, shape, bits, policy, initial=lambda index: 0):
    acc, overflowed = got
    assert acc.shape == overflowed.shape == shape
    assert acc.dtype == Accumulator(bits).format.dtype and overflowed.dtype == bool
    for index, terms in sums.items():
        ordered = [product for _, product in sorted(terms)]
        assert (acc[index], overflowed[index]) == accumulate(ordered, initial(index), bits, policy)


@cases
@pytest.mark.parametrize("bits, policy", [(64, "wrap"), (14, "wrap"), (14, "saturate_final"), (14, "saturate_running")])
def test_convolution_and_gradients_by_direct_loops(case, bits, policy):
    x, w, g = operands(case)
    geometry, accumulator = case[3], Accumulator(bits, policy)
    bias = np.arange(len(w)) * 3000 - 4000
    y, dx, dw = products(x, w, g, geometry)
    check(conv(x, w, geometry, x_zero_point=ZX, w_zero_point=ZW, bias=bias, accumulator=accumulator), y, g.shape, bits,
          policy,
          lambda index: int(bias[index[1]]))
    check(conv_input_gradient(g, w, x.shape[2:], geometry, g_zero_point=ZG, w_zero_point=ZW, accumulator=accumulator),
          dx, x.shape, bits, policy)
    check(conv_weight_gradient(x, g, w.shape[2:], geometry, x_zero_point=ZX, g_zero_point=ZG, accumulator=accumulator),
          dw, w.shape, bits, policy)
    db = {(o,): [(index, int(v) - ZG) for index, v in np.ndenumerate(g[:, o])] for o in range(g.shape[1])}
    check(conv_bias_gradient(g, g_zero_point=ZG, accumulator=accumulator), db, g.shape[1:2], bits, policy)


@cases
@pytest.mark.parametrize("policy", POLICIES)
def test_convolution_and_gradients_equal_the_scalar_model(case, policy):
    x, w, g = operands(case, np.uint8)
    geometry, accumulator = case[3], Accumulator(15, policy)
    where = {"stride": geometry.stride, "padding": geometry.padding, "dilation": geometry.dilation,
             "groups": geometry.groups}
    how = {"bits": 15, "overflow": policy}
    (xs, ws, gs), (h, v) = (array.tolist() for array in (x, w, g)), x.shape[2:]
    y = conv(x, w, geometry, x_zero_point=128, w_zero_point=100, accumulator=accumulator)
    dx = conv_input_gradient(g, w, (h, v), geometry, g_zero_point=128, w_zero_point=100, accumulator=accumulator)
    dw = conv_weight_gradient(x, g, w.shape[2:], geometry, x_zero_point=128, g_zero_point=128, accumulator=accumulator)
    db = conv_bias_gradient(g, g_zero_point=128, accumulator=accumulator)
    for at in list(np.ndindex(*g.shape))[::3]:
        assert (y[0][at], y[1][at]) == scalar.conv_forward(xs, ws, at, zero_point_x=128, zero_point_w=100, **where,
                                                           **how)
    for at in list(np.ndindex(*x.shape))[::3]:
        assert (dx[0][at], dx[1][at]) == scalar.conv_dx(gs, ws, at, height=h, width=v, zero_point_g=128,
                                                        zero_point_w=100, **where, **how)
    for at in np.ndindex(*w.shape):
        assert (dw[0][at], dw[1][at]) == scalar.conv_dw(xs, gs, at, zero_point_x=128, zero_point_g=128, **where, **how)
    for o in range(g.shape[1]):
        assert (db[0][o], db[1][o]) == scalar.conv_db(gs, o, zero_point_g=128, **how)


def inner(a, b):
    return int((a.astype(object) * b.astype(object)).sum())


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 2), st.integers(1, 2), st.integers(1, 2),
       st.tuples(st.integers(1, 3), st.integers(1, 3)),
       st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(0, 2)] * 4), st.tuples(*[st.integers(1, 2)] * 2),
       st.tuples(st.integers(5, 7), st.integers(5, 7)), st.tuples(*[st.integers(-200, 200)] * 3))
def test_the_gradients_are_adjoint_to_the_convolution(seed, batch, per_group, groups, kernel, stride, padding, dilation,
                                                      size, zeros):
    """<conv(x, w), g> = <x, dx(g, w)> = <w, dw(x, g)>, each less its zero point."""
    geometry = Geometry(stride, padding, dilation, groups)
    x, w, g = operands(((batch, per_group * groups, *size), 2 * groups, kernel, geometry))
    zx, zw, zg = zeros
    wide = {"accumulator": Accumulator(64)}
    y = conv(x, w, geometry, x_zero_point=zx, w_zero_point=zw, **wide)[0]
    dx = conv_input_gradient(g, w, size, geometry, g_zero_point=zg, w_zero_point=zw, **wide)[0]
    dw = conv_weight_gradient(x, g, kernel, geometry, x_zero_point=zx, g_zero_point=zg, **wide)[0]
    assert inner(y, g.astype(int) - zg) == inner(dx, x.astype(int) - zx) == inner(dw, w.astype(int) - zw)


def test_a_large_convolution_is_compiled_and_equal():
    case = ((4, 8, 9, 9), 16, (3, 3), Geometry(padding=1, stride=2))
    x, w, g = operands(case)
    got = conv(x, w, case[3], x_zero_point=ZX, w_zero_point=ZW)
    check(got, products(x, w, g, case[3])[0], g.shape, 32, "wrap")


def test_padding_adds_nothing_even_where_its_code_is_outside_the_dtype():
    x, w = np.full((1, 1, 1, 1), 7, np.int8), np.ones((1, 1, 3, 3), np.int8)
    assert conv(x, w, Geometry(padding=1), x_zero_point=-300)[0].tolist() == [[[[307]]]]
    assert conv(x, w, Geometry(padding=1), x_zero_point=65535)[0].tolist() == [[[[7 - 65535]]]]


@pytest.mark.parametrize("code, zero_point", [(65535, -1), (65535, -32768), (-1, 65535), (-32768, 32768)])
def test_padding_takes_every_zero_point_that_the_product_takes(code, zero_point):
    x, w = np.full((1, 1, 1, 1), code), np.ones((1, 1, 3, 3), np.int8)
    assert conv(x, w[:, :, :1, :1], x_zero_point=zero_point)[0].tolist() == [[[[code - zero_point]]]]
    assert conv(x, w, Geometry(padding=1), x_zero_point=zero_point)[0].tolist() == [[[[code - zero_point]]]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_any_integer_dtype_is_padded(dtype):
    x = np.arange(9).reshape(1, 1, 3, 3)
    w = np.ones((1, 1, 3, 3), np.int8)
    expected = conv(x.astype(np.int8), w, Geometry(padding=1), x_zero_point=2)[0]
    assert (conv(x.astype(dtype), w, Geometry(padding=1), x_zero_point=2)[0] == expected).all()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_zero_point_an_output_channel(groups):
    x, w, _ = operands(((2, 4, 3, 3), 4, (2, 2), Geometry(groups=groups)))
    zero_points = np.array([3, -4, 100, -128])
    together = conv(x, w, Geometry(groups=groups), x_zero_point=ZX, w_zero_point=zero_points)[0]
    for o in range(4):
        alone = conv(x, w, Geometry(groups=groups), x_zero_point=ZX, w_zero_point=int(zero_points[o]))[0]
        assert (together[:, o] == alone[:, o]).all()


def test_nested_lists_will_do():
    assert conv([[[[1, 2]]]], [[[[3, 4]]]], bias=[5])[0].tolist() == [[[[16]]]]


def test_an_empty_batch_has_empty_results():
    x, w, g = np.zeros((0, 2, 3, 3), np.int8), np.zeros((4, 2, 2, 2), np.int8), np.zeros((0, 4, 2, 2), np.int8)
    assert conv_weight_gradient(x, g, (2, 2))[0].tolist() == np.zeros(w.shape, int).tolist()
    assert conv_bias_gradient(g)[0].tolist() == [0] * 4
    assert conv(x, w)[0].shape == g.shape
    assert conv_input_gradient(g, w, (3, 3))[0].shape == x.shape


X, W, G = np.zeros((1, 2, 4, 4), np.int8), np.zeros((3, 2, 2, 2), np.int8), np.zeros((1, 3, 3, 3), np.int8)


@pytest.mark.parametrize("call, words", [
    (lambda: conv(X[0], W), ["x has shape (2, 4, 4)", "four dimensions"]),
    (lambda: conv(X, W[0]), ["w has shape (2, 2, 2)", "four dimensions"]),
    (lambda: conv_bias_gradient(G[0]), ["g has shape (3, 3, 3)", "four dimensions"]),
    (lambda: conv(X, W[:, :1]), ["2 channels", "(3, 1, 2, 2)", "[O, C/groups, KH, KW]"]),
    (lambda: conv(X, W, Geometry(groups=2)), ["2 channels", "2 groups", "divisible"]),
    (lambda: conv(X[..., :1], W), ["kernel of (2, 2)", "does not fit", "(4, 1)"]),
    (lambda: conv(X, W, bias=[1, 2]), ["bias has shape (2,)", "[3]", "output channel"]),
    (lambda: conv(X, W, bias=5), ["bias has shape ()", "[3]", "output channel"]),
    (lambda: conv_input_gradient(G, W, (5, 4)), ["g has shape (1, 3, 3, 3)", "(1, 3, 4, 3)"]),
    (lambda: conv_input_gradient(G[:, :2], W, (4, 4)), ["g has shape (1, 2, 3, 3)", "(1, 3, 3, 3)"]),
    (lambda: conv_weight_gradient(X, G, (3, 2)), ["g has shape (1, 3, 3, 3)", "(1, 3, 2, 3)"]),
    (lambda: conv_weight_gradient(np.zeros((2, 2, 4, 4), int), G, (2, 2)),
     ["g has shape (1, 3, 3, 3)", "(2, 3, 3, 3)"]),
    (lambda: conv(X, W, w_zero_point=[1, 2]), ["w_zero_point has shape (2,)", "one integer or [3]"]),
    (lambda: conv(X, W, x_zero_point=65536), ["zero_point", "65536", "16 bits"]),
    (lambda: conv(X, W, Geometry(padding=1), x_zero_point=2**40), ["zero_point", str(2**40), "16 bits"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_images_are_integers():
    with pytest.raises(TypeError, match="x has dtype float64: expected integers"):
        conv(X.astype(float), W)


def test_a_sum_that_does_not_fit_is_an_error_where_asked():
    x, w = np.full((1, 1, 2, 2), 127, np.int8), np.full((1, 1, 2, 2), 127, np.int8)
    with pytest.raises(OverflowError, match=r"16 bits .* 17 bits would do"):
        conv(x, w, accumulator=Accumulator(16, "error"))
    assert conv(x, w, accumulator=Accumulator(17, "error"))[0] == 4 * 127 * 127


def test_gradients_of_every_small_geometry():
    """The three sums hold the same products, however the kernel moves."""
    for kernel, stride, pad, dilation in itertools.product((1, 2, 3), (1, 2, 3), (0, 1, 2), (1, 2)):
        geometry = Geometry(stride, (pad, 0, 0, pad), dilation)
        x, w, g = operands(((1, 1, 6, 5), 1, (kernel, kernel), geometry))
        y, dx, dw = products(x, w, g, geometry)
        wide = {"accumulator": Accumulator(64)}
        check(conv(x, w, geometry, x_zero_point=ZX, w_zero_point=ZW, **wide), y, g.shape, 64, "wrap")
        check(conv_input_gradient(g, w, (6, 5), geometry, g_zero_point=ZG, w_zero_point=ZW, **wide), dx, x.shape, 64,
              "wrap")
        check(conv_weight_gradient(x, g, (kernel, kernel), geometry, x_zero_point=ZX, g_zero_point=ZG, **wide), dw,
              w.shape, 64, "wrap")
