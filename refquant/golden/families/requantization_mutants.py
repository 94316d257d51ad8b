"""Mistakes in requantization: another flavour, the roundings inside one, the zero point, the channels, the ends."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refquant.golden.families import ends
from refquant.golden.families.requantization import given
from refquant.golden.mutants import attribute, changed, roundings
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.integers.fixed import along
from refquant.integers.formats import IntFormat
from refquant.integers.requantize import LIMITS
from refquant.integers.rounding import half_away, half_up

CLAUSES = {
    "tosa_single": "a single rounding, ties up", "tosa_double": "a second rounding breaks ties away from zero",
    "ruy_double": "the second rounding breaks ties up", "mul16": "the multiplier is cut to 16 bits",
    "rndnu": "the multiplier is cut to 24 bits", "fp32_rint": "the product is a float32, ties go to even",
    "fp32_round": "the product is a float32, ties go away from zero",
}


def _integer_scale(inputs: Arrays) -> tuple[np.ndarray, np.ndarray]:
    return inputs["in_multiplier"].astype(np.int64), inputs["in_shift"].astype(np.int64)


def _as_flavour(a: str, b: str) -> Mutant:
    """``a->b``: the case says flavour a, the mutant computes b, its scale turned into what b takes."""
    def change(attrs, inputs):
        if attrs["flavour"] != a:
            return None
        inputs = dict(inputs)
        if a.startswith("fp32") and not b.startswith("fp32"):
            scale = inputs.pop("in_scale").astype(np.float64)
            fraction, exponent = np.frexp(scale)
            bits = LIMITS[b][2]
            inputs["in_multiplier"] = np.ldexp(fraction, bits).astype(np.int64)  # exact: a float32 has 24 bits
            inputs["in_shift"] = bits - exponent.astype(np.int64)
        elif b.startswith("fp32") and not a.startswith("fp32"):
            multiplier, shift = _integer_scale(inputs)
            inputs["in_scale"] = np.ldexp(multiplier.astype(np.float64), -shift).astype(np.float32)
            del inputs["in_multiplier"], inputs["in_shift"]
        elif b == "rndnu":
            multiplier, shift = _integer_scale(inputs)
            short = half_away.shift(multiplier, 7)
            carries = short == 1 << 24  # as a float32's mantissa does
            inputs["in_multiplier"], inputs["in_shift"] = np.where(carries, 1 << 23, short), shift - 7 - carries
        elif a == "rndnu":
            multiplier, shift = _integer_scale(inputs)
            inputs["in_multiplier"], inputs["in_shift"] = multiplier << 7, shift + 7
        return attrs | {"flavour": b}, inputs
    return changed(f"{a}->{b}", CLAUSES[b], change)


SINGLE, DOUBLE = ("tosa_single", "mul16", "rndnu"), ("tosa_double", "ruy_double")


def _rescaled(name: str, says: str, flavours: tuple[str, ...], rescale: Callable, axis: int) -> Mutant:
    """The accumulators rescaled by ``rescale(product, shift, plus)``; plus: a zero point before."""
    def run(reference, attrs, inputs):
        if attrs["flavour"] not in flavours:
            return None
        results = reference(attrs, inputs)
        acc = results.get("mid_acc", inputs.get("in_acc")).astype(np.int64)
        multiplier, shift = (along(array if attrs["per_channel"] else array[0], axis if attrs["per_channel"] else None,
                                   acc.ndim) for array in _integer_scale(inputs))
        if attrs["flavour"] == "mul16":
            multiplier, shift = np.minimum((multiplier + (1 << 15)) >> 16, 0x7FFF), shift - 16
        before = attrs["zero_point_at"] == "before"
        code = rescale(acc * multiplier, shift, attrs["zero_point"] if before else 0)
        code = code + (0 if before else attrs["zero_point"])
        format = IntFormat.parse(attrs["format"])
        return results | {"out_y": format.wrap(code) if attrs["overflow"] == "wrap" else format.saturate(code)}
    return Mutant(name, says, run)


def _floored(product, shift, plus):
    return (product >> shift) + plus


def _divided(product, shift, plus):
    """(product + half) / 2^shift as C divides, toward zero; ``plus`` times 2^shift is in the dividend."""
    unit = np.left_shift(1, shift)
    dividend = product + (unit >> 1)
    floor = (dividend >> shift) + plus
    return floor + ((floor < 0) & (dividend & (unit - 1) != 0))


def _second_divided(product, shift, plus):
    second = _divided(half_up.shift(product, 31), np.maximum(shift - 31, 1), plus)
    return np.where(shift > 31, second, half_up.shift(product, shift, plus))


def _rescaling_mutants(axis: int) -> list[Mutant]:
    return [
        _rescaled("no_rounding", "nothing is added before the shift: everything is rounded down", SINGLE + DOUBLE,
                  _floored, axis),
        _rescaled("division_truncates", "half is added and C's division used, which rounds negative results up",
                  SINGLE, _divided, axis),
        _rescaled("second_division_truncates",
                  "in the second rounding half is added and C's division used, which rounds negative results up",
                  DOUBLE, _second_divided, axis),
    ]


_SCALE_MUTANTS = (
    ("first_channel_for_all", "the first channel's scale is used for all", lambda x: np.broadcast_to(x[:1], x.shape)),
    ("next_channel", "every channel takes its neighbour's scale", lambda x: np.roll(x, -1)),
)


def _scales(name, says, change) -> Mutant:
    def rewrite(attrs, inputs):
        if not _requantized(attrs) or not attrs["per_channel"]:
            return None
        return attrs, inputs | {tensor: change(inputs[tensor]) for tensor in given(attrs)}
    return changed(name, says, rewrite)


def _requantized(attrs: Attrs) -> bool:
    return attrs["flavour"] != "none"


def _has_zero_point(attrs: Attrs) -> bool:
    return _requantized(attrs) and attrs["zero_point"] != 0


_SAME = {("rndnu", "tosa_single")}  # one formula, once the multiplier is given


def mutants(flavours: tuple[str, ...], modes: tuple[str, ...], axis: int) -> tuple[Mutant, ...]:
    """What goes wrong in cases of these ``flavours`` and, for flavour shift, of these rounding ``modes``.

    axis : the axis of the accumulators along which per-channel scales run.
    """
    return (
        *(_as_flavour(a, b) for a in flavours for b in CLAUSES if a != b and (a, b) not in _SAME),
        *roundings(modes), *_rescaling_mutants(axis),
        attribute("zero_point_before", "the zero point is added before the rounding", "zero_point_at", "before",
                  _has_zero_point),
        attribute("zero_point_omitted", "the output's zero point is left out", "zero_point", 0, _has_zero_point),
        attribute("wraps", "codes outside the format wrap", "overflow", "wrap", _requantized),
        attribute("saturates", "codes outside the format saturate", "overflow", "saturate", _requantized),
        *ends.OF_FORMATS, *ends.OF_CODES,
        *(_scales(*mutant) for mutant in _SCALE_MUTANTS),
    )
