"""n2uq.weight: entropy-preserving weight codes, index = clip(round((w 2^(bits-1) N + K M) / (2 M)), 0, K), M = sum |w|.

N weights a filter, K = 2^bits - 1, y = 2 index - K. The scale of a filter's codes: "paper" 1 / K, "authors" sf / K.
"""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from refquant.golden import schema
from refquant.golden.families import n2uq_weight_mutants as mutants
from refquant.golden.families import natural
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.hardware import n2uq_weight
from refquant.integers.formats import IntFormat
from refquant.quantizers.grid import VARIANTS
from refquant.scalar import n2uq as scalar
from refquant.scalar.steps import silent

ATTRIBUTES = {"w_format": schema.FORMAT, "bits": schema.integer(2, 8), "variant": {"enum": list(VARIANTS)},
              "rounding": schema.ROUNDING}


def tensors(attrs):
    return {"in_w": IntFormat.parse(attrs["w_format"]), "mid_magnitude": IntFormat(48),
            "out_codes": IntFormat(attrs["bits"] + 1), "out_multiplier": IntFormat(32),
            "out_shift": IntFormat(8, signed=False)}


def reference(attrs, inputs):
    found = n2uq_weight.weight(inputs["in_w"], bits=attrs["bits"], variant=attrs["variant"],
                               rounding=attrs["rounding"])
    return {"mid_magnitude": found.magnitude, "out_codes": found.codes, "out_multiplier": found.multiplier,
            "out_shift": found.shift}


def element(attrs, inputs, tensor, index, note):
    nested = inputs["in_w"][index[0]]
    weights = tuple(np.ravel(nested).tolist())
    if tensor == "mid_magnitude":
        return {tensor: scalar.magnitude(weights, note=note)}
    if tensor == "out_codes":
        codes = _codes if note is silent else functools.partial(scalar.weight_codes, note=note)
        position = np.ravel_multi_index(index[1:], np.shape(nested))
        return {tensor: codes(weights, attrs["bits"], attrs["rounding"])[position]}
    multiplier, shift = scalar.weight_scale(weights, attrs["bits"], attrs["variant"], note=note)
    return {"out_multiplier": multiplier, "out_shift": shift}


_codes = functools.lru_cache(maxsize=1)(scalar.weight_codes)  # all weights of a filter ask for the same codes


def stimuli(level, seed):
    codes = np.arange(-8, 8, dtype=np.int8)
    pairs = np.stack(np.meshgrid(codes, codes, indexing="ij"), -1).reshape(256, 2)
    for index, rounding in enumerate(mutants.ROUNDINGS):
        yield _case("exhaustive", pairs, "s4", 2 + index // 2, VARIANTS[index % 2], rounding)
    for variant in VARIANTS:
        draw = Draw(seed, f"n2uq.weight.{variant}")
        yield _case("random", draw.codes(IntFormat(16), (5, 3, 3, 3)), "s16", 4, variant)
        yield _case("natural", _bells(draw, (6, 4, 3, 3), 11), "s16", 3, variant)
        yield _case("natural", natural.trained_layer().T.copy(), "s8", 2, variant)
        yield _case("single", np.array([[-128], [1], [0]], np.int8), "s8", 8, variant)
    for index, set in enumerate(("all_min", "zeros", "max_then_minus_ones", "alternating")):
        w = Draw(seed, f"n2uq.weight.{set}").codes(IntFormat(8), (2, 5), set)
        yield _case(set, w, "s8", 2, VARIANTS[index % 2])
    for tier, count, channels in ((2, 20, 16), (3, 200, 64)):
        if level < tier:
            break
        draw = Draw(seed, f"n2uq.weight.{tier}")
        for _ in range(count):
            w = _bells(draw, (8, channels, 3, 3), int(draw.integers(9, 14)))
            yield _case("natural", w, "s16", int(draw.integers(2, 8)), str(draw.pick(VARIANTS)),
                        str(draw.pick(mutants.ROUNDINGS)), tier)


def _bells(draw: Draw, shape: tuple[int, ...], width: int) -> np.ndarray:
    """s16 weights about bell-shaped, each filter of its own width, up to ``width`` bits: sums of four uniform ones."""
    parts = draw.integers(-(1 << width), 1 << width, (4, *shape)).sum(0)
    widths = draw.integers(200, 1000, (shape[0], *(1,) * (len(shape) - 1)))
    return IntFormat(16).saturate(parts * widths >> 12)


def _case(set: str, w: np.ndarray, w_format: str, bits: int, variant: str, rounding: str = "half_even",
          tier: int = 1) -> Stimulus:
    attrs = {"w_format": w_format, "bits": bits, "variant": variant, "rounding": rounding}
    label = f"{'x'.join(map(str, w.shape))}_{w_format}_{bits}b_{variant}_{rounding.replace('_', '-')}"
    return Stimulus(set, label, attrs, {"in_w": w}, tier)


def operands(attrs, inputs, index) -> dict[str, Any]:
    return {"w": inputs["in_w"][index], "filter": inputs["in_w"][index[0]].reshape(-1)}


OPERATION = Operation(
    "n2uq.weight", "entropy-preserving weight codes", ATTRIBUTES, tensors, reference, element, stimuli, mutants.MUTANTS,
    operands, ("variant", "rounding"))
