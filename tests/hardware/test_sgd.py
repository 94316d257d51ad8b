"""SGD on fixed-point masters: element by element in rational numbers, unbiased in its step, close to SGD in floats."""
import itertools
from fractions import Fraction

import numpy as np
import pytest

from refquant.hardware import sgd
from refquant.hardware.scaling import scale_value
from refquant.integers import IntFormat, Stochastic, philox_bits
from refquant.integers import flags as flag
from refquant.training.optimizers import SGD

S16, S32 = IntFormat(16), IntFormat(32)
MOMENTUM = 29491


def step(w, v, g, constants, rbits, n, momentum=MOMENTUM, nesterov=False, w_format=S32, rounding="half_even"):
    return sgd.updated(w, v, g, constants, momentum=momentum, nesterov=nesterov, w_format=w_format,
                       rbits=Stochastic(np.asarray(rbits), n), rounding=rounding)


def floor(value):
    return value.numerator // value.denominator


ROUND = {"half_even": round, "floor": floor, "half_up": lambda value: floor(value + Fraction(1, 2)),
         "trunc": lambda value: floor(value) if value >= 0 else -floor(-value)}


@pytest.mark.parametrize("rounding", ROUND)
@pytest.mark.parametrize("nesterov", [False, True])
def test_every_small_weight_memory_gradient_and_random_value(nesterov, rounding):
    """4-bit weights, so that they saturate; the equations in rational numbers."""
    g_scale, decay, rate, momentum = Fraction(3, 4), Fraction(1, 4), Fraction(5, 8), Fraction(1, 2)
    scales = sgd.Constants((3 << 28, 30), (1 << 29, 31), (5 << 27, 30))
    cases = np.array(list(itertools.product(range(-8, 8), range(-5, 6), range(-4, 5), range(4))))
    w, v, g, r = cases.T
    found = step(w, v, g, scales, r, 2, 1 << 14, nesterov, IntFormat(4), rounding)
    said = ROUND[rounding]
    for i, (w, v, g, r) in enumerate(cases.tolist()):
        d = said(g * g_scale) + said(w * decay)
        after = said(v * momentum) + d
        m = d + said(after * momentum) if nesterov else after
        rounded = floor(m * rate + Fraction(r, 4))
        bits = flag.SATURATED_LOW * (w - rounded < -8) | flag.SATURATED_HIGH * (w - rounded > 7)
        bits |= flag.ROUNDED_UP_BY_CHANCE * (rounded != floor(m * rate))
        assert [x[i] for x in found] == [d, after, rounded, min(max(w - rounded, -8), 7), bits], (w, v, g, r)


@pytest.mark.parametrize("n", [3, 4, 8])
def test_the_random_values_together_move_w_by_exactly_the_rate_times_m(n):
    """Every m of s9 and every n-bit value: the sum of steps is m rate 2^n where that is whole, else its floor."""
    m, r = (x.reshape(-1) for x in np.meshgrid(np.arange(-256, 256), np.arange(1 << n), indexing="ij"))
    for rate in (Fraction(3, 8), Fraction(5, 4), Fraction(1, 100), Fraction(7, 1 << 12)):
        scales = sgd.constants(rate=rate, g_scale=1, w_scale=1, v_scale=1)
        start = 1000 + m
        found = step(start, np.zeros_like(m), m, scales, r, n)
        moved = (start - found.w).reshape(512, -1).sum(1).tolist()
        exact = [k * scale_value(scales.rate) * 2**n for k in range(-256, 256)]
        assert moved == [floor(total) for total in exact]
        if rate.denominator <= 8:
            assert moved == exact
        assert set(found.flags.tolist()) <= {0, flag.ROUNDED_UP_BY_CHANCE}


