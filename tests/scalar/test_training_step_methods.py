"""The rules of each method in a training step, against numbers worked out by hand."""
import random
from fractions import Fraction

import pytest

from refquant.scalar.training_step import banner, hindsight, int4, n2uq, sat
from refquant.scalar.training_step.nested import filled, flat, position
from refquant.scalar.training_step.record import Quantity, Step

ONE = 4096  # of weights and learned numbers


def step_of(state=(), rbits=(), constants=()):
    return Step({"rate": ONE, "learned_rate": ONE}, dict(constants), dict(state), dict(rbits))


def near(pair, fraction):
    return abs(Fraction(pair[0], 2**pair[1]) / fraction - 1) <= Fraction(1, 2**31) and 2**30 <= pair[0] < 2**31


def test_n2uq_activation_by_hand():
    """Intervals of 1, scale1 1, accumulators of 1/2: bounds every 2, thresholds at the odd numbers."""
    step = step_of({"conv1_a": 7 * [ONE], "conv1_start": [0], "conv1_scale1": [ONE], "conv1_scale2": [2 * ONE]}
                   | {f"conv1_{name}_v": count * [0] for name, count in [("a", 7), ("start", 1), ("scale1", 1), ("scale2", 1)]},
                   {"conv1_a": 7 * [0], "conv1_start": [0], "conv1_scale1": [0], "conv1_scale2": [0]})
    acc = Quantity([-1, 0, 1, 2, 3, 13, 14], Fraction(1, 2))
    y = n2uq.activation(step, "conv1", acc)
    assert step.tensors["conv1_bounds"] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert step.tensors["conv1_thresholds"] == [1, 3, 5, 7, 9, 11, 13]
    assert y.numbers == [0, 0, 1, 1, 2, 7, 7] and y.scale == 2
    g = n2uq.activation_gradient(step, "conv1", acc, y, Quantity([9, 9, 8, 7, 6, 5, 9], Fraction(1, 16)))
    # the slope is scale1 * scale2 / a = 2 inside, and 0 at -1 and from 14 on
    assert [number * g.scale for number in g.numbers] == [Fraction(n, 8) for n in (0, 9, 8, 7, 6, 5, 0)]
    # start shifts all of it to the right: -2 for each inside, which is the sum of dx 35 / 16
    start, = step.tensors["conv1_start_gradient"]
    assert start * step.scales["conv1_start_gradient"] == -2 * Fraction(35, 16)
    # scale1 stretches z = acc / 2 = 0, 1/2, 1, 3/2, 13/2
    scale1, = step.tensors["conv1_scale1_gradient"]
    assert scale1 * step.scales["conv1_scale1_gradient"] == 2 * Fraction(8 + 14 + 18 + 65, 2 * 16)
    assert step.tensors["conv1_scale2_gradient"] == [8 + 7 + 2 * 6 + 7 * 5 + 7 * 9]


def test_n2uq_bounds_rise_where_intervals_are_short():
    step = step_of({"conv1_a": [4, 4, 4, 4, 4, 4, 8 * ONE], "conv1_start": [-ONE], "conv1_scale1": [ONE], "conv1_scale2": [ONE]})
    n2uq.activation(step, "conv1", Quantity([0], Fraction(1)))
    assert step.tensors["conv1_bounds"] == [-1, 0, 1, 2, 3, 4, 5, 7]
    assert step.tensors["conv1_thresholds"] == [0, 0, 0, 0, 0, 0, 4]  # -0.9995 up to 0, 3.0059 up to 4


def test_n2uq_weight_gradient_by_hand():
    """M = 36 * 100, 7 M / (4 N) = 175: weights beyond it get none, 175 itself does; the others dw * 2^12 / 175."""
    one = [175, -176, *(34 * [95])]
    one[-1] += 3600 - sum(map(abs, one))
    w = [filled((4, 3, 3), lambda index: one[position(index, (4, 3, 3))])] + 7 * [filled((4, 3, 3), lambda index: 0)]
    step = step_of({"conv2_w": w})
    dw = n2uq.weight_gradient(step, "conv2", Quantity(filled((8, 4, 3, 3), lambda index: 350), Fraction(1)))
    assert flat(dw.numbers[0])[:3] == [2 * ONE, 0, 2 * ONE] and flat(dw.numbers[1]) == 36 * [350 * ONE]


