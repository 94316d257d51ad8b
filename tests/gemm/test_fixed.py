"""Products of Fixed tensors: the value of the product is the product of the values."""
import numpy as np
import pytest

from refquant.gemm import Geometry, conv_fixed, conv_input_gradient_fixed, conv_weight_gradient_fixed, matmul_fixed
from refquant.gemm.fixed import exact_accumulator, transposed
from refquant.integers import Accumulator, Fixed, IntFormat, affine, quantize

S8, U8 = IntFormat(8), IntFormat(8, signed=False)
RNG = np.random.default_rng(0)
A, B = RNG.integers(-128, 128, (3, 5)), RNG.integers(0, 256, (5, 4))
X, W = RNG.integers(0, 256, (2, 2, 4, 4)), RNG.integers(-128, 128, (3, 2, 2, 2))
G = RNG.integers(-128, 128, (2, 3, 3, 3))
ROWS, COLUMNS = np.array([0.5, 2.0, 4.0]), np.array([0.25, 1.0, 8.0, 0.125])  # powers of two: values are exact


def same_values(product, expected):
    """`expected` is exact in float64 for these operands."""
    assert product.format == IntFormat(32) and product.zero_point == 0
    assert (product.value == expected).all()


def test_per_tensor():
    a, b = Fixed(A, 0.5, S8, 3), Fixed(B, 0.25, U8, 128)
    product = matmul_fixed(a, b)
    same_values(product, a.value @ b.value)
    assert product.scale == 0.125 and product.axis is None


def test_per_row_and_per_column():
    rows, columns = Fixed(A, ROWS, S8, [1, 2, 3], 0), Fixed(B, COLUMNS, U8, [0, 1, 2, 255], 1)
    one_a, one_b = Fixed(A, 0.5, S8, -7), Fixed(B, 0.25, U8, 128)
    for a, b, axis in ((rows, one_b, 0), (one_a, columns, 1)):
        product = matmul_fixed(a, b)
        same_values(product, a.value @ b.value)
        assert product.axis == axis


def test_a_scale_of_the_whole_tensor_may_name_an_axis():
    a, b = Fixed(A, 0.5, S8, 3, axis=1), Fixed(B, 0.25, U8, axis=0)
    same_values(matmul_fixed(a, b), a.value @ b.value)


def test_the_bias_joins_in_the_product_s_scale():
    a, b, bias = Fixed(A, 0.5, S8, 3), Fixed(B, COLUMNS, U8, 128, 1), np.array([1, -2, 300, 0])
    same_values(matmul_fixed(a, b, bias=bias), a.value @ b.value + bias * 0.5 * COLUMNS)


def test_the_accumulator_is_the_format():
    product = matmul_fixed(Fixed(A, 0.5, S8), Fixed(B, 0.25, U8), accumulator=Accumulator(12, "saturate_final"))
    assert product.format == IntFormat(12) and np.abs(product.codes).max() <= 2048


def convolved(x, w):
    """By the definition, stride 1, no padding."""
    y = np.zeros((x.shape[0], w.shape[0], 3, 3))
    for b, o, p, q in np.ndindex(*y.shape):
        y[b, o, p, q] = (x[b, :, p:p + 2, q:q + 2] * w[o]).sum()
    return y


def test_convolution_per_tensor_and_per_output_channel():
    x = Fixed(X, 0.5, U8, 128)
    for w, axis in ((Fixed(W, 0.25, S8, 1), None), (Fixed(W, ROWS, S8, -3, 0), 1),
                    (Fixed(W, ROWS, S8, [1, -2, 99], 0), 1)):
        product = conv_fixed(x, w)
        same_values(product, convolved(x.value, w.value))
        assert product.axis == axis


def test_convolution_with_padding_and_bias():
    x, w, bias = Fixed(X, 0.5, U8, 128), Fixed(W, ROWS, S8, 0, 0), np.array([7, -8, 9])
    inner = conv_fixed(x, w, Geometry(padding=1), bias=bias).value[:, :, 1:-1, 1:-1]
    assert (inner == convolved(x.value, w.value) + (bias * 0.5 * ROWS)[:, None, None]).all()


