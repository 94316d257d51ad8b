"""Layers: which products are integer products, what batch norm remembers, what evaluation leaves alone."""
import math

import numpy as np
import pytest

from refquant.autodiff import Tensor, recorded, relu, sum_all
from refquant.gemm import Geometry
from refquant.integers import Fixed, IntFormat
from refquant.quantizers.hindsight import symmetric_quantize
from refquant.training.layers import Apply, BatchNorm, Conv, Linear, Residual, RPReLU, Sequential
from refquant.training.quantizing import Quantizers, as_reals, image, real_activation
from refquant.training.run import Run

RNG = np.random.default_rng(5)
FORMAT = IntFormat(8)


def run(parameters=None, state=None, training=True, step=0):
    parameters = {} if parameters is None else parameters
    return Run(parameters, {} if state is None else state, dict.fromkeys(parameters, "other"), training=training, step=step)


def fixed(x, scale):
    codes = np.clip(np.rint(x / scale), -128, 127).astype(np.int8)
    return Fixed(codes, scale, FORMAT)


def weight(w, run, name):
    return symmetric_quantize(w, max_abs=float(np.abs(w.value).max()), bits=8)


def activation(x, run, name, signed):
    return symmetric_quantize(as_reals(x), max_abs=4.0, bits=8)


class Seeing:
    """A gradient quantizer that writes down what it was asked and shown."""

    def __init__(self, scale=1 / 64):
        self.scale, self.asked, self.seen = scale, [], []

    def at(self, run, name):
        def quantizer(g):
            self.asked.append((name, g.copy()))
            return fixed(g, self.scale)
        return quantizer

    def see(self, g, run, name):
        self.seen.append((name, g.copy()))


def passed(layer, x, g=None, one=None):
    """``(output, gradients by parameter, calls)`` of a pass and its way back from the output's gradient ``g``."""
    one = one or run()
    with recorded() as calls:
        y = layer(x if isinstance(x, Tensor) else Tensor(x), one)
        found = one.gradients(sum_all(y * (np.ones(y.shape) if g is None else g)))
    return y, found, calls


KINDS = [("linear", lambda q: Linear("p", 6, 4, q), (5, 6)),
         ("conv", lambda q: Conv("p", 2, 4, q, geometry=Geometry(2, 1)), (3, 2, 6, 6)),
         ("depthwise", lambda q: Conv("p", 4, 4, q, geometry=Geometry(1, 1, groups=4)), (2, 4, 5, 5))]
NAMES = {"linear": "gemm", "conv": "conv", "depthwise": "conv"}


@pytest.mark.parametrize("kind, make, shape", KINDS, ids=[kind[0] for kind in KINDS])
@pytest.mark.parametrize("input_gradient", [False, True])
@pytest.mark.parametrize("weight_gradient", [False, True])
def test_products_are_of_integers_where_both_operands_are(kind, make, shape, input_gradient, weight_gradient):
    q = Quantizers(weight, activation, Seeing() if input_gradient else None, Seeing() if weight_gradient else None)
    *_, calls = passed(make(q), RNG.normal(0, 1, shape))
    expected = ["forward"] + ["dx"] * input_gradient + ["dw"] * weight_gradient
    assert [call.operation for call in calls] == [f"{NAMES[kind]}.{part}" for part in expected]


@pytest.mark.parametrize("kind, make, shape", KINDS, ids=[kind[0] for kind in KINDS])
def test_a_real_operand_makes_real_products(kind, make, shape):
    for q in (Quantizers(), Quantizers(weight=weight), Quantizers(activation=activation)):
        assert passed(make(q), RNG.normal(0, 1, shape))[2] == []


@pytest.mark.parametrize("kind, make, shape", KINDS, ids=[kind[0] for kind in KINDS])
def test_the_values_are_the_products_of_the_dequantized(kind, make, shape):
    """Full precision's layer, given what the quantizers gave, computes the same but for the order of its sums."""
    one = run()
    x, q = RNG.normal(0, 1, shape), Quantizers(weight, activation)
    y, found, _ = passed(make(q), x, one=one)
    real = run({"p.w": weight(Tensor(one.parameters["p.w"]), None, "").value.value})
    y_real, found_real, _ = passed(make(Quantizers()), activation(Tensor(x), None, "", True).value.value, one=real)
    assert np.allclose(y.value, y_real.value, rtol=1e-12, atol=1e-12)
    assert np.allclose(found["p.w"], found_real["p.w"], rtol=1e-12, atol=1e-12)


