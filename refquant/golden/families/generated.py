"""stochastic.shift with the generator inside the device: what both generators share.

A device is given no random bits: it makes them, tells them as mid_r if it can, and rounds with them.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refquant.golden import schema
from refquant.golden.operation import FLAGS, Arrays, Attrs, Mutant, Operation, Reference
from refquant.golden.stimuli import Draw
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_dtype, lane_width
from refquant.scalar import formats as scalar_formats

ATTRIBUTES = {"v_format": schema.FORMAT, "format": schema.FORMAT, "shift": schema.integer(0, 62)}
FORMATS = (("s32", "s8", 16), ("s32", "s4", 20), ("s48", "s16", 30), ("s16", "u8", 5), ("s32", "s8n", 9))


def tensors(attrs: Attrs) -> dict[str, IntFormat | str]:
    return {"mid_r": IntFormat(lane_width(attrs["n"]), signed=False), "out_y": IntFormat.parse(attrs["format"]),
            "flags_y": FLAGS}


def rounded(shift: Operation, attrs: Attrs, inputs: Arrays, r: np.ndarray) -> Arrays:
    """mid_r, out_y and flags_y of ``in_v`` rounded with the bits ``r`` by the operation stochastic.shift."""
    r = r.astype(lane_dtype(attrs["n"]))
    return {"mid_r": r} | shift.reference(attrs, {"in_v": inputs["in_v"], "rbits_y": r})


def element(attrs: Attrs, r: int, number: int, flags: int, note: Callable[[str], None]) -> dict[str, Any]:
    """The same for one element that was rounded to ``number``."""
    bits, signed, narrow = scalar_formats.parse(attrs["format"])
    code, ends = scalar_formats.into_format(number, bits, signed, narrow, "saturate", note=note)
    return {"mid_r": r, "out_y": code, "flags_y": flags | ends}


def values(draw: Draw, attrs: Attrs, r: np.ndarray) -> np.ndarray:
    """Values over a little more than the output's range, to be rounded by ``r``.

    Of three, one is any value, one just reaches the next integer by its random bits, one just misses it.
    """
    ends, shift, n, count = IntFormat.parse(attrs["format"]), attrs["shift"], attrs["n"], len(r)
    aligned = r.astype(np.int64) << (shift - n) if n <= shift else (r >> r.dtype.type(n - shift)).astype(np.int64)
    fraction = draw.words(shift, (count,)).astype(np.int64)
    fraction[1::3], fraction[2::3] = -aligned[1::3], -aligned[2::3] - 1
    more = (ends.qmax - ends.qmin) // 4 + 1
    whole = draw.integers(ends.qmin - more, ends.qmax + more, (count,))
    return IntFormat.parse(attrs["v_format"]).saturate((whole << shift) + (fraction & ((1 << shift) - 1)))


def of_shift(shift: Operation) -> tuple[Mutant, ...]:
    """The mutants of stochastic.shift: wrong roundings with the generator's own, right bits."""
    def adapted(mutant: Mutant) -> Mutant:
        def run(reference, attrs, inputs):
            right = reference(attrs, inputs)
            wrong = mutant.run(shift.reference, attrs, {"in_v": inputs["in_v"], "rbits_y": right["mid_r"]})
            return None if wrong is None else right | wrong
        return Mutant(mutant.name, mutant.says, run)
    return tuple(adapted(mutant) for mutant in shift.mutants)


def other_bits(shift: Operation, name: str, says: str,
               bits: Callable[[Reference, Attrs, Arrays], np.ndarray | None]) -> Mutant:
    """Rounded rightly with wrong bits: ``bits(reference, attrs, inputs)``, None where they would be the right ones."""
    def run(reference, attrs, inputs):
        r = bits(reference, attrs, inputs)
        return None if r is None else reference(attrs, inputs) | rounded(shift, attrs, inputs, r)
    return Mutant(name, says, run)
