"""quantize.pack: narrow codes into bytes, element 0 in the lowest bits, an odd tail filled with 0."""
from __future__ import annotations

import numpy as np

from refquant.golden.families import packed
from refquant.golden.mutants import operand, output
from refquant.golden.operation import Operation
from refquant.integers.formats import IntFormat
from refquant.integers.packing import pack
from refquant.scalar import packing as scalar

BYTE = IntFormat(8, signed=False)


def tensors(attrs):
    return {"in_codes": IntFormat.parse(attrs["format"]), "out_bytes": BYTE}


def reference(attrs, inputs):
    return {"out_bytes": pack(inputs["in_codes"], IntFormat.parse(attrs["format"]))}


def element(attrs, inputs, tensor, index, note):
    bits = IntFormat.parse(attrs["format"]).bits
    per_byte = 8 // bits
    codes = inputs["in_codes"][index[0] * per_byte:(index[0] + 1) * per_byte]
    return {"out_bytes": scalar.pack_bytes(codes, bits, note=note)[0]}


def operands(attrs, inputs, index):
    per_byte = 8 // IntFormat.parse(attrs["format"]).bits
    return {"codes": inputs["in_codes"][index[0] * per_byte:(index[0] + 1) * per_byte]}


def _tail_dropped(attrs, inputs, results):
    if inputs["in_codes"].size % (8 // IntFormat.parse(attrs["format"]).bits) == 0:
        return None
    cut = results["out_bytes"].copy()
    cut[-1] = 0
    return {"out_bytes": cut}


def _tail_of_ones(attrs, inputs, results):
    format = IntFormat.parse(attrs["format"])
    left = -inputs["in_codes"].size % (8 // format.bits)
    if left == 0:
        return None
    filled = results["out_bytes"].copy()
    filled[-1] |= (0xFF << (8 - left * format.bits)) & 0xFF
    return {"out_bytes": filled}


OPERATION = Operation(
    "quantize.pack", "narrow codes packed into bytes", packed.ATTRIBUTES, tensors, reference, element, packed.stimuli,
    (output("halves_swapped", "element 0 is put in the highest bits", packed.bytes_reversed("out_bytes")),
     output("tail_dropped", "the last byte, not full, is lost", _tail_dropped),
     output("tail_of_ones", "the tail is filled with ones", _tail_of_ones),
     operand("offset_binary", "codes are stored with their sign bit flipped", "in_codes",
             lambda codes, attrs: np.bitwise_xor(codes, -(1 << (IntFormat.parse(attrs["format"]).bits - 1))).astype(
                 codes.dtype) if attrs["format"].startswith("s") else None)),
    operands)
