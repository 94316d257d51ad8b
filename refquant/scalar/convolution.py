"""One element of a 2-d convolution of codes, and of its three gradients, by the definition.

x [B, C, H, W], w [O, C/groups, KH, KW], y and g [B, O, OH, OW], bias [O], as nested lists;
stride (sh, sw), padding (top, bottom, left, right), dilation (dh, dw); group of output o: o // (O / groups).
Tap (i, j) of output place (p, q) reads input place (h, v) = (p sh + i dh - top, q sw + j dw - left):

y[b,o,p,q]  = bias[o] + sum over (c, i, j) of (x[b,c,h,v] - zx) * (w[o,c,i,j] - zw),  c in the group of o
dx[b,c,h,v] = sum over (o, i, j) of (g[b,o,p,q] - zg) * (w[o,c,i,j] - zw),  o in the group of c
dw[o,c,i,j] = sum over (b, p, q) of (x[b,c,h,v] - zx) * (g[b,o,p,q] - zg)
db[o]       = sum over (b, p, q) of (g[b,o,p,q] - zg)
OH          = (H + top + bottom - dh (KH - 1) - 1) // sh + 1, OW alike

The channel index of w counts within the group. Padding holds the code zx: its products are 0 and are left out, as are
places that no output reads. Every sum runs upwards, the last index fastest, and returns (acc, overflowed).
"""
from .product import dot, total
from .steps import silent

__all__ = ["conv_db", "conv_dw", "conv_dx", "conv_forward", "output_size"]


def conv_forward(x, w, index, *, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, zero_point_x=0,
                 zero_point_w=0, bias=None, bits=32, overflow="wrap", note=silent):
    """(y[index], overflowed), one element: an int and whether it overflowed.

    x, w : nested lists of codes [B, C, H, W] and [O, C/groups, KH, KW].
    index : (b, o, p, q).
    stride, padding, dilation, groups : as above, padding (top, bottom, left, right).
    zero_point_x, zero_point_w : one int each.
    bias : one row of O ints in the accumulator's unit, or None.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises IndexError if y has no such place; ValueError if channels and groups disagree, and as `accumulate`;
    OverflowError as `accumulate`.

    Source: ONNX ConvInteger, with a bias and an accumulator of any width.
    """
    b, o, p, q = index
    image, kernel = x[b], w[o]
    first = _group(o, len(w), groups) * len(kernel)
    _require_channels(len(image), len(kernel), groups)
    down = _taps(p, len(image[0]), len(kernel[0]), stride[0], padding[:2], dilation[0])
    across = _taps(q, len(image[0][0]), len(kernel[0][0]), stride[1], padding[2:], dilation[1])
    channels = range(len(kernel))
    codes = [image[first + c][h][v] for c in channels for _, h in down for _, v in across]
    weights = [kernel[c][i][j] for c in channels for i, _ in down for j, _ in across]
    initial = 0 if bias is None else bias[o]
    return dot(codes, weights, zero_point_x, zero_point_w, initial, bits, overflow, note=note)


def conv_dx(g, w, index, *, height, width, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1,
            zero_point_g=0, zero_point_w=0, bits=32, overflow="wrap", note=silent):
    """(dx[index], overflowed), one element of the gradient of x: an int and whether it overflowed.

    g, w : nested lists of codes [B, O, OH, OW] and [O, C/groups, KH, KW].
    index : (b, c, h, v), a place of x: one outside is not refused.
    height, width : H and W of x.
    stride, padding, dilation, groups : as above.
    zero_point_g, zero_point_w : one int each.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError if g has not the size of y or the groups do not divide O, and as `accumulate`; OverflowError as
    `accumulate`.

    Source: Banner 2018, eq. 5-7: the derivative of `conv_forward` by x.
    """
    b, c, h, v = index
    image = g[b]
    _require_size(len(image[0]), height, len(w[0][0]), stride[0], padding[:2], dilation[0])
    _require_size(len(image[0][0]), width, len(w[0][0][0]), stride[1], padding[2:], dilation[1])
    down = _readers(h, len(image[0]), len(w[0][0]), stride[0], padding[0], dilation[0])
    across = _readers(v, len(image[0][0]), len(w[0][0][0]), stride[1], padding[2], dilation[1])
    group, c = divmod(c, len(w[0]))
    outputs = [o for o in range(len(w)) if _group(o, len(w), groups) == group]
    gradients = [image[o][p][q] for o in outputs for _, p in down for _, q in across]
    weights = [w[o][c][i][j] for o in outputs for i, _ in down for j, _ in across]
    return dot(gradients, weights, zero_point_g, zero_point_w, 0, bits, overflow, note=note)


