"""step.int4: whole training steps in integers, the middle layer's weights, input and gradient in 4 bits."""
from __future__ import annotations

from dataclasses import replace

import numpy as np

from refquant.golden.families import steps
from refquant.golden.mutants import changed
from refquant.hardware.step import int4
from refquant.hardware.step.int4 import INNER, METHOD
from refquant.hardware.step.method import gradient_in_16_bits, identity


def _real_for_weights(step, layer, g, scale):
    """A bifurcation that the method does not have."""
    codes, _ = int4.gradient(step, layer, g, scale)
    return codes, gradient_in_16_bits(step, layer, g, scale)[1]


def _low_nibble_unsigned(step, layer):
    """4-bit codes taken for unsigned ones."""
    codes = int4.weight(step, layer)
    return replace(codes, codes=codes.codes & 15) if layer.name == INNER else codes


def _open(step, layer, dx, scale):
    """The gradient passes beyond the clip."""
    g, g_scale = int4.activation_gradient(step, layer, dx, scale)
    return np.where(step.tensors[f"{layer.name}_acc"] >= 0, dx, g), g_scale


OPERATION = steps.operation(
    METHOD, "two training steps with INT4 gradients",
    (steps.with_rule("weight_gradient_of_wide_copy", "the middle layer's weight gradient is made of 16 bits", METHOD,
                     gradient=_real_for_weights),
     steps.with_rule("weights_zero_extended", "4-bit weights are zero-extended", METHOD, weight=_low_nibble_unsigned),
     steps.with_rule("weight_clip_not_learned", "the middle layer's clip stays and its gradient is not masked", METHOD,
                     weight_gradient=identity),
     steps.with_rule("not_masked_beyond_clip", "the gradient passes where the activation was clipped", METHOD,
                     activation_gradient=_open),
     changed("clip_factor_forgotten", "the clip factor is 1", lambda attrs, inputs: (
         attrs, inputs | {f"state0_{INNER}_clip_factor": np.array([1000], np.uint16)}))))
