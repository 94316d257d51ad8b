"""Integer formats of b = 2 ... 64 bits, and the two ways into them.

signed         qmin = -2^(b-1)      qmax = 2^(b-1) - 1
signed narrow  qmin = -2^(b-1) + 1  qmax = 2^(b-1) - 1
unsigned       qmin = 0             qmax = 2^b - 1

saturate: min(max(value, qmin), qmax);  wrap: value modulo 2^b, in the full (never the narrow) range.
"""
import re

from .steps import require_word, silent

SATURATED_LOW, SATURATED_HIGH = 4, 8
OVERFLOWS = ("saturate", "wrap")


def parse(name, *, note=silent):
    """(bits, signed, narrow) of a short name such as s8, u4 or s8n. ValueError for any other text."""
    match = re.fullmatch(r"([su])([1-9][0-9]?)(n?)", name, re.ASCII)
    if match is None:
        raise ValueError(f"not an integer format: {name!r} (s8, u8, s8n, ...)")
    bits, signed, narrow = int(match[2]), match[1] == "s", match[3] == "n"
    limits(bits, signed, narrow, note=note)
    return bits, signed, narrow


def limits(bits, signed, narrow=False, *, note=silent):
    """(qmin, qmax). ValueError for bits outside 2 ... 64 and for a narrow unsigned format."""
    if not 2 <= bits <= 64:
        raise ValueError(f"bits {bits} outside 2 ... 64")
    if narrow and not signed:
        raise ValueError("an unsigned format has no narrow range")
    half = 1 << bits - 1
    qmin, qmax = (-half + narrow, half - 1) if signed else (0, 2 * half - 1)
    note(f"{bits} bits hold [{qmin}, {qmax}]")
    return qmin, qmax


def saturate(value, bits, signed, narrow=False, *, note=silent):
    """The nearest number to `value` in [qmin, qmax]; infinities saturate too."""
    qmin, qmax = limits(bits, signed, narrow)
    code = min(max(value, qmin), qmax)
    note(f"saturated to [{qmin}, {qmax}]: {code}")
    return code


def wrap(value, bits, signed, *, note=silent):
    """The number in the full range that is `value` modulo 2^bits."""
    qmin, _ = limits(bits, signed)
    code = (value - qmin) % (1 << bits) + qmin
    note(f"modulo 2^{bits}, {'signed' if signed else 'unsigned'}: {code}")
    return code


def into_format(value, bits, signed, narrow, overflow, *, note=silent):
    """(code, flags) of an integer brought into a format by saturating or wrapping.

    Infinities saturate under both. Flags: 4 if `value` lay below the range that the operation maps into, 8 if above:
    [qmin, qmax] for saturate, the full range for wrap (so that the flag says that it wrapped).
    """
    require_word(overflow, OVERFLOWS, "overflow")
    limits(bits, signed, narrow)  # a narrow unsigned format is an error under wrap too
    saturating = overflow == "saturate" or isinstance(value, float)
    qmin, qmax = limits(bits, signed, narrow and saturating)
    code = saturate(value, bits, signed, narrow, note=note) if saturating else wrap(value, bits, signed, note=note)
    return code, SATURATED_LOW * (value < qmin) + SATURATED_HIGH * (value > qmax)