def conv_dw(x, g, index, *, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1, zero_point_x=0,
            zero_point_g=0, bits=32, overflow="wrap", note=silent):
    """(dw[index], overflowed), one element of the gradient of w: an int and whether it overflowed.

    x, g : nested lists of codes [B, C, H, W] and [B, O, OH, OW].
    index : (o, c, i, j), c within the group of o; the kernel's size is not asked for, so no (i, j) is refused.
    stride, padding, dilation, groups : as above.
    zero_point_x, zero_point_g : one int each.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError if the groups do not divide O, or x and g differ in B, and as `accumulate`; OverflowError as
    `accumulate`.

    Source: Banner 2018, eq. 5-7: the derivative of `conv_forward` by w.
    """
    o, c, i, j = index
    channel = _group(o, len(g[0]), groups) * (len(x[0]) // groups) + c
    down = _places(i, len(x[0][0]), len(g[0][0]), stride[0], padding[0], dilation[0])
    across = _places(j, len(x[0][0][0]), len(g[0][0][0]), stride[1], padding[2], dilation[1])
    codes = [image[channel][h][v] for image in x for _, h in down for _, v in across]
    gradients = [image[o][p][q] for image in g for p, _ in down for q, _ in across]
    return dot(codes, gradients, zero_point_x, zero_point_g, 0, bits, overflow, note=note)


def conv_db(g, o, *, zero_point_g=0, bits=32, overflow="wrap", note=silent):
    """(db[o], overflowed), one element of the gradient of the bias: an int and whether it overflowed.

    g : a nested list of codes [B, O, OH, OW].
    o : which element.
    zero_point_g : one int.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError and OverflowError as `accumulate`; IndexError outside [O].

    Source: the derivative of `conv_forward` by its bias.
    """
    return total([code for image in g for row in image[o] for code in row], zero_point_g, bits, overflow, note=note)


def output_size(size, kernel, padding, stride, dilation, *, note=silent):
    """OH, one int, of H = ``size`` and KH = ``kernel``.

    size, kernel, stride, dilation : one int each.
    padding : (before, after).
    note : told each step as a line of text.

    Raises ZeroDivisionError for a stride of 0; other sizes that give no place are not refused.

    Source: ONNX Conv.
    """
    places = (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1
    note(f"{size} places padded by {padding}, {kernel} taps: {places} output places")
    return places


# On one axis, the pairs that place = output * stride + tap * dilation - before allows, for one of the three given.

def _taps(output, size, kernel, stride, padding, dilation):
    """(tap, place) of one output."""
    outputs = output_size(size, kernel, padding, stride, dilation)
    if not 0 <= output < outputs:
        raise IndexError(f"output place {output} outside 0 ... {outputs - 1}")
    first = output * stride - padding[0]
    return [(tap, first + tap * dilation) for tap in range(kernel) if 0 <= first + tap * dilation < size]


def _readers(place, outputs, kernel, stride, before, dilation):
    """(tap, output) of one input place."""
    quotients = [(tap, *divmod(place + before - tap * dilation, stride)) for tap in range(kernel)]
    return [(tap, output) for tap, output, rest in quotients if rest == 0 and 0 <= output < outputs]


def _places(tap, size, outputs, stride, before, dilation):
    """(output, place) of one tap."""
    first = tap * dilation - before
    return [(output, first + output * stride) for output in range(outputs) if 0 <= first + output * stride < size]


def _group(output, outputs, groups):
    if outputs % groups:
        raise ValueError(f"{outputs} outputs do not divide into {groups} groups")
    return output // (outputs // groups)


def _require_channels(channels, per_group, groups):
    if channels != per_group * groups:
        raise ValueError(f"{channels} channels are not {groups} groups of {per_group}")


def _require_size(outputs, size, kernel, stride, padding, dilation):
    expected = output_size(size, kernel, padding, stride, dilation)
    if outputs != expected:
        raise ValueError(f"{outputs} output places, but {size} input places give {expected}")
