"""One pass of a model: parameters, random numbers by name, what is watched."""
import numpy as np
import pytest

from refquant.autodiff import Tensor
from refquant.reals import mean
from refquant.training.run import Run, normal, tensor_number


def run(parameters=None, state=None, kinds=None, *, training=True, seed=0, step=0):
    return Run({} if parameters is None else parameters, {} if state is None else state, {} if kinds is None else kinds,
               training=training, seed=seed, step=step)


def test_a_parameter_is_made_once():
    made, parameters, kinds = [], {}, {}

    def initial():
        made.append(1)
        return [1, 2]

    first = run(parameters, kinds=kinds)
    a, b = first.parameter("w", initial, "weight"), first.parameter("w", initial)
    assert a is b and made == [1]
    assert parameters["w"].dtype == np.float64 and parameters["w"].tolist() == [1, 2]
    assert kinds == {"w": "weight"}
    again = run(parameters, kinds=kinds).parameter("w", initial)
    assert made == [1] and again is not a and np.array_equal(again.value, a.value)


def test_a_parameter_given_is_used():
    one = run({"w": np.array([7.0])}, kinds={"w": "quantizer"})
    assert one.parameter("w", lambda: pytest.fail("made"), "weight").value == 7
    assert one.kinds == {"w": "quantizer"}


def test_the_first_value_is_a_copy():
    values = np.zeros(2)
    one = run()
    one.parameter("w", lambda: values)
    values += 1
    assert one.parameters["w"].tolist() == [0, 0]


def test_the_usual_kind_is_other():
    one = run()
    one.parameter("b", lambda: np.zeros(1))
    assert one.kinds == {"b": "other"}


def test_state_is_a_copy():
    state = {"x": np.zeros(1)}
    one = run(state=state)
    one.state["x"], one.state["y"] = np.ones(1), np.ones(1)
    assert state["x"] == 0 and list(state) == ["x"]


# Normal numbers


def test_normal_numbers_are():
    """Of n samples the mean deviates by 1 / sqrt(n), the variance by sqrt(2 / n), the kurtosis by sqrt(24 / n), the
    skewness by sqrt(6 / n): each may by five times that."""
    n = 100_000
    x = normal((n,), 3, 5)
    centre = x - mean(x)
    variance = float(mean(centre**2))
    assert abs(float(mean(x))) < 5 / n**0.5
    assert abs(variance - 1) < 5 * (2 / n) ** 0.5
    assert abs(float(mean(centre**3)) / variance**1.5) < 5 * (6 / n) ** 0.5
    assert abs(float(mean(centre**4)) / variance**2 - 3) < 5 * (24 / n) ** 0.5
    assert abs(float(mean(x[1:] * x[:-1]))) < 5 / n**0.5
    for limit, share in ((1.0, 0.682689), (2.0, 0.954500), (3.0, 0.997300)):
        assert abs(np.mean(np.abs(x) < limit) - share) < 5 * (share * (1 - share) / n) ** 0.5
    assert 4 < np.abs(x).max() < 6


def test_normal_is_of_seed_name_and_place_alone():
    one = run(seed=1, step=0)
    x = one.normal("a.w", (4, 6), 0.5)
    one.normal("other", (100,), 1.0)
    assert np.array_equal(x, run(seed=1, step=9).normal("a.w", (4, 6), 0.5))
    assert np.array_equal(x, run(seed=1).normal("a.w", (24,), 0.5).reshape(4, 6))
    assert np.array_equal(x.reshape(-1)[:7], run(seed=1).normal("a.w", (7,), 0.5))
    assert np.array_equal(x, 0.5 * run(seed=1).normal("a.w", (4, 6), 1.0))
    assert not np.isin(x, run(seed=2).normal("a.w", (4, 6), 0.5)).any()
    assert not np.isin(x, run(seed=1).normal("a.v", (4, 6), 0.5)).any()


def test_normal_of_the_largest_seed_and_of_nothing():
    assert np.isfinite(normal((10,), 2**64 - 1, 2**32 - 1)).all()
    assert normal((0, 3), 0, 0).shape == (0, 3)


def test_tensor_numbers():
    """CRC-32's own check value; no two names of the largest models share a number."""
    assert tensor_number("123456789") == 0xCBF43926
    names = [f"s{s}b{b}.conv{c}.{part}" for s in range(3) for b in range(3) for c in (1, 2)
             for part in ("w", "x", "input_gradient", "weight_gradient")]
    assert len({tensor_number(name) for name in names}) == len(names)


# Stochastic rounding


def rounded(seed=0, step=0, names=("a", "b")):
    one = run(seed=seed, step=step)
    return {name: one.stochastic(name)(np.full(64, 0.5)).tolist() for name in names}


def test_stochastic_rounding_is_of_seed_name_and_step_alone():
    forward, backward = rounded(names=("a", "b")), rounded(names=("b", "x", "a"))
    assert forward["a"] == backward["a"] and forward["b"] == backward["b"]
    assert set(forward["a"]) == {0.0, 1.0}
    different = [forward["a"], forward["b"], rounded(seed=1)["a"], rounded(step=1)["a"]]
    assert len({tuple(values) for values in different}) == 4


# Gradients


def test_gradients_and_what_is_watched():
    one = run()
    w, b = one.parameter("w", lambda: np.array(3.0)), one.parameter("b", lambda: np.array(1.0))
    one.parameter("unused", lambda: np.ones(2))
    inner, seen = w * 2.0, []
    one.watch(inner, lambda g: seen.append(("inner", float(g))))
    loss = inner * inner + b
    one.watch(loss, lambda g: seen.append(("loss", float(g))))
    assert seen == []
    found = one.gradients(loss)
    assert {name: g.tolist() for name, g in found.items()} == {"w": 24, "b": 1, "unused": [0, 0]}
    assert seen == [("loss", 1.0), ("inner", 12.0)]  # as they become known


def test_nothing_is_watched_in_evaluation():
    one = run(training=False)
    one.watch(Tensor(1.0), lambda g: pytest.fail("seen"))
    assert one.watched == []


def test_what_is_found_of_a_gradient_is_found_once():
    one, asked = run(), []

    def largest(g, factor=1):
        asked.append(factor)
        return factor * g.max()
    g = np.array([1.0, 3.0])
    assert [one.once(largest, g), one.once(largest, g), one.once(largest, g, 2), one.once(largest, g, 2)] == [3, 3, 6, 6]
    assert asked == [1, 2]
    assert one.once(largest, g.copy()) == 3 and len(asked) == 3  # another array, though equal
    assert run().once(largest, g) == 3 and len(asked) == 4  # another pass


def test_arrays_that_come_and_go_are_not_mistaken():
    """A freed array's id may be another's soon: what was asked about is kept."""
    one = run()
    assert [float(one.once(np.max, np.full(3, float(k)))) for k in range(50)] == list(range(50))
