"""The three layers and the three products of each, on codes less their zero points.

conv1   [B,1,8,8] -> [B,4,8,8]   3x3, stride 1, padding 1
conv2   [B,4,8,8] -> [B,8,4,4]   3x3, stride 2, padding 1
linear  [B,8,4,4], taken as [B,128] -> [B,10]                    weight [10,128]

acc = x w  in 32 bits,  scale x scale * w scale
dw  = x g  in 48 bits,  scale x scale * g scale
dx  = g w  in 32 bits,  scale g scale * w scale, in the shape of x
"""
from ..convolution import conv_dw, conv_dx, conv_forward
from ..product import gemm_dw, gemm_dx, gemm_forward
from .nested import flat, position, shape_of

LAYERS = ("conv1", "conv2", "linear")
OUTPUTS = {"conv1": (4, 8, 8), "conv2": (8, 4, 4), "linear": (10,)}
GEOMETRY = {"conv1": {"stride": (1, 1), "padding": (1, 1, 1, 1)}, "conv2": {"stride": (2, 2), "padding": (1, 1, 1, 1)}}
ACC_BITS, DW_BITS, DX_BITS = 32, 48, 32


def forward(step, layer, x, w):
    """Record and return the accumulators of the layer, `<layer>_acc`."""
    points = x.zero_point, w.zero_point
    if layer in GEOMETRY:
        def acc(index, note):
            return conv_forward(x.numbers, w.numbers, index, **GEOMETRY[layer], zero_point_x=points[0],
                                zero_point_w=points[1], bits=ACC_BITS, note=note)[0]
    else:
        rows, columns = _rows(x), _transposed(w.numbers)

        def acc(index, note):
            return gemm_forward(rows, columns, *index, zero_point_a=points[0], zero_point_b=points[1], bits=ACC_BITS,
                                note=note)[0]
    return step.quantity(f"{layer}_acc", (len(x.numbers), *OUTPUTS[layer]), acc, x.scale * w.scale)


def weight_gradient(step, layer, x, g, w):
    """Record and return `<layer>_dw`; w is asked for its shape only."""
    points = {"zero_point_x": x.zero_point, "zero_point_g": g.zero_point, "bits": DW_BITS}
    if layer in GEOMETRY:
        def dw(index, note):
            return conv_dw(x.numbers, g.numbers, index, **GEOMETRY[layer], **points, note=note)[0]
    else:
        rows = _rows(x)

        def dw(index, note):
            output, number = index
            return gemm_dw(rows, g.numbers, number, output, **points, note=note)[0]
    return step.quantity(f"{layer}_dw", shape_of(w.numbers), dw, x.scale * g.scale)


def input_gradient(step, layer, x, g, w):
    """Record and return `<layer>_dx`; x is asked for its shape only."""
    points = {"zero_point_g": g.zero_point, "zero_point_w": w.zero_point, "bits": DX_BITS}
    shape = shape_of(x.numbers)
    if layer in GEOMETRY:
        def dx(index, note):
            return conv_dx(g.numbers, w.numbers, index, height=shape[2], width=shape[3], **GEOMETRY[layer], **points,
                           note=note)[0]
    else:
        columns = _transposed(w.numbers)

        def dx(index, note):
            return gemm_dx(g.numbers, columns, index[0], position(index[1:], shape[1:]), **points, note=note)[0]
    return step.quantity(f"{layer}_dx", shape, dx, g.scale * w.scale)


def _rows(x):
    return [flat(image) for image in x.numbers]


def _transposed(matrix):
    return [list(column) for column in zip(*matrix, strict=True)]
