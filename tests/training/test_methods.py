"""Methods: their tables (which product is of which integers), what they learn and what they collect."""
import math
import re

import numpy as np
import pytest

from refquant.autodiff import Tensor, one_hot, recorded, softmax_cross_entropy
from refquant.integers import Fixed
from refquant.quantizers.hindsight import CURRENT, HINDSIGHT, RUNNING
from refquant.training import Settings, Trainer, Training, recipe
from refquant.training.data import Dataset, load
from refquant.training.methods import COMPARED, PAPERS, banner, hindsight, int4, n2uq, sat
from refquant.training.models import resnet20
from refquant.training.optimizers import SGD, Adam
from refquant.training.run import Run
from refquant.training.tasks import image_codes

RNG = np.random.default_rng(2)
DIGITS = load("digits")
X, Y = DIGITS.train_x[:8], DIGITS.train_y[:8]
TINY = Dataset("tiny", X, Y, X, Y, 10, 16)
AUTHORS = ("banner-8", "sat-4", "n2uq-2", "int4-4")


def stepped(which, steps=1, model="cnn", variant="paper", **how):
    """``(trainer, the run after each step, the integer products of the last step)``."""
    which = recipe(which, variant) if isinstance(which, str) else which
    trainer = Trainer(Settings("float", variant, model=model, batch=8, schedule="constant", **how), which, TINY)
    runs = [Training(trainer.settings)]
    for _ in range(steps):
        with recorded() as calls:
            runs.append(trainer.step(runs[-1], X, Y)[0])
    return trainer, runs[1:], calls


def grouped(calls):
    """{operation: how many}."""
    found = {}
    for call in calls:
        part = call.operation.partition(".")[2]
        found[part] = found.get(part, 0) + 1
    return found


@pytest.mark.parametrize("method, model, forward, backward", [
    ("float", "cnn", 0, 0), ("banner-8", "cnn", 4, 4), ("banner-4", "mlp", 3, 3), ("hindsight-8", "cnn", 4, 4),
    ("int4-4", "cnn", 2, 2), ("int4-5", "mlp", 1, 1), ("sat-4", "cnn", 4, 0), ("sat-2", "mlp", 3, 0),
    ("n2uq-2", "cnn", 2, 0), ("n2uq-4", "mlp", 1, 0), ("int4-4", "edsr", 10, 10), ("hindsight-8", "edsr", 12, 12)])
def test_how_many_products_are_of_integers(method, model, forward, backward):
    expected = {"forward": forward, "dx": backward, "dw": backward}
    assert grouped(stepped(method, model=model)[2]) == {part: count for part, count in expected.items() if count}


def test_the_products_of_a_residual_network():
    """One block a stage: the first product, 3 times 2, two shortcuts, the last."""
    for method, each in (("banner-8", (10, 10, 10)), ("int4-4", (8, 8, 8)), ("sat-4", (10, 0, 0)), ("n2uq-2", (8, 0, 0))):
        layer = resnet20(recipe(method), 1, 8, 10, width=4, blocks=1)
        run = Run({}, {}, {}, training=True)
        with recorded() as calls:
            run.gradients(softmax_cross_entropy(layer(image_codes(X, 16), run), one_hot(Y, 10)))
        assert tuple(grouped(calls).get(part, 0) for part in ("forward", "dx", "dw")) == each


def bits(calls, part):
    """(bits of a, bits of b) of each product of one kind, as sets by operand; s: signed, n: narrow."""
    def said(fixed):
        form = fixed.format
        return f"{'s' if form.signed else 'u'}{form.bits}{'n' if form.narrow else ''}"

    return [(said(call.a), said(call.b)) for call in calls if call.operation.endswith(part)]


def test_banner_has_8_bits_and_16_for_the_weight_gradient():
    for method, gradient in (("banner-8", "u8"), ("banner-4", "u4")):
        calls = stepped(method)[2]
        assert bits(calls, "forward") == [("u8", "u8")] * 4
        assert [set(pair) for pair in bits(calls, "dx")] == [{gradient, "u8"}] * 4
        assert [set(pair) for pair in bits(calls, "dw")] == [{"u16", "u8"}] * 4


def test_without_bifurcation_both_products_take_one_gradient():
    calls = stepped(banner.recipe(8, bifurcation=False))[2]
    assert [set(pair) for pair in bits(calls, "dw")] == [{"u8"}] * 4


def test_the_authors_banner_has_sums_of_two_grids_and_a_real_weight_gradient():
    """Weights have an offset that is no multiple of the step, gradients too: up to four products for one."""
    calls = stepped("banner-8", variant="authors")[2]
    assert grouped(calls).keys() == {"forward", "dx"}
    assert grouped(calls)["dx"] == 16


