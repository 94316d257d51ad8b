"""Whole steps in integers: they learn, they carry their state, and their parts are the units of the suite."""
from fractions import Fraction

import numpy as np
import pytest

from refquant.hardware import pact, range_bn, sat
from refquant.hardware.step import training
from refquant.hardware.step.copies import affine, symmetric
from refquant.hardware.step.learning import move
from refquant.hardware.step.loss import exp_table, loss_gradient
from refquant.hardware.step.network import LAYERS
from refquant.hardware.step.progress import S16, S32, U8, Progress
from refquant.hardware.step.run import steps
from refquant.integers import IntFormat, multiplier_from_scale

BATCH = 8
every_method = pytest.mark.parametrize("method", training.METHODS.values(), ids=training.METHODS)


def empty(**state):
    return Progress(200, 8, {"exp": exp_table()}, {}, state)


def two_steps(method, seed=3, learned_rate=None):
    batches = [training.images(BATCH, seed, k) for k in range(2)]
    bits = [training.random_bits(method, BATCH, seed, k) for k in range(2)]
    state = training.first_state(method, seed)
    return state, batches, bits, steps(method, training.constants(method, BATCH), state, batches, bits, 200,
                                       method.learned_rate if learned_rate is None else learned_rate)


def loss(progress, labels):
    """The mean cross-entropy of the recorded logits, sixteenths."""
    logits = progress.tensors["logits"] / 16
    return float(np.mean(np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
                         - logits[np.arange(len(labels)), labels]))


@every_method
def test_training_lowers_the_loss(method):
    """Over two dozen steps, on the images of the first."""
    def now(state):
        x, y = training.images(64, 9, 0)
        (done,), _ = steps(method, training.constants(method, 64), state, [(x, y)], [training.random_bits(method, 64, 0, 0)], 1, 1)
        return loss(done, y)

    state = training.first_state(method, 0)
    before = now(state)
    state = training.train(method, state, batch=16, seed=0, start=0, count=24, rate=200, learned_rate=method.learned_rate)
    assert now(state) < 0.85 * before


@every_method
def test_state_carries(method):
    """Two steps at once are one after the other, and change what they are given only in the state they return."""
    state, batches, bits, (done, after) = two_steps(method)
    given = {name: array.copy() for name, array in state.items()}
    constants = training.constants(method, BATCH)
    (first,), between = steps(method, constants, state, batches[:1], bits[:1], 200, method.learned_rate)
    (second,), last = steps(method, constants, between, batches[1:], bits[1:], 200, method.learned_rate)
    for one, other in zip(done, (first, second), strict=True):
        assert list(one.tensors) == list(other.tensors)
        assert all(np.array_equal(array, other.tensors[name]) for name, array in one.tensors.items())
    assert all(np.array_equal(array, last[name]) for name, array in after.items())
    assert all(np.array_equal(array, state[name]) for name, array in given.items())


@every_method
def test_every_learned_thing_moves(method):
    before, _, _, (_, after) = two_steps(method, learned_rate=2000)
    assert [name for name in before if np.array_equal(before[name], after[name])
            and not (name == "conv2_clip_factor" or name.endswith(("_start", "_start_v")))] == []


@every_method
def test_sums_are_exact(method):
    """Every accumulator by Python integers, from the recorded codes."""
    _, batches, _, (done, _) = two_steps(method)
    tensors = done[0].tensors
    x = batches[0][0].astype(object)
    for layer in LAYERS:
        w = tensors[f"{layer.name}_w_codes"].astype(object)
        if f"{layer.name}_w_codes_zero_point" in tensors:
            w = w - int(tensors[f"{layer.name}_w_codes_zero_point"][0])
        acc = tensors[f"{layer.name}_acc"]
        if layer.geometry is None:
            expected = x.reshape(BATCH, -1).dot(w.T)
        else:
            s = layer.geometry.stride[0]
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            size = acc.shape[2]
            expected = sum(
                (padded[:, None, :, i:i + s * size:s, j:j + s * size:s] * w[None, :, :, i, j, None, None]).sum(2)
                for i in range(3) for j in range(3))
        assert (acc == expected).all(), layer.name
        if f"{layer.name}_y_codes" in tensors:
            x = tensors[f"{layer.name}_y_codes"].astype(object)
            if f"{layer.name}_y_codes_zero_point" in tensors:
                x = x - int(tensors[f"{layer.name}_y_codes_zero_point"][0])


