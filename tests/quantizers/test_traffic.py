"""Memory traffic: the paper's rows, the limit, whole networks by an independent count."""
import math
from fractions import Fraction

import pytest

from refquant.quantizers.traffic import MOBILENET_V2, RESNET18, LayerShape, bytes_moved, increase, table

DW = {"groups": 96}


@pytest.mark.parametrize("layer, static, dynamic, more", [
    (LayerShape("64 -> 64", 64, 64, 3, 56, 56), 428, 1996, 366),
    (LayerShape("128 -> 128", 128, 128, 3, 28, 28), 340, 1124, 231),
    (LayerShape("256 -> 256", 256, 256, 3, 14, 14), 674, 1066, 58),
    (LayerShape("512 -> 512", 512, 512, 3, 7, 7), 2353, 2549, 8),
    (LayerShape("PW 16 -> 96", 16, 96, 1, 112, 112), 1373.5, 10781.5, 685),
    (LayerShape("DW 96", 96, 96, 3, 112, 112, **DW), 2353, 11761, 400),
    (LayerShape("DW 96, stride 2", 96, 96, 3, 112, 56, **DW), 1471, 3823, 160),
    (LayerShape("PW 24 -> 144", 24, 144, 1, 56, 56), 518, 4046, 681),
    (LayerShape("PW 960 -> 160", 960, 160, 1, 7, 7), 204, 265, 30),
    (LayerShape("PW 960 -> 320", 960, 320, 1, 7, 7), 361, 484, 34)], ids=lambda v: getattr(v, "name", None))
def test_rows_of_the_paper(layer, static, dynamic, more):
    half = 0.01 if static % 1 else 0.5
    assert abs(bytes_moved(layer, False) / 1024 - static) <= half
    assert abs(bytes_moved(layer, True) / 1024 - dynamic) <= half
    assert abs(increase(layer) - more) <= 0.5


def test_the_increase_is_below_800_per_cent_and_comes_near_it():
    assert all(0 < increase(layer) < 800 for layer in (*RESNET18, *MOBILENET_V2))
    assert 799 < increase(LayerShape("wide", 1, 1_000_000, 1, 100, 100)) < 800
    assert max(MOBILENET_V2, key=increase).name == "block1.expand"


