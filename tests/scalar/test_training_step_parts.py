"""The parts of a training step against numbers worked out by hand, and against identities that hold exactly."""
import random
from fractions import Fraction

import pytest

from refquant.scalar.training_step import copies, descent, loss, products
from refquant.scalar.training_step.nested import at, filled, flat, mapped, position, shape_of
from refquant.scalar.training_step.record import Quantity, Step

ONE = 4096  # of weights and learned numbers


def step_of(state=(), rbits=(), constants=(), learned_rate=ONE):
    return Step({"rate": ONE, "learned_rate": learned_rate}, dict(constants), dict(state), dict(rbits))


def drawn(source, shape, low, high):
    return filled(shape, lambda index: source.randint(low, high))


def near(pair, fraction):
    return abs(Fraction(pair[0], 2**pair[1]) / fraction - 1) <= Fraction(1, 2**31) and 2**30 <= pair[0] < 2**31


# nested lists

def test_a_number_is_where_its_position_says():
    tensor = filled((2, 3, 4), lambda index: 100 * index[0] + 10 * index[1] + index[2])
    assert shape_of(tensor) == (2, 3, 4) and tensor[1][2] == [120, 121, 122, 123]
    order = [(i, j, k) for i in range(2) for j in range(3) for k in range(4)]
    assert flat(tensor) == [100 * i + 10 * j + k for i, j, k in order]
    for index in order:
        assert flat(tensor)[position(index, (2, 3, 4))] == at(tensor, index)
    assert mapped(lambda a, b: a - b, [[1, 2]], [[5, 3]]) == [[-4, -1]]


# copies

def test_symmetric_by_hand():
    """H = 4 becomes 7: codes 7/4 of the numbers; 3.5 is a tie."""
    step = step_of()
    copy = copies.symmetric(step, "v", Quantity([[-4, 3], [0, 2]], Fraction(1, 8)), 4)
    assert step.tensors["v"] == copy.numbers == [[-7, 5], [0, 4]]
    assert near(step.tensors["v_scale"], Fraction(4, 7 * 8)) and copy.zero_point == 0
    assert copy.scale == Fraction(step.tensors["v_scale"][0], 2**step.tensors["v_scale"][1])


def test_symmetric_of_zeros_takes_1_for_the_largest():
    step = step_of()
    assert copies.symmetric(step, "v", Quantity([0, 0], Fraction(3)), 16).numbers == [0, 0]
    assert near(step.tensors["v_scale"], Fraction(3, 32767))


def test_affine_by_hand():
    """Size 8: 31.875 codes a unit, the zero point 95.625 -> 96; -95.625 -> -96; 159.375 -> 159."""
    step = step_of()
    copy = copies.affine(step, "v", Quantity([-3, 5, 0, 1], Fraction(1, 2)))
    assert copy.numbers == [0, 255, 96, 128] and copy.zero_point == 96
    assert step.tensors["v_zero_point"] == [96]
    assert near(step.tensors["v_scale"], Fraction(8, 2 * 255))


@pytest.mark.parametrize("numbers, codes, zero_point, size", [
    ([3, 5], [153, 255], 0, 5), ([-5, -3], [0, 102], 255, 5), ([0, 0], [0, 0], 0, 1),
    ([-3, 7], [1, 255], 77, 10)])  # the zero point 76.5 away from 0; -76.5 to the even -76
def test_affine_widens_a_range_to_hold_0(numbers, codes, zero_point, size):
    step = step_of()
    copy = copies.affine(step, "v", Quantity(numbers, Fraction(1)))
    assert (copy.numbers, copy.zero_point) == (codes, zero_point)
    assert near(step.tensors["v_scale"], Fraction(size, 255))


def test_affine_with_random_bits_rounds_by_chance():
    """1 of 8 is 31.875 codes: up where the random number is at least 0.125; 5 is 159.375 + 96, saturated with luck."""
    v = Quantity([-3, 1, 1, 5, 5], Fraction(1))
    copy = copies.affine(step_of(), "v", v, [0, 8191, 8192, 0, 65535])
    assert copy.numbers == [0, 96 + 31, 96 + 32, 255, 255]


# loss

def test_loss_by_hand():
    """A table of 4, 2, 1, then 0: shares 4/7, 2/7 and 1/7 of 2^15; the label's loses 2^15."""
    step = step_of(constants={"exp": [4, 2, 1] + 253 * [0]})
    logits = loss.logits(step, Quantity([[40, 32, 24, -8000]], Fraction(1, 128)))
    assert logits == [[5, 4, 3, -1000]]
    g = loss.gradient(step, logits, [1])
    assert g.numbers == [[18725, 9362 - 32768, 4681, 0]] and sum(g.numbers[0]) == 0
    assert g.scale == Fraction(1, 2**15)


def test_the_loss_gradient_of_an_image_sums_to_0_but_for_rounding():
    source = random.Random(0)
    step = step_of(constants={"exp": [round(2**15 * 2.718281828459045**(-t / 16)) for t in range(256)]})
    logits, labels = drawn(source, (50, 10), -200, 200), [source.randrange(10) for _ in range(50)]
    g = loss.gradient(step, logits, labels)
    assert all(abs(sum(row)) <= 5 for row in g.numbers)
    assert all((number < 0) == (j == label) for row, label in zip(g.numbers, labels, strict=True)
               for j, number in enumerate(row) if number)
    assert abs(g.scale * 50 * 2**15 - 1) <= Fraction(1, 2**31)  # rounded to 31 bits


