"""Quantizers, packers and random bits with known mistakes: the report must name the mistake, and nothing else.

Each is written here from the specification, its knobs are its mistakes.
"""
import importlib
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from refquant.golden import Unsupported

sys.path.insert(0, str(Path(__file__).parents[2] / "chapters/kernels"))
limits = importlib.import_module("gemm_domain").limits


def quantize(case, half_up=False, cast=False, zero_point_omitted=False, lost=None):
    """Per tensor, float32, half to even, saturating."""
    attrs = case.attrs
    wanted = {"x_format": "f32", "axis": None, "rounding": "half_even", "overflow": "saturate", "division": "divide",
              "zero_point_at": "after"}
    if any(attrs[key] != value for key, value in wanted.items()):
        raise Unsupported("this quantizer")
    with np.errstate(over="ignore"):
        u = case.inputs["x"] / case.inputs["scale"][0]
    code = np.floor(u.astype(np.float64) + 0.5) if half_up else np.rint(u).astype(np.float64)
    if cast:
        code = np.where(np.abs(code) < 2**31, code, -(2**31))
    code = np.clip(code + (0 if zero_point_omitted else attrs["zero_point"]), *limits(attrs["format"]))
    y = code.astype(case.outputs["y"][1])
    if lost is not None:
        y.reshape(-1)[lost] = 0
    return {"y": y}


def pack(case, high_first=False, tail_dropped=False):
    bits = int(case.attrs["format"][1:])
    per_byte = 8 // bits
    data = [0] * case.outputs["bytes"][0][0]
    codes = case.inputs["codes"].tolist()
    for index, code in enumerate(codes[:len(codes) // per_byte * per_byte] if tail_dropped else codes):
        byte, lane = divmod(index, per_byte)
        data[byte] |= (code & (2**bits - 1)) << (per_byte - 1 - lane if high_first else lane) * bits
    return {"bytes": np.array(data, np.uint8)}


def unpack(case, high_first=False, unsigned=False):
    bits = int(case.attrs["format"][1:])
    codes = []
    for byte in case.inputs["bytes"].tolist():
        for lane in range(8 - bits, -1, -bits) if high_first else range(0, 8, bits):
            code = byte >> lane & (2**bits - 1)
            negative = case.attrs["format"][0] == "s" and code >> (bits - 1) and not unsigned
            codes.append(code - 2**bits if negative else code)
    return {"codes": np.array(codes[:case.attrs["count"]], case.outputs["codes"][1])}


def stochastic_shift(case, misaligned=False, neighbour=0, wraps=False, one_more=False, magnitudes=False):
    shift, n, (low, high) = case.attrs["shift"], case.attrs["n"], limits(case.attrs["format"])
    rbits = np.roll(case.inputs["rbits_y"], -neighbour).tolist()
    y = []
    for v, r in zip(case.inputs["v"].tolist(), rbits, strict=True):
        r += one_more
        if n > shift:
            r >>= n - shift
        elif not misaligned:
            r <<= shift - n
        y.append(-((-v + r) >> shift) if magnitudes and v < 0 else (v + r) >> shift)
    y = [(code - low) % (high - low + 1) + low if wraps else min(max(code, low), high) for code in y]
    return {"y": np.array(y, case.outputs["y"][1])}


def philox(case, rounds=10, low_bits=False):
    n, count = case.attrs["n"], case.attrs["count"]
    low, high = case.inputs["seed"].tolist()
    stream = [int(case.inputs[name][0]) for name in ("tensor", "step")]
    width = next(w for w in (8, 16, 32, 64) if w >= n)
    r = []
    for block in range(-(-count * width // 128)):
        c, k0, k1 = [block & 0xFFFFFFFF, block >> 32, *stream], low, high
        for _ in range(rounds):
            p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [p1 >> 32 ^ c[1] ^ k0, p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
            k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
        number = sum(word << 32 * i for i, word in enumerate(c))
        lanes = [number >> width * lane & (2**width - 1) for lane in range(128 // width)]
        r += [lane & (2**n - 1) if low_bits else lane >> (width - n) for lane in lanes]
    return {"r": np.array(r[:count], case.outputs["r"][1])}


KERNELS = {quantize: "quantize_quantize_*", pack: "quantize_pack_*", unpack: "quantize_unpack_*",
           stochastic_shift: "stochastic_shift_*", philox: "stochastic_philox_[0-9]*"}


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_right_kernel_passes(report_on, kernel):
    report = report_on(KERNELS[kernel], kernel)
    assert report.count("pass") >= 4 and report.count("fail") == report.count("error") == 0


@pytest.mark.parametrize("kernel, mistakes, expected", [
    (quantize, {"half_up": True}, {"half_even->half_up"}),
    (quantize, {"cast": True}, {"cast_overflows"}),
    (pack, {"high_first": True}, {"halves_swapped"}),
    (pack, {"tail_dropped": True}, {"tail_dropped"}),
    (unpack, {"high_first": True}, {"halves_swapped"}),
    (unpack, {"unsigned": True}, {"zero_extended"}),
    (stochastic_shift, {"misaligned": True}, {"bits_at_wrong_end"}),
    (stochastic_shift, {"neighbour": 1}, {"lane_off_by_one"}),
    (stochastic_shift, {"neighbour": -1}, {"lane_off_by_one_back"}),
    (stochastic_shift, {"one_more": True}, {"r_from_1_to_2^n"}),
    (stochastic_shift, {"magnitudes": True}, {"sign_magnitude"}),
    (stochastic_shift, {"wraps": True}, {"wraps"}),
    (philox, {"rounds": 9}, {"nine_rounds"}),
    (philox, {"low_bits": True}, {"low_bits"}),
    # two at once
    (quantize, {"half_up": True, "zero_point_omitted": True}, {"half_even->half_up", "zero_point_omitted"}),
    (pack, {"high_first": True, "tail_dropped": True}, {"halves_swapped", "tail_dropped"}),
    (stochastic_shift, {"neighbour": 1, "wraps": True}, {"lane_off_by_one", "wraps"}),
    (stochastic_shift, {"misaligned": True, "wraps": True}, {"bits_at_wrong_end", "wraps"}),
    (stochastic_shift, {"magnitudes": True, "neighbour": 1}, {"sign_magnitude", "lane_off_by_one"}),
    (stochastic_shift, {"one_more": True, "wraps": True}, {"r_from_1_to_2^n", "wraps"}),
    (philox, {"rounds": 7, "low_bits": True}, {"seven_rounds", "low_bits"}),
])
def test_the_mistake_is_named(named, kernel, mistakes, expected):
    assert named(KERNELS[kernel], partial(kernel, **mistakes)) == expected


def test_an_unknown_mistake_is_not_given_a_name(named):
    assert named("quantize_quantize_*", partial(quantize, lost=100), seconds=5) == set()
