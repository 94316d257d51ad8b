"""The gradient checker: wrong rules are found, by how much, and at which input."""
import numpy as np
import pytest

from refquant.autodiff import OPS, Op, gradient_errors
from refquant.integers import Fixed, IntFormat

X, Y = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]]), np.array([2.0, 3.0, -4.0])


@pytest.fixture
def product():
    """rule -> an op of two inputs, ``sum over rows of x * y``, with that rule; gone after the test."""
    before = dict(OPS)

    def row_product(x, y):
        return x[0] * y + x[1] * y

    def with_rule(rule):
        OPS.pop("row_product", None)
        op = Op(row_product)
        op.def_backward(rule)
        return op
    yield with_rule
    OPS.clear()
    OPS.update(before)


def right(g, out, x, y):
    return np.array([g * y, g * y]), g * x[0] + g * x[1]


def test_a_right_rule(product):
    assert max(gradient_errors(product(right), X, Y)) < 1e-8


WRONG = {
    "a factor": (lambda g, out, x, y: (1.01 * right(g, out, x, y)[0], right(g, out, x, y)[1]), 0),
    "a sign": (lambda g, out, x, y: (right(g, out, x, y)[0], -right(g, out, x, y)[1]), 1),
    "a term left out": (lambda g, out, x, y: (right(g, out, x, y)[0], g * x[0]), 1),
    "inputs exchanged": (lambda g, out, x, y: (np.array([g * x[0], g * x[1]]), right(g, out, x, y)[1]), 0),
    "no g": (lambda g, out, x, y: (right(1.0, out, x, y)[0] * np.ones((2, 3)), right(g, out, x, y)[1]), 0),
    "one element": (lambda g, out, x, y: (right(g, out, x, y)[0] + np.array([[0, 0, 0], [0, 0, 1e-3]]), right(g, out, x, y)[1]), 0),
}


@pytest.mark.parametrize("rule, at", WRONG.values(), ids=WRONG)
def test_a_wrong_rule(product, rule, at):
    op = product(rule)
    errors = gradient_errors(op, X, Y)
    assert errors[at] > 5e-4 and errors[1 - at] < 1e-8
    assert gradient_errors(op, X, Y, wrt=(1, 0)) == errors[::-1] and gradient_errors(op, X, Y, wrt=(at,)) == [errors[at]]


def test_the_error_is_the_difference(product):
    op = product(lambda g, out, x, y: (right(g, out, x, y)[0] + np.array([[0, 0, 0], [0, -0.25, 0.125]]), right(g, out, x, y)[1]))
    assert gradient_errors(op, X, Y)[0] == pytest.approx(0.25, abs=1e-8)


def test_the_difference_is_narrow(product):
    """Where the function bends, a wide difference would not be the slope."""
    op = product(right)
    assert max(gradient_errors(op, X, Y, of=lambda x, y: op.forward(x, y) + (x[0] - X[0]) ** 3)) < 1e-8


def test_a_g_of_one_s_own(product):
    """A rule that is wrong at one output only is right for a g that is 0 there."""
    op = product(lambda g, out, x, y: (right(g, out, x, y)[0], right(g * [1, 1, 2], out, x, y)[1]))
    assert gradient_errors(op, X, Y)[1] > 0.1
    assert gradient_errors(op, X, Y, g=[1.0, -1.0, 0.0])[1] < 1e-8


def test_nan_is_an_error(product):
    op = product(lambda g, out, x, y: (np.full((2, 3), np.nan), right(g, out, x, y)[1]))
    assert not gradient_errors(op, X, Y)[0] < 1e9


def test_a_straight_through_rule_against_the_function_that_is_meant(product):
    op = product(lambda g, out, x, y: (np.array([g, g]), g))
    assert min(gradient_errors(op, X, Y)) > 0.1
    assert max(gradient_errors(op, X, Y, of=lambda x, y: x[0] + x[1] + y)) < 1e-8


def test_parameters_and_a_fixed_result():
    before = dict(OPS)
    try:
        @Op
        def doubled(x, *, steps):
            return Fixed(np.rint(x * steps).astype(int), 2 / steps, IntFormat(32))

        @doubled.def_backward
        def doubled_backward(g, out, x, *, steps):
            return 2 * g,
        assert max(gradient_errors(doubled, [1.0, -2.5], h=0.25, steps=1 << 20)) < 1e-6
        assert max(gradient_errors(doubled, [1.0, -2.5], h=1e-3, steps=2)) > 1  # steps are wider than h
    finally:
        OPS.clear()
        OPS.update(before)


@pytest.mark.parametrize("answer, words", [
    ((None, Y), "op row_product gives no gradient for input 0"),
    ((np.ones(3), Y), r"op row_product gives shape \(3,\) for input 0"),
    ((np.ones((2, 3)), 1.0), r"op row_product gives shape \(\) for input 1")])
def test_a_gradient_that_is_missing_or_of_a_wrong_shape(product, answer, words):
    with pytest.raises(AssertionError, match=words):
        gradient_errors(product(lambda g, out, x, y: answer), X, Y)


def test_an_op_without_a_rule(product):
    with pytest.raises(AssertionError, match="op row_product has no backward rule"):
        gradient_errors(product(None), X, Y)
