"""PACT and SAT with known mistakes: the report must name the mistake, and nothing else.

Each device is written here from the equations, its knobs are its mistakes; it is right when none is turned.
"""
import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from refquant.golden import Unsupported


def need_half_even(case):
    if case.attrs["rounding"] != "half_even":
        raise Unsupported("other roundings")


def shifted(v, shift, ties_up=False):
    """v / 2^shift in integers, ties to even."""
    half = (1 << shift) >> 1
    up = v + half >> shift
    tie = (v + half & (1 << shift) - 1) == 0 if shift else np.zeros(v.shape, bool)
    return up if ties_up else up - (tie & up & 1)


def quotient(a, b):
    """a / b in integers, ties to even."""
    below, left = a // b, a % b
    return below + ((2 * left > b) | ((2 * left == b) & (below % 2 == 1)))


def pact_forward(case, ties_up=False, wraps=False, levels=0, top_bit_lost=False):
    need_half_even(case)
    multiplier, shift, top = int(case.inputs["multiplier"][0]), int(case.inputs["shift"][0]), 2 ** case.attrs["bits"] - 1
    if levels:  # 2^bits instead of one less, derived as the right scale is
        scale = Fraction(multiplier * (top + 1), top << shift)
        shift = 31 - math.floor(math.log2(scale)) - 1
        multiplier = math.floor(scale * 2**shift + Fraction(1, 2))
    code = shifted(case.inputs["acc"].astype(np.int64) * multiplier, shift, ties_up)
    code = code % (top + 1) if wraps else np.clip(code, 0, top >> top_bit_lost)
    return {"y": code.astype(np.uint8)}


def pact_backward(case, alpha_inside=False, zero_inside=False, negated=False, unclipped=False, uncalibrated=False,
                  without_last=False, relu=False):
    need_half_even(case)
    attrs, g, acc = case.attrs, case.inputs["g"].astype(np.int64), case.inputs["acc"].astype(np.int64)
    alpha, multiplier, shift = (int(case.inputs[name][0]) for name in ("alpha", "multiplier", "shift"))
    fraction_bits, top = attrs["fraction_bits"], 2 ** attrs["bits"] - 1
    above = acc > alpha if alpha_inside else acc >= alpha
    between = ~above & (acc > 0)
    code = np.clip(shifted(acc * multiplier, shift), 0, top)
    error = code * 2**fraction_bits - shifted(acc * multiplier, shift - fraction_bits)
    error = np.where(~above if unclipped else between, -error if negated else error, 0)
    terms = np.where(above, g * top * 2**fraction_bits, g * error * (attrs["calibrated"] and not uncalibrated))
    passes = acc > 0 if relu else between | (zero_inside & (acc == 0))
    return {"dx": np.where(passes, g, 0).astype(case.outputs["dx"][1]),
            "dalpha": np.array([terms.ravel()[:-1 if without_last else None].sum()])}


def bent(case, table=None):
    w = case.inputs["w"].astype(np.int64)
    return np.sign(w) * (case.inputs["tanh"] if table is None else table).astype(np.int64)[np.abs(w)]


