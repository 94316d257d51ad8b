"""Range BN with known mistakes: the report must name the mistake, and nothing else.

The device is written here from the equations; nothing of refquant computes its answers. It has knobs, one a mistake, and
is right when none is turned.
"""
from functools import partial

import numpy as np
import pytest

from refquant.golden import Unsupported


def telling(vector):
    """The cases that tell most: a report examines 16 failures of an operation."""
    return vector.record["stimulus"]["set"] in TELLING and vector.attrs["rounding"] == "half_even"


@pytest.fixture
def report_on(report_on):
    return lambda pattern, function, among=telling: report_on(pattern, function, among)


TELLING = ("ties", "random", "equal-extremes", "single-extremes", "one-sided", "saturation")


def divided(a, b, mode):
    """a / b rounded to integers, b > 0."""
    below, rest = np.divmod(a, b)
    over = 2 * rest - b
    up = {"half_even": (over > 0) | (over == 0) & (below % 2 == 1), "half_up": over >= 0, "floor": rest < 0,
          "half_away": (over > 0) | (over == 0) & (a > 0), "half_down": over > 0, "trunc": a < 0}.get(mode)
    if up is None:
        raise Unsupported(mode)
    return below + (up & (rest != 0))


def wide(case):
    return {name: array.astype(np.int64) for name, array in case.inputs.items()}


def channels(array):
    return array.transpose(1, 0, 2, 3).reshape(array.shape[1], -1)


def answered(case, name, values):
    """Rows [C, n] saturated into the format of the answer and put into its shape."""
    shape, dtype = case.outputs[name]
    text = case.attrs[f"{name}_format"]
    bits, unsigned = int(text[1:].rstrip("n")), text.startswith("u")
    low, high = (0, 2**bits - 1) if unsigned else (-(2**(bits - 1)) + text.endswith("n"), 2**(bits - 1) - 1)
    images = np.clip(values, low, high).reshape(shape[1], shape[0], *shape[2:])
    return images.transpose(1, 0, 2, 3).astype(dtype)


def statistics(case, whole_tensor=False, chunks_ignored=False, no_epsilon=False, floor_division=False):
    """mean, width, inverse [C, 1] and x 2^F - mean in rows."""
    attrs, given = case.attrs, wide(case)
    x, mode = channels(given["x"]), attrs["rounding"]
    parts = x.reshape(len(x), attrs["chunks"], -1)
    high, low = parts.max(2), parts.min(2)
    if whole_tensor:
        high, low = high.max(0, keepdims=True) + 0 * high, low.min(0, keepdims=True) + 0 * low
    if chunks_ignored:
        high, low = high.max(1, keepdims=True) + 0 * high, low.min(1, keepdims=True) + 0 * low
    scale = {name: (given[f"{name}_multiplier"], 1 << given[f"{name}_shift"]) for name in ("mean", "c")}
    mean = divided(x.sum(1, keepdims=True) * scale["mean"][0], scale["mean"][1], mode)
    width = divided((high - low).sum(1, keepdims=True) * scale["c"][0], scale["c"][1], mode)
    width = np.maximum(width + (0 if no_epsilon else attrs["epsilon"]), 1)
    inverse = divided(np.int64(1 << 30), width, "floor" if floor_division else mode)
    return mean, width, inverse, (x << attrs["fraction_bits"]) - mean


def rangebn_forward(case, uncentred=False, old_weighs=False, running_used=False, next_gamma=False, wraps=False,
                    **mistakes):
    attrs, given = case.attrs, wide(case)
    mode = attrs["rounding"]
    mean, width, inverse, centred = statistics(case, **mistakes)
    old = given["state0_mean"][:, None], given["state0_width"][:, None]
    if running_used:
        inverse, centred = divided(np.int64(1 << 30), old[1], mode), centred + mean - old[0]
    if uncentred:
        centred = centred + mean
    x_hat = divided(centred * inverse, 1 << 30 - attrs["normal_bits"], mode)
    gamma = np.roll(given["gamma"], -1) if next_gamma else given["gamma"]
    y = divided(gamma[:, None] * x_hat + given["beta"][:, None], 1 << attrs["y_shift"], mode)
    if wraps:
        bits = int(attrs["y_format"][1:].rstrip("n"))
        y = (y + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1) if attrs["y_format"][0] == "s" else y % (1 << bits)
        attrs |= {"y_format": attrs["y_format"].rstrip("n")}
    momentum = (1 << 15) - attrs["momentum"] if old_weighs else attrs["momentum"]
    mean, width = (o + divided((b - o) * momentum, 1 << 15, mode) for o, b in zip(old, (mean, width), strict=True))
    return {"y": answered(case, "y", y), "state1_mean": mean[:, 0].astype(np.int32), "state1_width": width[:, 0].astype(np.int32)}


