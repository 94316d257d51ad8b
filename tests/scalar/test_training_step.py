"""Whole cases of two training steps: they learn, hand their state on, are remembered, and tell every number."""
import functools
import math
import random

import pytest

from refquant.scalar.steps import silent
from refquant.scalar.training_step import case, element
from refquant.scalar.training_step.nested import at, filled, flat, shape_of

METHODS = ("banner", "sat", "n2uq", "hindsight", "int4")
BATCH = 4
RATES = {"sat": 6400}  # its weights are scaled to logits of 1 or so: their gradients are small
WEIGHTS = {"conv1": (4, 1, 3, 3), "conv2": (8, 4, 3, 3), "linear": (10, 128)}
CHANNELS, PLACES = {"conv1": 4, "conv2": 8}, {"conv1": 64, "conv2": 16}
GRADIENTS = {"conv1": (BATCH, 4, 8, 8), "conv2": (BATCH, 8, 4, 4), "linear": (BATCH, 10)}
RANDOM_COPIES = {"banner": ("conv2_g", "linear_g", "conv1_bn_g", "conv2_bn_g"), "sat": (), "n2uq": (),
                 "hindsight": ("conv1_g", "conv2_g", "linear_g"), "int4": ("conv2_g",)}


def attrs_of(method):
    return {"batch": BATCH, "rate": RATES.get(method, 80), "learned_rate": 8}


def learned(method):
    """The first values of the numbers that a method learns, by name."""
    if method == "banner":
        return {f"{layer}_gamma": count * [256] for layer, count in CHANNELS.items()} | {
            f"{layer}_beta": count * [0] for layer, count in CHANNELS.items()}
    numbers = {"sat": {"alpha": [1024]}, "int4": {"y_clip": [8192]}, "hindsight": {},
               "n2uq": {"a": 7 * [600], "start": [0], "scale1": [4096], "scale2": [600]}}[method]
    found = {f"{layer}_{name}": list(value) for layer in CHANNELS for name, value in numbers.items()}
    further = {"int4": {"conv2_w_clip": [2048]}, "n2uq": {"conv2_scale2": [900]}}
    return found | further.get(method, {})


@functools.cache
def inputs_of(method):
    """A case of which both steps see the same images, each with its label's own bright column."""
    source = random.Random(method)
    labels = [1, 3, 4, 6]
    image = [[[[255 if v == label else source.randrange(80) for v in range(8)] for _ in range(8)]] for label in labels]
    weights = {f"{layer}_w": filled(shape, lambda index: round(source.gauss(0, 1200))) for layer, shape in WEIGHTS.items()}
    moved = weights | learned(method)
    given = {"in_exp": [round(2**15 * math.exp(-t / 16)) for t in range(256)]}
    state = moved | {f"{name}_v": filled(shape_of(value), lambda index: 0) for name, value in moved.items()}
    if method == "sat":
        given["in_tanh"] = [round(2**30 * math.tanh(j / 4096)) for j in range(2**15 + 1)]
    if method == "hindsight":
        state |= {f"{layer}_g_range": [0, 0] for layer in WEIGHTS} | {f"{layer}_y_range": [0, 0] for layer in CHANNELS}
    if method == "int4":
        state["conv2_clip_factor"] = [900]
    for layer in CHANNELS if method == "banner" else ():
        state |= {f"{layer}_{name}": CHANNELS[layer] * [4096] for name in ("mean", "width")}
        count = BATCH * PLACES[layer]
        for name, real in (("mean", 256 / count), ("c", 256 / math.sqrt(2 * math.log(count)))):
            given |= {f"in_{layer}_{name}_multiplier": [round(real * 2**20)], f"in_{layer}_{name}_shift": [20]}
    for k in range(2):
        given |= {f"in_{k}_x": image, f"in_{k}_labels": labels}
        shapes = {name: shape_of(value) for name, value in moved.items()} | {
            name: GRADIENTS[name.split("_")[0]] for name in RANDOM_COPIES[method]}
        given |= {f"rbits_{k}_{name}": filled(shape, lambda index: source.randrange(2**16)) for name, shape in shapes.items()}
    return given | {f"state0_{name}": value for name, value in state.items()}


@functools.cache
def computed(method):
    return case._computed(method, attrs_of(method), inputs_of(method))


