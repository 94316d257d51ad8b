"""Mistakes in Range BN backward: the mean of g, the extremes that are credited, dgamma, dbeta, the ends of dx.

A mutant that changes a step of the inside starts from the reference's intermediates, so that it combines with others.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refquant.golden.families import range_bn as family
from refquant.golden.families.range_bn_mutants import wraps
from refquant.golden.mutants import output
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import range_bn
from refquant.hardware.range_bn import rows, shaped
from refquant.hardware.scaling import scaled
from refquant.integers.formats import IntFormat


def _of_u(name: str, says: str, change: Callable[[Attrs, Arrays, Arrays], np.ndarray]) -> Mutant:
    """dx from the u that ``change(attrs, inputs, results)`` gives in rows."""
    def run(attrs, inputs, results):
        dx = range_bn.through(change(attrs, inputs, results), results["mid_inverse"], inputs["in_gamma"],
                              normal_bits=attrs["normal_bits"], dx_shift=attrs["dx_shift"], rounding=attrs["rounding"])
        return results | {"out_dx": shaped(IntFormat.parse(attrs["dx_format"]).saturate(dx), inputs["in_x"].shape)}
    return output(name, says, run)


def _g_mean(attrs: Attrs, inputs: Arrays, results: Arrays) -> np.ndarray:
    return scaled(results["out_dbeta"], *family.constants(inputs)[:2], attrs["rounding"])[:, None]


def _credited(marks: Callable[[Attrs, Arrays], np.ndarray]) -> Callable[[Attrs, Arrays, Arrays], np.ndarray]:
    """u with the pull where ``marks(attrs, inputs)`` [C, n] says."""
    def change(attrs, inputs, results):
        right = range_bn.extremes(rows(inputs["in_x"]), attrs["chunks"])
        return _u(results) + results["mid_pull"][:, None] * (right - marks(attrs, inputs))
    return change


def _u(results: Arrays) -> np.ndarray:
    """u as [C, n]; its 48 bits are no codes that `rows` takes."""
    u = results["mid_u"]
    return np.moveaxis(u, 1, 0).reshape(u.shape[1], -1)


def _every_tie(attrs, inputs):
    values = rows(inputs["in_x"])
    parts = values.reshape(len(values), attrs["chunks"], -1)
    highest, lowest = (parts == end(2)[..., None] for end in (parts.max, parts.min))
    return (highest.astype(np.int64) - lowest).reshape(values.shape)


def _last_of_equals(attrs, inputs):
    return range_bn.extremes(rows(inputs["in_x"])[:, ::-1], attrs["chunks"])[:, ::-1]


def _highest_only(attrs, inputs):
    return np.maximum(range_bn.extremes(rows(inputs["in_x"]), attrs["chunks"]), 0)


def _pull_without_constant(attrs, inputs, results):
    plain = scaled(results["out_dgamma"], 1, attrs["fraction_bits"], attrs["rounding"])
    difference = (results["mid_pull"] - plain)[:, None]
    return _u(results) + difference * range_bn.extremes(rows(inputs["in_x"]), attrs["chunks"])


def _x_hat(attrs: Attrs, inputs: Arrays, results: Arrays) -> np.ndarray:
    return range_bn.normalized(inputs["in_x"], results["mid_mean"], results["mid_inverse"], rounding=attrs["rounding"],
                               fraction_bits=attrs["fraction_bits"], normal_bits=attrs["normal_bits"])


def _batch_norm(attrs, inputs, results):
    multiplier, shift = family.constants(inputs)[:2]
    slope = scaled(results["out_dgamma"], multiplier, shift + attrs["fraction_bits"], attrs["rounding"])
    along = scaled(_x_hat(attrs, inputs, results), slope[:, None], attrs["normal_bits"], attrs["rounding"])
    return (rows(inputs["in_g"]) << attrs["fraction_bits"]) - _g_mean(attrs, inputs, results) - along


def _dgamma_of(name: str, says: str, factor: Callable[[Attrs, Arrays, Arrays], np.ndarray]) -> Mutant:
    """dgamma as the sum of g times ``factor(attrs, inputs, results)`` [C, n], in 2^-F."""
    def change(attrs, inputs, results):
        return results | {"out_dgamma": (rows(inputs["in_g"]) * factor(attrs, inputs, results)).sum(1)}
    return output(name, says, change)


OF_BACKWARD: tuple[Mutant, ...] = (
    _of_u("mean_term_omitted", "the mean of g is not subtracted",
          lambda attrs, inputs, results: _u(results) + _g_mean(attrs, inputs, results)),
    _of_u("extremes_omitted", "nothing is taken from the extremes",
          _credited(lambda attrs, inputs: np.zeros_like(rows(inputs["in_x"])))),
    _of_u("extremes_sign_swapped", "the maximum and the minimum are exchanged",
          _credited(lambda attrs, inputs: -range_bn.extremes(rows(inputs["in_x"]), attrs["chunks"]))),
    _of_u("maximum_only", "nothing is taken from the minimum", _credited(_highest_only)),
    _of_u("every_tie_credited", "every one of equal extremes is credited", _credited(_every_tie)),
    _of_u("last_of_equals_credited", "the last of equal extremes is credited", _credited(_last_of_equals)),
    _of_u("extremes_of_g", "the extremes of g are credited instead of those of x",
          _credited(lambda attrs, inputs: range_bn.extremes(rows(inputs["in_g"]), attrs["chunks"]))),
    _of_u("pull_without_constant", "C is left out of what is taken from the extremes", _pull_without_constant),
    _of_u("batch_norm_rule", "the gradient is batch norm's: x_hat's share is taken from every element", _batch_norm),
    _dgamma_of("dgamma_from_x", "dgamma is the sum of g x instead of g x_hat",
               lambda attrs, inputs, results: rows(inputs["in_x"]) << attrs["fraction_bits"]),
    _dgamma_of("dgamma_not_divided", "dgamma is the sum of g (x - mean), not divided by the width",
               lambda attrs, inputs, results: (rows(inputs["in_x"]) << attrs["fraction_bits"])
               - results["mid_mean"].astype(np.int64)[:, None]),
    output("dgamma_dbeta_exchanged", "dgamma and dbeta are exchanged", lambda attrs, inputs, results: results | {
        "out_dgamma": results["out_dbeta"], "out_dbeta": results["out_dgamma"]}),
    wraps("dx_format", "out_dx", "codes outside the format of dx wrap"),
)
