"""stochastic.quantize: y = saturate(floor(x / scale + r / 2^n) + zero_point), reals rounded by n random bits."""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import chance, ends, reals
from refquant.golden.mutants import attribute
from refquant.golden.operation import FLAGS, FLOATS, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import quantize_codes
from refquant.integers.randombits import lane_width
from refquant.integers.stochastic import Stochastic
from refquant.scalar import formats as scalar_formats
from refquant.scalar import quantize as scalar

ATTRIBUTES = {"x_format": schema.FLOAT, "format": schema.FORMAT, "zero_point": schema.INT32, "n": schema.integer(1, 62)}


def tensors(attrs):
    return {"in_x": attrs["x_format"], "in_scale": attrs["x_format"],
            "rbits_y": IntFormat(lane_width(attrs["n"]), signed=False), "out_y": IntFormat.parse(attrs["format"]),
            "flags_y": FLAGS}


def reference(attrs, inputs):
    codes, flags = quantize_codes(inputs["in_x"], inputs["in_scale"][0], IntFormat.parse(attrs["format"]),
                                  zero_point=attrs["zero_point"], rounding=Stochastic(inputs["rbits_y"], attrs["n"]))
    return {"out_y": codes, "flags_y": flags}


def element(attrs, inputs, tensor, index, note):
    (i,) = index
    bits, signed, narrow = scalar_formats.parse(attrs["format"])
    code, flags = scalar.quantize(
        inputs["in_x"][i], inputs["in_scale"][0], attrs["zero_point"], bits, signed, narrow,
        precision=reals.PRECISION[attrs["x_format"]], rounding="stochastic", rbits=inputs["rbits_y"][i], n=attrs["n"],
        note=note)
    return {"out_y": code, "flags_y": flags}


def stimuli(level, seed):
    listed = [("s8", "f32", 0, 8), ("s8", "f32", 3, 16), ("s4n", "f32", 0, 8), ("s8", "f64", 0, 32),
              ("u8", "f32", 131, 4)]
    for index, (format, precision, zero_point, n) in enumerate(listed):
        yield _case(format, precision, zero_point, n, Draw(seed, f"stochastic.quantize.1.{index}"), 400, 1)
    for tier, count, size in ((2, 30, 10_000), (3, 300, 1_000_000)):
        if level < tier:
            break
        draw = Draw(seed, f"stochastic.quantize.{tier}")
        for _ in range(count):
            yield _case(str(draw.pick(["s8", "u8", "s4", "s4n", "s16"])), str(draw.pick(["f32", "f64"])),
                        int(draw.integers(-9, 9)), int(draw.integers(1, 32)), draw, size, tier)


def _case(format: str, precision: str, zero_point: int, n: int, draw: Draw, size: int, tier: int) -> Stimulus:
    """Exact multiples of 2^-n and values between, small gradients, ends of the format and of floats."""
    dtype, ends, scale = FLOATS[precision], IntFormat.parse(format), 0.25
    x = np.concatenate([
        reals.ties(dtype, scale, np.arange(-8, 8)).reshape(-1), np.arange(-160, 160) * (scale / 16),
        reals.around(scale, ends, zero_point, dtype), reals.extremes(dtype),
        reals.spread(draw, dtype, (ends.qmax - ends.qmin) * scale, (size,)),
        reals.spread(draw, dtype, scale * 2, (size // 2,))]).astype(dtype)
    rbits, record = chance.philox(n, len(x), draw.seed, draw.tensor, draw.step + 1)
    draw.step += 1
    attrs = {"x_format": precision, "format": format, "zero_point": zero_point, "n": n}
    label = f"{len(x)}_{precision}_{format}_n{n}_zp{zero_point}".replace("-", "m")
    return Stimulus("random", label, attrs, {"in_x": x, "in_scale": np.array([scale], dtype), "rbits_y": rbits}, tier,
                    record)


def _odd_sum_even(codes, attrs, inputs):
    """u + r / 2^n - 1/2 halfway, rounded to even, is one less than the floor where that is odd."""
    with np.errstate(over="ignore"):
        u = (inputs["in_x"] / inputs["in_scale"]).astype(np.float64)
    near = np.abs(u) < 2**20  # so that the sum is exact in float64; beyond, codes saturate
    total = np.where(near, u, 0) + np.ldexp(inputs["rbits_y"].astype(np.float64), -attrs["n"])
    return codes - (near & (total % 2 == 1))


OPERATION = Operation(
    "stochastic.quantize", "reals to codes, rounded stochastically", ATTRIBUTES, tensors, reference, element, stimuli,
    (*chance.RBITS_MUTANTS, chance.FROM_1, chance.sign_magnitude("in_x"),
     chance.corrected("noise_then_nearest", "u + r - 1/2 is rounded half to even instead of taking the floor of u + r",
                      lambda attrs, inputs: (attrs, inputs), _odd_sum_even),
     *ends.OF_FORMATS, *ends.UNCLAMPED, ends.ZERO_POINT_LAST,
     attribute("zero_point_omitted", "the zero point is left out", "zero_point", 0)),
    lambda attrs, inputs, index: {"x": inputs["in_x"][index], "scale": inputs["in_scale"][0],
                                  "rbits": inputs["rbits_y"][index]},
    ("x_format",))
