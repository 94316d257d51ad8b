"""Element by element, with broadcasting (its gradient is summed back in a fixed order); and changes of shape."""
from __future__ import annotations

import math

import numpy as np

from refquant.autodiff.engine import Op
from refquant.autodiff.values import reals
from refquant.reals import total, unbroadcast
from refquant.reals.large import large


@Op
def add(x, y):
    """``x + y``, any shapes that broadcast; backward: its derivative.

    Raises ValueError for shapes that do not, TypeError for a Fixed.

    Source: IEEE 754 float64; NumPy's broadcasting."""
    return x + y


@add.def_backward
def add_backward(g, out, x, y):
    return unbroadcast(g, x.shape), unbroadcast(g, y.shape)


@Op
def subtract(x, y):
    """``x - y``, any shapes that broadcast; backward: its derivative.

    Raises what `add` does.

    Source: as for `add`."""
    return x - y


@subtract.def_backward
def subtract_backward(g, out, x, y):
    return unbroadcast(g, x.shape), -unbroadcast(g, y.shape)


@Op
def multiply(x, y):
    """``x * y``, any shapes that broadcast; backward: its derivative.

    Raises what `add` does.

    Source: as for `add`."""
    return x * y


@multiply.def_backward
def multiply_backward(g, out, x, y):
    return unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)


@Op
def divide(x, y):
    """``x / y``, any shapes that broadcast, IEEE 754's inf or NaN where y is 0; backward: its derivative.

    Raises what `add` does.

    Source: as for `add`."""
    return x / y


@divide.def_backward
def divide_backward(g, out, x, y):
    return unbroadcast(g / y, x.shape), unbroadcast(-g * out / y, y.shape)


@Op
def relu(x):
    """``x``, any shape, where it is positive, else 0 (NaN stays); backward: its derivative, at 0 (and NaN) taken as 0.

    Raises TypeError for a Fixed.

    Source: ONNX Relu; at 0 as torch."""
    if large(x):
        from refquant.autodiff import relu_kernels  # imports Numba

        return relu_kernels.relu(x)
    return np.where(x <= 0, 0.0, x)  # so that NaN stays


@relu.def_backward
def relu_backward(g, out, x):
    if large(x):
        from refquant.autodiff import relu_kernels  # imports Numba

        return relu_kernels.relu_backward(g, x),
    return np.where(x > 0, g, 0.0),


@Op
def relu6(x):
    """``x``, any shape, limited to [0, 6] (NaN stays); backward: its derivative, at 0 and at 6 (and NaN) taken as 0.

    Raises TypeError for a Fixed.

    Source: torch's ReLU6, at its ends too."""
    return np.where(x <= 0, 0.0, np.where(x >= 6, 6.0, x))


@relu6.def_backward
def relu6_backward(g, out, x):
    return np.where((x > 0) & (x < 6), g, 0.0),


@Op
def prelu(x, slope):
    """``x`` [B, C, ...] where it is positive, else ``slope * x``, slope [C] or one number; backward: its derivative,
    that of ``slope * x`` at 0.

    Raises ValueError for a slope of another shape, TypeError for a Fixed.

    Source: He 2015, PReLU; at 0 as torch."""
    return np.where(x > 0, x, _per_channel(slope, x) * x)


@prelu.def_backward
def prelu_backward(g, out, x, slope):
    per_channel = _per_channel(slope, x)
    below = np.where(x > 0, 0.0, g * x)
    return np.where(x > 0, g, g * per_channel), unbroadcast(below, per_channel.shape).reshape(slope.shape)


@Op
def per_channel(v, x):
    """``v`` [C], or one number, shaped to broadcast against ``x`` [B, C, ...]; backward: v's derivative (x has none).

    Raises ValueError for a v of another shape, TypeError for a Fixed.

    Source: refquant's own: NumPy would broadcast along the last axis."""
    return _per_channel(v, x)


@per_channel.def_backward
def per_channel_backward(g, out, v, x):
    return g.reshape(v.shape), None


@Op
def reshape(x, *, shape):
    """``x``, any shape, in another ``shape``, in C order; one size may be -1; backward: its derivative.

    Raises ValueError for a shape of another size, TypeError for a Fixed.

    Source: NumPy's reshape."""
    return x.reshape(shape)


@reshape.def_backward
def reshape_backward(g, out, x, *, shape):
    return g.reshape(x.shape),


@Op
def flatten(x):
    """``x`` [B, ...] as [B, -1]; backward: its derivative.

    Raises TypeError for one number, or a Fixed.

    Source: ONNX Flatten, axis 1."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


@flatten.def_backward
def flatten_backward(g, out, x):
    return g.reshape(x.shape),


@Op
def pixel_shuffle(x, *, factor):
    """``x`` [B, C r^2, H, W] as [B, C, H r, W r], r = ``factor``: channel c r^2 + i r + j goes to place (i, j) of a
    block; backward: its derivative.

    Raises ValueError for channels that are no multiple of r^2, TypeError for a Fixed.

    Source: Shi 2016; ONNX DepthToSpace, mode CRD."""
    b, c, h, w = x.shape
    if c % factor**2:
        raise ValueError(f"x has {c} channels: expected a multiple of factor^2 = {factor**2}")
    blocks = x.reshape(b, c // factor**2, factor, factor, h, w)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(b, c // factor**2, h * factor, w * factor)


@pixel_shuffle.def_backward
def pixel_shuffle_backward(g, out, x, *, factor):
    b, c, h, w = x.shape
    blocks = g.reshape(b, c // factor**2, h, factor, w, factor)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(x.shape),


@Op
def sum_all(x):
    """The sum of all elements of ``x`` (any shape), one number, in the order of `total`; backward: its derivative.

    Raises TypeError for a Fixed.

    Source: refquant's own order (`refquant.reals.total`)."""
    return total(x)


@sum_all.def_backward
def sum_all_backward(g, out, x):
    return np.full(x.shape, float(g)),


@Op.taking_fixed
def dequantize(x):
    """The reals that ``x``, a Fixed or a sum of them (any shape), stands for; backward: the derivative by these reals.

    Raises nothing of its own.

    Source: ONNX DequantizeLinear, in float64."""
    return reals(x)


@dequantize.def_backward
def dequantize_backward(g, out, x):
    return g,


@Op
def quantize_gradient(x, *, quantizer):
    """``x``, any shape, itself; backward: the derivative of that, in the values that ``quantizer`` gives it.

    quantizer : a function of the gradient, of x's shape, that returns a Fixed (or an array).

    Raises TypeError for a Fixed.

    Source: Banner 2018 and Kim 2024, the authors' code: the gradient is quantized at a layer's output."""
    return x


@quantize_gradient.def_backward
def quantize_gradient_backward(g, out, x, *, quantizer):
    return reals(quantizer(g)),


def _per_channel(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    if v.ndim == 0:
        return v
    if x.ndim < 2 or v.shape not in ((1,), x.shape[1:2]):
        raise ValueError(f"one value a channel has shape {v.shape} and x {x.shape}: expected [C] and [B, C, ...]")
    return v.reshape(1, -1, *(1,) * (x.ndim - 2))
