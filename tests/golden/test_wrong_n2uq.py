"""N2UQ with known mistakes: the report must name the mistake, and nothing else.

Each device is written here from the equations, its knobs are its mistakes; it is right when none is turned.
"""
import bisect
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from refquant.golden import Unsupported


def count(row, acc, reached):
    """How many of the sorted ``row`` an accumulator has reached."""
    return (bisect.bisect_right if reached == "at_or_above" else bisect.bisect_left)(row, acc)


def n2uq_forward(case, strict=None, at_ends=False, uniform=False, first_channel=False, unsigned=False, lost=None, from_top=False):
    attrs, acc, rows = case.attrs, case.inputs["acc"], case.inputs["thresholds"].tolist()
    reached = attrs["reached"] if strict is None else "above" if strict else "at_or_above"
    if at_ends:
        rows = [[t + gap // 2 for t, gap in zip(row, [*np.diff(row).tolist(), row[-1] - row[-2]], strict=True)] for row in rows]
    if uniform:
        rows = [[row[0] + (row[-1] - row[0]) * i // (len(row) - 1) for i in range(len(row))] for row in rows]
    if unsigned:
        rows = [sorted(t % 2**32 for t in row) for row in rows]
    if lost is not None:
        rows = [[t for i, t in enumerate(row) if i != lost % len(row)] for row in rows]
    channels = np.moveaxis(acc, 1, 0) if attrs["per_channel"] else acc[None]
    y = np.stack([[count(rows[0 if first_channel else c], v, reached) for v in channel.reshape(-1).tolist()]
                  for c, channel in enumerate(channels)]).reshape(channels.shape)
    y = np.moveaxis(y, 0, 1) if attrs["per_channel"] else y[0]
    return {"y": (2 ** attrs["bits"] - 1 - y if from_top else y).astype(np.uint8)}


def shifted(v, shift):
    """v / 2^shift in integers, ties to even."""
    return round(Fraction(v, 1 << shift))


def n2uq_backward(case, slope_1=False, next_slope=False, other_end=False, outside=False, without_later=False, earlier=False,
                  without_moments=False, by_segment=False, start_sign=1, at_ends=False):
    """One element after the other; what an element adds to da is written down at once."""
    attrs, reached = case.attrs, case.attrs["reached"]
    if attrs["rounding"] != "half_even":
        raise Unsupported("other roundings")
    bounds, thresholds = case.inputs["bounds"].tolist(), case.inputs["thresholds"][0].tolist()
    levels, end = len(thresholds), {"at_or_above": "above", "above": "at_or_above"}[reached] if other_end else reached
    low, high = {"int8": (-128, 127), "int16": (-2**15, 2**15 - 1), "int32": (-2**31, 2**31 - 1)}[case.outputs["dx"][1]]
    dx, da, dstart, dscale1, dscale2 = [], [Fraction(0)] * levels, Fraction(0), Fraction(0), 0
    for g, v in zip(case.inputs["g"].reshape(-1).tolist(), case.inputs["acc"].reshape(-1).tolist(), strict=True):
        k = count(bounds, v, end)
        inside = 1 <= k <= levels
        dscale2 += g * (min(k, levels) if by_segment else count(bounds[1:] if at_ends else thresholds, v, reached))
        i = min(max(k, 1), levels) - 1
        used = (i + 1) % levels if next_slope else i
        slope = g if slope_1 else shifted(g * int(case.inputs["multiplier"][used]), int(case.inputs["shift"][used]))
        dx.append(min(max(slope, low), high) if inside or outside else 0)
        if not inside:
            continue
        length = bounds[k] - bounds[i]
        past = 0 if without_moments else v - bounds[i]
        da[i] -= Fraction(g * past, length**2)
        for other in [] if without_later else range(k, levels) if earlier else range(i):
            da[other] -= Fraction(g, length)
        dstart -= Fraction(g, length)
        dscale1 += Fraction(g * (past + bounds[i]), length)
    one = 1 << attrs["fraction_bits"]
    return {"dx": np.reshape(np.array(dx, case.outputs["dx"][1]), case.outputs["dx"][0]),
            "da": np.array([round(one * value) for value in da]), "dstart": np.array([start_sign * round(one * dstart)]),
            "dscale1": np.array([round(one * dscale1)]), "dscale2": np.array([dscale2])}


def scale(ratio):
    """(multiplier, shift) of 31 bits, for ratios whose shift is at most 62."""
    shift = 62
    while round(ratio * 2**shift) >= 2**31:
        shift -= 1
    return int(ratio * 2**shift + Fraction(1, 2)), shift


def n2uq_weight(case, per_tensor=False, with_zero=False, no_factor=False, largest=False, truncated=False, wraps=False,
                scaled=None):
    attrs, w = case.attrs, case.inputs["w"].astype(np.int64)
    if attrs["rounding"] != "half_even":
        raise Unsupported("other roundings")
    levels, half, authors = 2 ** attrs["bits"] - 1, 2 ** (attrs["bits"] - 1), attrs["variant"] == "authors" if scaled is None else scaled
    codes, scales = [], []
    for f in w.reshape(len(w), -1):
        of = w.reshape(-1) if per_tensor else f
        mean = Fraction(int(np.abs(of).max())) if largest else Fraction(int(np.abs(of).sum()), of.size)
        factor = mean * (1 if no_factor else Fraction(levels, half)) or Fraction(1)
        for v in f.tolist():
            if with_zero:
                codes.append(2 * min(max(round(v / factor * levels / 2), 1 - half), half - 1))
                continue
            u = v / factor if wraps else min(max(v / factor, Fraction(-1)), Fraction(1))
            index = (u + 1) * levels / 2
            index = int(index) if truncated else round(index)
            codes.append(2 * (index % (levels + 1)) - levels)
        scales.append(scale(factor / levels if authors and mean else Fraction(1, levels)))
    return {"codes": np.array(codes, case.outputs["codes"][1]).reshape(w.shape),
            "multiplier": np.array([m for m, _ in scales], np.int32), "shift": np.array([s for _, s in scales], np.uint8)}


@pytest.mark.parametrize("kernel, cases", [(n2uq_forward, 15), (n2uq_backward, 11), (n2uq_weight, 13)])
def test_the_right_kernel_passes(report_on, kernel, cases):
    report = report_on(f"{kernel.__name__}_*", kernel)
    assert report.count("pass") >= cases and report.count("fail") == report.count("error") == 0


@pytest.mark.parametrize("kernel, mistakes, expected", [
    (n2uq_forward, {"strict": True}, {"at_or_above->above"}),
    (n2uq_forward, {"strict": False}, {"above->at_or_above"}),
    (n2uq_forward, {"at_ends": True}, {"thresholds_at_segment_ends"}),
    (n2uq_forward, {"uniform": True}, {"uniform_thresholds"}),
    (n2uq_forward, {"first_channel": True}, {"first_channel_for_all"}),
    (n2uq_forward, {"unsigned": True}, {"thresholds_unsigned"}),
    (n2uq_forward, {"lost": 0}, {"first_threshold_lost"}),
    (n2uq_forward, {"lost": -1}, {"last_threshold_lost"}),
    (n2uq_forward, {"from_top": True}, {"counts_from_the_top"}),
    (n2uq_backward, {"slope_1": True}, {"slope_1"}),
    (n2uq_backward, {"next_slope": True}, {"next_slope"}),
    (n2uq_backward, {"other_end": True}, {"segments_closed_at_other_end"}),
    (n2uq_backward, {"outside": True}, {"outside_not_zero"}),
    (n2uq_backward, {"without_later": True}, {"da_without_later"}),
    (n2uq_backward, {"earlier": True}, {"da_over_earlier"}),
    (n2uq_backward, {"without_moments": True}, {"moments_missing"}),
    (n2uq_backward, {"by_segment": True}, {"dscale2_by_segment"}),
    (n2uq_backward, {"start_sign": -1}, {"start_sign"}),
    (n2uq_backward, {"at_ends": True}, {"thresholds_at_segment_ends"}),
    (n2uq_weight, {"per_tensor": True}, {"per_tensor"}),
    (n2uq_weight, {"with_zero": True}, {"level_at_zero"}),
    (n2uq_weight, {"no_factor": True}, {"factor_missing"}),
    (n2uq_weight, {"largest": True}, {"max_for_mean"}),
    (n2uq_weight, {"truncated": True}, {"half_even->floor"}),
    (n2uq_weight, {"wraps": True}, {"index_wraps"}),
    (n2uq_weight, {"scaled": True}, {"paper->authors"}),
    (n2uq_weight, {"scaled": False}, {"authors->paper"}),
    # two at once
    (n2uq_forward, {"first_channel": True, "from_top": True}, {"first_channel_for_all", "counts_from_the_top"}),
    (n2uq_backward, {"without_later": True, "start_sign": -1}, {"da_without_later", "start_sign"}),
])
def test_the_mistake_is_named(named, kernel, mistakes, expected):
    assert named(f"{kernel.__name__}_*", partial(kernel, **mistakes)) == expected
