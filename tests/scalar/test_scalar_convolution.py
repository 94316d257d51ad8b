"""Convolutions: by hand, against a padded copy, and gradients as exact differences of the forward pass."""
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.scalar.accumulate import accumulate
from refquant.scalar.convolution import conv_db, conv_dw, conv_dx, conv_forward, output_size


def tensor(draw, shape):
    if not shape:
        return draw(st.integers(-40, 40))
    return [tensor(draw, shape[1:]) for _ in range(shape[0])]


def places(shape):
    return itertools.product(*map(range, shape))


def bumped(nested, index):
    """A copy with one more at `index`."""
    if not index:
        return nested + 1
    return [bumped(v, index[1:]) if k == index[0] else v for k, v in enumerate(nested)]


@st.composite
def problems(draw):
    """x, w, g, their shapes and the geometry, small, with at least one output place."""
    small = st.integers(1, 2)
    groups, batch, kh, kw = draw(small), draw(small), draw(st.integers(1, 3)), draw(small)
    per_group, outputs = draw(small), groups * draw(small)
    stride, dilation = (draw(small), draw(st.integers(1, 3))), (draw(small), draw(small))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    height = max(height, dilation[0] * (kh - 1) + 1 - padding[0] - padding[1])
    width = max(width, dilation[1] * (kw - 1) + 1 - padding[2] - padding[3])
    oh = len(range(0, height + padding[0] + padding[1] - dilation[0] * (kh - 1), stride[0]))
    ow = len(range(0, width + padding[2] + padding[3] - dilation[1] * (kw - 1), stride[1]))
    shapes = ((batch, groups * per_group, height, width), (outputs, per_group, kh, kw), (batch, outputs, oh, ow))
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return [tensor(draw, shape) for shape in shapes], shapes, geometry


def padded_convolution(x, w, index, geometry, zx, zw):
    """The definition on an image really padded with the code zx, window by window."""
    b, o, p, q = index
    (sh, sw), (dh, dw), (top, bottom, left, right) = geometry["stride"], geometry["dilation"], geometry["padding"]
    width = len(x[b][0][0]) + left + right
    padded = [[[zx] * width] * top + [[zx] * left + row + [zx] * right for row in channel] + [[zx] * width] * bottom
              for channel in x[b]]
    share = len(x[b]) // geometry["groups"]
    group = o * geometry["groups"] // len(w)
    total = 0
    for channel, kernel in zip(padded[group * share:(group + 1) * share], w[o], strict=True):
        for row, weights in zip(channel[p * sh::dh], kernel, strict=False):
            total += sum((code - zx) * (weight - zw)
                         for code, weight in zip(row[q * sw::dw], weights, strict=False))
    return total


@given(problems(), st.integers(-5, 5), st.integers(-5, 5))
def test_forward_on_a_padded_image(problem, zx, zw):
    (x, w, _), (_, _, out), geometry = problem
    bias = [100 * o for o in range(len(w))]
    for index in places(out):
        expected = padded_convolution(x, w, index, geometry, zx, zw) + bias[index[1]]
        assert conv_forward(x, w, index, zero_point_x=zx, zero_point_w=zw, bias=bias, **geometry) == (expected, False)


@settings(max_examples=30, deadline=None)
@given(problems(), *[st.integers(-5, 5)] * 3)
def test_gradients_are_differences_of_the_loss(problem, zx, zw, zg):
    """y is linear in x and in w: adding one to an entry adds its gradient to the sum of (g - zg) * y, exactly."""
    (x, w, g), (of_x, of_w, of_g), geometry = problem

    def loss(x, w):
        return sum((g[b][o][p][q] - zg) * padded_convolution(x, w, (b, o, p, q), geometry, zx, zw)
                   for b, o, p, q in places(of_g))

    base = loss(x, w)
    for index in places(of_x):
        got = conv_dx(g, w, index, height=of_x[2], width=of_x[3], zero_point_g=zg, zero_point_w=zw, **geometry)
        assert got == (loss(bumped(x, index), w) - base, False)
    for index in places(of_w):
        got = conv_dw(x, g, index, zero_point_x=zx, zero_point_g=zg, **geometry)
        assert got == (loss(x, bumped(w, index)) - base, False)
    for o in range(of_g[1]):
        expected = sum(g[b][o][p][q] - zg for b, _, p, q in places((of_g[0], 1, *of_g[2:])))
        assert conv_db(g, o, zero_point_g=zg) == (expected, False)


