"""stochastic.shift: y = (v + r * 2^(shift-n)) >> shift, integers rounded by n random bits, saturated into a format."""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.golden import schema
from refquant.golden.families import chance, ends
from refquant.golden.mutants import changed
from refquant.golden.operation import FLAGS, Mutant, Operation, Stimulus
from refquant.golden.stimuli import Draw
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_width
from refquant.integers.rounding import floor
from refquant.integers.stochastic import Stochastic
from refquant.scalar import formats as scalar_formats
from refquant.scalar import rounding as scalar

ATTRIBUTES = {"v_format": schema.FORMAT, "format": schema.FORMAT, "shift": schema.integer(0, 62),
              "n": schema.integer(1, 62)}


def tensors(attrs):
    return {"in_v": IntFormat.parse(attrs["v_format"]), "rbits_y": IntFormat(lane_width(attrs["n"]), signed=False),
            "out_y": IntFormat.parse(attrs["format"]), "flags_y": FLAGS}


def reference(attrs, inputs):
    v, shift, format = inputs["in_v"].astype(np.int64), attrs["shift"], IntFormat.parse(attrs["format"])
    rounding = Stochastic(inputs["rbits_y"], attrs["n"])
    y = rounding.shift(v, shift)
    flags = flag.of_shift(v, shift) | flag.of_codes(y, format, "saturate")
    return {"out_y": format.saturate(y), "flags_y": flags | flag.of_chance(y, floor.shift(v, shift), rounding)}


def element(attrs, inputs, tensor, index, note):
    (i,) = index
    v, shift = inputs["in_v"][i], attrs["shift"]
    y = scalar.stochastic_shift(v, shift, inputs["rbits_y"][i], attrs["n"], note=note)
    flags = scalar.rounding_flags(Fraction(v, 1 << shift)) | scalar.chance_flag(Fraction(v, 1 << shift), y)
    bits, signed, narrow = scalar_formats.parse(attrs["format"])
    code, ends = scalar_formats.into_format(y, bits, signed, narrow, "saturate", note=note)
    return {"out_y": code, "flags_y": flags | ends}


def stimuli(level, seed):
    # every value with every random pattern: 2^8 x 2^n
    for shift, n in ((4, 4), (6, 4), (3, 5)):
        patterns, codes = chance.every_pattern(n), np.arange(-128, 128, dtype=np.int8)
        attrs = {"v_format": "s8", "format": "s8", "shift": shift, "n": n}
        yield Stimulus("exhaustive", f"s8_shift{shift}_n{n}", attrs,
                       {"in_v": np.repeat(codes, len(patterns)), "rbits_y": np.tile(patterns, 256)})
    listed = [("s32", "s8", 16, 16, "philox"), ("s32", "s4", 20, 8, "philox"), ("s32", "s8", 12, 8, "lfsr"),
              ("s48", "s16", 30, 24, "philox")]
    for index, (v_format, format, shift, n, generator) in enumerate(listed):
        yield _case(v_format, format, shift, n, generator, Draw(seed, f"stochastic.shift.1.{index}"), 300, 1)
    for tier, count, size in ((2, 30, 10_000), (3, 300, 100_000)):
        if level < tier:
            break
        draw = Draw(seed, f"stochastic.shift.{tier}")
        for _ in range(count):
            n, generator = int(draw.integers(1, 24)), str(draw.pick(["philox", "philox", "lfsr"]))
            yield _case(str(draw.pick(["s32", "s48", "s64", "s24"])), str(draw.pick(["s8", "s4", "s16", "u8", "s8n"])),
                        int(draw.integers(1, 40)), n, generator, draw, size if generator == "philox" else 500, tier)


def _case(v_format: str, format: str, shift: int, n: int, generator: str, draw: Draw, size: int, tier: int) -> Stimulus:
    """Values over a little more than the output's range; every seventh is exactly halfway."""
    ends, wide = IntFormat.parse(format), IntFormat.parse(v_format)
    span = ends.qmax - ends.qmin
    whole = draw.integers(ends.qmin - span // 4 - 1, ends.qmax + span // 4 + 1, (size,))
    fraction = draw.words(max(1, min(shift, 63)), (size,)).astype(np.int64) if shift else np.zeros(size, np.int64)
    fraction[::7] = 1 << max(shift - 1, 0)
    v = wide.saturate(np.left_shift(whole, shift) + fraction)
    rbits, record = (chance.philox(n, size, draw.seed, draw.tensor, draw.step + 1) if generator == "philox"
                     else chance.lfsr(n, size, 32 if n > 16 else 16, int(draw.integers(1, 65535))))
    draw.step += 1
    attrs = {"v_format": v_format, "format": format, "shift": shift, "n": n}
    return Stimulus("random", f"{size}_{v_format}_{format}_shift{shift}_n{n}_{generator}", attrs,
                    {"in_v": v, "rbits_y": rbits}, tier, record)


def _wraps(reference, attrs, inputs):
    results = reference(attrs | {"format": "s64"}, inputs)
    return results | {"out_y": IntFormat.parse(attrs["format"]).wrap(results["out_y"])}


OPERATION = Operation(
    "stochastic.shift", "integers shifted right and rounded stochastically", ATTRIBUTES, tensors, reference, element,
    stimuli,
    (*chance.RBITS_MUTANTS, chance.FROM_1,
     changed("bits_at_wrong_end", "the random bits are aligned to the lowest bit",
             lambda attrs, inputs: (attrs | {"n": attrs["shift"]}, inputs) if attrs["n"] < attrs["shift"] else None),
     chance.sign_magnitude("in_v"),
     Mutant("wraps", "codes outside the format wrap", _wraps), *ends.OF_FORMATS, *ends.UNCLAMPED),
    lambda attrs, inputs, index: {"v": inputs["in_v"][index], "rbits": inputs["rbits_y"][index]})