def test_hindsight_has_8_bits_everywhere():
    calls = stepped("hindsight-8")[2]
    assert bits(calls, "forward") == [("u8", "s8n")] * 4
    assert [set(pair) for pair in bits(calls, "dx")] == [{"u8", "s8n"}] * 4
    assert [set(pair) for pair in bits(calls, "dw")] == [{"u8"}] * 4


@pytest.mark.parametrize("method, codes", [("int4-4", 4), ("int4-5", 5)])
def test_int4_has_its_bits_in_the_inner_layers(method, codes):
    calls = stepped(method)[2]
    assert bits(calls, "forward") == [(f"u{codes}", f"s{codes}n")] * 2
    assert [set(pair) for pair in bits(calls, "dx")] == [{f"s{codes}n"}] * 2
    assert [set(pair) for pair in bits(calls, "dw")] == [{f"s{codes}n", f"u{codes}"}] * 2


def test_one_gradient_quantizer_gives_both_products_the_same_codes():
    """In-hindsight's and INT4's quantized gradient enters both (this is what makes their ranges known beforehand)."""
    for method in ("hindsight-8", "int4-4"):
        _, _, calls = stepped(method, 3)
        inner = {part: next(call for call in calls if call.operation == f"gemm.{part}") for part in ("dx", "dw")}
        assert np.array_equal(inner["dx"].a.codes, inner["dw"].a.codes.T)
        assert inner["dx"].a.scale == inner["dw"].a.scale and inner["dx"].a.zero_point == inner["dw"].a.zero_point


# SAT's table


@pytest.mark.parametrize("k", [2, 4, 8])
def test_sat_first_inner_last(k):
    """Weights in 8 bits at both ends: DoReFa's levels are odd multiples, which take a bit more."""
    calls = stepped(f"sat-{k}")[2]
    assert bits(calls, "forward") == [("u8", "s9"), (f"u{k}", f"s{k + 1}"), (f"u{k}", f"s{k + 1}"), (f"u{k}", "s9")]


def test_sat_reads_the_image_as_it_is():
    first = stepped("sat-4")[2][0]
    assert first.operation == "conv.forward"
    assert np.array_equal(first.a.codes, X) and first.a.scale == 1 / 16 and not np.any(first.a.zero_point)


def test_sat_rescales_the_last_layer_only():
    calls = stepped("sat-4")[2]
    last = calls[-1].b.value  # [in, out]
    assert last.shape == (64, 10)
    assert math.isclose(10 * last.var(ddof=1), 1, rel_tol=1e-12)
    assert all(np.abs(call.b.value).max() == 1 for call in calls[:-1])


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_alpha_starts_at_8_and_at_10_before_the_last(variant):
    _, (run,), _ = stepped("sat-4", variant=variant, rate=1e-300)
    alphas = {name: float(value) for name, value in run.parameters.items() if name.endswith("alpha")}
    assert alphas == {"conv2.x.alpha": 8, "fc1.x.alpha": 8, "fc2.x.alpha": 10}
    assert all(run.kinds[name] == "quantizer" for name in alphas)
    assert {type(group.optimizer) for group in recipe("sat-4").groups.values()} == {SGD}
    assert recipe("sat-4").groups.keys() == {"weight"}  # so alpha goes with the weights, undecayed


def test_the_clamp_is_sat_without_levels():
    w = Tensor(RNG.normal(0, 1, (10, 50)))
    for rescale in (None, "constant", "stddev"):
        clamped = sat.Clamp(rescale)(w, None, "w").value
        fine = sat.Weight(8, rescale)(w, None, "w").value.value
        assert np.abs(clamped - fine).max() < 1.1 * np.abs(clamped).max() / 255


# N2UQ


def test_n2uq_learns_thresholds_at_a_tenth():
    """Adam's first step is its rate in each direction: what moves at all moves by it."""
    _, runs, _ = stepped("n2uq-2", 1)
    first = Trainer(Settings("float"), recipe("n2uq-2"), TINY)
    start = Run({}, {}, {}, training=True)
    first.model(first.task.input(X), start)
    moves = {name: np.abs(runs[0].parameters[name] - start.parameters[name]) for name in start.parameters}
    for name, move in moves.items():
        rate = 2.5e-4 if runs[0].kinds[name] == "quantizer" else 2.5e-3
        assert move.max() <= rate * (1 + 1e-9), name
        if name.endswith((".w", ".a", ".beta")):  # those of a large gradient
            assert move.max() > 0.99 * rate, name
    assert {name for name, kind in runs[0].kinds.items() if kind == "quantizer"} == {
        f"{layer}.x.{part}" for layer in ("conv2", "fc1") for part in ("a", "start", "scale1", "scale2")}