def marks(x, chunks, ties="first"):
    """1 at each chunk's maximum, -1 at its minimum: the first, the last or every one of equals."""
    sign = np.zeros_like(x)
    for row, out in zip(x, sign, strict=True):
        for start in range(0, len(row), len(row) // chunks):
            part = row[start:start + len(row) // chunks]
            for value, one in ((part.max(), 1), (part.min(), -1)):
                places = start + np.flatnonzero(part == value)
                out[{"first": places[:1], "last": places[-1:], "every": places}[ties]] += one
    return sign


def rangebn_backward(case, no_mean=False, ties="first", of_g=False, dgamma_from_x=False, next_gamma=False):
    attrs, given = case.attrs, wide(case)
    mode, fraction = attrs["rounding"], attrs["fraction_bits"]
    _, _, inverse, centred = statistics(case)
    x, g, narrow = channels(given["x"]), channels(given["g"]), 1 << 30 - attrs["normal_bits"]
    x_hat = divided(centred * inverse, narrow, mode)
    dbeta = g.sum(1, keepdims=True)
    dgamma = divided((g * x_hat).sum(1, keepdims=True), 1 << attrs["normal_bits"] - fraction, mode)
    g_mean = divided(dbeta * given["mean_multiplier"], 1 << given["mean_shift"], mode)
    pull = divided(dgamma * given["c_multiplier"], 1 << given["c_shift"] + fraction, mode)
    sign = marks(g if of_g else x, attrs["chunks"], ties)
    u = (g << fraction) - (0 if no_mean else g_mean) - pull * sign
    gamma = (np.roll(given["gamma"], -1) if next_gamma else given["gamma"])[:, None]
    dx = divided(gamma * divided(u * inverse, narrow, mode), 1 << attrs["dx_shift"], mode)
    if dgamma_from_x:
        dgamma = (g * x).sum(1, keepdims=True) << fraction
    return {"dx": answered(case, "dx", dx), "dgamma": dgamma[:, 0], "dbeta": dbeta[:, 0]}


@pytest.mark.parametrize("device", [rangebn_forward, rangebn_backward])
def test_the_right_device_passes(report_on, device):
    report = report_on(f"{device.__name__}_*", device, lambda vector: True)
    assert report.count("pass") >= 20 and report.count("fail") == report.count("error") == 0


@pytest.mark.parametrize("device, mistakes, expected", [
    (rangebn_forward, {"whole_tensor": True}, {"range_over_whole_tensor"}),
    (rangebn_forward, {"chunks_ignored": True}, {"chunks_ignored"}),
    (rangebn_forward, {"floor_division": True}, {"inverse_floored"}),
    (rangebn_forward, {"uncentred": True}, {"mean_not_subtracted"}),
    (rangebn_forward, {"old_weighs": True}, {"momentum_on_wrong_side"}),
    (rangebn_forward, {"running_used": True}, {"running_statistics_used"}),
    (rangebn_forward, {"wraps": True}, {"y_wraps"}),
    (rangebn_backward, {"no_mean": True}, {"mean_term_omitted"}),
    (rangebn_backward, {"ties": "every"}, {"every_tie_credited"}),
    (rangebn_backward, {"ties": "last"}, {"last_of_equals_credited"}),
    (rangebn_backward, {"of_g": True}, {"extremes_of_g"}),
    (rangebn_backward, {"dgamma_from_x": True}, {"dgamma_from_x"}),
    # two at once
    (rangebn_forward, {"no_epsilon": True, "next_gamma": True}, {"epsilon_omitted", "gamma_next_channel"}),
    (rangebn_backward, {"ties": "last", "next_gamma": True}, {"last_of_equals_credited", "gamma_next_channel"}),
])
def test_the_mistake_is_named(named, device, mistakes, expected):
    assert named(f"{device.__name__}_*", partial(device, **mistakes)) == expected