def test_a_step_far_below_a_unit_still_moves_weights_on_average():
    """Half to even never would; 2^-10 of a unit a step, 2^16 weights, 64 steps: 1/16 of a unit, within five deviations."""
    count = 1 << 16
    scales = sgd.constants(rate=2.0**-10, g_scale=1, w_scale=1, v_scale=1)
    w, v = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for t in range(64):
        found = step(w, v, np.ones(count, np.int64), scales, philox_bits(16, (count,), 1, 2, t), 16, momentum=0, w_format=S16)
        w, v = found.w, found.v
        assert (sgd.moved(w, v, scales.rate, S16, sgd.half_even)[1] == w).all()
    assert abs(w.mean() + 1 / 16) < 5 * (64 * 2.0**-10 / count) ** 0.5


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_in_floats_is_tracked(nesterov):
    """d and v lose at most 3/2 units of v a step, so v at most 15 in all (momentum 0.9); w: the rate times twice that, and a unit."""
    rng, steps, rate, decay = np.random.default_rng(4), 300, 0.05, 1e-2
    w_scale, v_scale, g_scale = 2.0**-20, 2.0**-24, 2.0**-13
    scales = sgd.constants(rate=rate, g_scale=g_scale, w_scale=w_scale, v_scale=v_scale, decay=decay)
    w = rng.integers(-2**20, 2**20, 500)
    v, real, memory, optimizer = np.zeros_like(w), w * w_scale, {}, SGD(rate, MOMENTUM / 2**15, nesterov)
    bound = 0.0
    for t in range(steps):
        g = rng.integers(-800, 800, 500) + np.arange(500) * 2
        found = step(w, v, g, scales, philox_bits(16, w.shape, 0, 1, t), 16, nesterov=nesterov)
        w, v = found.w, found.v
        real, memory = optimizer.moved(real, g * g_scale + decay * real, memory, rate)
        bound += rate * 32 * v_scale + w_scale + rate * 10 * decay * bound  # the decay feeds the error of w back
        assert np.abs(w * w_scale - real).max() <= bound
        assert set(found.flags.tolist()) <= {0, flag.ROUNDED_UP_BY_CHANCE}
    assert bound < 1e-3 and np.abs(real).max() > 5


def test_memory_and_weights_saturate_at_their_ends():
    scales = sgd.constants(rate=2.0**-16, g_scale=2.0**20, w_scale=1, v_scale=1)
    for sign, end, bit in ((1, -2**15, flag.SATURATED_LOW), (-1, 2**15 - 1, flag.SATURATED_HIGH)):
        last = 2**31 - 1 if sign > 0 else -2**31
        for nesterov in (False, True):
            found = step([end - sign * -5, 0], [last, last], [sign * 1000] * 2, scales, [0, 0], 8, nesterov=nesterov, w_format=S16)
            assert found.v.tolist() == [last] * 2 and found.v.dtype == np.int32
            assert found.w.tolist()[0] == end and found.flags.tolist()[0] & bit


def test_constants_are_the_scales_ratios_to_31_bits():
    for rate, g_scale, w_scale, v_scale, decay in ((0.1, 3e-5, 2.0**-12, 2.0**-16, 1e-4), (1e-3, 0.25, 1e-3, 7e-6, 5e-4)):
        found = sgd.constants(rate, g_scale, w_scale, v_scale, decay)
        exact = [Fraction(x) for x in (rate, g_scale, w_scale, v_scale, decay)]
        wanted = [exact[1] / exact[3], exact[4] * exact[2] / exact[3], exact[0] * exact[3] / exact[2]]
        for scale, value in zip(found, wanted, strict=True):
            assert 1 << 30 <= scale[0] < 1 << 31 and abs(scale_value(scale) / value - 1) <= Fraction(1, 2**31)
    assert sgd.constants(1, 1, 1, 1).decay[0] == 0 and scale_value(sgd.constants(Fraction(1, 3), 1, 1, 3).rate) == 1


@pytest.mark.parametrize("call, message", [
    (lambda: sgd.constants(0.0, 1, 1, 1), "rate = 0.0: expected a positive"),
    (lambda: sgd.constants(1, float("inf"), 1, 1), "g_scale = inf: expected a positive"),
    (lambda: sgd.constants(1, 1, 1, -1.0), "v_scale = -1.0: expected a positive"),
    (lambda: sgd.constants(1, 1, 1, 1, -0.1), "decay = -0.1: expected a finite number, 0 or more"),
    (lambda: sgd.constants(1, 1, 1, 1, float("nan")), "decay = nan"),
    (lambda: step([1], [1], [1], sgd.constants(1, 1, 1, 1), [0], 4, momentum=2**15 + 1), "momentum = 32769: expected 0 to 2\\^15"),
    (lambda: step([1], [1], [2**31 - 1], sgd.constants(1, 2**20, 1, 1), [0], 4), "d reaches from .*: expected s48"),
    (lambda: step([0], [2**31 - 1], [0], sgd.constants(2**20, 1, 1, 1), [0], 4), "the step reaches from .*: expected s48"),
])
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
