"""A case of two training steps: the integer at one index of any of its tensors, and how it came about.

A tensor's full name is its role, its step and its name: in_0_x, rbits_1_conv1_w, mid_0_conv2_acc, out_1_logits. The
state before and after, and the constants of all steps, have no step: state0_conv1_w, state1_conv1_w, in_exp.
"""
from ..steps import require_word, silent
from . import banner, hindsight, int4, n2uq, network, sat
from .nested import at

__all__ = ["element"]

METHODS = {"banner": banner, "sat": sat, "n2uq": n2uq, "hindsight": hindsight, "int4": int4}
STEPS = 2

_last: list = [None, None, None, None]  # method, attrs, inputs, and what `_computed` says of them


def element(method, attrs, inputs, tensor, index, *, note=silent):
    """One element, an int, of a computed tensor of two training steps.

    method : banner, sat, n2uq, hindsight or int4.
    attrs : a dict with rate and learned_rate, ints in 2^-12.
    inputs : all given tensors by full names, nested lists: in_0_x [B, 1, 8, 8], in_0_labels [B], state0_conv1_w
        [4, 1, 3, 3], ...
    tensor, index : the tensor's full name, and a tuple of ints, one an axis.
    note : told each step as a line of text.

    A case is computed as a whole and remembered until another is asked for; its lists must not be changed in place
    meanwhile.

    Raises ValueError for an unknown method, for a tensor that is not computed, and for a learned number that must be
    positive and is not; KeyError for a given tensor that is missing; IndexError outside the tensor.

    Source: chapters/hardware/training_steps.md; the paper of each method where its file says so.
    """
    tensors, rules = _remembered(method, attrs, inputs)
    if tensor not in tensors:
        raise ValueError(f"tensor {tensor!r} is not computed: one of {', '.join(tensors)}")
    return at(tensors[tensor], index) if note is silent else rules[tensor](index, note)


def _remembered(method, attrs, inputs):
    """`_computed`, once for equal cases."""
    if _last[:3] != [method, attrs, inputs]:
        _last[:] = method, dict(attrs), None, _computed(method, attrs, inputs)
    # keeps the very lists that were asked about alive: the next time they are known to be equal without a look inside
    _last[2] = dict(inputs)
    return _last[3]


def _computed(method, attrs, inputs):
    """(tensors, rules) of a case, by full names."""
    require_word(method, METHODS, "method")
    state, tensors, rules = _part(inputs, "state0_"), {}, {}
    for k in range(STEPS):
        step = network.run(METHODS[method], attrs, _part(inputs, "in_"), state, _part(inputs, f"rbits_{k}_"),
                           inputs[f"in_{k}_x"], inputs[f"in_{k}_labels"])
        for name in step.tensors:
            full = f"{'out' if name == 'logits' else 'mid'}_{k}_{name}"
            tensors[full], rules[full] = step.tensors[name], step.rules[name]
        state = step.after()
    for name in state:
        tensors[f"state1_{name}"], rules[f"state1_{name}"] = state[name], step.rules[f"{name}_after"]
    return tensors, rules


def _part(inputs, prefix):
    """The tensors whose names start so, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in inputs.items() if name.startswith(prefix)}