def test_n2uq_starts_uniform():
    _, (run,), _ = stepped("n2uq-3", rate=1e-300)
    assert np.allclose(run.parameters["conv2.x.a"], 2 / 7, rtol=1e-15) and run.parameters["conv2.x.a"].shape == (7,)
    for part, first in (("start", 0), ("scale1", 1), ("scale2", 1)):
        assert abs(run.parameters[f"conv2.x.{part}"].item() - first) < 1e-200


def test_n2uq_without_its_parts():
    _, (run,), calls = stepped(n2uq.recipe(2, thresholds=False))
    assert {name for name, kind in run.kinds.items() if kind == "quantizer"} == {
        f"{layer}.x.{part}" for layer in ("conv2", "fc1") for part in ("scale1", "scale2")}
    _, _, baseline = stepped(n2uq.recipe(2, entropy=False))
    assert not np.array_equal(calls[0].b.codes, baseline[0].b.codes)


def test_n2uq_has_rprelu_for_relu():
    _, (run,), _ = stepped("n2uq-2")
    assert {"act1.slope", "act2.before", "act3.after"} <= set(run.parameters)


# Banner's ranges


def run_of(state=None, training=True, step=0):
    return Run({}, {} if state is None else state, {}, training=training, step=step)


def test_banner_activations_keep_a_running_range():
    x = RNG.normal(0, 1, (4, 3, 5))
    low, high = x.reshape(4, -1).min(1).mean(), x.reshape(4, -1).max(1).mean()
    for variant, first in (("paper", 1.0), ("authors", 0.9)):
        one = run_of()
        q = banner.Activation(variant=variant)(Tensor(x), one, "x")
        assert np.allclose(one.state["x.range"], [first * low, first * high], rtol=1e-12)
        value = q.value.value
        assert value.min() < low / 2 and np.abs(value - np.clip(x, low, high)).max() < (high - low) / 255 * 1.01
        two = run_of(one.state)
        banner.Activation(variant=variant)(Tensor(2 * x), two, "x")
        assert np.allclose(two.state["x.range"], [(0.1 * first + 1.8) * low, (0.1 * first + 1.8) * high], rtol=1e-12)


def test_banner_evaluates_on_the_running_range():
    one = run_of({"x.range": np.array([-1.0, 3.0])}, training=False)
    value = banner.Activation()(Tensor(np.array([[-9.0, 0.0, 9.0]])), one, "x").value.value
    assert np.allclose(value, [[-1, 0, 3]], atol=4 / 255) and value[0, 1] == 0
    assert one.state["x.range"].tolist() == [-1, 3]


def test_range_bn_keeps_its_running_statistics():
    _, runs, _ = stepped("banner-8", 2)
    assert {name for name in runs[0].state if name.startswith("bn1.")} == {"bn1.x.range", "bn1.mean", "bn1.scale"}
    assert not np.array_equal(runs[0].state["bn1.mean"], runs[1].state["bn1.mean"])
    assert runs[0].state["bn1.mean"].shape == (16,)


# In hindsight


def test_the_range_in_hindsight_is_the_running_range_of_the_step_before():
    tensors = [RNG.normal(0, 1 + t, (4, 6)) for t in range(5)]
    states = {CURRENT: {}, RUNNING: {}, HINDSIGHT: {}}
    used = {estimator: [] for estimator in states}
    for t, x in enumerate(tensors):
        for estimator in states:
            one = run_of(states[estimator], step=t)
            q = hindsight.Activation(8, estimator)(Tensor(x), one, "x", True).value
            used[estimator].append((float(q.scale) * 255, q.zero_point))
            states[estimator] = one.state
    assert used[HINDSIGHT][0] == used[RUNNING][0] == used[CURRENT][0]
    assert used[HINDSIGHT][1:] == used[RUNNING][:-1]
    assert [round(width, 9) for width, _ in used[CURRENT]] == [round(float(x.max() - x.min()), 9) for x in tensors]
    low = tensors[0].min()
    for x in tensors[1:]:
        low = 0.9 * low + 0.1 * x.min()
    assert math.isclose(states[HINDSIGHT]["x.range"][0], low, rel_tol=1e-12)


