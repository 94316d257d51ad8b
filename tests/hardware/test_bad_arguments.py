"""Wrong arguments of every unit: an error that names the argument, its value and what was allowed; never an answer."""
import re
from fractions import Fraction

import numpy as np
import pytest

from refquant.hardware import checks, hindsight, int4, n2uq, n2uq_weight, pact, range_bn, sat, scaling, sgd
from refquant.integers import IntFormat, Stochastic

S8, S16, S32 = (IntFormat(bits) for bits in (8, 16, 32))
ONES = np.ones((2, 3), np.int64)


def random(*shape):
    return Stochastic(np.zeros(shape, np.int64), 8)


def n2uq_backward(**changed):
    """Four accumulators, three segments of 2 bits."""
    bounds = [-4, -1, 1, 4]
    multiplier, shift = n2uq.slopes(bounds, 8)
    return n2uq.backward(**{"g": [1, 2, 3, 4], "acc": [-3, 0, 1, 2], "thresholds": [[-2, 0, 2]], "bounds": bounds, "multiplier": multiplier,
                            "shift": shift, "bits": 2, "fraction_bits": 8, "reached": "above", "dx_format": S32} | changed)


X = np.arange(24).reshape(4, 3, 2)  # three channels of eight codes
BOTH = {"x": X, "gamma": np.ones(3, np.int16), "constants": range_bn.constants(8, 1, 8), "fraction_bits": 8, "normal_bits": 12, "chunks": 1,
        "epsilon": 0, "rounding": "half_even"}


def bn_forward(**changed):
    zeros = np.zeros(3, np.int32)
    return range_bn.forward(**BOTH | {"beta": zeros, "running": (zeros, zeros), "y_shift": 4, "y_format": S8, "momentum": 3277} | changed)


def bn_backward(**changed):
    return range_bn.backward(**BOTH | {"g": X, "dx_shift": 4, "dx_format": S8} | changed)


def sgd_updated(**changed):
    return sgd.updated(**{"w": [1, 2], "v": [3, 4], "g": [5, 6], "constants": sgd.constants(0.1, 1, 1, 1), "momentum": 29491, "nesterov": False,
                          "w_format": S16, "rbits": random(2)} | changed)


def hindsight_trajectory(**changed):
    return hindsight.trajectory(**{"acc": ONES, "state": [-4, 4], "first": False, "bits": 8, "fraction_bits": 4, "momentum": 58982} | changed)


def pact_backward(**changed):
    return pact.backward(**{"g": ONES, "acc": ONES, "alpha_acc": 9, "multiplier": 1 << 30, "shift": 31, "bits": 4, "fraction_bits": 8,
                            "calibrated": True} | changed)


def sat_weight(**changed):
    return sat.weight(**{"w": np.array([[1, 2], [-3, 4]]), "table": sat.tanh_table(S8, 6), "bits": 3, "rescale": "none"} | changed)


def thresholds(**changed):
    return n2uq.integer_thresholds(**{"a": [0.5] * 3, "start": 0.0, "scale1": 1.0, "acc_scale": 0.125, "bits": 2, "acc_format": S8} | changed)


LEGAL = (n2uq_backward, bn_forward, bn_backward, sgd_updated, hindsight_trajectory, pact_backward, sat_weight, thresholds)