def counted(layer, dynamic, weight_bits=8, activation_bits=8, accumulator_bits=32):
    """The same traffic, bit by bit, group by group, row of pixels by row."""
    bits = Fraction(0)
    for _ in range(layer.groups):
        bits += weight_bits * (layer.inputs // layer.groups) * (layer.outputs // layer.groups) * layer.kernel**2
    for _ in range(layer.size_in):
        bits += activation_bits * layer.inputs * layer.size_in
    for _ in range(layer.size_out):
        bits += activation_bits * layer.outputs * layer.size_out
        if dynamic:
            bits += 2 * accumulator_bits * layer.outputs * layer.size_out
    return bits / 8


@pytest.mark.parametrize("bits", [{}, {"weight_bits": 4, "activation_bits": 6}, {"accumulator_bits": 24},
                                  {"weight_bits": 1, "activation_bits": 3, "accumulator_bits": 17}])
@pytest.mark.parametrize("layers", [RESNET18, MOBILENET_V2], ids=["resnet18", "mobilenet_v2"])
def test_every_layer_and_the_total_row(layers, bits):
    static = dynamic = 0
    lines = table(layers, **bits).splitlines()
    assert len(lines) == len(layers) + 2 and len({len(line) for line in lines}) == 1
    for layer, line in zip(layers, lines[1:], strict=False):
        of = counted(layer, False, **bits), counted(layer, True, **bits)
        assert (bytes_moved(layer, False, **bits), bytes_moved(layer, True, **bits)) == of
        assert line.split() == [layer.name, f"{float(of[0] / 1024):.1f}", f"{float(of[1] / 1024):.1f}",
                                f"{float(100 * (of[1] / of[0] - 1)):+.0f}", "%"]
        static, dynamic = static + of[0], dynamic + of[1]
    assert lines[-1].split() == ["total", f"{float(static / 1024):.1f}", f"{float(dynamic / 1024):.1f}",
                                 f"{float(100 * (dynamic / static - 1)):+.0f}", "%"]


def test_the_table_is_aligned():
    assert table([LayerShape("a", 1, 1, 1, 32, 32), LayerShape("longer", 1024, 1, 1, 1, 1)]) == (
        "layer   static KB  dynamic KB  increase\n"
        "a             2.0        10.0    +400 %\n"
        "longer        2.0         2.0      +0 %\n"
        "total         4.0        12.0    +200 %")
    assert table([]).splitlines()[1].split() == ["total", "0.0", "0.0", "+0", "%"]


def test_resnet18_is_what_it_is():
    *convolutions, fc = RESNET18
    assert len(convolutions) == 20 and (fc.inputs, fc.outputs) == (512, 1000)
    assert sum(layer.weights for layer in convolutions) == 11_166_912
    # with two numbers a channel for batch norm and fc's biases: the model's published size
    assert sum(layer.weights + 2 * layer.outputs for layer in convolutions) + fc.weights + 1000 == 11_689_512
    assert sum(layer.kernel == 1 for layer in convolutions) == 3
    assert [layer.size_out for layer in convolutions] == [112] + 4 * [56] + 5 * [28] + 5 * [14] + 5 * [7]


def test_mobilenet_v2_is_what_it_is():
    *convolutions, fc = MOBILENET_V2
    assert len(convolutions) == 52 and (fc.inputs, fc.outputs) == (1280, 1000)
    assert sum(layer.weights + 2 * layer.outputs for layer in convolutions) + fc.weights + 1000 == 3_504_872
    assert sum(layer.groups > 1 for layer in convolutions) == 17
    assert all(layer.groups in (1, layer.inputs) for layer in convolutions)
    by_name = {layer.name: layer for layer in convolutions}
    assert by_name["block1.expand"] == LayerShape("block1.expand", 16, 96, 1, 112, 112)
    assert by_name["block1.depthwise"] == LayerShape("block1.depthwise", 96, 96, 3, 112, 56, 96)
    assert by_name["block16.project"] == LayerShape("block16.project", 960, 320, 1, 7, 7)


@pytest.mark.parametrize("layers", [RESNET18, MOBILENET_V2], ids=["resnet18", "mobilenet_v2"])
def test_a_layer_takes_what_an_earlier_one_gives(layers):
    given = {(3, 224)}
    for layer in layers[:-1]:
        assert (layer.inputs, layer.size_in) in given, layer.name
        given.add((layer.outputs, layer.size_out))
        if layer.name == "conv1" and layer.kernel == 7:
            given.add((layer.outputs, layer.size_out // 2))  # the max pool
    assert (layers[-1].inputs, 7) in given  # before global pooling
    assert len({layer.name for layer in layers}) == len(layers)


def test_multiplications_of_the_papers():
    """1.8e9 for ResNet-18, 300e6 for MobileNetV2: the authors' own count of their networks."""
    def multiplications(layers):
        return sum(layer.weights * layer.size_out**2 for layer in layers)

    assert math.isclose(multiplications(RESNET18), 1.8e9, rel_tol=0.02)
    assert math.isclose(multiplications(MOBILENET_V2), 300e6, rel_tol=0.02)


@pytest.mark.parametrize("change, message", [
    ({"inputs": 0}, "inputs = 0"), ({"kernel": -1}, "kernel = -1"), ({"groups": 3}, "groups = 3"),
    ({"outputs": 6, "groups": 4}, "groups = 4")])
def test_impossible_layers(change, message):
    with pytest.raises(ValueError, match=message):
        LayerShape(**{"name": "a", "inputs": 4, "outputs": 4, "kernel": 3, "size_in": 8, "size_out": 8} | change)
