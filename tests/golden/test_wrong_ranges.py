"""Ranges in hindsight, INT4 gradients and rounding with a generator, with known mistakes: the report must name them.

The devices are written here from the equations; nothing of refquant computes their answers. Each has knobs, one a
mistake, and is right when none is turned.
"""
from functools import partial

import numpy as np
import pytest

from refquant.golden import Unsupported


def fixed(numerator, denominator):
    """(multiplier, shift) of a positive ratio: 31 bits, rounded half up, the shift at most 62."""
    shift = 62
    while shift > 0 and (2 * (numerator << shift) + denominator) // (2 * denominator) >= 1 << 31:
        shift -= 1
    return (2 * (numerator << shift) + denominator) // (2 * denominator), shift


def shifted(product, shift, how, rbits=None, n=0):
    """Integers / 2^shift."""
    floor, rest, unit = product >> shift, product & ((1 << shift) - 1), 1 << shift
    if how == "stochastic":
        r = rbits.astype(np.int64)
        return floor + ((rest + (r << (shift - n) if shift >= n else r >> (n - shift))) >> shift)
    up = {"floor": 0 * rest == 1, "half_up": 2 * rest >= unit, "half_even": (2 * rest > unit) | ((2 * rest == unit) & (floor % 2 == 1)),
          "half_away": (2 * rest > unit) | ((2 * rest == unit) & (floor >= 0))}
    return floor + up[how]


# Ranges in hindsight.