CHANGED = [
    (n2uq_backward, {"bounds": [-4, 0, 4]}, "bounds has shape (3,): expected (4,)"),
    (n2uq_backward, {"multiplier": [1 << 30] * 2}, "multiplier has shape (2,): expected (3,)"),
    (n2uq_backward, {"shift": [31] * 2}, "shift has shape (2,): expected (3,)"),
    (n2uq_backward, {"thresholds": [[0, 1]]}, "thresholds has shape (1, 2): expected (1, 3)"),
    (n2uq_backward, {"thresholds": [0, 1, 2]}, "thresholds has shape (3,): expected (1, 3)"),
    (n2uq_backward, {"g": [1, 2, 3]}, "g has shape (3,): expected (4,)"),
    (n2uq_backward, {"g": [[1, 2, 3, 4]]}, "g has shape (1, 4): expected (4,)"),
    (n2uq_backward, {"fraction_bits": -1}, "fraction_bits = -1: expected 0 to 62"),
    (n2uq_backward, {"fraction_bits": 1.5}, "fraction_bits = 1.5: expected an integer, 0 to 62"),
    (n2uq_backward, {"bits": 0}, "bits = 0: expected an integer from 2 to 64"),
    (thresholds, {"start": float("nan")}, "start = nan: expected a finite number"),
    (thresholds, {"start": float("inf")}, "start = inf: expected a finite number"),
    (thresholds, {"eps": float("nan")}, "eps = nan: expected a finite number, 0 or more"),
    (thresholds, {"eps": -1.0}, "eps = -1.0: expected a finite number, 0 or more"),
    (thresholds, {"scale1": float("nan")}, "scale1 = nan: expected a positive finite number"),
    (thresholds, {"bits": 0}, "bits = 0: expected an integer from 2 to 64"),
    (bn_forward, {"gamma": np.ones(1, int)}, "gamma has shape (1,): expected (3,)"),
    (bn_forward, {"gamma": [1, 1 << 40, 1]}, "gamma runs from 1 to 1099511627776: expected values within s16"),
    (bn_forward, {"gamma": [1, 1 << 15, 1]}, "gamma runs from 1 to 32768: expected values within s16"),
    (bn_forward, {"gamma": 1}, "gamma has shape (): expected (3,)"),
    (bn_forward, {"beta": [0]}, "beta has shape (1,): expected (3,)"),
    (bn_forward, {"beta": [0, 0, 1 << 31]}, "beta runs from 0 to 2147483648: expected values within s32"),
    (bn_forward, {"running": ([0], [0])}, "running has shape (1,): expected (3,)"),
    (bn_forward, {"running": ([0] * 3, [1 << 31] * 3)}, "running runs from 2147483648 to 2147483648: expected values within s32"),
    (bn_forward, {"momentum": 1 << 20}, "momentum = 1048576: expected 0 to 2^15"),
    (bn_forward, {"momentum": 0.1}, "momentum = 0.1: expected an integer, 0 to 2^15"),
    (bn_forward, {"y_shift": 64}, "y_shift = 64: expected 0 to 63"),
    (bn_backward, {"dx_shift": -1}, "dx_shift = -1: expected 0 to 63"),
    *((call, *row) for call in (bn_forward, bn_backward) for row in [
        ({"gamma": np.ones(4, int)}, "gamma has shape (4,): expected (3,)"),
        ({"gamma": [-(1 << 15) - 1] * 3}, "gamma runs from -32769 to -32769: expected values within s16"),
        ({"epsilon": -5}, "epsilon = -5: expected 0 to 2^31 - 1"),
        ({"epsilon": 0.5}, "epsilon = 0.5: expected an integer"),
        ({"normal_bits": 40}, "normal_bits = 40: expected 0 to 30"),
        ({"fraction_bits": -1}, "fraction_bits = -1: expected 0 to 30"),
        ({"constants": (1, 2)}, "constants = (1, 2): expected mean_multiplier, mean_shift, c_multiplier, c_shift"),
        ({"chunks": 3}, "chunks = 3: expected a divisor of the 8 values a channel"),
        ({"chunks": 16}, "chunks = 16: expected 1 to 8"),
        ({"chunks": 2.0}, "chunks = 2.0: expected an integer, 1 to 8")]),
    (sgd_updated, {"w": [1, 1 << 15]}, "w runs from 1 to 32768: expected values within s16"),
    (sgd_updated, {"v": [1, -(1 << 31) - 1]}, "v runs from -2147483649 to 1: expected values within s32"),
    (sgd_updated, {"v": [1]}, "v has shape (1,): expected (2,)"),
    (sgd_updated, {"g": 1}, "g has shape (): expected (2,)"),
    (sgd_updated, {"g": [[1], [2]]}, "g has shape (2, 1): expected (2,)"),
    (sgd_updated, {"rbits": random(2, 1)}, "rbits has shape (2, 1): expected (2,)"),
    (sgd_updated, {"rbits": "half_even"}, "rbits = 'half_even': expected Stochastic(rbits, n)"),
    (sgd_updated, {"momentum": 0.9}, "momentum = 0.9: expected an integer, 0 to 2^15"),
    (hindsight_trajectory, {"bits": 0}, "bits = 0: expected an integer from 2 to 64"),
    (hindsight_trajectory, {"fraction_bits": -1}, "fraction_bits = -1: expected 0 to 47"),
    (hindsight_trajectory, {"fraction_bits": -1, "first": True}, "fraction_bits = -1: expected 0 to 47"),
    (hindsight_trajectory, {"fraction_bits": 48}, "fraction_bits = 48: expected 0 to 47"),
    (hindsight_trajectory, {"state": [-4, 0, 4]}, "state has shape (3,): expected (2,)"),
    (hindsight_trajectory, {"rounding": random(2, 2)}, "rbits of rounding has shape (2, 2): expected (2, 3)"),
    (hindsight_trajectory, {"rounding": random(3)}, "rbits of rounding has shape (3,): expected (2, 3)"),
    (hindsight_trajectory, {"momentum": 0.9}, "momentum = 0.9: expected an integer, 0 to 2^16 - 1"),
    (hindsight_trajectory, {"momentum": 1 << 16}, "momentum = 65536: expected 0 to 2^16 - 1"),
    (pact_backward, {"acc": ONES[:1]}, "g has shape (2, 3): expected (1, 3)"),
    (pact_backward, {"alpha_acc": 2.5}, "alpha_acc = 2.5: expected an integer"),
    (pact_backward, {"alpha_acc": 0}, "alpha_acc = 0: expected 1 to 2^63 - 1"),
    (pact_backward, {"shift": -1}, "shift = -1: expected 0 to 63"),
    (pact_backward, {"fraction_bits": 31}, "fraction_bits = 31: expected 0 to 30"),
    (sat_weight, {"bits": 1}, "bits = 1: expected 2 to 8"),
    (sat_weight, {"bits": True}, "bits = True: expected an integer, 2 to 8"),
    (sat_weight, {"w": np.array(3)}, "w has shape (): expected [out, ...]"),
    (sat_weight, {"w": np.zeros((2, 0), int)}, "w has shape (2, 0): expected [out, ...]"),
]