def lost(method, step):
    """The mean cross entropy of the logits, which are in sixteenths."""
    total = 0.0
    for row, label in zip(computed(method)[0][f"out_{step}_logits"], inputs_of(method)["in_0_labels"], strict=True):
        total += math.log(sum(math.exp(number / 16) for number in row)) - row[label] / 16
    return total / BATCH


@pytest.mark.parametrize("method", METHODS)
def test_a_step_lowers_the_loss(method):
    assert lost(method, 1) < lost(method, 0) - 0.05


@pytest.mark.parametrize("method", METHODS)
def test_the_state_is_that_after_the_second_step(method):
    tensors, inputs = computed(method)[0], inputs_of(method)
    state = {name.removeprefix("state0_") for name in inputs if name.startswith("state0_")}
    assert {name for name in tensors if name.startswith("state1_")} == {f"state1_{name}" for name in state}
    for name in state:
        assert tensors[f"state1_{name}"] == tensors[f"mid_1_{name}_after"]
        assert shape_of(tensors[f"state1_{name}"]) == shape_of(inputs[f"state0_{name}"])
    assert all(tensors[f"mid_0_{layer}_w_after"] != inputs[f"state0_{layer}_w"] for layer in WEIGHTS)


@pytest.mark.parametrize("method", METHODS)
def test_the_second_step_is_a_first_step_from_the_state_between(method):
    tensors, inputs = computed(method)[0], inputs_of(method)
    between = {name: tensors[f"mid_0_{name.removeprefix('state0_')}_after"] if name.startswith("state0_") else
               inputs.get(name.replace("rbits_0", "rbits_1"), value) for name, value in inputs.items()}
    again = case._computed(method, attrs_of(method), between)[0]
    for name, tensor in tensors.items():
        if name.startswith(("mid_1_", "out_1_")):
            assert again[name.replace("_1_", "_0_", 1)] == tensor, name


@pytest.mark.parametrize("method", METHODS)
def test_every_tensor_tells_how_a_number_came_about(method):
    tensors, inputs = computed(method)[0], inputs_of(method)
    for name, tensor in tensors.items():
        told, last = [], tuple(length - 1 for length in shape_of(tensor))
        assert element(method, attrs_of(method), inputs, name, last, note=told.append) == at(tensor, last)
        assert told and all(isinstance(line, str) for line in told), name


def test_the_steps_to_a_weight():
    told = []
    inputs = inputs_of("int4")
    after = element("int4", attrs_of("int4"), inputs, "mid_0_conv2_w_after", (1, 2, 0, 1), note=told.append)
    weight, gradient = inputs["state0_conv2_w"][1][2][0][1], computed("int4")[0]["mid_0_conv2_w_gradient"][1][2][0][1]
    assert told[0] == f"gradient {gradient}"
    assert any(line.startswith(f"weight {weight} - ") and line.endswith(f" = {after}") for line in told)


@pytest.mark.parametrize("method", METHODS)
def test_products_are_of_the_copies_recorded(method):
    """<w, dw> = <acc, g> of the weight's copy and <x, dx> = <acc, g> of the input's, less zero points, exactly."""
    tensors, inputs = computed(method)[0], inputs_of(method)

    def codes(name):
        zero_point, = tensors.get(f"{name}_zero_point", [0])
        return [code - zero_point for code in flat(tensors[name])]

    def inner(a, b):
        return sum(p * q for p, q in zip(a, b, strict=True))

    for layer, before in (("conv1", None), ("conv2", "conv1"), ("linear", "conv2")):
        copies = [f"mid_0_{layer}_g_{kind}" for kind in ("wide", "codes") if f"mid_0_{layer}_g_{kind}" in tensors]
        acc, wide, narrow = flat(tensors[f"mid_0_{layer}_acc"]), codes(copies[0]), codes(copies[-1])
        assert inner(codes(f"mid_0_{layer}_w_codes"), flat(tensors[f"mid_0_{layer}_dw"])) == inner(acc, wide) != 0
        x = codes(f"mid_0_{before}_y_codes") if before else flat(inputs["in_0_x"])
        assert not before or inner(x, flat(tensors[f"mid_0_{layer}_dx"])) == inner(acc, narrow) != 0


@pytest.mark.parametrize("layer", WEIGHTS)
def test_sat_weights_have_the_variance_1_over_their_outputs(layer):
    codes = flat(computed("sat")[0][f"mid_0_{layer}_w_codes"])
    multiplier, shift = computed("sat")[0][f"mid_0_{layer}_w_codes_scale"]
    mean = sum(codes) / len(codes)
    variance = sum((code - mean) ** 2 for code in codes) / (len(codes) - 1) * (multiplier / 2**shift) ** 2
    assert abs(variance * {"conv1": 4 * 9, "conv2": 8 * 9, "linear": 10}[layer] - 1) < 1e-8


