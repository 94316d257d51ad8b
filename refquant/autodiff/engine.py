"""Reverse-mode differentiation: an `Op` applied to `Tensor`s gives a Tensor; `gradients` walks their graph backward.

    @Op
    def square(x): return x * x
    @square.def_backward
    def square_backward(g, out, x): return 2 * x * g,
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from refquant.autodiff.values import INTEGER, as_value

OPS: dict[str, Op] = {}
"""Every op by its name. Source: refquant's own, so that tests reach all of them."""


class Op:
    """A function of values and its backward rule, both stateless.

    forward : ``forward(*inputs, **params)`` of float64 arrays of any shape, or None, with ``takes_fixed`` also Fixed;
        it returns an array or Fixed. Called with at least one Tensor the op returns a Tensor, else the bare result.
    backward : ``backward(g, out, *inputs, **params)``, set by `def_backward`: for each input its gradient, of its shape
        (for a Fixed: with respect to its value), or None for one that has none. ``g`` is the gradient of ``out``.

    Raises ValueError for a name taken; called, TypeError for a Fixed it does not take, or a Tensor among params.

    Source: HIPS autograd's table of derivatives, rules beside functions."""

    def __init__(self, forward: Callable, takes_fixed: bool = False):
        functools.update_wrapper(self, forward)
        self.name = forward.__name__
        self.forward, self.takes_fixed, self.takes_needed = forward, takes_fixed, False
        self.backward: Callable[..., Sequence[np.ndarray | None]] | None = None
        if self.name in OPS:
            raise ValueError(f"op {self.name!r} is defined twice: expected names of their own")
        OPS[self.name] = self

    @classmethod
    def taking_fixed(cls, forward: Callable) -> Op:
        """The decorator of an op whose inputs may be Fixed."""
        return cls(forward, takes_fixed=True)

    def def_backward(self, rule: Callable) -> Callable:
        """The decorator of the backward rule. Its keyword ``needed=``, if any, is told whose gradients will be used."""
        self.backward, self.takes_needed = rule, "needed" in (getattr(rule, "__kwdefaults__", None) or {})
        return rule

    def __call__(self, *inputs, **params) -> Any:
        values = [x.value if isinstance(x, Tensor) else as_value(x) for x in inputs]
        for name, value in params.items():
            if isinstance(value, Tensor):
                raise TypeError(f"{self.name}: {name} is a Tensor: expected Tensors among the inputs, in front")
        if not self.takes_fixed and any(isinstance(v, INTEGER) for v in values):
            raise TypeError(f"{self.name} takes real arrays: dequantize a Fixed input first")
        out = self.forward(*values, **params)
        return Tensor(out, self, inputs, values, params) if any(isinstance(x, Tensor) for x in inputs) else out


class Tensor:
    """A ``value``, float64 (any shape) or Fixed, and how it was made: ``op``, ``inputs``, their ``values``, ``params``.

    Raises ValueError or TypeError, from NumPy, for a value of no numbers.

    Source: refquant's own: nothing is stored on a tensor later, so one graph can be asked as often as one likes."""

    def __init__(self, value, op: Op | None = None, inputs: Sequence = (), values: Sequence = (),
                 params: dict[str, Any] | None = None):
        self.value = as_value(value)
        self.op, self.inputs, self.values, self.params = op, inputs, values, params or {}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def __repr__(self) -> str:
        kind = "Fixed" if isinstance(self.value, INTEGER) else "float64"
        return f"<Tensor {kind} {list(self.shape)} {'given' if self.op is None else self.op.name}>"

    def __add__(self, other): return OPS["add"](self, other)
    def __radd__(self, other): return OPS["add"](other, self)
    def __sub__(self, other): return OPS["subtract"](self, other)
    def __rsub__(self, other): return OPS["subtract"](other, self)
    def __mul__(self, other): return OPS["multiply"](self, other)
    def __rmul__(self, other): return OPS["multiply"](other, self)
    def __truediv__(self, other): return OPS["divide"](self, other)
    def __rtruediv__(self, other): return OPS["divide"](other, self)
    def __matmul__(self, other): return OPS["matmul"](self, other)
    def __rmatmul__(self, other): return OPS["matmul"](other, self)
    def __neg__(self): return OPS["subtract"](0.0, self)

    __array_ufunc__ = None  # so that array + tensor asks the tensor


def gradients(out: Tensor, wrt: Iterable[Tensor], g=None, watched: Iterable = ()) -> list[np.ndarray]:
    """The gradients of ``out`` by each of ``wrt`` (any shape), 0 where it does not depend on it; they may share memory.

    g : the gradient of a later scalar with respect to ``out``, of its shape; 1 unless given, for a scalar ``out``.
    watched : (result of an op, function) pairs: the function is given its gradient, where it has one, when it is known.

    Raises ValueError for a shape that does not fit, a rule that returns one, or an op without a rule.

    Source: reverse accumulation (Linnainmaa 1970), along each path once."""
    wrt, see = list(wrt), {id(x): function for x, function in watched}
    wanted = {id(x) for x in wrt}
    g = np.ones(()) if g is None and out.shape == () else np.asarray(np.nan if g is None else g, np.float64)
    if g.shape != out.shape:
        raise ValueError(f"out has shape {out.shape} and g {g.shape}: expected g of out's shape, or a scalar out")
    found, order, leading = {id(out): g}, _inputs_first(out), wanted | set(see)
    for node in order:  # what is made of a tensor that leads to wrt leads there too
        if any(id(x) in leading for x in node.inputs):
            leading.add(id(node))
    for node in reversed(order):
        g = found.get(id(node)) if id(node) in wanted else found.pop(id(node), None)
        if g is None or node.op is None:
            continue
        if id(node) in see:
            see[id(node)](g)
        if node.op.backward is None:
            raise ValueError(f"op {node.op.name!r} has no backward rule: expected one by def_backward")
        needed = tuple(id(x) in leading for x in node.inputs)
        told = {"needed": needed} if node.op.takes_needed else {}
        given = node.op.backward(g, node.value, *node.values, **(told | node.params))
        for x, g_x, used in zip(node.inputs, given, needed, strict=True):
            if used and g_x is not None:
                if np.shape(g_x) != x.shape:
                    raise ValueError(f"backward of {node.op.name} gave shape {np.shape(g_x)} for an input {x.shape}")
                found[id(x)] = found[id(x)] + g_x if id(x) in found else g_x
    return [found[id(x)] if id(x) in found else np.zeros(x.shape) for x in wrt]


def _inputs_first(out: Tensor) -> list[Tensor]:
    """The tensors that ``out`` depends on, each after its inputs; iterative, so depth is no limit."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [(out, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((x, False) for x in node.inputs if isinstance(x, Tensor))
    return order
