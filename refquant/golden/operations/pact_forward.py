"""pact.forward: y = saturate(round(acc * multiplier / 2^shift), u<bits>): a ReLU clipped at alpha, and quantized.

The scale is (2^bits - 1) * acc_scale / alpha: codes saturate where the real method clips.
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.golden import schema
from refquant.golden.families import ends, nonnegative, pact_stimuli
from refquant.golden.mutants import changed
from refquant.golden.operation import FLAGS, Arrays, Mutant, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import pact
from refquant.hardware.scaling import scaled
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import half_even
from refquant.scalar import pact as scalar

ATTRIBUTES = {"acc_format": schema.FORMAT, "bits": schema.integer(2, 8), "rounding": schema.ROUNDING}


def codes_format(attrs):
    return IntFormat(attrs["bits"], signed=False)


def tensors(attrs):
    return {"in_acc": IntFormat.parse(attrs["acc_format"]), "in_multiplier": IntFormat(32),
            "in_shift": IntFormat(8, signed=False), "out_y": codes_format(attrs), "flags_y": FLAGS}


def reference(attrs, inputs):
    multiplier, shift = scale_of(inputs)
    y = pact.forward(inputs["in_acc"], multiplier, shift, bits=attrs["bits"], rounding=attrs["rounding"])
    flags = flag.of_shift(inputs["in_acc"].astype(np.int64) * multiplier, np.asarray(shift))
    return {"out_y": y, "flags_y": flags | flag.of_codes(_unlimited(attrs, inputs), codes_format(attrs), "saturate")}


def scale_of(inputs: Arrays) -> tuple[int, int]:
    return int(inputs["in_multiplier"][0]), int(inputs["in_shift"][0])


def element(attrs, inputs, tensor, index, note):
    acc = inputs["in_acc"]
    for i in index:
        acc = acc[i]
    y, flags = scalar.code(acc, inputs["in_multiplier"][0], inputs["in_shift"][0], attrs["bits"], attrs["rounding"],
                           note=note)
    return {"out_y": y, "flags_y": flags}


def stimuli(level, seed):
    for layer in pact_stimuli.level_1(seed, "pact.forward"):
        yield _case(layer, 1)
    for tier, count, size in ((2, 20, 4000), (3, 200, 40_000)):
        if level < tier:
            break
        draw = Draw(seed, f"pact.forward.{tier}")
        yield _case(pact_stimuli.layer("exhaustive", "s16", np.arange(-(2**15), 2**15), 8, 6.0, 0.0003), tier)
        for _ in range(count):
            yield _case(pact_stimuli.drawn(draw, size), tier)


def _case(layer: pact_stimuli.Layer, tier: int) -> Stimulus:
    attrs = {"acc_format": layer.acc_format, "bits": layer.bits, "rounding": layer.rounding}
    return Stimulus(layer.set, layer.label, attrs, layer.inputs, tier)


def _unlimited(attrs, inputs):
    """The codes before they saturate."""
    return scaled(inputs["in_acc"], *scale_of(inputs), attrs["rounding"])


def _limited(name: str, says: str, limit) -> Mutant:
    """Codes limited otherwise: ``limit(codes, format)``, then cut to the container as a cast does."""
    def run(reference, attrs, inputs):
        format = codes_format(attrs)
        return {"out_y": ends.container(format).wrap(limit(_unlimited(attrs, inputs), format))}
    return Mutant(name, says, run)


def _rescaled(name: str, says: str, change) -> Mutant:
    """Another scale: ``change(multiplier, shift, bits)`` is its multiplier and shift."""
    def rewrite(attrs, inputs):
        multiplier, shift = change(*scale_of(inputs), attrs["bits"])
        return attrs, inputs | {"in_multiplier": np.array([multiplier]), "in_shift": np.array([shift])}
    return changed(name, says, rewrite)


def _by_float32(reference, attrs, inputs):
    if attrs["rounding"] != "half_even":
        return None
    multiplier, shift = scale_of(inputs)
    product = inputs["in_acc"].astype(np.float32) * np.float32(multiplier * 2.0**-shift)
    return {"out_y": codes_format(attrs).saturate(half_even(product).astype(np.int64))}


MUTANTS = (
    *nonnegative.roundings(pact_stimuli.ROUNDINGS),
    _rescaled("levels_2^bits", "2^bits levels from 0 to alpha instead of 2^bits - 1", lambda multiplier, shift, bits:
              multiplier_from_scale(Fraction(multiplier << bits, ((1 << bits) - 1) << shift))),
    _rescaled("multiplier_16_bits", "the multiplier is cut to 16 bits",
              lambda multiplier, shift, bits: (multiplier >> 15 << 15, shift)),
    _rescaled("shift_off_by_one", "the shift is one too small",
              lambda multiplier, shift, bits: (multiplier, shift - 1)),
    Mutant("float32", "the product is a float32, as its factors are", _by_float32),
    _limited("wraps", "codes outside the format wrap", lambda codes, format: format.wrap(codes)),
    _limited("not_clamped_below", "nothing is clipped at 0: lower codes are cast",
             lambda codes, format: np.minimum(codes, format.qmax)),
    _limited("not_clamped_above", "nothing is clipped at alpha: higher codes are cast",
             lambda codes, format: np.maximum(codes, 0)),
    _limited("saturates_as_signed", "codes saturate at 2^(bits-1) - 1, as signed ones",
             lambda codes, format: np.clip(codes, 0, format.qmax >> 1)),
    _limited("magnitudes", "negative accumulators are not clipped: their magnitude is quantized",
             lambda codes, format: format.saturate(np.abs(codes))),
)


def operands(attrs, inputs, index):
    multiplier, shift = scale_of(inputs)
    return {"acc": inputs["in_acc"][index], "multiplier": multiplier, "shift": shift}


OPERATION = Operation("pact.forward", "accumulators clipped at 0 and alpha, quantized to unsigned codes", ATTRIBUTES,
                      tensors, reference, element, stimuli, MUTANTS, operands, ("rounding",))
