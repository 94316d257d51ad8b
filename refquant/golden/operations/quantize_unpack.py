"""quantize.unpack: bytes into narrow codes, element 0 from the lowest bits, sign-extended where signed."""
from __future__ import annotations

import numpy as np

from refquant.golden import schema
from refquant.golden.families import packed
from refquant.golden.mutants import changed, operand, output
from refquant.golden.operation import Operation, Stimulus
from refquant.integers.formats import IntFormat
from refquant.integers.packing import pack, unpack
from refquant.scalar import packing as scalar

BYTE = IntFormat(8, signed=False)
ATTRIBUTES = packed.ATTRIBUTES | {"count": schema.integer(0, 2**40)}


def tensors(attrs):
    return {"in_bytes": BYTE, "out_codes": IntFormat.parse(attrs["format"])}


def reference(attrs, inputs):
    return {"out_codes": unpack(inputs["in_bytes"], IntFormat.parse(attrs["format"]), attrs["count"])}


def element(attrs, inputs, tensor, index, note):
    format = IntFormat.parse(attrs["format"])
    byte, lane = divmod(index[0], 8 // format.bits)
    codes = scalar.unpack_bytes([inputs["in_bytes"][byte]], format.bits, format.signed, lane + 1, note=note)
    return {"out_codes": codes[lane]}


def operands(attrs, inputs, index):
    byte, lane = divmod(index[0], 8 // IntFormat.parse(attrs["format"]).bits)
    return {"byte": inputs["in_bytes"][byte], "lane": np.uint8(lane)}


def stimuli(level, seed):
    for stimulus in packed.stimuli(level, seed):
        codes = stimulus.inputs["in_codes"]
        attrs = stimulus.attrs | {"count": codes.size}
        yield Stimulus(stimulus.set, stimulus.label, attrs,
                       {"in_bytes": pack(codes, IntFormat.parse(attrs["format"]))}, stimulus.level)


def _extended(signed: bool):
    def change(attrs, inputs, results):
        own = IntFormat.parse(attrs["format"])
        return None if own.signed == signed else {"out_codes": IntFormat(own.bits, signed).wrap(results["out_codes"])}
    return change


def _tail_dropped(attrs, inputs, results):
    if attrs["count"] % (8 // IntFormat.parse(attrs["format"]).bits) == 0:
        return None
    cut = results["out_codes"].copy()
    cut[-1] = 0
    return {"out_codes": cut}


OPERATION = Operation(
    "quantize.unpack", "bytes unpacked into narrow codes", ATTRIBUTES, tensors, reference, element, stimuli,
    (changed("halves_swapped", "element 0 is taken from the highest bits", lambda attrs, inputs: (
        attrs, {"in_bytes": packed.reversed_lanes(inputs["in_bytes"], IntFormat.parse(attrs["format"]).bits)})),
     output("sign_extended", "codes are sign-extended though they are unsigned", _extended(signed=True)),
     output("zero_extended", "codes are zero-extended though they are signed", _extended(signed=False)),
     output("tail_dropped", "the last element of an odd number is lost", _tail_dropped),
     operand("bytes_swapped", "pairs of bytes are swapped, as in big-endian words", "in_bytes",
             lambda data, attrs: data.reshape(-1, 2)[:, ::-1].reshape(-1) if data.size % 2 == 0 else None)),
    operands)
