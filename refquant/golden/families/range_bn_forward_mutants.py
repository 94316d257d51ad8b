"""Mistakes in Range BN forward: its mean, x_hat, beta, ends and running statistics.

A mutant that changes a step of the inside starts from the reference's intermediates, so that it combines with others.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refquant.golden.families.range_bn_mutants import UNIT, neighbour, wraps
from refquant.golden.mutants import attribute, changed, operand, output
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import range_bn
from refquant.hardware.range_bn import rows, shaped
from refquant.hardware.scaling import divide
from refquant.integers.formats import IntFormat

Inside = Callable[[Attrs, Arrays, Arrays], dict[str, Any]]


def _from_intermediates(name: str, says: str, inside: Inside) -> Mutant:
    """y computed again with some of mean, inverse and x_hat's rounding as ``inside(attrs, inputs, results)`` says."""
    def change(attrs, inputs, results):
        right = {"mean": results["mid_mean"], "inverse": results["mid_inverse"], "rounding": attrs["rounding"]}
        x_hat = range_bn.normalized(inputs["in_x"], fraction_bits=attrs["fraction_bits"],
                                    normal_bits=attrs["normal_bits"], **right | inside(attrs, inputs, results))
        y = range_bn.affine(x_hat, inputs["in_gamma"], inputs["in_beta"], attrs["y_shift"], attrs["rounding"])
        codes = IntFormat.parse(attrs["y_format"]).saturate(y)
        return results | {"out_y": shaped(codes, inputs["in_x"].shape)}
    return output(name, says, change)


def _running_statistics(attrs, inputs, results):
    width = np.maximum(inputs["state0_width"].astype(np.int64), 1)
    return {"mean": inputs["state0_mean"], "inverse": divide(UNIT, width, attrs["rounding"])}


def _beta_apart(attrs, inputs, results):
    x_hat, shift = rows(results["mid_x_hat"]), attrs["y_shift"]
    nothing = np.zeros_like(inputs["in_beta"])
    y = range_bn.affine(x_hat, inputs["in_gamma"], nothing, shift, attrs["rounding"])
    y = y + range_bn.affine(np.zeros_like(x_hat), inputs["in_gamma"], inputs["in_beta"], shift, attrs["rounding"])
    return results | {"out_y": shaped(IntFormat.parse(attrs["y_format"]).saturate(y), inputs["in_x"].shape)}


def _only_in_x_hat(mode: str, says: str) -> Mutant:
    return _from_intermediates(f"x_hat_{mode}", says, lambda attrs, inputs, results: {"rounding": mode})


OF_FORWARD: tuple[Mutant, ...] = (
    _from_intermediates("mean_not_subtracted", "the mean is not subtracted",
                        lambda attrs, inputs, results: {"mean": np.zeros_like(results["mid_mean"])}),
    _from_intermediates("running_statistics_used", "the running statistics take the place of the batch's",
                        _running_statistics),
    _only_in_x_hat("floor", "x_hat is rounded down"), _only_in_x_hat("trunc", "x_hat is rounded toward zero"),
    _only_in_x_hat("half_away", "ties of x_hat go away from zero"),
    _only_in_x_hat("half_up", "ties of x_hat go up"),
    operand("beta_omitted", "beta is left out", "in_beta", lambda beta, attrs: np.zeros_like(beta)),
    operand("beta_next_channel", "every channel takes its neighbour's beta", "in_beta", neighbour),
    output("beta_rounded_apart", "beta is shifted and rounded on its own, then added", _beta_apart),
    wraps("y_format", "out_y", "codes outside the format of y wrap"),
    changed("momentum_on_wrong_side", "momentum weighs the old statistics instead of the batch's",
            lambda attrs, inputs: (attrs | {"momentum": (1 << range_bn.MOMENTUM_BITS) - attrs["momentum"]}, inputs)),
    attribute("running_replaced", "the running statistics become the batch's", "momentum", 1 << range_bn.MOMENTUM_BITS),
    attribute("running_not_updated", "the running statistics stay as they were", "momentum", 0),
)