def test_the_parts_are_the_units():
    """Recorded codes are what the suite's operations give for the recorded accumulators."""
    _, _, _, (done, _) = two_steps(training.METHODS["sat"])
    step = done[0]
    state = training.first_state(training.METHODS["sat"], 3)
    scale, alpha = step.scale("conv1_acc_scale"), Fraction(int(state["conv1_alpha"][0]), 1 << 12)
    codes = pact.forward(step.tensors["conv1_acc"], *multiplier_from_scale(15 * scale / alpha), bits=4)
    assert np.array_equal(codes, step.tensors["conv1_y_codes"])
    weights = sat.weight(state["conv2_w"], step.constants["tanh"], bits=4, rescale="constant")
    assert np.array_equal(weights.codes, step.tensors["conv2_w_codes"])
    _, _, _, (done, _) = two_steps(training.METHODS["banner"])
    step = done[0]
    constants = tuple(int(step.constants[f"conv1_{part}"][0]) for part in ("mean_multiplier", "mean_shift", "c_multiplier", "c_shift"))
    assert constants == range_bn.constants(BATCH * 64, 1, 8)
    found = range_bn.statistics(step.tensors["conv1_bn_x"], constants, fraction_bits=8, chunks=1, epsilon=0, rounding="half_even")
    assert np.array_equal(found.width, step.tensors["conv1_bn_width"])


def test_copies_by_hand():
    step = empty()
    codes = symmetric(step, "v", np.array([-10, 3, 5]), Fraction(1, 4), 8)
    assert codes.codes.tolist() == [-127, 38, 64] and codes.scale == step.scale("v_scale")  # 38.1, 63.5 to even
    assert abs(codes.scale / Fraction(10, 4 * 127) - 1) < Fraction(1, 2**31)
    codes = affine(step, "u", np.array([-50, 0, 205]), Fraction(1))
    assert (codes.codes.tolist(), codes.zero_point) == ([0, 50, 255], 50)
    assert codes.centred.tolist() == [-50, 0, 205]


def test_the_loss_by_hand():
    """Equal logits: a tenth each; and the gradient's rows sum to the roundings."""
    step = empty()
    g, scale = loss_gradient(step, np.zeros((2, 10), np.int64), Fraction(1, 16), np.array([3, 9]))
    assert scale == Fraction(1, 2**16)
    tenth = round(2**15 / 10)
    assert g[0].tolist() == [tenth] * 3 + [tenth - 2**15] + [tenth] * 6
    rng = np.random.default_rng(1)
    acc = rng.integers(-500, 500, (64, 10))
    g, _ = loss_gradient(empty(), acc, Fraction(1, 100), rng.integers(0, 10, 64))
    assert np.abs(g.sum(1)).max() <= 5
    p = np.exp(np.round(acc * 16 / 100) / 16)
    p /= p.sum(1, keepdims=True)
    assert np.abs((g > 0) * (g / 2**15 - p)).max() < 3e-4


def test_an_update_by_hand():
    step = empty(w=np.array([100], np.int16), w_v=np.array([1000], np.int32))
    step.rbits["w"] = np.array([0], np.uint16)
    move(step, "w", np.array([1 << 10]), Fraction(1, 1 << 20), 1 << 12, S16)  # v' = 900 + 1024, rate 1
    assert step.state["w_v"].tolist() == [1924] and step.state["w"].tolist() == [100 - 1924 // 256]


def test_values_outside_their_format_are_refused():
    with pytest.raises(ValueError, match=r"conv1_y holds values from 0 to 256: expected format u8"):
        empty().put("conv1_y", np.array([0, 256]), U8)
    with pytest.raises(ValueError, match="expected format s32"):
        empty().put("g", np.array([2**31]), S32)
    assert IntFormat.parse("s32") == S32
