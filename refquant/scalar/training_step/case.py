"""A case of two training steps: the integer at one index of any of its tensors, and how it came about.

A tensor's full name is its role, its step and its name: in_0_x, rbits_1_conv1_w, mid_0_conv2_acc, out_1_logits. The
state before and after, and the constants of all steps, have no step: state0_conv1_w, state1_conv1_w, in_exp.
"""
from ..steps import require_word, silent
from . import banner, hindsight, int4, n2uq, network, sat
from .nested import at

METHODS = {"banner": banner, "sat": sat, "n2uq": n2uq, "hindsight": hindsight, "int4": int4}
STEPS = 2

_last: list = [None, None, None, None]  # method, attrs, inputs, and what `_computed` says of them


def element(method, attrs, inputs, tensor, index, *, note=silent):
    """The integer at index of a computed tensor, named in full.

    inputs: all given tensors by full names. attrs: rate and learned_rate, in 2^-12. A case is computed as a whole and
    remembered until another is asked for; its lists must not be changed in place meanwhile. ValueError for an unknown
    method, and for a tensor that is not computed.
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