CALLS = [
    (lambda: n2uq.slopes([0, 0, 3], 4), "bounds 0 and 1 are 0 and 0: expected bounds that rise"),
    (lambda: n2uq.slopes([0], 4), "bounds has shape (1,): expected [K + 1], two bounds at least"),
    (lambda: n2uq.slopes([[0, 1]], 4), "bounds has shape (1, 2)"),
    (lambda: n2uq.slopes([0, 1], -1), "fraction_bits = -1: expected 0 to 62"),
    (lambda: n2uq.forward([1], [[0]], bits=-1, reached="above"), "bits = -1"),
    (lambda: n2uq_weight.weight(np.ones(4, int), bits=3), "w has shape (4,): expected [out, ...]"),
    (lambda: n2uq_weight.weight(ONES, bits=2.5), "bits = 2.5: expected an integer, 2 to 8"),
    (lambda: range_bn.constants(8, 1, -1), "fraction_bits = -1: expected 0 to 30"),
    (lambda: hindsight.affine(0.5, 4, 4, 8), "low = 0.5: expected an integer, -2^47 to 2^47 - 1"),
    (lambda: hindsight.affine(0, 4.0, 4, 8), "high = 4.0: expected an integer"),
    (lambda: hindsight.affine(0, 1 << 47, 4, 8), "high = 140737488355328: expected -2^47 to 2^47 - 1"),
    (lambda: hindsight.affine(0, 4, -1, 8), "fraction_bits = -1: expected 0 to 47"),
    (lambda: hindsight.affine(0, 4, 4, 0), "bits = 0: expected an integer from 2 to 64"),
    (lambda: hindsight.affines([1, 2], 4, 8), "ranges has shape (2,): expected (2, 2)"),
    (lambda: hindsight.affines(np.zeros((0, 2), int), 4, 8), "ranges has shape (0, 2): expected (1, 2)"),
    (lambda: hindsight.updated([1, 2], [1, 2, 3], 5, 4), "seen has shape (3,): expected (2,)"),
    (lambda: hindsight.updated([1, 2], [1], 5, 4), "seen has shape (1,): expected (2,)"),
    (lambda: hindsight.codes(ONES, [1, 2], 31, 0, bits=8), "shapes acc (2, 3), multiplier (2,), shift (), zero_point ()"),
    (lambda: hindsight.codes(ONES, 1, 31, [1, 2], bits=8), "zero_point (2,): expected shapes that broadcast"),
    (lambda: hindsight.codes(ONES, 1, 31, 0, bits=8, rounding=random(2)), "rbits (2,): expected shapes that broadcast"),
    (lambda: int4.codes(ONES, 800, 4, "half_even"), "rounding = 'half_even': expected Stochastic(rbits, n)"),
    (lambda: int4.codes(ONES, 800, 4, random(3)), "rbits of rounding has shape (3,): expected (2, 3)"),
    (lambda: int4.codes(ONES, 0.8, 4, random(2, 3)), "clip_factor = 0.8: expected an integer, 1 to 1000"),
    (lambda: int4.parameters(0, 800, 0), "bits = 0: expected an integer from 2 to 64"),
    (lambda: int4.parameters(-1, 800, 4), "max|g| = -1: expected 0 to 2^31"),
    (lambda: int4.updated(800, 5, 0, 4), "count = 0: expected 1 to 2^63 - 1"),
    (lambda: int4.updated(800, 5, 4, 4), "clipped = 5: expected 0 to 4"),
    (lambda: int4.updated(800, -1, 4, 4), "clipped = -1: expected 0 to 4"),
    (lambda: int4.updated(800, 1, 4, 0), "bits = 0"),
    (lambda: scaling.rounded_scale(0.5), "scale = 0.5: expected a positive number, a Fraction"),
    (lambda: scaling.rounded_scale(Fraction(1 << 32)), "scale = 4294967296: its shift is -2: expected 0 to 255"),
    (lambda: scaling.rounded_scale(Fraction(1, 1 << 226)), "its shift is 256: expected 0 to 255"),
    (lambda: scaling.scaled(ONES, [1, 2], 3), "shapes v (2, 3), multiplier (2,), shift (): expected shapes that broadcast"),
    (lambda: scaling.scaled(1 << 62, 1 << 62, -1), "shift = -1: expected 0 to 63"),
    (lambda: scaling.divide(ONES, [1, 2]), "shapes a (2, 3), b (2,): expected shapes that broadcast"),
]


