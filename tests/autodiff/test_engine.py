"""The engine: every path counted once, nothing stored, errors by name."""
import operator
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.autodiff import OPS, FixedSum, Op, Tensor, dequantize, engine, gradients, linear, matmul, multiply, relu
from refquant.integers import Fixed, IntFormat

A = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
FIXED = Fixed(np.array([1, -2, 3]), 0.5, IntFormat(8))


@pytest.fixture
def op():
    """`Op`, as a decorator of ops that are gone after the test."""
    before = dict(OPS)
    yield Op
    OPS.clear()
    OPS.update(before)


def graph(out):
    """Every tensor that ``out`` depends on, itself too."""
    found, left = [], [out]
    while left:
        node = left.pop()
        if not any(node is other for other in found):
            found.append(node)
            left += [x for x in node.inputs if isinstance(x, Tensor)]
    return found


def test_the_engine_has_a_budget_of_lines():
    assert len(Path(engine.__file__).read_text().splitlines()) < 150


def test_a_graph_20000_deep():
    x = Tensor(2.0)
    y = x
    for _ in range(20_000):
        y = y - x
    assert y.value == 2 - 40_000
    assert gradients(y, [x]) == [1 - 20_000]


def test_2_to_the_60_paths():
    """Each tensor is visited once, however many paths lead to it."""
    x = Tensor(1.0)
    y = x
    for _ in range(60):
        y = y + y
    assert gradients(y, [x]) == [2.0**60]


def test_a_tensor_used_several_times_collects_every_path():
    x = Tensor(3.0)
    shared = x + x
    y = shared * shared * x + x  # 4x^3 + x
    assert gradients(y, [x, shared]) == [12 * 9.0 + 1, 2 * 6.0 * 3]


STEPS = st.lists(st.tuples(st.sampled_from(["add", "subtract", "multiply"]), st.integers(0, 9), st.integers(0, 9)),
                 min_size=1, max_size=5)


@settings(deadline=None)
@given(st.lists(st.integers(-2, 2), min_size=3, max_size=3), STEPS)
def test_graphs_against_dual_numbers(leaves, steps):
    """Forward mode over Python integers: each number carries its derivative by every leaf."""
    tensors = [Tensor(float(leaf)) for leaf in leaves]
    duals = [(leaf, [int(i == k) for i in range(3)]) for k, leaf in enumerate(leaves)]
    for name, i, j in steps:
        i, j = i % len(tensors), j % len(tensors)
        (x, dx), (y, dy) = duals[i], duals[j]
        value, weights = {"add": (x + y, (1, 1)), "subtract": (x - y, (1, -1)), "multiply": (x * y, (y, x))}[name]
        duals.append((value, [weights[0] * a + weights[1] * b for a, b in zip(dx, dy, strict=True)]))
        tensors.append(OPS[name](tensors[i], tensors[j]))
    assert tensors[-1].value == duals[-1][0]
    assert gradients(tensors[-1], tensors[:3]) == duals[-1][1]


def test_gradients_of_leaves_of_what_is_between_and_of_what_is_not_reached():
    x, slope, apart = Tensor(A), Tensor(2.0), Tensor(np.ones((4, 5)))
    between = x * slope
    out = relu(between)
    later = out * out
    g = np.arange(6.0).reshape(2, 3)
    of_out, of_between, of_x, of_apart, of_later, again = gradients(out, [out, between, x, apart, later, x], g)
    assert (of_out == g).all()
    assert (of_between == np.where(A > 0, g, 0)).all()
    assert (of_x == 2 * of_between).all() and (again == of_x).all()
    assert of_apart.shape == (4, 5) and not of_apart.any()
    assert of_later.shape == (2, 3) and not of_later.any()


def test_a_scalar_needs_no_g():
    x = Tensor(3.0)
    assert gradients(x * x, [x]) == gradients(x * x, [x], 1) == [6.0]
    assert gradients(x * x, [x], 0.5) == [3.0]


def test_asked_twice_the_same_and_nothing_is_stored():
    x, y = Tensor(A), Tensor(A.T)
    out = matmul(x, y) * 2.0
    before = [(node, dict(vars(node)), np.array(node.value)) for node in graph(out)]
    assert len(before) == 4
    g = np.array([[1.0, 2.0], [3.0, -4.0]])
    first, second = gradients(out, [x, y], g), gradients(out, [x, y], g)
    assert all((a == b).all() for a, b in zip(first, second, strict=True)) and first[0].any()
    for node, attributes, value in before:
        assert vars(node).keys() == attributes.keys()
        assert all(vars(node)[name] is held for name, held in attributes.items())
        assert (node.value == value).all()
    assert (g == [[1, 2], [3, -4]]).all()


def test_an_op_of_bare_values_gives_a_bare_value():
    assert isinstance(multiply(A, 2), np.ndarray)
    assert isinstance(multiply(Tensor(A), 2), Tensor) and isinstance(multiply(A, Tensor(2)), Tensor)