def test_a_gradient_in_hindsight_is_quantized_by_what_was_seen_before():
    slot, state, widths = hindsight.Gradient(8), {}, []
    gradients = [RNG.normal(0, 10.0**-t, (6, 4)) for t in range(4)]
    for t, g in enumerate(gradients):
        one = run_of(state, step=t)
        quantizer = slot.at(one, "g")
        widths.append(float(quantizer(g).scale) * 255)
        assert one.state == state  # asking changes nothing
        slot.see(g, one, "g")
        state = one.state
    ranges = [np.array([g.min(), g.max()]) for g in gradients]
    expected = [ranges[0], ranges[0], 0.9 * ranges[0] + 0.1 * ranges[1]]
    expected.append(0.9 * expected[2] + 0.1 * ranges[2])
    assert np.allclose(widths, [high - low for low, high in expected], rtol=1e-12)


def test_the_state_of_a_network_in_hindsight():
    """Of each layer one range of activations and one of gradients."""
    _, runs, _ = stepped("hindsight-8", 2)
    layers = ("conv1", "conv2", "fc1", "fc2")
    assert {name for name in runs[1].state if name.endswith("range")} == {
        f"{layer}.{part}.range" for layer in layers for part in ("x", "input_gradient")}
    for layer in layers[1:]:
        assert runs[0].state[f"{layer}.x.range"][1] != runs[1].state[f"{layer}.x.range"][1]


@pytest.mark.parametrize("module, name, slot", [
    (hindsight, "tensor_range", hindsight.Gradient(8)), (banner, "tensor_range", banner.Gradient(8, estimator=RUNNING)),
    (int4, "_limits", int4.Gradient(4)), (hindsight, "dsgc_clip", hindsight.DsgcGradient(8))], ids=["hindsight", "banner", "int4", "dsgc"])
def test_a_step_looks_at_a_gradient_once(monkeypatch, module, name, slot):
    """Two quantizers of one gradient and what both learn from it, in one pass."""
    looked, look = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda g, *how: looked.append(g) or look(g, *how))
    one, g = run_of({}), RNG.normal(0, 1, (40, 50))
    for key in ("a", "b"):
        slot.at(one, key)(g)
        slot.see(g, one, key)
    assert len(looked) == 1 and looked[0] is g


def test_dsgc_searches_every_period_and_keeps_between():
    slot, state, clips = hindsight.DsgcGradient(8, period=3), {}, []
    for step in range(7):
        g = RNG.laplace(0, 1 + step, (40, 50))
        one = run_of(state, step=step)
        used = float(slot.at(one, "g")(g).scale) * 127
        slot.see(g, one, "g")
        state = one.state
        clips.append(used)
        assert math.isclose(used, float(state["g.clip"]), rel_tol=1e-12)
    assert clips[0] == clips[1] == clips[2] and clips[3] == clips[4] == clips[5]
    assert len(set(clips)) == 3


# INT4's clip factors


def factors(runs, name="fc1"):
    return [float(run.state[f"{name}.input_gradient.clip_factor"]) for run in runs]


def test_clip_factors_move_by_beta():
    _, runs, _ = stepped("int4-4", 6)
    for layer in ("conv2", "fc1"):
        path = np.array([1.0, *factors(runs, layer)])
        assert math.isclose(path[1], 0.999)  # nothing is beyond the maximum, so the first step narrows
        assert np.allclose(np.abs(np.diff(path)), 1e-3, rtol=1e-9)


def test_the_direction_of_clip_factors():
    """One value of ten is clipped at 0.999: far more than one in 15,000."""
    slot, state, path = int4.Gradient(4), {}, []
    g = np.array([1.0, *[0.5] * 9])
    for step in range(4):
        one = run_of(state, step=step)
        slot.see(g, one, "g")
        state = one.state
        path.append(float(state["g.clip_factor"]))
    assert np.allclose(path, [0.999, 1.0, 0.999, 1.0], rtol=1e-12)


def test_the_clip_factor_is_what_the_gradient_is_quantized_with():
    g = np.array([[4.0, -1.0, 0.1]])
    q = int4.Gradient(4).at(run_of({"g.clip_factor": np.array(0.5)}), "g")(g)
    assert float(q.scale) * 7 == 2 and q.codes[0, 0] == 7
    held = int4.Gradient(4, clip_factor=0.25)
    one = run_of()
    assert float(held.at(one, "g")(g).scale) * 7 == 1
    held.see(g, one, "g")
    assert one.state == {}


