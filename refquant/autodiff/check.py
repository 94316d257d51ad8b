"""Is a backward rule the derivative of its forward? Measured by central differences.

    sum(g * d out / d x_i)  ~  sum(g * (out(x + h e_i) - out(x - h e_i))) / 2h

Rounding has no useful derivative. What a straight-through rule is the derivative of: the op with its rounding error
held constant, so give the op a `refquant.integers.rounding.Frozen` in place of its rounding. Rules that are derivatives
of an expectation (G-STE, stochastic rounding) are checked with ``of``, the function whose derivative is meant.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from refquant.autodiff.engine import Op
from refquant.autodiff.values import reals
from refquant.reals import total


def gradient_errors(op: Op, *inputs, wrt: Sequence[int] | None = None, of: Callable | None = None, h: float = 1e-6,
                    g=None, **params) -> list[float]:
    """For each input (or each of ``wrt``), the largest difference between the rule's gradient and the measured one.

    op : the `Op` to check.
    inputs : reals, any shapes; copied as float64.
    wrt : which inputs, by number; all unless given.
    of : the function of the inputs whose derivative the rule gives; the op's forward unless given.
    h : half the difference's width.
    g : the output's gradient, of its shape; a fixed pattern of different values unless given.
    params : the op's.

    Returns a list of floats.

    Raises AssertionError for an op without a rule, or a rule that gives no gradient or one of another shape.

    Source: central differences, their own error of order h^2; ``of`` serves G-STE (Liu 2022) and stochastic rounding.
    """
    inputs = tuple(np.array(x, np.float64) for x in inputs)
    function = of or (lambda *values: op.forward(*values, **params))
    out = op.forward(*inputs, **params)
    g = np.cos(1.0 + np.arange(np.size(reals(out)))).reshape(np.shape(reals(out))) if g is None else np.asarray(g)
    assert op.backward is not None, f"op {op.name} has no backward rule"
    rules = op.backward(g, out, *inputs, **params)
    errors = []
    for i in range(len(inputs)) if wrt is None else wrt:
        measured = np.zeros(inputs[i].shape)
        for at in np.ndindex(inputs[i].shape):
            ends = []
            for step in (h, -h):
                moved = inputs[i].copy()
                moved[at] += step
                ends.append(reals(function(*inputs[:i], moved, *inputs[i + 1:])))
            measured[at] = total(g * (ends[0] - ends[1])) / (2 * h)
        rule = rules[i]
        assert rule is not None, f"op {op.name} gives no gradient for input {i}"
        assert np.shape(rule) == measured.shape, f"op {op.name} gives shape {np.shape(rule)} for input {i}"
        errors.append(float(np.max(np.abs(measured - rule), initial=0.0)))
    return errors