def sat_weight(case, signed_highest=False, over_n=False, about_0=False, n_out=None, rounded=False, half_step=True,
               never_rescaled=False):
    need_half_even(case)
    t, a, count = bent(case), 2 ** case.attrs["bits"] - 1, case.inputs["w"].size
    top = int(t.max() if signed_highest else np.abs(t).max())
    if top < 1:
        raise Unsupported("a highest that divides nothing")
    if half_step:
        codes = 2 * np.clip(quotient(a * (t + top), 2 * top), 0, a) - a
    else:
        codes = np.clip(2 * quotient(a * t, 2 * top), -a - 1, a)
    if case.attrs["rescale"] == "none" or never_rescaled:
        square = Fraction(1, a * a)
        rounded = True
    else:
        v = count * int((codes**2).sum()) - (0 if about_0 else int(codes.sum()) ** 2)
        shape = codes.shape
        outputs = n_out(shape) if n_out else shape[0] * math.prod(shape[2:])
        square = Fraction(count * (count - (not over_n)), outputs * v)
    shift = next(s for s in range(64) if square * 4**s >= 4**30)
    doubled = math.isqrt(math.floor(square * 4 ** (shift + 1)))
    return {"codes": codes.astype(case.outputs["codes"][1]), "multiplier": np.array([(doubled + rounded) // 2], np.int32),
            "shift": np.array([shift], np.uint8)}


def sat_backward(case, no_slope=False, undivided=False, clamped_slope=False, wraps=False, differentiated=False):
    need_half_even(case)
    t, g, one = bent(case), case.inputs["g"].astype(np.int64), 2**30
    top = int(np.abs(t).max())
    at = quotient(t * one, top) if clamped_slope else t
    slope = one if no_slope else one - at * at // one
    dw = quotient(g * slope, one if undivided else top)
    if differentiated:
        j = np.unravel_index(np.abs(t).argmax(), t.shape)
        pull = int(np.sign(t[j])) * sum(int(a) * int(b) for a, b in zip(g.flat, t.flat, strict=True))
        dw[j] = np.clip(round(Fraction(int(slope[j]) * (int(g[j]) * top - pull), top * top)), -(2**31), 2**31 - 1)
    return {"dw": dw.astype(np.int32) if wraps else np.clip(dw, -(2**31), 2**31 - 1).astype(np.int32)}


@pytest.mark.parametrize("device, cases", [(pact_forward, 14), (pact_backward, 15), (sat_weight, 18), (sat_backward, 11)])
def test_the_right_device_passes(report_on, device, cases):
    report = report_on(f"{device.__name__}_*", device)
    assert report.count("pass") >= cases and report.count("fail") == report.count("error") == 0


@pytest.mark.parametrize("device, mistakes, expected", [
    (pact_forward, {"ties_up": True}, {"half_even->half_away"}),
    (pact_forward, {"wraps": True}, {"wraps"}),
    (pact_forward, {"levels": True}, {"levels_2^bits"}),
    (pact_forward, {"top_bit_lost": True}, {"saturates_as_signed"}),
    (pact_backward, {"alpha_inside": True}, {"alpha_inside"}),
    (pact_backward, {"zero_inside": True}, {"zero_inside"}),
    (pact_backward, {"negated": True}, {"calibrated_negated"}),
    (pact_backward, {"unclipped": True}, {"calibrated_unclipped"}),
    (pact_backward, {"uncalibrated": True}, {"calibrated_missing"}),
    (pact_backward, {"without_last": True}, {"last_term_dropped"}),
    (pact_backward, {"relu": True}, {"not_masked_above"}),
    (sat_weight, {"signed_highest": True}, {"highest_signed"}),
    (sat_weight, {"over_n": True}, {"variance_over_n"}),
    (sat_weight, {"about_0": True}, {"variance_about_0"}),
    (sat_weight, {"n_out": lambda shape: math.prod(shape[1:])}, {"fan_in"}),
    (sat_weight, {"n_out": lambda shape: shape[0]}, {"kernel_left_out"}),
    (sat_weight, {"rounded": True}, {"multiplier_rounded"}),
    (sat_weight, {"half_step": False}, {"levels_with_zero"}),
    (sat_weight, {"never_rescaled": True}, {"constant->none"}),
    (sat_backward, {"no_slope": True}, {"slope_missing"}),
    (sat_backward, {"undivided": True}, {"not_divided"}),
    (sat_backward, {"clamped_slope": True}, {"slope_of_clamped"}),
    (sat_backward, {"wraps": True}, {"wraps"}),
    (sat_backward, {"differentiated": True}, {"highest_differentiated"}),
    # two at once
    (pact_backward, {"zero_inside": True, "uncalibrated": True}, {"zero_inside", "calibrated_missing"}),
    (pact_backward, {"relu": True, "negated": True}, {"not_masked_above", "calibrated_negated"}),
])
def test_the_mistake_is_named(named, device, mistakes, expected):
    assert named(f"{device.__name__}_*", partial(device, **mistakes)) == expected