def test_the_authors_skip_the_first_step_and_scan():
    trainer, runs, _ = stepped("int4-4", 2, variant="authors")
    start = Run({}, {}, {}, training=True)
    trainer.model(trainer.task.input(X), start)
    assert runs[0].parameters.keys() == start.parameters.keys() and runs[0].memories == {}
    assert all(np.array_equal(value, start.parameters[name]) for name, value in runs[0].parameters.items())
    assert not np.array_equal(runs[1].parameters["fc1.w"], runs[0].parameters["fc1.w"]) and runs[1].memories
    first, second = factors(runs)
    assert first < 0.995 and math.isclose(abs(second - first), 1e-3, rel_tol=1e-9)
    assert recipe("int4-4").skips_first is False


def test_int4_clips_are_learned_by_adam():
    group = recipe("int4-4").groups["quantizer"]
    assert isinstance(group.optimizer, Adam) and group.optimizer.rate == 1e-5 and group.decay == 0
    trainer, runs, _ = stepped("int4-4", 1)
    start = Run({}, {}, {}, training=True)
    trainer.model(trainer.task.input(X), start)
    for name in ("conv2.w.clip", "conv2.x.clip", "fc1.w.clip", "fc1.x.clip"):
        assert math.isclose(abs(runs[0].parameters[name] - start.parameters[name]), 1e-5, rel_tol=1e-3)
    w = start.parameters["fc1.w"]
    assert math.isclose(float(start.parameters["fc1.w.clip"]), 3 * w.std(ddof=1), rel_tol=1e-12)


# Evaluation


@pytest.mark.parametrize("method, variant", [*((name, "paper") for name in COMPARED), *((name, "authors") for name in AUTHORS)])
def test_evaluation_changes_nothing_and_knows_no_batch(method, variant):
    """Each image is answered alike alone and among others: no range or mean is the batch's."""
    trainer, runs, _ = stepped(method, 2, model="mlp", variant=variant)
    run = runs[-1]
    before = {part: {name: value.copy() for name, value in getattr(run, part).items()} for part in ("parameters", "state")}
    together = trainer.answer(run, DIGITS.test_x[:5])
    assert np.array_equal(together, np.concatenate([trainer.answer(run, DIGITS.test_x[i:i + 1]) for i in range(5)]))
    for part, values in before.items():
        assert getattr(run, part).keys() == values.keys()
        assert all(np.array_equal(getattr(run, part)[name], value) for name, value in values.items())


# Names


@pytest.mark.parametrize("name, expected", [
    ("float", "float"), ("banner", "banner-8"), ("banner-4", "banner-4"), ("sat", "sat-4"), ("n2uq", "n2uq-2"),
    ("hindsight", "hindsight-8"), ("int4", "int4-4"), ("int4-5", "int4-5"), ("banner+hindsight", "banner-8+hindsight"),
    ("int4-4+running", "int4-4+running"), ("hindsight-8+current", "hindsight-8+current")])
def test_names(name, expected):
    assert recipe(name).name == expected


@pytest.mark.parametrize("name, words", [
    ("", ["''", *PAPERS]), ("bann", ["'bann'", *PAPERS]), ("float-8", ["'float-8'", "float"]), ("sat-9", ["sat-9", "sat-8", "sat-2"]),
    ("sat-1", ["sat-1", "sat-2"]), ("int4-2", ["int4-2", "int4-3"]), ("sat-x", ["sat-x", "sat-2"]), ("sat--4", ["sat--4", "sat-4"]),
    ("sat-4+hindsight", ["sat-4+hindsight", "banner", "hindsight", "int4"]), ("banner-8+best", ["banner-8+best", "+current", "+running"]),
    ("banner-²", ["banner-²", "banner-8"])])
def test_wrong_names(name, words):
    with pytest.raises(ValueError) as caught:
        recipe(name)
    assert all(re.search(re.escape(word), str(caught.value)) for word in words), caught.value


def test_a_wrong_variant():
    with pytest.raises(ValueError, match="'mine'"):
        stepped("sat-4", variant="mine")


def test_what_is_compared_has_a_recipe_of_its_name():
    assert [recipe(name).name for name in COMPARED] == list(COMPARED)
    assert {name.partition("-")[0] for name in COMPARED} == {"float", *PAPERS}


def test_the_first_image_stays_integers_through_a_linear_layer():
    first = stepped("sat-4", model="mlp")[2][0]
    assert isinstance(first.a, Fixed) and np.array_equal(first.a.codes, X.reshape(8, 64))


@pytest.mark.parametrize("name", ["float", "banner-8", "hindsight-8", "int4-4"])
def test_an_unknown_variant_is_refused_by_every_method(name):
    with pytest.raises(ValueError, match="variant = 'author': expected one of paper, authors"):
        recipe(name, "author")
