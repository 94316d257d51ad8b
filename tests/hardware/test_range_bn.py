"""Range BN in integers against the real-valued Range BN within bounds derived here, and by what must hold exactly."""
import itertools
import math

import numpy as np
import pytest

from refquant.autodiff.normalization import AUTHORS_FACTOR, range_batch_norm
from refquant.hardware import range_bn
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import MODES
from refquant.scalar import range_bn as scalar

WIDE = IntFormat(48)
RNG = np.random.default_rng(7)
F, G = 8, 12
HOW = {"fraction_bits": F, "normal_bits": G, "chunks": 1, "epsilon": 0, "rounding": "half_even"}


def forward(x, gamma, beta=None, factor=1.0, running=None, **how):
    """`range_bn.forward` with constants, running statistics, and y wide enough never to saturate, unless given."""
    how = HOW | {"y_shift": 0, "y_format": WIDE, "momentum": 3277} | how
    channels = x.shape[1]
    constants = range_bn.constants(x.size // channels, how["chunks"], how["fraction_bits"], factor)
    zeros = np.zeros(channels, np.int32)
    return range_bn.forward(x, gamma, zeros if beta is None else beta, constants, running or (zeros, zeros), **how)


def backward(x, g, gamma, factor=1.0, **how):
    how = HOW | {"dx_shift": 0, "dx_format": WIDE} | how
    constants = range_bn.constants(x.size // x.shape[1], how["chunks"], how["fraction_bits"], factor)
    return range_bn.backward(x, g, gamma, constants, **how)


def case(batch, channels, size, bits=8):
    shape = (batch, channels, size, size)
    x = RNG.integers(-(1 << bits - 1), 1 << bits - 1, shape) // (1 << np.arange(channels) % 4)[:, None, None]
    gamma, beta = RNG.integers(-300, 300, channels).astype(np.int16), RNG.integers(-(2**18), 2**18, channels)
    return x, RNG.integers(-128, 128, shape), gamma, beta


CASES = pytest.mark.parametrize("batch, channels, size, chunks, epsilon, factor", [
    (4, 5, 4, 1, 0, 1.0), (4, 5, 4, 1, 77, 1.0), (3, 4, 5, 5, 3, 1.0), (8, 3, 4, 16, 1, AUTHORS_FACTOR), (2, 3, 1, 1, 9, 1.0),
])


def columns(*arrays):
    return [np.asarray(a, np.float64)[:, None, None] for a in arrays]


def x_hat_bound(x, found, real_x_hat, width, f, g):
    """|x_hat - 2^g real| with |mean error|, |width error| <= 1/2 + 2^-31 of it, |inverse error| <= 1/2, and its own 1/2."""
    mean_error = 0.5 + np.abs(found["mean"]) * 2.0**-30
    width_error = 0.5 + width * 2.0**f * 2.0**-30
    mean_error, width_error, mean, held = columns(mean_error, width_error, found["mean"], found["width"])
    centred = np.abs(x * 2.0**f - mean)
    return 2.0**g * (mean_error + np.abs(real_x_hat) * width_error) / held + centred * 2.0**(g - 31) + 0.5


def real_statistics(x, chunks, epsilon, factor):
    """mu and D of each channel, with math.log and exact means."""
    rows = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    parts = rows.reshape(len(rows), chunks, -1)
    constant = factor / math.sqrt(2 * math.log(parts.shape[2]))
    return rows.mean(1), constant * (parts.max(2) - parts.min(2)).mean(1) + epsilon / 2.0**F, constant


@CASES
def test_forward_is_the_real_range_bn_within_its_roundings(batch, channels, size, chunks, epsilon, factor):
    x, _, gamma, beta = case(batch, channels, size)
    found = forward(x, gamma, beta, factor, chunks=chunks, epsilon=epsilon, y_shift=7)
    real = range_batch_norm(x.astype(float), np.ones(channels), np.zeros(channels), eps=epsilon / 2**F, chunks=chunks,
                            factor=factor)
    _, width, _ = real_statistics(x, chunks, epsilon, factor)
    bound = x_hat_bound(x, found, real, width, F, G)
    assert (np.abs(found["x_hat"] - real * 2**G) <= bound).all()
    assert bound.max() < 2**G / 10  # the bound says something
    slope, shift = columns(gamma, beta)
    assert (np.abs(found["y"] - (slope * real * 2**G + shift) / 2**7) <= np.abs(slope) * bound / 2**7 + 0.5).all()


@CASES
def test_backward_is_the_real_gradient_within_its_roundings(batch, channels, size, chunks, epsilon, factor):
    x, g, gamma, _ = case(batch, channels, size)
    found = backward(x, g, gamma, factor, chunks=chunks, epsilon=epsilon, dx_shift=5)
    arguments, how = (x.astype(float), gamma.astype(float), np.zeros(channels)), {"eps": epsilon / 2**F, "chunks": chunks,
                                                                                  "factor": factor}
    out = range_batch_norm(*arguments, **how)
    dx, dgamma, dbeta = range_batch_norm.backward(g.astype(float), out, *arguments, **how)
    _, width, constant = real_statistics(x, chunks, epsilon, factor)
    real_x_hat = range_batch_norm(arguments[0], np.ones(channels), arguments[2], **how)

    x_hat_error = x_hat_bound(x, found, real_x_hat, width, F, G)
    dgamma_error = 2.0**(F - G) * (np.abs(g) * x_hat_error).sum((0, 2, 3)) + 0.5
    assert (np.abs(found["dgamma"] - dgamma * 2**F) <= dgamma_error).all()
    assert (found["dbeta"] == dbeta).all()

    pull_error = dgamma_error * constant / chunks * (1 + 2.0**-30) + 0.5 + np.abs(found["pull"]) * 2.0**-30
    u_error, w_error, held, slope = columns(pull_error + 0.5 + np.abs(found["g_mean"]) * 2.0**-30,
                                            0.5 + width * 2.0**F * 2.0**-30, found["width"], gamma)
    real_v = np.divide(dx, slope, out=np.zeros_like(dx), where=slope != 0) * 2**G
    error = 2.0**G * u_error / held + np.abs(real_v) * w_error / held + np.abs(found["u"]) * 2.0**(G - 31) + 0.5
    assert (np.abs(found["dx"] - dx * 2**G / 2**5) <= np.abs(slope) * error / 2**5 + 0.5).all()


def test_every_channel_of_four_small_codes_equals_the_scalar_model():
    """All 256 channels of four codes -2..1, as many chunks as go, every rounding: statistics, x_hat, y, u, dx."""
    channels = np.array(list(itertools.product(range(-2, 2), repeat=4)))
    x, g = channels.T[:, :, None, None], (3 * channels[::-1] + 1).T[:, :, None, None]
    gamma, beta = np.full(256, 5, np.int16), np.full(256, 3, np.int32)
    for chunks, rounding in itertools.product((1, 2), MODES):
        how = {"fraction_bits": 2, "normal_bits": 3, "chunks": chunks, "epsilon": 1, "rounding": rounding}
        constants = range_bn.constants(4, chunks, 2)
        running = np.full(256, 9, np.int32)
        up = forward(x, gamma, beta, running=(running, running), **how, y_shift=2, y_format=IntFormat(4))
        down = backward(x, g, gamma, **how, dx_shift=1, dx_format=IntFormat(6))
        for c, values in enumerate(channels.tolist()):
            one = scalar.forward_channel(values, 5, 3, constants, 9, 9, **how, y_shift=2, y_format="s4", momentum=3277)
            assert all(one[name] == up[name][c] for name in ("sum", "range", "mean", "width", "inverse", "running_mean",
                                                             "running_width"))
            assert all(one[name] == up[name][:, c].reshape(-1).tolist() for name in ("x_hat", "y", "flags"))
            back = scalar.backward_channel(values, g[:, c, 0, 0].tolist(), 5, constants, **how, dx_shift=1, dx_format="s6")
            assert all(back[name] == down[name][c] for name in ("dbeta", "dgamma", "g_mean", "pull"))
            assert all(back[name] == down[name][:, c].reshape(-1).tolist() for name in ("u", "dx"))


def test_by_hand():
    """Codes 0, 1, 2, 5: mean 2, range 5, C(4) = 1 / sqrt(2 ln 4) = 0.6006, width 3.003; in 2^-8: 512 and 769."""
    x, g = np.array([0, 1, 2, 5]).reshape(4, 1, 1, 1), np.array([4, 0, 0, 0]).reshape(4, 1, 1, 1)
    up = forward(x, np.array([256], np.int16), y_shift=8)
    assert (up["sum"], up["range"], up["mean"], up["width"]) == (8, 5, 512, 769)
    assert up["inverse"] == 1396283  # 2^30 / 769 = 1396282.8
    assert up["x_hat"].reshape(-1).tolist() == up["y"].reshape(-1).tolist() == [-2727, -1364, 0, 4091]  # 4096 (x - 2) 256 / 769
    down = backward(x, g, np.array([256], np.int16), dx_shift=8)
    assert (down["dbeta"], down["dgamma"], down["g_mean"]) == (4, -682, 256)  # 4 (-2727) / 2^4 = -681.75
    assert down["pull"] == -410  # -682 0.6006 = -409.6
    assert down["u"].reshape(-1).tolist() == [1024 - 256 - 410, -256, -256, -256 + 410]


@pytest.mark.parametrize("n, chunks, factor", [(2, 1, 1.0), (48, 1, 1.0), (1024, 16, AUTHORS_FACTOR), (3 * 10**6, 3, 1.0)])
def test_the_constants_have_31_bits(n, chunks, factor):
    mean_multiplier, mean_shift, multiplier, shift = range_bn.constants(n, chunks, F, factor)
    assert math.ldexp(mean_multiplier, -mean_shift) == pytest.approx(2**F / n, rel=2**-31, abs=0)
    constant = factor / math.sqrt(2 * math.log(n // chunks)) / chunks * 2**F
    assert math.ldexp(multiplier, -shift) == pytest.approx(constant, rel=2**-31 + 2**-50, abs=0)


@pytest.mark.parametrize("rounding", MODES)
def test_the_zero_point_of_x_cancels(rounding):
    """A channel of 2^m codes has an exact mean, so adding 1000 to every code changes nothing but it."""
    x, g, gamma, beta = case(2, 3, 4)
    for one, other in ((forward(x, gamma, beta, rounding=rounding), forward(x + 1000, gamma, beta, rounding=rounding)),
                       (backward(x, g, gamma, rounding=rounding), backward(x + 1000, g, gamma, rounding=rounding))):
        assert (other["mean"] - one["mean"] == 1000 << F).all()
        assert all((one[name] == other[name]).all() for name in one.keys() - {"mean", "sum", "running_mean"})


@pytest.mark.parametrize("chunks", [1, 4])
def test_dx_sums_to_nothing_but_its_roundings(chunks):
    x, g, gamma, _ = case(3, 6, 4)
    found, n = backward(x, g, gamma, chunks=chunks), 48
    left = found["u"].sum((0, 2, 3))
    assert (np.abs(left) <= n * (0.5 + np.abs(found["g_mean"]) * 2.0**-30)).all()  # n roundings of one mean
    through = np.abs(left) * found["inverse"] / 2.0**(30 - G) + n / 2
    assert (np.abs(found["dx"].sum((0, 2, 3))) <= np.abs(gamma) * through).all()
    whole = backward(x[:2], g[:2], gamma, chunks=chunks)  # 32 values: the mean of g is exact
    assert (whole["u"].sum((0, 2, 3)) == 0).all() and np.abs(whole["pull"]).min() > 0


def test_the_first_of_equal_extremes_is_credited():
    x = np.array([[0, 3, 3, -2, -2, 1], [7, 7, 7, 7, 7, 7], [1, 2, 2, 0, 3, 3]]).T.reshape(6, 3, 1, 1)
    rows = range_bn.rows(x)
    assert range_bn.extremes(rows, 1).tolist() == [[0, 1, 0, -1, 0, 0], [0] * 6, [0, 0, 0, -1, 1, 0]]
    assert range_bn.extremes(rows, 2).tolist() == [[-1, 1, 0, -1, 0, 1], [0] * 6, [-1, 1, 0, -1, 1, 0]]


def test_a_channel_without_range_has_the_least_width():
    x = np.broadcast_to(np.array([-7, 0, 90])[:, None, None], (3, 3, 4, 4))
    assert forward(x, np.ones(3, np.int16))["width"].tolist() == [1, 1, 1]
    assert forward(x, np.ones(3, np.int16), epsilon=5)["width"].tolist() == [5, 5, 5]
    assert np.abs(forward(x, np.ones(3, np.int16))["x_hat"]).max() <= 2**G  # a rounded mean is at most one unit away


def test_running_statistics_move_by_momentum():
    x, _, gamma, _ = case(4, 3, 4)
    before = np.array([-5000, 0, 70000], np.int32), np.array([1, 3000, 2**31 - 1], np.int32)
    for momentum, share in ((0, 0.0), (2**15, 1.0), (2**13, 0.25)):
        found = forward(x, gamma, running=before, momentum=momentum)
        for old, name in zip(before, ("mean", "width"), strict=True):
            exact = old + share * (found[name] - old.astype(float))
            assert (np.abs(found[f"running_{name}"] - exact) <= 0.5 * (share == 0.25)).all()


def test_codes_saturate_and_say_so():
    x, _, gamma, _ = case(4, 3, 4)
    wide, narrow = forward(x, gamma, y_shift=6), forward(x, gamma, y_shift=6, y_format=IntFormat(8))
    assert (narrow["y"] == np.clip(wide["y"], -128, 127)).all() and narrow["y"].dtype == np.int8
    assert (narrow["flags"] == 4 * (wide["y"] < -128) + 8 * (wide["y"] > 127)).all() and len(set(narrow["flags"].flat)) == 3


@pytest.mark.parametrize("how, message", [
    ({"chunks": 5}, "chunks = 5: expected a divisor of the 48 values a channel"),
    ({"chunks": 0}, "chunks = 0"), ({"chunks": 48}, "at least 2 values"),
    ({"rounding": "nearest"}, "rounding = 'nearest'"), ({"fraction_bits": 25}, "mean runs from"),
])
def test_forward_refuses(how, message):
    x, _, gamma, _ = case(3, 4, 4, 15)
    with pytest.raises(ValueError, match=message):
        forward(x, gamma, **how)


def test_forward_refuses_an_x_hat_of_more_than_32_bits():
    """One code far from 47 equal ones is 2.7 widths from the mean."""
    x = np.zeros((3, 1, 4, 4), np.int64)
    x[0, 0, 0, 0] = 100
    assert forward(x, np.ones(1, np.int16), normal_bits=29)["x_hat"].max() > 2**30
    with pytest.raises(ValueError, match="x_hat runs from"):
        forward(x, np.ones(1, np.int16), normal_bits=30)


def test_backward_refuses():
    x, g, gamma, _ = case(3, 4, 4)
    with pytest.raises(ValueError, match=r"normal_bits = 7: expected fraction_bits, 8, to 30"):
        backward(x, g, gamma, normal_bits=7)
    with pytest.raises(ValueError, match=r"g has shape \(2, 4, 4, 4\): expected that of x, \(3, 4, 4, 4\)"):
        backward(x, g[:2], gamma)
    with pytest.raises(ValueError, match="products"):
        backward(x, g * 2**24, gamma, normal_bits=28)
    with pytest.raises(ValueError, match=r"x has shape \(4,\)"):
        range_bn.rows(gamma)
    with pytest.raises(ValueError, match="x runs from"):
        range_bn.rows(x * 2**40)
