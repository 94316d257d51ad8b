"""step.n2uq: whole training steps of N2UQ in integers: learned thresholds, entropy-preserving weights."""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.golden.families import steps
from refquant.hardware.step import n2uq
from refquant.hardware.step.method import identity, weight_in_8_bits
from refquant.hardware.step.n2uq import METHOD


def _straight_through(step, layer, dx, scale):
    """The slope of the uniform quantizer in every segment: that of the mean interval."""
    n2uq.activation_gradient(step, layer, dx, scale)
    acc, bounds = step.tensors[f"{layer.name}_acc"], step.tensors[f"{layer.name}_bounds"].astype(np.int64)
    within = (acc >= bounds[0]) & (acc < bounds[-1])
    slope = Fraction(n2uq.LEVELS, int(bounds[-1] - bounds[0]))
    return np.where(within, dx, 0), scale * step.scale(f"{layer.name}_y_codes_scale") * slope / step.scale(
        f"{layer.name}_acc_scale")


OPERATION = steps.operation(
    METHOD, "two training steps of N2UQ",
    (steps.with_rule("uniform_weights", "the middle layer's weights are uniform on [-max, max]", METHOD,
                     weight=weight_in_8_bits),
     steps.with_rule("weights_straight_through", "the gradient of the weights is neither masked nor divided by their "
                     "scale", METHOD, weight_gradient=identity),
     steps.with_rule("ste_for_g_ste", "every segment has the mean interval's slope", METHOD,
                     activation_gradient=_straight_through)))
