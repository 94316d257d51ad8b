"""Optimizers against exact fractions and plain floats; schedules by name; what each kind of parameter gets."""
import math
from fractions import Fraction

import numpy as np
import pytest

from refquant.training.optimizers import SCHEDULES, SGD, Adam, Group, Schedule, cos_pi, moved

GRADIENTS = [[0.5, -2.0], [0.25, 1.0], [-1.0, 0.0], [3.0, 0.125]]  # of four steps


def walked(optimizer, rate, decay=0.0):
    """``w`` from [1, -3] through the four steps."""
    parameters, memories = {"w": np.array([1.0, -3.0])}, {}
    for g in GRADIENTS:
        parameters, memories = moved(parameters, {"w": np.array(g)}, memories, {"w": "weight"},
                                     {"weight": Group(optimizer, decay)}, rate / optimizer.rate)
    return parameters["w"]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.75])
@pytest.mark.parametrize("decay", [0.0, 0.25])
def test_sgd_in_fractions(nesterov, momentum, decay):
    """Powers of two throughout, so that floats make no error."""
    found = walked(SGD(rate=0.5, momentum=momentum, nesterov=nesterov), 0.5, decay)
    for i, start in enumerate((1, -3)):
        w, v, m = Fraction(start), Fraction(0), Fraction(momentum)
        for step in GRADIENTS:
            g = Fraction(step[i]) + Fraction(decay) * w
            v = m * v + g
            w -= Fraction(0.5) * (g + m * v if nesterov else v)
        assert Fraction(float(found[i])) == w


def test_the_first_step_of_sgd_is_the_gradient():
    w, memory = SGD(momentum=0.9).moved(np.array([2.0]), np.array([4.0]), {}, 0.25)
    assert (w, memory["v"]) == (1.0, 4.0)


@pytest.mark.parametrize("b1, b2, eps", [(0.9, 0.999, 1e-8), (0.5, 0.75, 0.0), (0.0, 0.5, 1.0)])
def test_adam_in_floats(b1, b2, eps):
    found = walked(Adam(rate=0.125, b1=b1, b2=b2, eps=eps), 0.125)
    for i, w in enumerate((1.0, -3.0)):
        m = v = 0.0
        for t, step in enumerate(GRADIENTS, 1):
            m, v = b1 * m + (1 - b1) * step[i], b2 * v + (1 - b2) * step[i] ** 2
            w -= 0.125 * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps)
        assert math.isclose(found[i], w, rel_tol=1e-13)


def test_the_first_step_of_adam_is_the_rate():
    """Whatever the gradient's size: m / sqrt(v) is its sign."""
    for size in (1e-3, 1.0, 1e6):
        w, _ = Adam(eps=0.0).moved(np.zeros(2), np.array([size, -size]), {}, 0.5)
        assert np.allclose(w, [-0.5, 0.5], rtol=1e-12, atol=0)


def test_no_step_changes_its_arguments():
    w, g = np.ones(3), np.full(3, 2.0)
    for optimizer in (SGD(), SGD(nesterov=True), Adam()):
        _, memory = optimizer.moved(w, g, {}, 0.1)
        before = {name: value.copy() for name, value in memory.items()}
        optimizer.moved(w, g, memory, 0.1)
        assert (w == 1).all() and (g == 2).all()
        assert all(np.array_equal(memory[name], before[name]) for name in before)


# Groups


def step_of(kind, groups, factor=1.0):
    """How far a parameter of ``kind``, 8 at first and with gradient 1, moves."""
    after, _ = moved({"p": np.array(8.0)}, {"p": np.array(1.0)}, {}, {"p": kind}, groups, factor)
    return 8 - float(after["p"])


def test_each_kind_has_its_rate_and_its_decay():
    groups = {"weight": Group(SGD(rate=0.5), decay=0.25), "quantizer": Group(SGD(rate=0.125), decay=0.5)}
    assert step_of("weight", groups) == 0.5 * (1 + 0.25 * 8)
    assert step_of("quantizer", groups) == 0.125 * (1 + 0.5 * 8)
    assert step_of("other", groups) == 0.5  # as a weight, but undecayed


