"""Random bits in cases: where they come from, and the mistakes made with them."""
from __future__ import annotations

from typing import Any

import numpy as np

from refquant.golden.families import ends
from refquant.golden.mutants import operand
from refquant.golden.operation import Mutant
from refquant.integers.formats import IntFormat
from refquant.integers.randombits import lane_dtype, lane_width, lfsr_bits, philox_bits


def philox(n: int, count: int, seed: int, tensor: int, step: int = 0) -> tuple[np.ndarray, dict[str, Any]]:
    """``n`` random bits for ``count`` elements, and the record of where they came from."""
    width = lane_width(n)
    record = {"generator": "philox4x32-10", "n": n, "seed": seed, "tensor": tensor, "step": step,
              "element_map": f"element i: lane i mod {128 // width} of block i div {128 // width}, lanes of {width} "
                             f"bits from the lowest; its {n} most significant bits"}
    return philox_bits(n, (count,), seed, tensor, step), record


def lfsr(n: int, count: int, width: int, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The same from a Galois LFSR that steps n times an element."""
    record = {"generator": "lfsr", "n": n, "width": width, "seed": seed, "steps": n,
              "element_map": f"element i: the {n} least significant bits after (i + 1) * {n} steps"}
    return lfsr_bits(n, (count,), width, seed), record


def every_pattern(n: int) -> np.ndarray:
    """All 2^n random values in order."""
    return np.arange(1 << n).astype(lane_dtype(n))


def _bits_reversed(rbits, attrs):
    n = attrs["n"]
    result = np.zeros_like(rbits)
    for k in range(n):
        result |= ((rbits >> rbits.dtype.type(k)) & rbits.dtype.type(1)) << rbits.dtype.type(n - 1 - k)
    return result


RBITS_MUTANTS: tuple[Mutant, ...] = (
    operand("lane_off_by_one", "every element takes its neighbour's random bits", "rbits_y",
            lambda rbits, attrs: np.roll(rbits, -1)),
    operand("lane_off_by_one_back", "every element takes the random bits of the one before", "rbits_y",
            lambda rbits, attrs: np.roll(rbits, 1)),
    operand("same_bits_for_all", "every element takes the first one's random bits", "rbits_y",
            lambda rbits, attrs: np.full_like(rbits, rbits[0])),
    operand("bits_reversed", "the random bits are in the opposite order", "rbits_y", _bits_reversed),
    operand("bits_inverted", "the random bits are subtracted instead of added", "rbits_y",
            lambda rbits, attrs: rbits ^ rbits.dtype.type((1 << attrs["n"]) - 1)),
    operand("no_random_bits", "the random bits are left out: floor", "rbits_y",
            lambda rbits, attrs: np.zeros_like(rbits)),
    operand("half_instead", "one half is added instead of the random bits", "rbits_y",
            lambda rbits, attrs: np.full_like(rbits, 1 << (attrs["n"] - 1))),
    operand("lowest_bit_lost", "the lowest random bit is not used", "rbits_y",
            lambda rbits, attrs: rbits & rbits.dtype.type(~1 & ((1 << attrs["n"]) - 1))),
)


def corrected(name: str, says: str, change, correct) -> Mutant:
    """The reference on a case that ``change`` has rewritten; before they are saturated, codes become ``correct``.

    change : (attrs, inputs) -> (attrs, inputs).  correct : (codes, attrs, inputs), these as they were, -> codes.
    """
    def run(reference, attrs, inputs):
        results = ends.wide(reference, *change(attrs, inputs))
        codes = correct(results["out_y"], attrs, inputs)
        return results | {"out_y": IntFormat.parse(attrs["format"]).saturate(codes)}
    return Mutant(name, says, run)


def _one_more(attrs, inputs):
    r = inputs["rbits_y"]
    return attrs, inputs | {"rbits_y": (r + r.dtype.type(1)) & r.dtype.type((1 << attrs["n"]) - 1)}


# r + 1 = 2^n is a whole unit: no random bits, and the next code
FROM_1 = corrected("r_from_1_to_2^n", "r lies in (0, 2^n] instead of [0, 2^n)", _one_more,
                   lambda codes, attrs, inputs: codes + (inputs["rbits_y"] == (1 << attrs["n"]) - 1))


def sign_magnitude(name: str) -> Mutant:
    """The magnitude of input ``name`` is rounded by the random bits, and its sign put back."""
    def magnitude(attrs, inputs):
        array = inputs[name]
        wide = array if array.dtype.kind == "f" else array.astype(np.int64)  # of -128, too, the magnitude fits
        return attrs | ({"zero_point": 0} if "zero_point" in attrs else {}), inputs | {name: np.abs(wide)}

    def signed(codes, attrs, inputs):
        return np.sign(inputs[name]).astype(np.int64) * codes + attrs.get("zero_point", 0)

    return corrected("sign_magnitude", "magnitudes are rounded instead of taking the floor", magnitude, signed)
