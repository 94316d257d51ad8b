"""step.hindsight: whole training steps in integers, every activation and gradient range known in hindsight."""
from __future__ import annotations

import numpy as np

from refquant.golden.families import steps
from refquant.golden.mutants import changed
from refquant.hardware.step import hindsight
from refquant.hardware.step.hindsight import METHOD


def _current(rule, what):
    """``rule`` with the tensor's own range, as if there were none yet; the state moves on as it should."""
    def wrong(step, layer, v, scale):
        key = f"{layer.name}_{what}_range"
        state = step.state[key]
        step.state[key] = np.zeros_like(state)
        codes = rule(step, layer, v, scale)
        step.keep(key, hindsight.hindsight.updated(state, step.tensors[f"{layer.name}_{what}_seen"],
                                                   hindsight.MOMENTUM, 0), hindsight.S48)
        return codes
    return wrong


def _not_masked(step, layer, dx, scale):
    return np.where(step.tensors[f"{layer.name}_acc"] > 0, dx, 0), scale


OPERATION = steps.operation(
    METHOD, "two training steps with ranges known in hindsight",
    (steps.gradient_zero_point_omitted(METHOD),
     steps.with_rule("current_activation_range", "activations are quantized on their own range", METHOD,
                     activation=_current(hindsight.activation, "y")),
     steps.with_rule("current_gradient_range", "gradients are quantized on their own range", METHOD,
                     gradient=_current(hindsight.gradient, "g")),
     steps.with_rule("not_masked_beyond_range", "the gradient passes where the activation left its range", METHOD,
                     activation_gradient=_not_masked),
     changed("ranges_forgotten", "ranges start anew",
             lambda attrs, inputs: (attrs, {name: np.zeros_like(array) if name.endswith("_range") else array
                                            for name, array in inputs.items()}))))
