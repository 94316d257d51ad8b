"""Compiled convolutions, as products of windows and as shifted sums, equal the gathered ones, bit for bit."""
import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.gemm import Geometry, conv, conv_input_gradient, conv_weight_gradient, convolution
from refquant.integers import Accumulator

fast = pytest.importorskip("refquant.gemm.fast")
pytestmark = pytest.mark.skipif(fast.kernels.NOT_COMPILED, reason="nothing is compiled")
WAYS = {"direct": fast.direct, "windowed": fast.windowed}
ways = pytest.mark.parametrize("way", WAYS)
WIDE = Accumulator(64)


def drawn(shape, dtype, seed=0):
    """All bytes, or int16 so small that their products' sums fit 32 bits."""
    low, high = (-1500, 1500) if dtype == np.int16 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.random.default_rng((seed, *shape)).integers(low, high, shape, dtype, endpoint=True)


def calls(shape, outputs, kernel, geometry, dtypes=(np.int8,) * 3, zeros=(3, -2, 5), bias=None, accumulator=WIDE):
    """The convolution of images of this shape, and its two gradients."""
    size = geometry.output_size(*shape[2:], kernel)
    shapes = shape, (outputs, shape[1] // geometry.groups, *kernel), (shape[0], outputs, *size)
    x, w, g = (drawn(*both) for both in zip(shapes, dtypes, strict=True))
    zx, zw, zg = zeros
    how = {"accumulator": accumulator}
    return [lambda: conv(x, w, geometry, x_zero_point=zx, w_zero_point=zw, bias=bias, **how),
            lambda: conv_input_gradient(g, w, shape[2:], geometry, g_zero_point=zg, w_zero_point=zw, **how),
            lambda: conv_weight_gradient(x, g, kernel, geometry, x_zero_point=zx, g_zero_point=zg, **how)]


def check(three, way=None, taken=True):
    """Whatever is computed the fast way, or this one way, equals what is computed by gathering."""
    for call in three:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(convolution, "_fast", lambda multiplications: None)
            expected = call()
        got, was_fast = fastly(call, way)
        assert was_fast == taken
        for ours, theirs in zip(got, expected, strict=True):
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.flags.c_contiguous
            assert (ours == theirs).all()


def fastly(call, way):
    """What ``call`` answers when nothing is too small to be compiled, and whether compiled kernels gave it."""
    answers, proved = [], fast._proved

    def watched(*how):
        answers.append(proved(*how))
        return answers[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "FEWEST", 0)
        patch.setattr(fast, "_proved", watched)
        if way:
            patch.setattr(fast, "_way", lambda few, outputs: WAYS[way])
        got = call()
    return got, answers[0] is not None


@ways
def test_every_small_geometry(way):
    sizes = ((1, 1), (5, 6))
    for kernel, stride, pad, dilation, size in itertools.product((1, 3), (1, 2, 3), (0, 2), (1, 2), sizes):
        if min(size) + pad > dilation * (kernel - 1):
            check(calls((2, 2, *size), 3, (kernel, kernel), Geometry(stride, (pad, 0, 0, pad), dilation)), way)


@ways
@pytest.mark.parametrize("shape, outputs, kernel, geometry", [
    ((2, 4, 6, 7), 4, (2, 3), Geometry((2, 1), (1, 0, 2, 1), (2, 1), 2)),
    ((3, 2, 3, 4), 2, (3, 4), Geometry()),
    ((1, 2, 7, 7), 2, (1, 2), Geometry(stride=(3, 4))),
    ((2, 3, 5, 40), 3, (3, 3), Geometry(padding=1, groups=3)),
    ((2, 3, 9, 17), 6, (3, 5), Geometry(padding=2, groups=3, stride=2)),
    ((1, 2, 2, 2), 2, (2, 2), Geometry(padding=20)),
    ((1, 2, 2, 2), 2, (5, 5), Geometry(padding=2)),
    ((2, 20, 9, 9), 18, (1, 1), Geometry()),
    ((1, 20, 9, 9), 18, (1, 1), Geometry(stride=2)),
    ((1, 2, 40, 35), 9, (3, 3), Geometry(padding=1)),
    ((1, 2, 14, 20), 2, (3, 3), Geometry((2, 1), 1)),
    ((1, 2, 40, 70), 9, (3, 3), Geometry(padding=1, stride=2)),
])
def test_channels_images_and_rows_of_many_lengths(shape, outputs, kernel, geometry, way):
    check(calls(shape, outputs, kernel, geometry), way)


@ways
@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 10), st.integers(1, 3), st.tuples(*[st.integers(1, 4)] * 2),
       st.tuples(*[st.integers(1, 4)] * 2), st.tuples(*[st.integers(0, 4)] * 4), st.tuples(*[st.integers(1, 3)] * 2),
       st.tuples(st.integers(1, 12), st.integers(1, 36)), st.tuples(*[st.sampled_from((np.int8, np.uint8, np.int16))] * 3),
       st.tuples(*[st.integers(-200, 300)] * 3))