def test_by_hand():
    x, w = [[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], [[[[1, 10], [100, 1000]]]]
    assert conv_forward(x, w, (0, 0, 1, 1)) == (5 + 60 + 800 + 9000, False)
    corner = {"stride": (2, 2), "padding": (1, 0, 1, 0)}
    assert conv_forward(x, w, (0, 0, 0, 0), **corner) == (1000, False)
    assert conv_forward(x, w, (0, 0, 0, 0), dilation=(2, 2)) == (1 + 30 + 700 + 9000, False)
    assert conv_dx([[[[1, 2], [3, 4]]]], w, (0, 0, 1, 1), height=3, width=3) == (1000 + 200 + 30 + 4, False)
    assert conv_dw(x, [[[[1, 2], [3, 4]]]], (0, 0, 1, 0)) == (4 + 2 * 5 + 3 * 7 + 4 * 8, False)


def test_output_size():
    assert output_size(224, 7, (3, 3), 2, 1) == 112
    assert output_size(5, 3, (0, 0), 1, 2) == 1
    assert output_size(5, 2, (1, 0), 3, 1) == 2


@settings(max_examples=60, deadline=None)
@given(problems())
def test_order_of_the_sums(problem):
    """In a saturating accumulator the order shows: the sums of the definition, nested loops over every index."""
    (x, w, g), (of_x, of_w, of_g), geometry = problem
    (sh, sw), (dh, dw), (top, _, left, _) = geometry["stride"], geometry["dilation"], geometry["padding"]
    (_, _, height, width), (outputs, per_group, kh, kw), (batch, _, oh, ow) = of_x, of_w, of_g
    share, how = outputs // geometry["groups"], {"bits": 8, "overflow": "saturate_running", **geometry}

    def read(p, q, i, j):
        return p * sh + i * dh - top, q * sw + j * dw - left

    def running(products):
        return accumulate(products, 0, 8, "saturate_running")

    for b, o, p, q in places(of_g):
        taps = [(c, i, j, *read(p, q, i, j)) for c, i, j in places((per_group, kh, kw))]
        assert conv_forward(x, w, (b, o, p, q), **how) == running(
            [x[b][o // share * per_group + c][h][v] * w[o][c][i][j] for c, i, j, h, v in taps
             if h in range(height) and v in range(width)])
    for b, c, h, v in places(of_x):
        assert conv_dx(g, w, (b, c, h, v), height=height, width=width, **how) == running(
            [g[b][o][p][q] * w[o][c % per_group][i][j] for o, i, j, p, q in places((outputs, kh, kw, oh, ow))
             if o // share == c // per_group and read(p, q, i, j) == (h, v)])
    for o, c, i, j in places(of_w):
        reads = [(b, p, q, *read(p, q, i, j)) for b, p, q in places((batch, oh, ow))]
        assert conv_dw(x, g, (o, c, i, j), **how) == running(
            [x[b][o // share * per_group + c][h][v] * g[b][o][p][q] for b, p, q, h, v in reads
             if h in range(height) and v in range(width)])
    for o in range(outputs):
        assert conv_db(g, o, bits=8, overflow="saturate_running") == running(
            [g[b][o][p][q] for b, p, q in places((batch, oh, ow))])


def test_the_bias_comes_first():
    """100 + 100 - 100 saturates on the way."""
    how = {"bits": 8, "overflow": "saturate_running"}
    assert conv_forward([[[[100, -100]]]], [[[[1, 1]]]], (0, 0, 0, 0), bias=[100], **how) == (27, True)


def test_dx_sums_outputs_then_rows_then_columns():
    """100 + 100 - 100 + 0 saturates on the way, 100 - 100 + 100 + 0 does not."""
    how = {"bits": 8, "overflow": "saturate_running"}
    ones = [[[[1, 1], [1, 1]]] * 2]
    two_outputs = [[[[100], [100]]], [[[-100], [0]]]]
    assert conv_dx(ones, two_outputs, (0, 0, 1, 0), height=3, width=2, **how) == (27, True)
    assert conv_dx(ones, [[[[100, 100], [-100, 0]]]], (0, 0, 1, 1), height=3, width=3, **how) == (27, True)
    assert conv_dx(ones, [[[[100, -100], [100, 0]]]], (0, 0, 1, 1), height=3, width=3, **how) == (100, False)


def test_db_sums_row_by_row():
    """100 + 100 - 100 saturates on the way, -100 + 100 + 100 at the end; along columns, rows and images."""
    how = {"bits": 8, "overflow": "saturate_running"}
    assert conv_db([[[[100, 100], [-100, 0]]]], 0, **how) == (27, True)
    assert conv_db([[[[100, -100], [100, 0]]]], 0, **how) == (100, False)
    assert conv_db([[[[v]]] for v in (100, 100, -100)], 0, **how) == (27, True)


def test_errors():
    x, w = [[[[1, 2], [3, 4]]]], [[[[1]]]]
    for index in ((0, 0, 2, 0), (0, 0, 0, -1)):
        with pytest.raises(IndexError):
            conv_forward(x, w, index)
    with pytest.raises(ValueError):
        conv_forward(x, w * 3, (0, 0, 0, 0), groups=2)
    with pytest.raises(ValueError):
        conv_forward(x, w * 2, (0, 0, 0, 0), groups=2)
    with pytest.raises(ValueError):
        conv_dx(x, w, (0, 0, 0, 0), height=3, width=2)