def test_hindsight_ranges_by_hand():
    state = {"conv1_y_range": [0, 0], "conv1_g_range": [-(2**22), 2**22]}
    step = step_of(state, {"conv1_g": [0, 0, 0]})
    acc = Quantity([-9, 4, 16], Fraction(1, 4))
    y = hindsight.activation(step, "conv1", acc)  # no range yet: it is 0 ... 4
    assert y.numbers == [0, 64, 255] and y.zero_point == 0 and near(step.tensors["conv1_y_codes_scale"], Fraction(4, 255))
    assert step.tensors["conv1_y_seen"] == step.tensors["conv1_y_range"] == step.tensors["conv1_y_range_after"] == [0, 4 * 2**16]
    g = hindsight.activation_gradient(step, "conv1", acc, y, Quantity([5, 6, 7], Fraction(1, 4)))
    assert g.numbers == [0, 6, 7]
    codes, again = hindsight.gradients(step, "conv1", Quantity([-8, 0, 2], Fraction(1, 2**20)))
    assert codes is again and codes.zero_point == 128  # 127.5 away from 0
    assert codes.numbers == [0, 128, 128 + 63]  # 2 of the range's 8 are 63.75 codes, random bits 0
    assert step.tensors["conv1_g_seen"] == [-(2**23), 2**21] and step.tensors["conv1_g_range"] == state["conv1_g_range"]
    kept = Fraction(58982, 2**16)
    assert step.tensors["conv1_g_range_after"] == [round(2**22 * (-kept - 2 * (1 - kept))), round(2**22 * (kept + (1 - kept) / 2))]
    low_limit = step_of({"conv1_y_range": [0, 3 * 2**16]})
    hindsight.activation(low_limit, "conv1", acc)
    g = hindsight.activation_gradient(low_limit, "conv1", Quantity([0, 1, 12, 13], acc.scale), None, Quantity([1, 2, 3, 4], acc.scale))
    assert g.numbers == [0, 2, 3, 0]


def test_int4_weights_and_their_clip_by_hand():
    """clip 7000: a code each 1000; 0.5 and -0.5 are ties of 7.5 and 6.5."""
    w = [[[[-8000, -7001, -7000, 500, 0, -500, 999, 7000, 9000]]]]
    step = step_of({"conv2_w": w, "conv2_w_clip": [7000], "conv2_w_clip_v": [0]}, {"conv2_w_clip": [0]})
    codes = int4.weights(step, "conv2")
    assert flat(codes.numbers) == [-7, -7, -7, 1, 0, -1, 1, 7, 7] and near(step.tensors["conv2_w_codes_scale"], Fraction(1000, ONE))
    dw = int4.weight_gradient(step, "conv2", Quantity([[[[1, 2, 3, 4000, 5, 600, 7, 8, 9]]]], Fraction(1, 2)))
    assert flat(dw.numbers) == [0, 0, 3, 4000, 5, 600, 7, 8, 0]
    # per weight w_q - W over the clip, inside: 500 / 7000 of 4000, -500 / 7000 of 600, 1 / 7000 of 7; outside the sign
    assert step.tensors["conv2_w_clip_gradient"] == [round(Fraction(500 * 4000 - 500 * 600 + 7, 7000) + 9 - 1 - 2)]


def test_int4_gradients_of_conv2_by_hand():
    """k = 500 of H = 14: the code 7 at 7; 14 and -13 lie beyond."""
    step = step_of({"conv2_clip_factor": [500]}, {"conv2_g": [0, 0, 0, 65535, 0]})
    codes, _ = int4.gradients(step, "conv2", Quantity([14, -13, 7, 1, -1], Fraction(1, 2)))
    assert codes.numbers == [7, -7, 7, 1, -1] and codes.scale == Fraction(1, 2)
    assert step.tensors["conv2_g_clipped"] == [2] and step.tensors["conv2_clip_factor_after"] == [501]
    still = step_of({"conv2_clip_factor": [500]}, {"conv2_g": [0]})
    codes, _ = int4.gradients(still, "conv2", Quantity([0], Fraction(7)))
    assert codes.numbers == [0] and near(still.tensors["conv2_g_codes_scale"], Fraction(1, 2))
    assert still.tensors["conv2_clip_factor_after"] == [500]