@pytest.mark.parametrize("call", LEGAL)
def test_the_arguments_that_are_changed_are_legal(call):
    call()


@pytest.mark.parametrize("call, changed, message", CHANGED)
def test_a_wrong_argument_is_named(call, changed, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(**changed)


@pytest.mark.parametrize("call, message", CALLS)
def test_a_wrong_call_is_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize("v, multiplier, shift", [(1 << 62, 1 << 62, 0), (-(1 << 62), 1 << 62, 0), ((1 << 32) + 1, (1 << 32) - 1, 1)])
def test_a_result_outside_int64_says_where_it_reaches(v, multiplier, shift):
    """The last is 2^63 - 1/2, which rounds to 2^63."""
    floor = v * multiplier >> shift
    with pytest.raises(OverflowError, match=re.escape(f"v * multiplier / 2^shift reaches from {floor} to {floor}: expected int64")):
        scaling.scaled(v, multiplier, shift)
    assert scaling.scaled((1 << 32) + 1, (1 << 32) - 1, 1, "floor") == (1 << 63) - 1


@pytest.mark.parametrize("acc, zero_point", [((1 << 63) - 1, 1), (-(1 << 63), -1)])
def test_a_zero_point_may_not_lead_out_of_int64(acc, zero_point):
    with pytest.raises(OverflowError, match="their zero points add up to more than int64 holds"):
        hindsight.codes(acc, 1, 0, zero_point, bits=8)
    assert hindsight.codes(acc, 1, 0, 0, bits=8)[0] == (255 if acc > 0 else 0)


def test_codes_outside_int64_are_that_error_in_pact_too():
    with pytest.raises(OverflowError, match="expected int64"):
        pact.forward([1 << 62], (1 << 31) - 1, 1, bits=4)


def test_the_state_of_a_first_step_is_not_looked_at():
    assert hindsight_trajectory(first=True, state=None).codes.shape == (2, 3)


def test_ends_are_allowed():
    """The least and the greatest that each text promises, and what NumPy holds as an integer."""
    for end in (0, 255):
        assert scaling.rounded_scale(Fraction(1 << 30, 1 << end)) == (1 << 30, end)
    assert checks.integer("x", np.int64(5), 5, 5) == checks.integer("x", np.array(5), 5, 5) == 5
    assert hindsight.affine(-(1 << 47), (1 << 47) - 1, 47, 8)[2] == 128
    assert hindsight.updated([0, 0], [-1, 0], 0, 47).tolist() == [-(1 << 47), 0]
    assert [int4.updated(800, clipped, 4, 4) for clipped in (0, 4)] == [799, 801]
    bn_forward(momentum=1 << 15, epsilon=(1 << 31) - 1 - 10**7, gamma=[-(1 << 15), 0, (1 << 15) - 1], y_shift=63)
    sgd_updated(w=[-(1 << 15), (1 << 15) - 1], v=[-(1 << 31), (1 << 31) - 1], momentum=1 << 15)
