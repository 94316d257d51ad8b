"""SGD on integers with known mistakes: the report must name the mistake, and nothing else.

The device is written here from the equations, its knobs are its mistakes; it is right when none is turned.
"""
from functools import partial

import numpy as np
import pytest

from refquant.golden import Unsupported


def half_even(v, shift):
    """v / 2^shift in integers, ties to even."""
    up = (v + (1 << shift - 1)) >> shift
    tie = (v + (1 << shift - 1) & (1 << shift) - 1) == 0
    return up - (tie & up & 1)


def by_chance(v, shift, rbits, n):
    """(v + r 2^(shift - n)) / 2^shift, rounded down."""
    aligned = rbits.astype(np.int64) << shift - n if shift >= n else rbits.astype(np.int64) >> n - shift
    return v + aligned >> shift


def update_sgd(case, dampened=False, v_kept=False, old_v=False, added=False, no_decay=False, decoupled=False, decay_sign=1,
               nesterov=None, neighbour=0, magnitudes=False, rounds=False, wraps=False, rate_first=False, v_wraps=False):
    attrs, inputs = case.attrs, case.inputs
    if attrs["rounding"] != "half_even":
        raise Unsupported("other roundings")
    w, v, g = (inputs[name].astype(np.int64) for name in ("state0_w", "state0_v", "g"))
    rbits, momentum = np.roll(inputs["rbits_w"], neighbour), attrs["momentum"]

    def times(x, name, round=half_even):
        return round(x * int(inputs[f"{name}_multiplier"][0]), int(inputs[f"{name}_shift"][0]))

    def limit(x, bits, cast=False):
        half = 1 << bits - 1
        return (x + half) % (2 * half) - half if cast else np.clip(x, -half, half - 1)

    def step_of(x):
        if rounds:
            return times(x, "rate")
        drawn = partial(by_chance, rbits=rbits, n=attrs["n"])
        return np.sign(x) * times(abs(x), "rate", drawn) if magnitudes else times(x, "rate", drawn)

    decay = 0 if no_decay else decay_sign * times(w, "decay")
    d = times(g, "g") + (0 if decoupled else decay)
    if rate_first:
        d = step_of(d)
    if dampened:
        d = half_even(d * (2**15 - momentum), 15)
    after = limit(half_even(v * momentum, 15) + d, 32, v_wraps)
    m = v if old_v else after
    if attrs["nesterov"] if nesterov is None else nesterov:
        m = limit(d + half_even(m * momentum, 15), 32)
    rounded = m if rate_first else step_of(m + (decay if decoupled else 0))
    moved = limit(w + rounded if added else w - rounded, int(attrs["w_format"][1:]), wraps)
    return {"rounded": rounded, "state1_w": moved.astype(case.outputs["state1_w"][1]),
            "state1_v": (v if v_kept else after).astype(np.int32)}


def test_the_right_kernel_passes(report_on):
    report = report_on("update_sgd_*", update_sgd)
    assert report.count("pass") >= 7 and report.count("fail") == report.count("error") == 0


@pytest.mark.parametrize("mistakes, expected", [
    ({"dampened": True}, {"dampened"}),
    ({"v_kept": True}, {"v_not_updated"}),
    ({"old_v": True}, {"moved_by_old_v"}),
    ({"added": True}, {"step_added"}),
    ({"no_decay": True}, {"decay_left_out"}),
    ({"decoupled": True}, {"decoupled_decay"}),
    ({"decay_sign": -1}, {"decay_sign"}),
    ({"nesterov": True}, {"plain->nesterov"}),
    ({"nesterov": False}, {"nesterov->plain"}),
    ({"neighbour": -1}, {"lane_off_by_one"}),
    ({"magnitudes": True}, {"sign_magnitude"}),
    ({"rounds": True}, {"stochastic->half_even"}),
    ({"wraps": True}, {"wraps"}),
    ({"rate_first": True}, {"rate_before_momentum"}),
    ({"v_wraps": True}, {"v_wraps"}),
    # two at once
    ({"no_decay": True, "added": True}, {"decay_left_out", "step_added"}),
    ({"neighbour": 1, "wraps": True}, {"lane_off_by_one_back", "wraps"}),
])
def test_the_mistake_is_named(named, mistakes, expected):
    assert named("update_sgd_*", partial(update_sgd, **mistakes)) == expected
