"""int4.trajectory from scaled gradients to codes and bytes, and the mistakes on that way."""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.golden.families.packed import reversed_lanes
from refquant.golden.families.trajectories import of_chance
from refquant.golden.mutants import output
from refquant.golden.operation import Arrays, Attrs
from refquant.hardware import int4
from refquant.hardware.scaling import scaled
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.packing import pack
from refquant.integers.rounding import half_even
from refquant.integers.stochastic import Stochastic


def results(attrs: Attrs, steps: int4.Trajectory) -> Arrays:
    """All results of these steps, in their formats."""
    return _coded(attrs, {
        "mid_highest": steps.highest.astype(np.uint32), "mid_multiplier": steps.multiplier.astype(np.int32),
        "mid_shift": steps.shift.astype(np.uint8), "flags_codes": steps.flags,
        "out_clipped": steps.clipped.astype(np.uint32), "out_clip_factor": steps.clip_factor.astype(np.uint16),
        "state1_clip_factor": steps.clip_factor[-1:].astype(np.uint16)}, steps.codes)


def _coded(attrs: Attrs, results: Arrays, codes: np.ndarray) -> Arrays:
    """The results with these codes, and the bytes that hold them."""
    packed = {"out_packed": np.stack([pack(row, IntFormat(4)) for row in codes])} if attrs["bits"] == 4 else {}
    return results | {"out_codes": codes.astype(np.int8)} | packed


def _before(attrs, inputs, results):
    listed = np.concatenate([inputs["state0_clip_factor"], results["out_clip_factor"]])
    return results | {"out_clip_factor": listed[:-1]}


def _tail_dropped(attrs, inputs, results):
    if attrs["bits"] != 4 or inputs["in_g"].shape[1] % 2 == 0:
        return None
    cut = results["out_packed"].copy()
    cut[:, -1] = 0
    return results | {"out_packed": cut}


def _tail_joined(attrs, inputs, results):
    """Codes packed through all steps, what is left at the end 0."""
    if attrs["bits"] != 4:
        return None
    joined = np.zeros(results["out_packed"].size, np.uint8)
    whole = pack(results["out_codes"].reshape(-1), IntFormat(4))
    joined[:len(whole)] = whole
    return results | {"out_packed": joined.reshape(results["out_packed"].shape)}


OUTPUTS = (
    output("clip_factor_told_before", "each step tells the clip factor that it used", _before),
    output("nibbles_swapped", "element 0 is put in the high nibble",
           lambda attrs, inputs, results: results | {"out_packed": reversed_lanes(results["out_packed"], 4)}
           if attrs["bits"] == 4 else None),
    output("tail_dropped", "the last byte of a step, half full, is lost", _tail_dropped),
    output("tail_joined", "the first code of the next step goes into the last byte, half full", _tail_joined),
)


def _product(inputs: Arrays, results: Arrays) -> np.ndarray:
    return inputs["in_g"].astype(np.int64) * results["mid_multiplier"][:, None].astype(np.int64)


def _finish(attrs: Attrs, results: Arrays, rounded: np.ndarray) -> Arrays:
    return _coded(attrs, results, IntFormat(attrs["bits"], narrow=True).saturate(rounded))


def _stochastic(attrs: Attrs, inputs: Arrays, results: Arrays) -> np.ndarray:
    """The codes before saturation."""
    return Stochastic(inputs["rbits_g"], attrs["n"]).shift(_product(inputs, results), results["mid_shift"][:, None])


def _all_levels(attrs, inputs, results):
    """2^bits - 1 steps from -c to c, so that 0 lies between two levels."""
    factors = np.concatenate([inputs["state0_clip_factor"], results["out_clip_factor"]]).tolist()
    scales = [multiplier_from_scale(Fraction(500 * ((1 << attrs["bits"]) - 1), factor * highest)) if highest else (0, 1)
              for factor, highest in zip(factors[:-1], results["mid_highest"].tolist(), strict=True)]
    multiplier, shift = (np.array(column)[:, None] for column in zip(*scales, strict=True))
    rounded = scaled(inputs["in_g"], multiplier, shift, Stochastic(inputs["rbits_g"], attrs["n"]))
    return _coded(attrs, results, IntFormat(attrs["bits"]).saturate(rounded))


CODES = (
    output("levels_2^bits", "the step is that of 2^bits levels", _all_levels),
    output("full", "the most negative code is used", lambda attrs, inputs, results: _coded(
        attrs, results, IntFormat(attrs["bits"]).saturate(_stochastic(attrs, inputs, results)))),
    output("wraps", "codes outside the format wrap", lambda attrs, inputs, results: _coded(
        attrs, results, IntFormat(attrs["bits"]).wrap(_stochastic(attrs, inputs, results)))),
    output("stochastic->half_even", "the random bits are not used: ties go to even",
           lambda attrs, inputs, results: _finish(attrs, results, half_even.shift(
               _product(inputs, results), results["mid_shift"][:, None]))),
)

MUTANTS = (*OUTPUTS, *CODES, *of_chance("rbits_g", _product, _finish))