def test_symmetric_weights_per_output_channel_can_be_convolved():
    """Their zero points are one 0 a channel."""
    reals = W * 0.01
    scale, zero_point = affine.symmetric(np.abs(reals).max(axis=(1, 2, 3)), S8)
    w = quantize(reals, scale, S8, zero_point=zero_point, axis=0)
    x = Fixed(X, 0.5, U8, 128)
    assert conv_fixed(x, w).value == pytest.approx(convolved(x.value, w.value), rel=1e-12, abs=1e-9)


def gradients_convolved(x, w, g):
    """dx and dw by the definition, stride 1, no padding."""
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for b, o, p, q in np.ndindex(*g.shape):
        dx[b, :, p:p + 2, q:q + 2] += g[b, o, p, q] * w[o]
        dw[o] += g[b, o, p, q] * x[b, :, p:p + 2, q:q + 2]
    return dx, dw


def test_the_gradients_of_a_convolution():
    x, w, g = Fixed(X, 0.5, U8, 128), Fixed(W, 0.25, S8, 1), Fixed(G, 2.0, S8, -7)
    dx, dw = gradients_convolved(x.value, w.value, g.value)
    of_x, of_w = conv_input_gradient_fixed(g, w, (4, 4)), conv_weight_gradient_fixed(x, g, (2, 2))
    same_values(of_x, dx)
    same_values(of_w, dw)
    assert (of_x.scale, of_w.scale, of_x.axis, of_w.axis) == (0.5, 1.0, None, None)


def test_the_gradients_of_a_padded_convolution_with_stride():
    """<y, g> = <dx, x> = <dw, w>; of powers of two and small integers, so exact."""
    x, w, geometry = Fixed(X, 0.5, U8, 128), Fixed(W, 0.25, S8, 1), Geometry(stride=2, padding=(1, 0, 0, 1))
    y = conv_fixed(x, w, geometry)
    g = Fixed(RNG.integers(-128, 128, y.shape), 2.0, S8, -7)
    product = (y.value * g.value).sum()
    assert product and product == (conv_input_gradient_fixed(g, w, (4, 4), geometry).value * x.value).sum()
    assert product == (conv_weight_gradient_fixed(x, g, (2, 2), geometry).value * w.value).sum()


def test_the_accumulator_of_the_gradients_is_the_format():
    x, w, g, narrow = Fixed(X, 0.5, U8), Fixed(W, 0.25, S8), Fixed(G, 2.0, S8), Accumulator(12, "saturate_final")
    for product in (conv_input_gradient_fixed(g, w, (4, 4), accumulator=narrow),
                    conv_weight_gradient_fixed(x, g, (2, 2), accumulator=narrow)):
        assert product.format == IntFormat(12) and np.abs(product.codes.astype(int)).max() in (2047, 2048)


@pytest.mark.parametrize("a", [Fixed(A, 0.5, S8, 3), Fixed(A, ROWS, S8, [1, 2, 3], 0), Fixed(A, np.arange(1.0, 6), S8, 0, 1),
                               Fixed(A, 0.5, S8, np.arange(5), 1)])
def test_transposed(a):
    turned = transposed(a)
    assert turned.shape == (5, 3) and turned.format == S8 and (turned.codes == A.T).all()
    assert (turned.value == a.value.T).all()
    assert turned.axis == (None if a.axis is None else 1 - a.axis)


def ends(format, zero_point=0):
    """One code, for its format and zero point."""
    axis = 0 if np.ndim(zero_point) else None
    return Fixed(np.full((np.size(zero_point), 1), format.qmax), 1.0, format, zero_point, axis)


S2, S16, U16, S31, S32 = IntFormat(2), IntFormat(16), IntFormat(16, signed=False), IntFormat(31), IntFormat(32)