def test_anything(way, batch, inputs, outputs, groups, kernel, stride, padding, dilation, size, dtypes, zeros):
    geometry = Geometry(stride, padding, dilation, groups)
    reach = [n + a + b - d * (k - 1) for n, a, b, d, k in zip(size, padding[::2], padding[1::2], dilation, kernel, strict=True)]
    if min(reach) > 0:
        check(calls((batch, inputs * groups, *size), outputs * groups, kernel, geometry, dtypes, zeros), way)


@ways
@pytest.mark.parametrize("accumulator", [Accumulator(14), Accumulator(32), Accumulator(14, "saturate_final"),
                                         Accumulator(31, "saturate_running"), Accumulator(31, "error")], ids=str)
def test_accumulators_and_bias(accumulator, way):
    bias = np.array([2**20, -2**20, 7, 0])
    check(calls((2, 4, 5, 6), 4, (3, 3), Geometry(padding=1, groups=2), bias=bias, accumulator=accumulator), way)


@ways
@pytest.mark.parametrize("dtypes", list(itertools.product((np.int8, np.uint8), repeat=3)), ids=str)
def test_both_signs(dtypes, way):
    for zeros in ((0, 0, 0), (3, 100, 5), (-128, -3, -77), (255, 128, 200)):
        check(calls((2, 3, 6, 6), 5, (3, 3), Geometry(padding=1, stride=2), dtypes, zeros), way)


@ways
def test_a_zero_point_an_output_channel(way):
    zeros = 7, np.array([3, -4, 100, -128]), 0
    check(calls((2, 4, 6, 6), 4, (3, 3), Geometry(padding=1, groups=2), zeros=zeros), way)


@ways
def test_images_in_many_chunks(way, monkeypatch):
    monkeypatch.setattr(fast.windowed, "CHUNK", 1 << 12)
    monkeypatch.setattr(fast.windowed, "STRIP", 1 << 11)
    monkeypatch.setattr(fast.direct, "CHUNK", 1 << 8)
    monkeypatch.setattr(fast, "CODES", 1 << 11)
    check(calls((5, 4, 7, 9), 6, (3, 3), Geometry(padding=1, groups=2)), way)
    check(calls((5, 2, 14, 19), 3, (3, 3), Geometry(padding=1, stride=2)), way)


@ways
def test_a_long_contraction_is_cut_into_parts_that_fit_32_bits(way):
    """131072 products of -128 * -128 reach 2^31."""
    x, g = np.full((9, 1, 128, 128), -128, np.int8), np.full((9, 2, 128, 128), -128, np.int8)
    check([lambda: conv_weight_gradient(x, g, (1, 1), accumulator=WIDE)], way)
    assert (conv_weight_gradient(x, g, (1, 1), accumulator=WIDE)[0] == 9 << 28).all()


@ways
@pytest.mark.parametrize("zero_points", [(0, 0, 0), (30000, 30000, 30000), (-32768, -300, 65535)])
def test_wide_operands_are_multiplied_by_planes(zero_points, way):
    """Up to 17 bits, so that every part of an operand has bits of its own; the sums go beyond 32 bits, with a bias."""
    for dtypes in ((np.int16,) * 3, (np.uint8, np.int8, np.uint16)):
        check(calls((2, 9, 6, 5), 9, (3, 3), Geometry(padding=1), dtypes, zero_points, bias=np.arange(9) << 27), way)


def test_what_depends_on_the_order_is_gathered():
    check(calls((1, 1, 3, 3), 1, (3, 3), Geometry(), accumulator=Accumulator(14, "saturate_running"))[:1], taken=False)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
@ways
def test_one_and_two_threads_agree(way, monkeypatch):
    monkeypatch.setattr(fast, "threads_for", lambda multiplications: 2)
    for images, groups in ((1, 1), (3, 1), (2, 4)):
        check(calls((images, 8, 9, 20), 8, (3, 3), Geometry(padding=1, groups=groups)), way)


@pytest.mark.parametrize("inputs, outputs, size", [(4, fast.FEW, 6), (4, fast.FEW + 1, 6), (4, 4, 5), (1, 20, 6)])
def test_few_channels_are_added_directly(inputs, outputs, size, monkeypatch):
    """Unless there are so few places that a run of them is short."""
    taken, way = [], fast._way
    monkeypatch.setattr(fast, "_way", lambda *how: taken.append(way(*how)) or taken[-1])
    check(calls((1, inputs, size, size), outputs, (3, 3), Geometry(padding=1)))
    few = outputs <= fast.FEW, inputs <= fast.FEW, outputs <= fast.FEW_OF_GRADIENT or inputs == 1
    assert taken == [fast.direct if one and size == 6 else fast.windowed for one in few]