@pytest.mark.parametrize("method, name, zero", [(sat, "alpha", 0), (int4, "y_clip", 1)])
def test_clipped_activations_by_hand(method, name, zero):
    """15 codes up to 1.5, accumulators of 1/20: two a code. SAT's slope is 0 at 0 and at the clip itself, INT4's is not."""
    step = step_of({f"conv1_{name}": [3 * ONE // 2], f"conv1_{name}_v": [0]}, {f"conv1_{name}": [0]})
    acc = Quantity([-1, 0, 1, 2, 3, 30, 31], Fraction(1, 20))
    y = method.activation(step, "conv1", acc)
    assert y.numbers == [0, 0, 0, 1, 2, 15, 15] and near(step.tensors["conv1_y_codes_scale"], Fraction(1, 10))
    g = method.activation_gradient(step, "conv1", acc, y, Quantity([10, 20, 30, 40, 50, 60, 70], Fraction(1)))
    assert g.numbers == [0, 20 * zero, 30, 40, 50, 60 * zero, 0]
    # (q - u) / 15: -0.5 at 1, 0.5 at 3; at and above the clip 1. INT4's 30 is inside, where the error is 0
    assert step.tensors[f"conv1_{name}_gradient"] == [round(Fraction(-30 + 50, 2 * 15) + 60 * (1 - zero) + 70)]


def banner_step():
    """A step whose first gamma is at the end of its 16 bits, pushed beyond it."""
    names = "mean_multiplier", "mean_shift", "c_multiplier", "c_shift"
    # 128 values a channel: 2^8 / 128 = 2, and C = 1 / sqrt(2 ln 128) = 0.32101
    constants = {f"conv1_{name}": [value] for name, value in zip(names, (2**30, 29, round(0.32101 * 2**30), 22), strict=True)}
    state = {"gamma": [32767, 256, 256, 256], "gamma_v": [-(2**31), 0, 0, 0], "beta": [0, 0, 2**20, 0], "beta_v": 4 * [0],
             "mean": 4 * [0], "width": 4 * [ONE]}
    rbits = {"gamma": 4 * [0], "beta": 4 * [0], "bn_g": filled((2, 4, 8, 8), lambda index: 2**15)}
    return step_of({f"conv1_{name}": value for name, value in state.items()},
                   {f"conv1_{name}": value for name, value in rbits.items()}, constants)


def test_banner_normalizes_each_channel():
    step, source = banner_step(), random.Random(1)
    acc = Quantity(filled((2, 4, 8, 8), lambda index: source.randint(-3000, 5000)), Fraction(1, 2**12))
    y = banner.activation(step, "conv1", acc)
    for channel, mean in ((1, 0), (2, 1024), (3, 0)):
        numbers = [number for image in step.tensors["conv1_bn_y"] for number in flat(image[channel])]
        assert abs(sum(numbers) / 128 - mean) < 4  # of 1024
        assert abs((max(numbers) - min(numbers)) / 1024 - 1 / 0.32101) < 0.01  # the range over the width
    assert y.zero_point == 0 and min(flat(y.numbers)) == 0 and max(flat(y.numbers)) == 255
    # a tenth of the way to a mean near 1000 / 4096, from 0
    assert all(50 < mean < 150 for mean in step.tensors["conv1_mean_after"])
    # and from 1 to a width of about 8000 / 4096 * 0.32101 = 0.627
    assert all(abs(width - ONE * (1 - 0.1 * (1 - 0.62))) < 20 for width in step.tensors["conv1_width_after"])


def test_banner_backward():
    """Below the rectifier nothing passes; normalization moves all gradients of a channel alike, but for its extremes."""
    step, source = banner_step(), random.Random(2)
    acc = Quantity(filled((2, 4, 8, 8), lambda index: source.randint(-3000, 5000)), Fraction(1, 2**12))
    y = banner.activation(step, "conv1", acc)
    dx = Quantity(filled((2, 4, 8, 8), lambda index: source.randint(-100, 60)), Fraction(1, 2**9))
    g = banner.activation_gradient(step, "conv1", acc, y, dx)
    zero_point, = step.tensors["conv1_bn_g_zero_point"]
    for channel in range(4):
        x, y, passed, codes, numbers = (
            [number for image in tensor for number in flat(image[channel])]
            for tensor in (step.tensors["conv1_bn_x"], step.tensors["conv1_bn_y"], dx.numbers, step.tensors["conv1_bn_g"], g.numbers))
        exact = [Fraction(number * 255, 160) if above > 0 else 0 for number, above in zip(passed, y, strict=True)]
        assert all(abs(code - zero_point - number) <= 1 for code, number in zip(codes, exact, strict=True))
        assert step.tensors["conv1_beta_gradient"][channel] == sum(codes) - 128 * zero_point
        inside = [k for k in range(128) if k not in (x.index(max(x)), x.index(min(x)))]
        assert len({(codes[k], numbers[k]) for k in inside}) == len({codes[k] for k in inside}) > 20
    assert step.tensors["conv1_gamma_after"][0] == 32767
    assert step.tensors["conv1_beta_after"][1] == -step.tensors["conv1_beta_v_after"][1] != 0  # from 0, at the rate 1


@pytest.mark.parametrize("method, name, state", [
    (sat, "conv1_alpha", {"conv1_alpha": [0]}), (int4, "conv1_y_clip", {"conv1_y_clip": [-1]}),
    (n2uq, "conv1_a", {"conv1_a": [5, 5, 5, 0, 5, 5, 5], "conv1_start": [0], "conv1_scale1": [1], "conv1_scale2": [1]})])
def test_learned_numbers_below_1_are_refused(method, name, state):
    with pytest.raises(ValueError, match=f"{name} .*: expected numbers above 0"):
        method.activation(step_of(state), "conv1", Quantity([[1]], Fraction(1)))
