"""step.sat: whole training steps of SAT in integers: DoReFa's weights, CG-PACT, every product rescaled."""
from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from refquant.golden.families import steps
from refquant.hardware.step import sat
from refquant.hardware.step.method import identity
from refquant.hardware.step.sat import METHOD, WEIGHT_BITS


def _not_rescaled(step, layer):
    """Weights in [-1, 1], as where a norm follows."""
    codes = sat.weight(step, layer)
    top = 2 ** WEIGHT_BITS[layer.name] - 1
    return replace(codes, scale=step.put_scale(f"{layer.name}_w_codes_scale", Fraction(1, top)))


def _open_below(step, layer, dx, scale):
    """The gradient passes where the sum was negative too."""
    g, g_scale = sat.activation_gradient(step, layer, dx, scale)
    return np.where(step.tensors[f"{layer.name}_acc"] <= 0, dx, g), g_scale


OPERATION = steps.operation(
    METHOD, "two training steps of SAT with CG-PACT",
    (steps.with_rule("weights_not_rescaled", "the weights are not rescaled by SAT's constant", METHOD,
                     weight=_not_rescaled),
     steps.with_rule("tanh_not_differentiated", "the gradient passes the weights' tanh unchanged", METHOD,
                     weight_gradient=identity),
     steps.with_rule("not_masked_below_0", "the gradient passes where the activation was negative", METHOD,
                     activation_gradient=_open_below)))