def hindsight(case, own_range=False, momentum=None, truncates=False, levels=0, no_zero_point=False):
    acc, attrs = case.inputs["acc"].astype(np.int64), case.attrs
    top, fraction, weight = 2 ** attrs["bits"] - 1 + levels, attrs["fraction_bits"], attrs["momentum"]
    if momentum is not None:
        weight = momentum
    state, codes, collected = case.inputs["state0_range"].tolist(), [], []
    for t, row in enumerate(acc):
        seen = [int(row.min()), int(row.max())]
        own = [end << fraction for end in seen]
        if attrs["first"] and t == 0:
            state = own
        low, high = own if own_range else state
        low, high = min(low, 0), max(high, 0)
        size = high - low or 1
        multiplier, shift = fixed(top << fraction, size)
        zero_point = 0 if no_zero_point else (2 * -low * top + size) // (2 * size)
        random = {"rbits": case.inputs["rbits_y"][t], "n": attrs["n"]} if attrs["n"] else {}
        code = shifted(row * multiplier, shift, attrs["rounding"], **random) + zero_point
        codes.append(np.clip(code, 0, 2 ** attrs["bits"] - 1))
        weighted = [old * weight + new * (65536 - weight) for old, new in zip(state, own, strict=True)]
        state = [w // 65536 if truncates else round_half_even(w) for w in weighted]
        collected.append(seen)
    return {"y": np.array(codes, np.uint8), "seen": np.array(collected, case.inputs["acc"].dtype),
            "state1_range": np.array(state, np.int64)}


def round_half_even(weighted):
    below, rest = divmod(weighted, 65536)
    return below + (rest > 32768 or (rest == 32768 and below % 2 == 1))


# INT4 gradients.


def int4(case, alpha=False, at_the_clip=False, yesterday=False, signed=False, swapped=False, early=False):
    g, (bits, n), k = case.inputs["g"].astype(np.int64), (case.attrs["bits"], case.attrs["n"]), int(case.inputs["state0_clip_factor"][0])
    top, before, answer = 2 ** (bits - 1) - 1, None, {"codes": [], "packed": [], "clipped": [], "clip_factor": []}
    for t, row in enumerate(g):
        highest = own = int(max(row.max(), 0) if signed else np.abs(row).max())
        if yesterday and before is not None:
            highest = before
        before = own
        beyond = 1000 * np.abs(row) >= k * highest if at_the_clip else 1000 * np.abs(row) > k * highest
        target = 1 if alpha else 2**bits - 1
        excess = int(beyond.sum()) * 1000 * target - len(row)
        after = min(max(k + (excess > 0) - (excess < 0), 1), 1000) if highest else k
        multiplier, shift = fixed(1000 * top, (after if early else k) * highest) if highest else (0, 1)
        code = np.clip(shifted(row * multiplier, shift, "stochastic", case.inputs["rbits_g"][t], n), -top, top)
        k = after
        nibbles = np.pad(code, (0, len(row) % 2)).reshape(-1, 2) & 15
        answer["packed"].append(nibbles @ ([16, 1] if swapped else [1, 16]))
        for name, value in (("codes", code), ("clipped", beyond.sum()), ("clip_factor", k)):
            answer[name].append(value)
    answer = {name: np.array(answer[name], dtype) for name, (_, dtype) in case.outputs.items() if name in answer}
    return answer | {"state1_clip_factor": np.array([k], np.uint16)}


# Rounding with bits that the device makes.

TAPS = {8: (8, 6, 5, 4), 16: (16, 14, 13, 11), 24: (24, 23, 22, 17), 32: (32, 22, 2, 1)}


def finished(case, r, wraps=False):
    v, n, format = case.inputs["v"].astype(np.int64), case.attrs["n"], case.attrs["format"]
    code = shifted(v, case.attrs["shift"], "stochastic", np.array(r, np.int64), n)
    bits, half = int(format.strip("sun")), 0 if format[0] == "u" else 1 << (int(format.strip("sun")) - 1)
    if wraps:
        return ((code + half) % (1 << bits) - half).astype(case.outputs["y"][1])
    return np.clip(code, -half + format.endswith("n"), (1 << bits) - 1 - half).astype(case.outputs["y"][1])


def lfsr(case, forgets=False, restarts=False, late=False, wraps=False):
    attrs, state = case.attrs, int(case.inputs["state0_lfsr"][0])
    mask, start, r = sum(1 << (e - 1) for e in TAPS[attrs["width"]]), state, []
    for _ in range(len(case.inputs["v"])):
        before = state = start if restarts else state
        for _ in range(attrs["steps"]):
            state = state >> 1 ^ (mask if state & 1 else 0)
        r.append((before if late else state) & ((1 << attrs["n"]) - 1))
    return {"y": finished(case, r, wraps), "state1_lfsr": np.array([start if forgets else state], np.uint32)}


def philox(case, rounds=10, no_step=False, wraps=False):
    attrs, n = case.attrs, case.attrs["n"]
    width = next(w for w in (8, 16, 32, 64) if w >= n)
    lanes = 128 // width
    r = []
    for i in range(len(case.inputs["v"])):
        c = [i // lanes, 0, attrs["tensor"], 0 if no_step else attrs["step"]]
        k = [attrs["seed"] & 0xFFFFFFFF, attrs["seed"] >> 32]
        for _ in range(rounds):
            p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [q >> 32 ^ c[1] ^ k[0], q & 0xFFFFFFFF, p >> 32 ^ c[3] ^ k[1], p & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        number = sum(word << 32 * w for w, word in enumerate(c)) >> i % lanes * width
        r.append(number % (1 << width) >> width - n)
    return {"y": finished(case, r, wraps)}


PATTERNS = {hindsight: "hindsight_trajectory_*", int4: "int4_trajectory_*", lfsr: "stochastic_lfsr_shift_*", philox: "stochastic_philox_shift_*"}
FEWER = PATTERNS | {hindsight: "hindsight_trajectory_8x[36]*", int4: "int4_trajectory_[89]x*"}  # which show every mistake


@pytest.mark.parametrize("device", PATTERNS)
def test_the_right_device_passes(report_on, device):
    report = report_on(PATTERNS[device], device)
    assert report.count("pass") >= 5 and report.count("pass") == len(report.results)


@pytest.mark.parametrize("device, mistakes, expected", [
    (hindsight, {"own_range": True}, {"current_range"}),
    (hindsight, {"momentum": 0}, {"update_replaces"}),
    (hindsight, {"truncates": True}, {"update_rounded_down"}),
    (hindsight, {"levels": 1}, {"levels_2^bits"}),
    (hindsight, {"no_zero_point": True}, {"zero_point_omitted"}),
    (hindsight, {"truncates": True, "no_zero_point": True}, {"update_rounded_down", "zero_point_omitted"}),
    (int4, {"alpha": True}, {"target_alpha"}),
    (int4, {"at_the_clip": True}, {"at_the_clip_counts"}),
    (int4, {"yesterday": True}, {"maximum_of_yesterday"}),
    (int4, {"signed": True}, {"signed_maximum"}),
    (int4, {"early": True}, {"updated_before_use"}),
    (int4, {"swapped": True}, {"nibbles_swapped"}),
    (int4, {"alpha": True, "swapped": True}, {"target_alpha", "nibbles_swapped"}),
    (lfsr, {"forgets": True}, {"state_not_kept"}),
    (lfsr, {"late": True}, {"state_before_steps"}),
    (lfsr, {"wraps": True}, {"wraps"}),
    (lfsr, {"late": True, "wraps": True}, {"state_before_steps", "wraps"}),
    (philox, {"rounds": 7}, {"seven_rounds"}),
    (philox, {"no_step": True}, {"same_bits_every_step"}),
    (philox, {"wraps": True}, {"wraps"}),
])
def test_the_mistake_is_named(named, device, mistakes, expected):
    assert named(FEWER[device], partial(device, **mistakes)) == expected


def test_what_a_device_declines_is_no_mistake(report_on):
    def half_even_only(case):
        if case.attrs["rounding"] != "half_even":
            raise Unsupported(case.attrs["rounding"])
        return hindsight(case)

    report = report_on(PATTERNS[hindsight], half_even_only)
    assert report.exit_code == 4 and report.count("unsupported") >= 4 and not report.causes