@pytest.mark.parametrize("a, b, most", [  # so many products fit 32 bits
    (ends(S8), ends(S8), (2**31 - 1) // 2**14),
    (ends(IntFormat(8, narrow=True)), ends(IntFormat(8, narrow=True)), (2**31 - 1) // 127**2),
    (ends(U8), ends(S8), 2**31 // (255 * 128)),  # the negative end has one more
    (ends(U8, 255), ends(U8), 2**31 // 255**2),
    (ends(S8, -128), ends(S8, [0, 127, -128]), (2**31 - 1) // 255**2),  # one of the zero points is the worst
    (ends(S8, [0, 100]), ends(S8), (2**31 - 1) // (228 * 128)),
    (ends(S16), ends(S16), 1),
    (ends(U16), ends(S16), 1),
    (ends(U16), ends(U16), 0),
])
def test_32_bits_as_long_as_they_do_and_64_else(a, b, most):
    assert exact_accumulator(a, b, most) == Accumulator(32) and exact_accumulator(b, a, most) == Accumulator(32)
    assert exact_accumulator(a, b, most + 1) == Accumulator(64) and exact_accumulator(b, a, most + 1) == Accumulator(64)


def test_64_bits_as_long_as_they_do():
    assert exact_accumulator(ends(S32), ends(S32), 1) == Accumulator(64)
    with pytest.raises(ValueError, match="2 products of s32 and s32 may need 65 bits: expected at most 64"):
        exact_accumulator(ends(S32), ends(S32), 2)


def channels(codes, axis):
    return Fixed(codes, np.full(codes.shape[axis], 0.5), U8 if codes.min() >= 0 else S8, 0, axis)


@pytest.mark.parametrize("call, words", [
    (lambda: matmul_fixed(channels(A, 1), Fixed(B, 1.0, U8)), ["a has a scale for each index along axis 1"]),
    (lambda: matmul_fixed(Fixed(A, 1.0, S8), channels(B, 0)), ["b has a scale for each index along axis 0"]),
    (lambda: matmul_fixed(Fixed(A, 1.0, S8, np.arange(5), 1), Fixed(B, 1.0, U8)),
     ["a has a scale for each index along axis 1"]),
    (lambda: conv_fixed(channels(X, 1), Fixed(W, 1.0, S8)), ["x has a scale for each index along axis 1"]),
    (lambda: conv_fixed(channels(X, 2), Fixed(W, 1.0, S8)), ["x has a scale for each index along axis 2"]),
    (lambda: conv_fixed(Fixed(X, 1.0, U8), channels(W, 1)), ["w has a scale for each index along axis 1"]),
    (lambda: conv_fixed(Fixed(X, 1.0, U8), channels(W, 3)), ["w has a scale for each index along axis 3"]),
    (lambda: conv_input_gradient_fixed(Fixed(G, 1.0, S8), channels(W, 0), (4, 4)),
     ["w has a scale for each index along axis 0"]),
    (lambda: conv_input_gradient_fixed(Fixed(G, 1.0, S8), Fixed(W, 1.0, S8, [0, 1, 2], 0), (4, 4)),
     ["w has a scale for each index along axis 0"]),
    (lambda: conv_input_gradient_fixed(channels(G, 1), Fixed(W, 1.0, S8), (4, 4)),
     ["g has a scale for each index along axis 1"]),
    (lambda: conv_weight_gradient_fixed(channels(X, 2), Fixed(G, 1.0, S8), (2, 2)),
     ["x has a scale for each index along axis 2"]),
    (lambda: conv_weight_gradient_fixed(Fixed(X, 1.0, U8), channels(G, 3), (2, 2)),
     ["g has a scale for each index along axis 3"]),
])
def test_scales_along_the_contraction_are_refused(call, words):
    with pytest.raises(ValueError) as error:
        call()
    words = [*words, "sums over that axis", "cannot be taken out",
             "Quantize per tensor, or per channel along an axis that the product keeps"]
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("call, words", [
    (lambda: matmul_fixed(channels(A, 0), channels(B, 1)),
     ["a is per row and b per column", "at most one of them per channel"]),
    (lambda: conv_fixed(channels(X, 0), Fixed(W, 1.0, S8)), ["x has a scale for each index along axis 0"]),
    (lambda: conv_input_gradient_fixed(channels(G, 0), Fixed(W, 1.0, S8), (4, 4)), ["g has a scale for each index along axis 0"]),
    (lambda: conv_weight_gradient_fixed(channels(X, 0), Fixed(G, 1.0, S8), (2, 2)), ["x has a scale for each index along axis 0"]),
    (lambda: conv_input_gradient_fixed(Fixed(G, 1.0, S8), Fixed(W, 1.0, S8), (5, 4)), ["g has shape (2, 3, 3, 3): expected (2, 3, 4, 3)"]),
    (lambda: conv_weight_gradient_fixed(Fixed(X, 1.0, U8), Fixed(G, 1.0, S8), (3, 2)), ["g has shape (2, 3, 3, 3): expected (2, 3, 2, 3)"]),
    (lambda: matmul_fixed(Fixed(A, 1.0, S8), Fixed(A, 1.0, S8)), ["a has shape (3, 5) and b has shape (3, 5)"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)
