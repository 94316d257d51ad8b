"""requantize.multiplier: (multiplier, shift) of a real scale, exactly."""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.mutants import changed, output
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale
from refquant.scalar import requantize as scalar

S32, SHIFT = IntFormat(32), IntFormat(8, signed=False)


def tensors(attrs):
    return {"in_scale": "f64", "out_multiplier": S32, "out_shift": SHIFT}


def reference(attrs, inputs):
    multiplier, shift = multiplier_from_scale(inputs["in_scale"], attrs["bits"])
    return {"out_multiplier": multiplier.astype(np.int32), "out_shift": shift.astype(np.uint8)}


def element(attrs, inputs, tensor, index, note):
    multiplier, shift = scalar.multiplier_from_scale(inputs["in_scale"][index[0]], attrs["bits"], note=note)
    return {"out_multiplier": multiplier, "out_shift": shift}


def stimuli(level, seed):
    for tier, size in ((1, 60), (2, 5000), (3, 500_000)):
        for bits in (31, 24, 16) if level >= tier else ():
            yield _case(bits, Draw(seed, f"requantize.multiplier.{tier}.{bits}"), size, tier)


def _case(bits: int, draw: Draw, size: int, tier: int) -> Stimulus:
    """Powers of two and their neighbours; mantissas halfway between two multipliers, or rounding up to 2^bits."""
    powers = 2.0 ** -np.arange(1, 62, 4)
    tie = (2.0 ** (bits - 1) + draw.integers(0, 2 ** (bits - 1) - 2, (20,)) + 0.5) * 2.0 ** (-bits - 5)
    carry = (1 - 2.0 ** (-bits - 1)) * powers
    tiny = 2.0**-63 * (1 + np.arange(8) / 4)
    drawn = draw.integers(1, 2**30, (size,)).astype(np.float64) * 2.0 ** -draw.integers(31, 80, (size,))
    beside = [np.nextafter(powers, 0), np.nextafter(powers, 1)]
    scale = np.concatenate([powers, *beside, tie, carry, tiny, drawn, [1.0, 1.5]])
    return Stimulus("ties", f"{len(scale)}_{bits}", {"bits": bits}, {"in_scale": scale}, tier)


def _truncated(attrs, inputs):
    """The multiplier cut instead of rounded: scales are cut to ``bits`` bits first."""
    fraction, exponent = np.frexp(inputs["in_scale"])
    return attrs, {"in_scale": np.ldexp(np.floor(np.ldexp(fraction, attrs["bits"])), exponent - attrs["bits"])}


def _even(attrs, inputs):
    fraction, exponent = np.frexp(inputs["in_scale"])
    return attrs, {"in_scale": np.ldexp(np.rint(np.ldexp(fraction, attrs["bits"])), exponent - attrs["bits"])}


def _no_carry(attrs, inputs, results):
    """A mantissa that rounds up to 2^bits stays there, cut to its largest value."""
    m, s = results["out_multiplier"].astype(np.int64), results["out_shift"].astype(np.int64)
    exponent = np.frexp(inputs["in_scale"])[1]
    carried = (m == 1 << (attrs["bits"] - 1)) & (attrs["bits"] - exponent == s + 1)
    return {"out_multiplier": np.where(carried, (1 << attrs["bits"]) - 1, m).astype(np.int32),
            "out_shift": np.where(carried, s + 1, s).astype(np.uint8)}


def _flushed(attrs, inputs, results):
    small = np.ldexp(1.0, attrs["bits"] - 63) > inputs["in_scale"]
    return {"out_multiplier": np.where(small, 0, results["out_multiplier"]).astype(np.int32),
            "out_shift": np.where(small, 0, results["out_shift"]).astype(np.uint8)}


OPERATION = Operation(
    "requantize.multiplier", "multiplier and shift of a real scale", {"bits": schema.integer(2, 31)}, tensors,
    reference, element, stimuli,
    (changed("truncated", "the multiplier is cut instead of rounded", _truncated),
     changed("half_even", "ties of the multiplier go to even", _even),
     changed("float32_scale", "the scale is rounded to float32 first",
             lambda attrs, inputs: (attrs, {"in_scale": inputs["in_scale"].astype(np.float32).astype(np.float64)})),
     output("no_carry", "a multiplier that rounds up to 2^bits is cut to 2^bits - 1", _no_carry),
     output("flushed_to_zero", "scales that would need a shift above 62 become multiplier 0, shift 0", _flushed),
     output("shift_off_by_one", "the shift is one too small", lambda attrs, inputs, results: results | {
         "out_shift": results["out_shift"] - np.uint8(1)})),
    lambda attrs, inputs, index: {"scale": inputs["in_scale"][index]})
