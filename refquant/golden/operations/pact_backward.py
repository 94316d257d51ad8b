"""pact.backward: dx = g inside, 0 < acc < alpha; dalpha sums g over acc >= alpha, and in CG-PACT g * error inside.

error = code * 2^F - round(acc * multiplier / 2^(shift - F));  dalpha in units of g's scale / ((2^bits - 1) 2^F).
in_alpha is the least accumulator at which the real value reaches alpha.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refquant.golden import schema
from refquant.golden.families import natural, pact_mutants, pact_stimuli
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import pact
from refquant.integers.formats import IntFormat
from refquant.scalar import pact as scalar

ATTRIBUTES = {"g_format": schema.FORMAT, "acc_format": schema.FORMAT, "bits": schema.integer(2, 8),
              "fraction_bits": schema.integer(0, 30), "calibrated": schema.BOOLEAN, "rounding": schema.ROUNDING}


def tensors(attrs):
    g = IntFormat.parse(attrs["g_format"])
    return {"in_g": g, "in_acc": IntFormat.parse(attrs["acc_format"]), "in_alpha": pact.ALPHA,
            "in_multiplier": IntFormat(32), "in_shift": IntFormat(8, signed=False),
            "mid_error": pact.S32, "out_dx": g, "out_dalpha": IntFormat(64)}


def reference(attrs, inputs):
    alpha, multiplier, shift = (int(inputs[f"in_{name}"][0]) for name in ("alpha", "multiplier", "shift"))
    dx, dalpha, error = pact.backward(
        inputs["in_g"], inputs["in_acc"], alpha, multiplier, shift, bits=attrs["bits"],
        fraction_bits=attrs["fraction_bits"], calibrated=attrs["calibrated"], rounding=attrs["rounding"])
    return {"mid_error": error, "out_dx": dx, "out_dalpha": np.array([dalpha], np.int64)}


def element(attrs, inputs, tensor, index, note):
    quantizer = [inputs[f"in_{name}"][0] for name in ("alpha", "multiplier", "shift")]
    semantics = {key: attrs[key] for key in ("bits", "fraction_bits", "rounding")}
    g, acc = inputs["in_g"], inputs["in_acc"]
    if tensor == "out_dalpha":
        return {"out_dalpha": scalar.alpha_gradient(_flat(g), _flat(acc), *quantizer, **semantics,
                                                    calibrated=attrs["calibrated"], note=note)}
    for i in index:
        g, acc = g[i], acc[i]
    slope, error = scalar.slope_and_error(acc, *quantizer, **semantics, note=note)
    return {"mid_error": error, "out_dx": slope * g}


def _flat(nested):
    return [number for part in nested for number in _flat(part)] if isinstance(nested, list) else [nested]


def stimuli(level, seed):
    draw = Draw(seed, "pact.backward.1.g")
    for layer in pact_stimuli.level_1(seed, "pact.backward"):
        yield from _of_layer(layer, draw)
    for tier, count, size in ((2, 20, 2000), (3, 200, 20_000)):
        if level < tier:
            break
        draw = Draw(seed, f"pact.backward.{tier}")
        for _ in range(count):
            layer = pact_stimuli.drawn(draw, size)
            yield _case(layer, str(draw.pick(["s8", "s16"])), min(layer.shift, int(draw.integers(0, 20))), draw,
                        bool(draw.integers(0, 3)), tier)


def _of_layer(layer: pact_stimuli.Layer, draw: Draw) -> Iterator[Stimulus]:
    """One case of a level-1 layer; of two layers PACT's too; F from 0 to 20."""
    if layer.set == "ties":
        formats = {8: ("s8", 0), 3: ("s32", 20)}
        yield _case(layer, *formats[layer.bits], draw)
        return
    yield _case(layer, "s16" if layer.set == "saturation" else "s8", 12 if layer.set == "natural" else 16, draw)
    if (layer.set, layer.bits, layer.rounding) in (("natural", 8, "half_even"), ("exhaustive", 4, "half_even")):
        yield _case(layer, "s8", 8, draw, calibrated=False)


def _case(layer: pact_stimuli.Layer, g_format: str, fraction_bits: int, draw: Draw, calibrated: bool = True,
          tier: int = 1) -> Stimulus:
    attrs = {"g_format": g_format, "acc_format": layer.acc_format, "bits": layer.bits, "fraction_bits": fraction_bits,
             "calibrated": calibrated, "rounding": layer.rounding}
    label = f"{layer.label}_g{g_format}_f{fraction_bits}_{'cg-pact' if calibrated else 'pact'}"
    inputs = {"in_g": _gradient(layer, IntFormat.parse(g_format), draw), "in_alpha": np.array([layer.alpha_acc])}
    return Stimulus(layer.set, label, attrs, inputs | layer.inputs, tier)


def _gradient(layer: pact_stimuli.Layer, format: IntFormat, draw: Draw) -> np.ndarray:
    """g of the accumulators' shape. Where these are exhaustive it is positive: no two errors cancel in dalpha."""
    shape = layer.acc.shape
    if layer.set == "natural":
        return natural.edges(natural.images(shape[0], 100)[0])
    if layer.set == "exhaustive":
        return (1 + np.arange(layer.acc.size).reshape(shape) * 37 % 127).astype(format.dtype)
    g = draw.codes(format, shape)
    return np.where(g == 0, format.dtype.type(1), g)  # a gradient of 0 shows nothing


def operands(attrs, inputs, index):
    given = {name: int(inputs[f"in_{name}"][0]) for name in ("alpha", "multiplier", "shift")}
    return {"g": inputs["in_g"][index], "acc": inputs["in_acc"][index]} | given


OPERATION = Operation("pact.backward", "the gradients of PACT's input and of its clip level alpha", ATTRIBUTES, tensors,
                      reference, element, stimuli, pact_mutants.BACKWARD, operands, ("calibrated", "rounding"))
