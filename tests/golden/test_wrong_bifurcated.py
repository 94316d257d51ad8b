"""Gradients bifurcated with known mistakes: the report must name the mistake, and nothing else.

The device is written here from the equations; nothing of refquant computes its answers. It has knobs, one a mistake, and
is right when none is turned.
"""
from functools import partial

import numpy as np
import pytest

from refquant.golden import Unsupported

ROUNDED_UP = {"half_even": lambda over, odd: (over > 0) | (over == 0) & odd, "half_up": lambda over, odd: over >= 0,
              "half_down": lambda over, odd: over > 0, "floor": lambda over, odd: over > np.inf,
              "ceil": lambda over, odd: over > -np.inf}


def shifted(v, shift, mode):
    """v / 2^shift, rounded."""
    if mode not in ROUNDED_UP:
        raise Unsupported(mode)
    unit = 1 << shift
    below, rest = v >> shift, v & unit - 1
    return below + ((rest != 0) & ROUNDED_UP[mode](2 * rest - unit, below % 2 == 1))


def by_chance(v, shift, rbits, n):
    return v + (rbits << shift - n if n <= shift else rbits >> n - shift) >> shift


def wrapped(v, bits):
    half = 1 << bits - 1
    return (v + half) % (2 * half) - half


def clipped(v, bits, narrow=False):
    return np.clip(v, -(1 << bits - 1) + narrow, (1 << bits - 1) - 1)


def copies(case, one=None, exchanged=False, stochastic=False, rounded=False, cast=False, next_lane=False, one_more=False):
    """Few bits for dx, 16 for dw."""
    attrs, n = case.attrs, case.attrs["n"]
    g, rbits = case.inputs["g"].astype(np.int64), case.inputs["rbits_g"].astype(np.int64)
    scale = [(g * int(m), int(s)) for m, s in zip(case.inputs["multiplier"], case.inputs["shift"], strict=True)]
    scale = scale[::-1] if exchanged else scale
    if next_lane:
        rbits = np.roll(rbits.reshape(-1), -1).reshape(rbits.shape)
    few = shifted(*scale[0], "half_even") if rounded else by_chance(*scale[0], rbits + one_more, n)
    few = clipped(few, attrs["input_bits"])
    many = by_chance(*scale[1], rbits, n) if stochastic else shifted(*scale[1], attrs["rounding"])
    many = wrapped(many, 16) if cast else clipped(many, 16)
    return (few, few) if one == "input" else (many, many) if one == "weight" else (few, many)


def finished(case, dx, dw, dw_bits=48, shifts_exchanged=False):
    answers = {}
    for name, acc, bits, other in (("dx", dx, 32, "dw"), ("dw", dw, dw_bits, "dx")):
        shift = case.attrs[f"{other if shifts_exchanged else name}_shift"]
        codes, format = shifted(wrapped(acc, bits), shift, case.attrs["rounding"]), case.attrs[f"{name}_format"]
        codes = clipped(codes, int(format[1:].rstrip("n")), format.endswith("n"))
        answers[name] = codes.astype(case.outputs[name][1])
    return answers


def centred(case, name, ignored=False):
    return case.inputs[name].astype(np.int64) - (0 if ignored else case.attrs[f"{name}_zero_point"])


def gemm_bifurcated(case, no_zero_point=False, terms=None, dw_bits=48, shifts_exchanged=False, **mistakes):
    few, many = copies(case, **mistakes)
    x, w = centred(case, "x"), centred(case, "w", no_zero_point)
    return finished(case, few[:, :terms] @ w[:, :terms].T, x.T @ many, dw_bits, shifts_exchanged)


def conv_bifurcated(case, not_rotated=False, dw_rotated=False, dw_bits=48, shifts_exchanged=False, **mistakes):
    """One kernel element after the other."""
    few, many = copies(case, **mistakes)
    x, w, groups = centred(case, "x"), centred(case, "w"), case.attrs["groups"]
    (sh, sw), (dh, dw), (top, bottom, left, right) = (case.attrs[key] for key in ("stride", "dilation", "padding"))
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    of_x, of_w = np.zeros_like(x), np.zeros_like(w)
    if not_rotated:
        w = w[:, :, ::-1, ::-1]
    for group, i, j in np.ndindex(groups, *w.shape[2:]):
        o, c = (slice(group * size // groups, (group + 1) * size // groups) for size in (few.shape[1], x.shape[1]))
        met = (slice(None), c, slice(i * dh, i * dh + sh * (few.shape[2] - 1) + 1, sh),
               slice(j * dw, j * dw + sw * (few.shape[3] - 1) + 1, sw))
        of_x[met] += np.einsum("bopq,oc->bcpq", few[:, o], w[o, :, i, j])
        of_w[o, :, i, j] = np.einsum("bcpq,bopq->oc", x[met], many[:, o])
    of_x = of_x[:, :, top:x.shape[2] - bottom, left:x.shape[3] - right]
    return finished(case, of_x, of_w[:, :, ::-1, ::-1] if dw_rotated else of_w, dw_bits, shifts_exchanged)


@pytest.mark.parametrize("device", [gemm_bifurcated, conv_bifurcated])
def test_the_right_device_passes(report_on, device):
    report = report_on(f"{device.__name__}_*", device)
    assert report.count("pass") >= 20 and report.count("fail") == report.count("error") == 0


@pytest.mark.parametrize("device, mistakes, expected", [
    (gemm_bifurcated, {"one": "input"}, {"input_copy_for_both"}),
    (gemm_bifurcated, {"one": "weight"}, {"weight_copy_for_both"}),
    (gemm_bifurcated, {"exchanged": True}, {"scales_exchanged"}),
    (gemm_bifurcated, {"stochastic": True}, {"weight_copy_stochastic"}),
    (gemm_bifurcated, {"rounded": True}, {"input_copy_half_even"}),
    (gemm_bifurcated, {"cast": True}, {"weight_copy_wraps"}),
    (gemm_bifurcated, {"next_lane": True}, {"lane_off_by_one"}),
    (gemm_bifurcated, {"one_more": True}, {"r_from_1_to_2^n"}),
    (gemm_bifurcated, {"dw_bits": 32}, {"accumulator_dw_32"}),
    (gemm_bifurcated, {"dw_bits": 40}, {"accumulator_dw_40"}),
    (gemm_bifurcated, {"shifts_exchanged": True}, {"shifts_exchanged"}),
    (gemm_bifurcated, {"no_zero_point": True}, {"w_zero_point_omitted"}),
    (gemm_bifurcated, {"terms": -1}, {"last_output_dropped"}),
    (conv_bifurcated, {"one": "input"}, {"input_copy_for_both"}),
    (conv_bifurcated, {"not_rotated": True}, {"kernel_not_rotated"}),
    (conv_bifurcated, {"dw_rotated": True}, {"dw_rotated"}),
    # two at once
    (gemm_bifurcated, {"no_zero_point": True, "dw_bits": 32}, {"w_zero_point_omitted", "accumulator_dw_32"}),
])
def test_the_mistake_is_named(named, device, mistakes, expected):
    """Of one rounding: a report examines 16 failures of an operation; sets r*, s* and t* tell all but accumulators."""
    cases = "*" if "dw_bits" in mistakes else "[rst]*"
    assert named(f"{device.__name__}_*_half-even_sp-{cases}", partial(device, **mistakes)) == expected
