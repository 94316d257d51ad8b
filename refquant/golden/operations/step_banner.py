"""step.banner: whole training steps of Banner's method in integers: 8 bits, Range BN, a bifurcated gradient."""
from __future__ import annotations

import numpy as np

from refquant.golden.families import steps
from refquant.hardware.step import banner
from refquant.hardware.step.banner import METHOD
from refquant.hardware.step.copies import affine
from refquant.hardware.step.network import FIRST


def _one_copy(step, layer, g, scale):
    """8 bits for both products."""
    if layer.name == FIRST:
        return banner.gradient(step, layer, g, scale)
    codes = affine(step, f"{layer.name}_g_codes", g, scale, step.random(f"{layer.name}_g"))
    return codes, codes


def _wide_for_both(step, layer, g, scale):
    _, wide = banner.gradient(step, layer, g, scale)
    return wide, wide


def _no_relu_mask(step, layer, dx, scale):
    """The ReLU's derivative is taken for 1."""
    y = step.tensors[f"{layer.name}_bn_y"]
    step.tensors[f"{layer.name}_bn_y"] = np.ones_like(y)
    answer = banner.activation_gradient(step, layer, dx, scale)
    step.tensors[f"{layer.name}_bn_y"] = y
    return answer


def _range_bn_skipped(step, layer, dx, scale):
    """The gradient passes Range BN as it passes a constant scale."""
    banner.activation_gradient(step, layer, dx, scale)
    return np.where(step.tensors[f"{layer.name}_bn_y"] > 0, dx, 0), scale


OPERATION = steps.operation(
    METHOD, "two training steps of Banner's method",
    (steps.gradient_zero_point_omitted(METHOD),
     steps.with_rule("one_copy_of_8_bits", "the weight gradient is made of the 8-bit gradient", METHOD,
                     gradient=_one_copy),
     steps.with_rule("one_copy_of_16_bits", "the input gradient is made of the 16-bit gradient", METHOD,
                     gradient=_wide_for_both),
     steps.with_rule("relu_not_masked", "the gradient passes where the ReLU gave 0", METHOD,
                     activation_gradient=_no_relu_mask),
     steps.with_rule("range_bn_not_differentiated", "the gradient passes Range BN unchanged", METHOD,
                     activation_gradient=_range_bn_skipped)))