# products

WEIGHTS = {"conv1": (4, 1, 3, 3), "conv2": (8, 4, 3, 3), "linear": (10, 128)}
INPUTS = {"conv1": (2, 1, 8, 8), "conv2": (2, 4, 8, 8), "linear": (2, 8, 4, 4)}


def less(quantity):
    return [number - quantity.zero_point for number in flat(quantity.numbers)]


def inner(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("layer", WEIGHTS)
def test_the_products_of_a_layer_are_each_others_adjoints(layer):
    """<x w, g> = <x, g w> = <w, x g>, exactly; scales multiply."""
    source = random.Random(layer)
    step = step_of()
    x = Quantity(drawn(source, INPUTS[layer], 0, 255), Fraction(1, 2), 7)
    w = Quantity(drawn(source, WEIGHTS[layer], -128, 127), Fraction(1, 4), -3)
    acc = products.forward(step, layer, x, w)
    g = Quantity(drawn(source, shape_of(acc.numbers), -99, 99), Fraction(1, 8), 5)
    dx = products.input_gradient(step, layer, x, g, w)
    dw = products.weight_gradient(step, layer, x, g, w)
    assert shape_of(dx.numbers) == INPUTS[layer] and shape_of(dw.numbers) == WEIGHTS[layer]
    assert inner(flat(acc.numbers), less(g)) == inner(less(x), flat(dx.numbers)) == inner(less(w), flat(dw.numbers)) != 0
    assert (acc.scale, dx.scale, dw.scale) == (Fraction(1, 8), Fraction(1, 32), Fraction(1, 16))


def test_convolutions_of_ones_count_the_places_under_the_kernel():
    step = step_of()
    ones = Quantity(filled((1, 1, 8, 8), lambda index: 1), Fraction(1))
    acc = products.forward(step, "conv1", ones, Quantity(filled((4, 1, 3, 3), lambda index: 1), Fraction(1)))
    assert acc.numbers[0][3][0] == [4, 6, 6, 6, 6, 6, 6, 4] and acc.numbers[0][0][5] == [6, 9, 9, 9, 9, 9, 9, 6]
    four = Quantity(filled((1, 4, 8, 8), lambda index: 1), Fraction(1))
    acc = products.forward(step, "conv2", four, Quantity(filled((8, 4, 3, 3), lambda index: 1), Fraction(1)))
    assert acc.numbers[0][7] == [[16, 24, 24, 24], [24, 36, 36, 36], [24, 36, 36, 36], [24, 36, 36, 36]]


def test_the_linear_layer_takes_channels_rows_columns_in_order():
    step = step_of()
    x = Quantity([filled((8, 4, 4), lambda index: 100 * index[0] + 10 * index[1] + index[2])], Fraction(1))
    w = Quantity([[int(k == 16 * j + 6) for k in range(128)] for j in range(8)] + 2 * [128 * [0]], Fraction(1))
    acc = products.forward(step, "linear", x, w)
    assert acc.numbers == [[12, 112, 212, 312, 412, 512, 612, 712, 0, 0]]


# descent

@pytest.mark.parametrize("r, moved", [(0, 115), (50688, 116), (50687, 115)])
def test_a_weight_by_hand(r, moved):
    """v' = 0.9 * 2^15 + 7 = 29498, moved by 29498 / 2^8 = 115 + 14848 / 2^16 at the rate 1."""
    step = step_of({"conv1_w": [100], "conv1_w_v": [2**15]}, {"conv1_w": [r]})
    descent.weights(step, "conv1", Quantity([7], Fraction(1, 2**20)))
    assert step.after() == {"conv1_w": [100 - moved], "conv1_w_v": [29498]}


def test_weights_saturate_in_16_bits_and_learned_numbers_do_not():
    state = {"conv1_w": [-32768], "conv1_w_v": [0], "q": [-32768], "q_v": [0]}
    step = step_of(state, {"conv1_w": [0], "q": [0]})
    descent.weights(step, "conv1", Quantity([256], Fraction(1, 2**20)))
    descent.learned(step, "q", lambda note: [256], Fraction(1, 2**20))
    assert step.after() == {"conv1_w": [-32768], "conv1_w_v": [256], "q": [-32769], "q_v": [256]}


def test_a_positive_number_is_raised_and_its_momentum_is_not():
    step = step_of({"q": [5, 5], "q_v": [0, 0]}, {"q": [0, 0]}, learned_rate=2 * ONE)
    descent.learned(step, "q", lambda note: [128, 256], Fraction(1, 2**20), least=4)
    assert step.after() == {"q": [4, 4], "q_v": [128, 256]}
    assert step.tensors["q_gradient"] == [128, 256] and near(step.tensors["q_gradient_scale"], Fraction(1, 2**20))
    told = []
    assert step.rules["q_after"]((1,), told.append) == 4 and told[-1] == "raised to 4"


def test_the_rate_is_in_the_unit_of_the_number_moved():
    """beta is in 2^-20, as its momentum: the rate 1 takes all of it."""
    step = step_of({"beta": [1000], "beta_v": [0]}, {"beta": [0]})
    descent.learned(step, "beta", lambda note: [64], Fraction(1, 2**20), fraction=20)
    assert step.after()["beta"] == [1000 - 64]