def test_both_products_take_the_same_codes_from_one_quantizer():
    slot = Seeing()
    x = RNG.normal(0, 1, (5, 6))
    g = RNG.normal(0, 1, (5, 4))
    *_, calls = passed(Linear("p", 6, 4, Quantizers(weight, activation, slot, slot)), x, g)
    assert [name for name, _ in slot.asked] == ["p.input_gradient"]  # once for both
    assert np.array_equal(calls[1].a.codes, calls[2].a.codes.T)
    assert [name for name, _ in slot.seen] == ["p.input_gradient"]
    assert np.array_equal(slot.seen[0][1], g)


def test_two_quantizers_each_see_the_gradient():
    first, second = Seeing(), Seeing(1 / 256)
    g = RNG.normal(0, 1, (5, 4))
    passed(Linear("p", 6, 4, Quantizers(weight, activation, first, second)), RNG.normal(0, 1, (5, 6)), g)
    for slot, name in ((first, "p.input_gradient"), (second, "p.weight_gradient")):
        for [(said, value)] in (slot.asked, slot.seen):
            assert said == name and np.array_equal(value, g)


@pytest.mark.parametrize("same", [False, True])
def test_a_scale_for_each_output_moves_into_the_input_gradient(same):
    """The two products then quantize different tensors, so one quantizer works as two."""
    scales = np.array([0.5, 0.25, 1.0, 2.0])

    def per_filter(w, run, name):
        codes = np.clip(np.rint(w.value / scales[:, None] * 8), -127, 127).astype(np.int8)
        return Tensor(Fixed(codes, scales / 8, FORMAT, axis=0))

    first = Seeing()
    second = first if same else Seeing()
    g = RNG.normal(0, 1, (5, 4))
    one = run()
    x = one.parameter("x", lambda: RNG.normal(0, 1, (5, 6)))  # whose gradient is needed; the weight above is constant
    passed(Linear("p", 6, 4, Quantizers(per_filter, activation, first, second)), x, g, one)
    for what in ("asked", "seen"):
        found = dict(getattr(first, what) + getattr(second, what))
        assert set(found) == {"p.input_gradient", "p.weight_gradient"}
        assert np.array_equal(found["p.input_gradient"], g * scales / 8)
        assert np.array_equal(found["p.weight_gradient"], g)


def test_evaluation_sees_nothing():
    slot, one = Seeing(), run({"p.w": np.ones((4, 6))}, training=False)
    Linear("p", 6, 4, Quantizers(weight, activation, slot, slot))(Tensor(np.ones((5, 6))), one)
    assert one.watched == []


def test_a_bias_is_added_to_every_place_of_its_channel():
    one = run({"p.b": np.arange(3.0)})
    layer = Conv("p", 2, 3, Quantizers(), bias=True, geometry=Geometry(1, 1))
    x = RNG.normal(0, 1, (2, 2, 4, 4))
    y, found, _ = passed(layer, x, one=one)
    without = Conv("p", 2, 3, Quantizers(), geometry=Geometry(1, 1))(Tensor(x), run({"p.w": one.parameters["p.w"]}))
    assert np.allclose(y.value - without.value, np.arange(3.0).reshape(1, 3, 1, 1), atol=1e-12)
    assert found["p.b"].tolist() == [32, 32, 32]


@pytest.mark.parametrize("layer, deviation", [
    (Linear("p", 400, 100, Quantizers()), 1 / 20), (Conv("p", 50, 40, Quantizers()), (2 / 450) ** 0.5),
    (Conv("p", 400, 400, Quantizers(), geometry=Geometry(1, 1, groups=400)), (2 / 9) ** 0.5)])
