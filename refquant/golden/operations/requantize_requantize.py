"""requantize.requantize: y = requantize(acc), accumulators [rows, channels] to codes, by every flavour."""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.golden import schema
from refquant.golden.families import requantization, requantization_mutants
from refquant.golden.families.requantization import attributes
from refquant.golden.operation import Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.requantize import FLAVOURS, LIMITS
from refquant.integers.rounding import MODES

MULTIPLIED = tuple(requantization_mutants.CLAUSES)

# Real scales of the channels: near powers of two, where ties are, and of no special form.
SCALES = (Fraction(1, 8), Fraction(1, 8) * (1 + Fraction(1, 2**30)), Fraction(1, 8) * (1 + Fraction(1, 2**20)),
          Fraction(1, 8) * (1 + Fraction(1, 2**10)), Fraction(3, 32), Fraction(1, 300),
          Fraction(1, 4) - Fraction(1, 2**33), Fraction(7, 10), Fraction(1, 70000), Fraction(1, 3 * 2**24))


def tensors(attrs):
    acc = IntFormat(attrs["acc_bits"])
    results = requantization.results(attrs, acc)
    return {"in_acc": acc} | requantization.given(attrs) | {name: results[name] for name in ("out_y", "flags_y")}


def reference(attrs, inputs):
    acc = inputs["in_acc"]
    results = requantization.apply(attrs, inputs, acc, np.zeros(acc.shape, bool), axis=1)
    return {name: results[name] for name in ("out_y", "flags_y")}


def element(attrs, inputs, tensor, index, note):
    i, j = index
    results = requantization.element(attrs, inputs, inputs["in_acc"][i][j], False, j, note)
    return {name: results[name] for name in ("out_y", "flags_y")}


def operands(attrs, inputs, index):
    return {"acc": inputs["in_acc"][index]} | requantization.operands(attrs, inputs, index[1])


def stimuli(level, seed):
    for index, attrs in enumerate(_level_1()):
        yield _case(attrs, Draw(seed, f"requantize.requantize.1.{index}"), 40, 1)
    for tier, count, rows in ((2, 80, 400), (3, 800, 4000)):
        if level < tier:
            break
        draw = Draw(seed, f"requantize.requantize.{tier}")
        for _ in range(count):
            yield _case(_drawn(draw), draw, rows, tier)


def _level_1():
    """Every flavour per channel; per tensor with a zero point before; every rounding of the shift; every output."""
    for flavour in MULTIPLIED:
        wide = flavour in ("mul16", "rndnu", "fp32_rint", "fp32_round")
        yield attributes(flavour, per_channel=True, zero_point=3, format="s16" if wide else "s8") | {"acc_bits": 32}
    for flavour in ("tosa_double", "fp32_rint", "fp32_round"):
        yield attributes(flavour, zero_point=-5, zero_point_at="before") | {"acc_bits": 32}
    for rounding in MODES:
        yield attributes("shift", rounding=rounding, zero_point=1) | {"acc_bits": 32}
    before = attributes("shift", rounding="half_even", zero_point=7, zero_point_at="before", format="u8")
    yield before | {"acc_bits": 64}
    yield attributes("mul16", format="s16", per_channel=True) | {"acc_bits": 48}
    yield attributes("tosa_double", format="s4", overflow="wrap", per_channel=True) | {"acc_bits": 32}
    yield attributes("tosa_single", format="u8", zero_point=131, per_channel=True) | {"acc_bits": 32}
    yield attributes("ruy_double", format="s8n", per_channel=True) | {"acc_bits": 32}


def _drawn(draw: Draw):
    flavour = str(draw.pick(tuple(FLAVOURS)))
    format = str(draw.pick(["s8", "u8", "s4", "u4", "s16", "s8n", "s2", "s12"]))
    attrs = attributes(
        flavour, per_channel=bool(draw.integers(0, 1)), zero_point=int(draw.integers(-9, 9)), format=format,
        zero_point_at=str(draw.pick(["after", "before"])), overflow=str(draw.pick(["saturate", "saturate", "wrap"])),
        rounding=str(draw.pick(tuple(MODES))) if flavour == "shift" else None)
    return attrs | {"acc_bits": int(draw.pick({"shift": [32, 64], "mul16": [32, 48]}.get(flavour, [32, 24, 20])))}


def _case(attrs, draw: Draw, rows: int, tier: int) -> Stimulus:
    """A quarter of each channel at its ends and at random; the others halfway between two codes, or beside."""
    flavour, acc = attrs["flavour"], IntFormat(attrs["acc_bits"])
    scales = list(SCALES) if attrs["per_channel"] else [SCALES[0]]
    inputs = _scale_tensors(flavour, scales)
    columns = len(SCALES)
    per_column = [scales[j % len(scales)] for j in range(columns)]
    halves = draw.integers(-300, 300, (rows, columns)).astype(object) + Fraction(1, 2)
    near = np.array([[int(half / scale) for half, scale in zip(row, per_column, strict=True)] for row in halves])
    near = near.astype(object) + draw.integers(-1, 1, (rows, columns))
    near = np.array([[min(max(v, acc.qmin), acc.qmax) for v in row] for row in near], np.int64)
    ends = np.where(draw.words(1, (rows, columns)) == 1, draw.codes(acc, (rows, columns)),
                    draw.integers(-5000, 5000, (rows, columns)))
    values = np.where(draw.words(2, (rows, columns)) == 0, ends, near)
    label = f"{rows}x{columns}_acc{attrs['acc_bits']}_{requantization.label(attrs)}"
    return Stimulus("ties", label, attrs, {"in_acc": values.astype(acc.dtype)} | inputs, tier)


def _scale_tensors(flavour: str, scales: list[Fraction]):
    if flavour.startswith("fp32"):
        return {"in_scale": np.array([float(scale) for scale in scales], np.float32)}
    if flavour == "shift":
        return {"in_shift": np.array([scale.denominator.bit_length() - 1 for scale in scales], np.uint8)}
    pairs = [multiplier_from_scale(scale, LIMITS[flavour][2]) for scale in scales]
    return {"in_multiplier": np.array([multiplier for multiplier, _ in pairs], np.int32),
            "in_shift": np.array([shift for _, shift in pairs], np.uint8)}


OPERATION = Operation(
    "requantize.requantize", "accumulators to codes", {"acc_bits": schema.integer(8, 64)} | {
        key: value if key != "flavour" else {"enum": list(FLAVOURS)}
        for key, value in requantization.ATTRIBUTES.items()},
    tensors, reference, element, stimuli, requantization_mutants.mutants(MULTIPLIED, tuple(MODES), 1), operands,
    requantization.SEMANTICS)