def test_a_value_is_float64_or_fixed():
    assert Tensor([1, 2]).value.dtype == np.float64 and Tensor(FIXED).value is FIXED
    assert multiply(np.float32(0.1), 1).dtype == np.float64
    assert repr(Tensor(FIXED)) == "<Tensor Fixed [3] given>"
    assert repr(relu(Tensor(A))) == "<Tensor float64 [2, 3] relu>"


def test_a_fixed_input_has_the_gradient_of_its_value():
    x = Tensor(FIXED)
    out = dequantize(x) * np.array([1.0, 10.0, 100.0])
    assert (out.value == [0.5, -10, 150]).all()
    assert (gradients(out, [x], np.ones(3))[0] == [1, 10, 100]).all()
    assert (gradients(Tensor(0.0), [x])[0] == np.zeros(3)).all()


def test_a_rule_may_give_no_gradient_and_an_input_may_be_none(op):
    @op
    def chosen(x, mask, nothing):
        assert nothing is None
        return x * mask

    @chosen.def_backward
    def chosen_backward(g, out, x, mask, nothing):
        return g * mask, None, None

    x, mask = Tensor([1.0, 2.0]), Tensor([0.0, 1.0])
    of_x, of_mask = gradients(chosen(x, mask, None), [x, mask], [3.0, 4.0])
    assert (of_x == [0, 4]).all() and (of_mask == [0, 0]).all()


def test_a_rule_sees_g_out_inputs_and_parameters(op):
    seen = []

    @op
    def scaled(x, *, factor):
        return x * factor

    @scaled.def_backward
    def scaled_backward(g, out, x, *, factor):
        seen.append((float(g), float(out), float(x), factor))
        return g * factor,

    x = Tensor(3.0)
    assert gradients(scaled(x, factor=2), [x], 5) == [10]
    assert seen == [(5.0, 6.0, 3.0, 2)]


def test_a_rule_is_told_which_gradients_are_used(op):
    """x is asked for, y leads to what is asked for; a constant, a leaf nobody asks for and what is made of it do not."""
    told = []

    @op
    def five(a, b, c, d, e):
        return a + b + c + d + e

    @five.def_backward
    def five_backward(g, out, *inputs, needed=None):
        told.append(needed)
        return [g if used else None for used in needed]

    x, apart = Tensor(1.0), Tensor(2.0)
    out = five(x, x * 3.0, 4.0, apart, apart * 5.0)
    assert gradients(out, [x]) == [4.0]
    assert gradients(out, [apart]) == [6.0]
    assert gradients(out, [x, out, apart]) == [4.0, 1.0, 6.0]
    assert gradients(out, [out, Tensor(0.0)]) == [1.0, 0.0]
    assert told == [(True, True, False, False, False), (False, False, False, True, True), (True, True, False, True, True), (False,) * 5]


def test_a_rule_that_gives_what_nobody_needs(op):
    @op
    def pair(x, y):
        return x * y

    @pair.def_backward
    def pair_backward(g, out, x, y):
        return g * y, g * x

    x, y = Tensor(3.0), Tensor(5.0)
    assert gradients(pair(x, y), [x]) == [5.0] and gradients(pair(x, y), [y]) == [3.0]


def test_rules_of_what_leads_nowhere_are_not_asked(op):
    @op
    def costly(x):
        return 2 * x

    costly.def_backward(lambda g, out, x: pytest.fail("asked"))
    x, image = Tensor(3.0), Tensor(1.0)
    assert gradients(costly(image) * x, [x]) == [2.0]


def test_an_op_s_own_parameter_may_be_called_needed(op):
    @op
    def scaled(x, *, needed=1.0):
        return x * needed

    @scaled.def_backward
    def scaled_backward(g, out, x, *, needed=1.0):
        return g * needed,

    x = Tensor(3.0)
    assert gradients(scaled(x, needed=7.0), [x]) == [7.0]


OPERATORS = {"+": (operator.add, 1, 1), "-": (operator.sub, 1, -1), "*": (operator.mul, "y", "x"),
             "/": (operator.truediv, "1/y", "-x/y^2")}
SLOPES = {1: lambda x, y: 1, -1: lambda x, y: -1, "y": lambda x, y: y, "x": lambda x, y: x,
          "1/y": lambda x, y: 1 / y, "-x/y^2": lambda x, y: -x / y / y}


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("left, right", [(Tensor, Tensor), (Tensor, np.asarray), (np.asarray, Tensor), (Tensor, list), (list, Tensor)])
def test_operators_with_arrays_on_either_side(sign, left, right):
    """Powers of two: everything is exact."""
    function, by_x, by_y = OPERATORS[sign]
    x, y, g = np.array([1.0, -2.0, 8.0]), np.array([4.0, 0.5, -2.0]), np.array([1.0, 16.0, -2.0])
    a, b = left(x), right(y)
    out = function(a, b)
    assert isinstance(out, Tensor) and (out.value == function(x, y)).all()
    for tensor, slope in ((a, SLOPES[by_x]), (b, SLOPES[by_y])):
        if isinstance(tensor, Tensor):
            assert (gradients(out, [tensor], g)[0] == g * slope(x, y)).all()