def test_first_weights(layer, deviation):
    one = run()
    layer(Tensor(np.zeros((1, 400) if isinstance(layer, Linear) else (1, layer.inputs, 3, 3))), one)
    w = one.parameters["p.w"]
    n = w.size
    assert abs(w.mean()) < 5 * deviation / n**0.5
    assert abs(w.std() / deviation - 1) < 5 / (2 * n) ** 0.5
    assert one.kinds["p.w"] == ("depthwise" if n == 9 * 400 else "weight")


def test_weights_of_another_model_are_an_error():
    with pytest.raises(ValueError, match=r"p.w has shape \(4, 5\): expected \(4, 6\)"):
        Linear("p", 6, 4, Quantizers())(Tensor(np.ones((5, 6))), run({"p.w": np.ones((4, 5))}))


def test_an_image_stays_what_it_is():
    codes = Tensor(Fixed(np.array([[1, 2]], np.uint8), 1 / 16, IntFormat(8, signed=False)))
    assert image(codes, run(), "x", False) is codes
    assert real_activation(codes, run(), "x", False).value.tolist() == [[1 / 16, 2 / 16]]


# Batch norm


def test_batch_norm_in_training_and_its_running_statistics():
    layer, parameters, state = BatchNorm("n", 3), {}, {}
    means, widths = [], []
    for step in range(3):
        x = RNG.normal(step, 1 + step, (4, 3, 2, 2))
        one = run(parameters, state)
        y = layer(Tensor(x), one).value
        assert np.allclose(y.mean((0, 2, 3)), 0, atol=1e-12) and np.allclose(y.std((0, 2, 3)), 1, rtol=1e-4)
        means.append(x.mean((0, 2, 3)))
        widths.append(np.sqrt(x.var((0, 2, 3)) + 1e-5))
        state = one.state
    for key, seen in (("n.mean", means), ("n.width", widths)):
        assert np.allclose(state[key], 0.81 * seen[0] + 0.09 * seen[1] + 0.1 * seen[2], rtol=1e-12)
    assert parameters["n.gamma"].tolist() == [1, 1, 1] and parameters["n.beta"].tolist() == [0, 0, 0]


def test_batch_norm_in_evaluation():
    state = {"n.mean": np.array([1.0, 2.0]), "n.width": np.array([2.0, 4.0])}
    parameters = {"n.gamma": np.array([3.0, -1.0]), "n.beta": np.array([0.5, 0.25])}
    one = run(parameters, state, training=False)
    y = BatchNorm("n", 2)(Tensor(np.array([[1.0, 2.0], [5.0, 6.0]])), one)
    assert y.value.tolist() == [[0.5, 0.25], [6.5, -0.75]]
    assert one.state == state


# The others


def test_rprelu():
    parameters = {"r.before": np.array([1.0, 0.0]), "r.slope": np.array([0.5, 2.0]), "r.after": np.array([0.0, 3.0])}
    y = RPReLU("r", 2)(Tensor(np.array([[1.0, 1.0], [-3.0, -1.0]])), run(parameters))
    assert y.value.tolist() == [[2, 4], [-1, 1]]
    one = run()
    RPReLU("r", 2)(Tensor(np.zeros((1, 2))), one)
    assert {name: value.tolist() for name, value in one.parameters.items()} == {
        "r.before": [0, 0], "r.slope": [0.25, 0.25], "r.after": [0, 0]}


def test_sequential_and_residual():
    double, bent = Apply(lambda x: x * 2.0), Apply(relu)
    x = Tensor(np.array([[-1.0, 3.0]]))
    assert Sequential((double, bent))(x, run()).value.tolist() == [[0, 6]]
    assert Residual(double)(x, run()).value.tolist() == [[-3, 9]]
    assert Residual(bent, double)(x, run()).value.tolist() == [[-2, 9]]


def test_ops_take_integers_as_reals():
    x = Tensor(Fixed(np.array([[-2, 4]], np.int8), 0.5, FORMAT))
    assert Apply(relu)(x, run()).value.tolist() == [[0, 2]]
    assert Residual(Apply(relu))(x, run()).value.tolist() == [[-1, 4]]
    assert math.isclose(float(BatchNorm("n", 2)(Tensor(Fixed(np.array([[-2, 4], [2, 8]], np.int8), 0.5, FORMAT)),
                                                run()).value[1, 0]), 1, rel_tol=1e-4)