def test_the_factor_multiplies_every_rate():
    groups = {"weight": Group(SGD(rate=0.5)), "quantizer": Group(SGD(rate=0.25))}
    for kind in ("weight", "quantizer", "other"):
        assert step_of(kind, groups, 0.5) == step_of(kind, groups) / 2
        assert step_of(kind, groups, 0.0) == 0


def test_memories_stay_apart():
    """Names that begin alike, and optimizers of different kinds in one run."""
    parameters = {"fc.w": np.array(1.0), "fc.w/x": np.array(1.0), "fc": np.array(1.0)}
    kinds = {"fc.w": "weight", "fc.w/x": "quantizer", "fc": "other"}
    groups = {"weight": Group(SGD(rate=1.0, momentum=0.5)), "quantizer": Group(Adam(rate=0.5))}
    gradients = {"fc.w": np.array(1.0), "fc.w/x": np.array(-1.0), "fc": np.array(4.0)}
    memories = {}
    for _ in range(2):
        parameters, memories = moved(parameters, gradients, memories, kinds, groups, 1.0)
    assert float(parameters["fc.w"]) == 1 - 1 - 1.5 and float(parameters["fc"]) == 1 - 4 - 6
    assert math.isclose(float(parameters["fc.w/x"]), 2.0, rel_tol=1e-6)
    assert float(memories["fc.w/v"]) == 1.5 and float(memories["fc/v"]) == 6


def test_parameters_without_a_gradient_stay():
    after, memories = moved({"a": np.array(1.0), "b": np.array(2.0)}, {"a": np.array(1.0)}, {},
                            {"a": "weight", "b": "weight"}, {"weight": Group(SGD(rate=1.0), decay=0.5)}, 1.0)
    assert float(after["b"]) == 2 and list(memories) == ["a/v"]


# Schedules


@pytest.mark.parametrize("kind, first, middle, last", [
    ("constant", 1, 1, 1), ("linear", 1, 0.5, 0.01), ("cosine", 1, 0.5, (1 + math.cos(0.99 * math.pi)) / 2),
    ("step", 1, 0.1, 0.01)])
def test_schedules(kind, first, middle, last):
    schedule = Schedule(kind, 100)
    for step, factor in ((0, first), (50, middle), (99, last)):
        assert math.isclose(schedule.factor(step), factor, rel_tol=1e-11), step


def test_the_milestones_of_step():
    factors = [Schedule("step", 8).factor(step) for step in range(8)]
    assert factors == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert [Schedule("step", 4, (0.25, 0.5, 0.75)).factor(step) for step in range(4)] == [1, 0.1, 0.01, 0.001]


@pytest.mark.parametrize("kind", SCHEDULES)
def test_warm_up(kind):
    schedule, plain = Schedule(kind, 12, warm_up=4), Schedule(kind, 8)
    assert [schedule.factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1]
    assert [schedule.factor(step) for step in range(4, 12)] == [plain.factor(step) for step in range(8)]
    assert [Schedule(kind, 2, warm_up=4).factor(step) for step in range(2)] == [0.25, 0.5]  # longer than the training


def test_schedules_never_rise_and_stay_in_0_to_1():
    for kind in SCHEDULES:
        factors = [Schedule(kind, 37).factor(step) for step in range(37)]
        assert factors == sorted(factors, reverse=True) and factors[-1] >= 0 and factors[0] == 1


def test_cos_pi():
    at = [i / 1000 for i in range(1001)]
    assert max(abs(cos_pi(t) - math.cos(math.pi * t)) for t in at) < 1e-15
    assert cos_pi(0.5) == 0
    assert all(cos_pi(t) == -cos_pi(1 - t) for t in (0.0, 0.125, 0.25, 0.375))


@pytest.mark.parametrize("arguments, words", [
    (("cos", 10), ["schedule", "'cos'", *SCHEDULES]), (("linear", 0), ["steps = 0", "1 or more"]),
    (("linear", 1, (), -1), ["warm_up = -1", "0"])])
def test_errors(arguments, words):
    with pytest.raises(ValueError) as caught:
        Schedule(*arguments)
    assert all(word in str(caught.value) for word in words), caught.value