@pytest.mark.parametrize("function", [entry[0] for entry in OPERATORS.values()], ids=OPERATORS)
@pytest.mark.parametrize("number", [2, 0.5, np.float64(4), np.float32(0.25), np.array(8.0)])
def test_operators_with_numbers_on_either_side(function, number):
    x = Tensor([1.0, -2.0])
    for out, expected in ((function(number, x), function(float(number), x.value)),
                          (function(x, number), function(x.value, float(number)))):
        assert isinstance(out, Tensor) and (out.value == expected).all()


def test_the_matrix_product_with_arrays_on_either_side():
    b, g = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]]), np.array([[1.0, 2.0], [-3.0, 4.0]])
    x, w = Tensor(A), Tensor(b)
    for out in (x @ w, A @ w, x @ b):
        assert isinstance(out, Tensor) and (out.value == [[10, 7], [-14, -3]]).all()
    assert (gradients(A @ w, [w], g)[0] == [[-11, 18], [-17, 16], [21, -18]]).all()
    assert (gradients(x @ b, [x], g)[0] == [[5, -2, 5], [5, -4, -5]]).all()
    integers = Fixed(np.array([[2, -1, 0]]), 0.5, IntFormat(8))
    assert ((integers @ w).value == [[1.0, 2.5]]).all()


def test_negation():
    x = Tensor([1.0, -2.0])
    assert ((-x).value == [-1, 2]).all() and (gradients(-x, [x], [3.0, 4.0])[0] == [-3, -4]).all()


def test_a_parameter_that_is_a_tensor():
    with pytest.raises(TypeError, match="linear: input_gradient is a Tensor: expected Tensors among the inputs"):
        linear(Tensor(A), Tensor(A), input_gradient=Tensor(1.0))


@pytest.mark.parametrize("g, shown", [(None, r"\(\)"), (1.0, r"\(\)"), (np.ones(3), r"\(3,\)"), (np.ones((3, 2)), r"\(3, 2\)")])
def test_a_g_that_does_not_fit(g, shown):
    x = Tensor(A)
    with pytest.raises(ValueError, match=rf"out has shape \(2, 3\) and g {shown}: expected g of out's shape, or a scalar"):
        gradients(x * x, [x], g)


def test_a_g_for_a_scalar_that_is_none():
    x = Tensor(2.0)
    with pytest.raises(ValueError, match=r"out has shape \(\) and g \(1,\)"):
        gradients(x * x, [x], [1.0])


@pytest.mark.parametrize("answer, words", [
    ((np.ones(3),), r"backward of careless gave shape \(3,\) for an input \(2,\)"),
    ((1.0,), r"backward of careless gave shape \(\) for an input \(2,\)"),
    ((np.ones(2), np.ones(2)), "zip"), ((), "zip")])
def test_a_rule_of_a_wrong_shape(op, answer, words):
    @op
    def careless(x):
        return 2 * x

    careless.def_backward(lambda g, out, x: answer)
    x = Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=words):
        gradients(careless(x), [x], np.ones(2))


def test_an_op_without_a_rule(op):
    @op
    def forward_only(x):
        return x

    x = Tensor(1.0)
    out = forward_only(x)
    assert out.value == 1
    with pytest.raises(ValueError, match="op 'forward_only' has no backward rule: expected one by def_backward"):
        gradients(out, [x])


@pytest.mark.parametrize("given", [FIXED, Tensor(FIXED), FixedSum((FIXED, FIXED)), Tensor(FixedSum((FIXED,)))])
def test_a_fixed_input_of_an_op_of_reals(given):
    with pytest.raises(TypeError, match="relu takes real arrays: dequantize a Fixed input first"):
        relu(given)
    with pytest.raises(TypeError, match="add takes real arrays"):
        1.0 + Tensor(FIXED)


def test_an_op_defined_twice(op):
    @op
    def once(x):
        return x

    with pytest.raises(ValueError, match="op 'once' is defined twice"):
        op(once.forward)
    with pytest.raises(ValueError, match="op 'add' is defined twice"):
        op(OPS["add"].forward)
    assert OPS["once"] is once


def test_a_watched_gradient_is_given_when_it_is_complete_and_not_kept():
    x = Tensor([1.0, 2.0])
    y = x * x
    seen, alive = {}, []

    def see(name):
        def keep(g):
            seen[name] = g.copy()
            alive.append(weakref.ref(g))
        return keep
    (g_x,) = gradients(y * y + y, [x], np.ones(2), watched=[(y, see("y")), (Tensor([3.0]), see("apart"))])
    assert list(seen) == ["y"] and seen["y"].tolist() == [3.0, 9.0]
    assert g_x.tolist() == [6.0, 36.0] and all(reference() is None for reference in alive)