@pytest.mark.parametrize("layer, following", [("conv1", "conv2"), ("conv2", "linear")])
def test_n2uq_gradients_are_in_the_unit_of_the_layers_own_output(layer, following):
    tensors, scale2 = computed("n2uq")[0], inputs_of("n2uq")[f"state0_{layer}_scale2"][0] / 4096
    g, dx, acc = (multiplier / 2**shift for multiplier, shift in (
        tensors[f"mid_0_{name}_scale"] for name in (f"{layer}_g", f"{following}_dx", f"{layer}_acc")))
    assert abs(g * acc * 4096 / (dx * scale2) - 1) < 1e-8


def test_int4_gives_conv2_8_bits_of_output():
    tensors = computed("int4")[0]
    assert max(flat(tensors["mid_0_conv1_y_codes"])) <= 15 < max(flat(tensors["mid_0_conv2_y_codes"]))


@pytest.mark.parametrize("method", METHODS)
def test_scales_have_31_bits_and_codes_their_range(method):
    tensors = computed(method)[0]
    scales = {name: tensor for name, tensor in tensors.items() if name.endswith("_scale")}
    assert len(scales) > 20 and all(2**30 <= multiplier < 2**31 and 0 < shift < 256 for multiplier, shift in scales.values())
    for name in scales:
        codes = flat(tensors[name.removesuffix("_scale")])
        if name.endswith("_g_wide_scale"):
            assert max(map(abs, codes)) == 2**15 - 1
        if name.endswith("_codes_scale"):
            assert len(set(codes)) > 3 and min(codes) >= -255 and max(codes) <= 255


@pytest.mark.parametrize("layer", CHANNELS)
def test_banner_gradients_have_no_mean_in_a_channel(layer):
    """Normalization takes the mean out, whatever comes: what is left is the roundings', a fiftieth."""
    g = computed("banner")[0][f"mid_0_{layer}_g"]
    for channel in range(CHANNELS[layer]):
        numbers = flat([image[channel] for image in g])
        assert abs(sum(numbers)) < sum(map(abs, numbers)) / 50


def test_hindsight_uses_what_it_saw_the_step_before():
    tensors = computed("hindsight")[0]
    for name in ("conv1_y", "conv2_y", "conv1_g", "conv2_g", "linear_g"):
        assert tensors[f"mid_0_{name}_range"] == tensors[f"mid_0_{name}_seen"]
        assert tensors[f"mid_1_{name}_range"] == tensors[f"mid_0_{name}_seen"] != tensors[f"mid_1_{name}_seen"]


def test_a_case_is_computed_once(monkeypatch):
    asked = []

    def counted(method, attrs, inputs):
        asked.append(method)
        return {"out_0_logits": [[method, inputs["in_exp"][0], attrs["rate"]]]}, {}

    def answer(method, attrs, inputs, place):
        return element(method, attrs, inputs, "out_0_logits", (0, place), note=silent)

    monkeypatch.setattr(case, "_computed", counted)
    monkeypatch.setattr(case, "_last", [None, None, None, None])
    inputs, attrs = {"in_exp": [5, 6]}, {"rate": 1}
    assert [answer("sat", attrs, inputs, place) for place in range(3)] == ["sat", 5, 1]
    assert answer("sat", {"rate": 1}, {"in_exp": [5, 6]}, 1) == 5 and asked == ["sat"]  # equal lists, other ones
    assert answer("n2uq", attrs, inputs, 0) == "n2uq" and asked == ["sat", "n2uq"]
    inputs["in_exp"] = [7, 6]
    assert answer("n2uq", attrs, inputs, 1) == 7
    attrs["rate"] = 2
    assert answer("n2uq", attrs, inputs, 2) == 2 and asked == ["sat", "n2uq", "n2uq", "n2uq"]


def test_what_is_not_computed_is_refused():
    with pytest.raises(ValueError, match="unknown method 'pact': one of banner, sat"):
        element("pact", attrs_of("sat"), inputs_of("sat"), "out_0_logits", (0, 0))
    with pytest.raises(ValueError, match="tensor 'in_exp' is not computed: one of mid_0_conv1_w_codes"):
        element("int4", attrs_of("int4"), inputs_of("int4"), "in_exp", (0,))
