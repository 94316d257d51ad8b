"""Integer formats of b = 2 ... 64 bits, and the two ways into them.

signed         qmin = -2^(b-1)      qmax = 2^(b-1) - 1
signed narrow  qmin = -2^(b-1) + 1  qmax = 2^(b-1) - 1
unsigned       qmin = 0             qmax = 2^b - 1

saturate: min(max(value, qmin), qmax);  wrap: value modulo 2^b, in the full (never the narrow) range.
"""
import re

from .steps import require_word, silent

__all__ = ["into_format", "limits", "parse", "saturate", "wrap"]

SATURATED_LOW, SATURATED_HIGH = 4, 8
OVERFLOWS = ("saturate", "wrap")


def parse(name, *, note=silent):
    """(bits, signed, narrow) of one format by its short name: s8, u4, s8n.

    name : s or u, the number of bits in decimals, and n where narrow.
    note : told each step as a line of text.

    Raises ValueError for any other text, for bits outside 2 ... 64, and for a narrow unsigned format.

    Source: refquant's own: the names that formats have in a golden vector's attributes.
    """
    match = re.fullmatch(r"([su])([1-9][0-9]?)(n?)", name, re.ASCII)
    if match is None:
        raise ValueError(f"not an integer format: {name!r} (s8, u8, s8n, ...)")
    bits, signed, narrow = int(match[2]), match[1] == "s", match[3] == "n"
    limits(bits, signed, narrow, note=note)
    return bits, signed, narrow


def limits(bits, signed, narrow=False, *, note=silent):
    """(qmin, qmax), the ends of one format: two ints.

    bits : 2 ... 64.
    signed, narrow : booleans; narrow leaves out the lowest signed code.
    note : told each step as a line of text.

    Raises ValueError for bits outside 2 ... 64 and for a narrow unsigned format.

    Source: two's complement; narrow is TensorFlow's narrow_range.
    """
    if not 2 <= bits <= 64:
        raise ValueError(f"bits {bits} outside 2 ... 64")
    if narrow and not signed:
        raise ValueError("an unsigned format has no narrow range")
    half = 1 << bits - 1
    qmin, qmax = (-half + narrow, half - 1) if signed else (0, 2 * half - 1)
    note(f"{bits} bits hold [{qmin}, {qmax}]")
    return qmin, qmax


def saturate(value, bits, signed, narrow=False, *, note=silent):
    """The number of [qmin, qmax] nearest to one ``value``.

    value : one int, or an infinity.
    bits, signed, narrow : the format, as in `limits`.
    note : told each step as a line of text.

    Raises ValueError as `limits`.

    Source: ap_fixed's AP_SAT, and AP_SAT_SYM where narrow.
    """
    qmin, qmax = limits(bits, signed, narrow)
    code = min(max(value, qmin), qmax)
    note(f"saturated to [{qmin}, {qmax}]: {code}")
    return code


def wrap(value, bits, signed, *, note=silent):
    """The number of the full range (never the narrow one) that is one ``value`` modulo 2^bits.

    value : one int.
    bits, signed : the format, as in `limits`.
    note : told each step as a line of text.

    Raises ValueError for bits outside 2 ... 64.

    Source: two's complement; ap_fixed's AP_WRAP.
    """
    qmin, _ = limits(bits, signed)
    code = (value - qmin) % (1 << bits) + qmin
    note(f"modulo 2^{bits}, {'signed' if signed else 'unsigned'}: {code}")
    return code


def into_format(value, bits, signed, narrow, overflow, *, note=silent):
    """(code, flags) of one ``value`` brought into a format by saturating or wrapping.

    value : one int, or an infinity, which saturates under both.
    bits, signed, narrow : the format, as in `limits`.
    overflow : "saturate" or "wrap".
    note : told each step as a line of text.

    Flags: 4 if ``value`` lay below the range that the operation maps into, 8 if above: [qmin, qmax] for saturate, the
    full range for wrap (so that the flag says that it wrapped).

    Raises ValueError for an unknown overflow, and as `limits`: a narrow unsigned format is an error under wrap too.

    Source: refquant's own flags, SATURATED_LOW and SATURATED_HIGH of refquant.integers.flags.
    """
    require_word(overflow, OVERFLOWS, "overflow")
    limits(bits, signed, narrow)  # a narrow unsigned format is an error under wrap too
    saturating = overflow == "saturate" or isinstance(value, float)
    qmin, qmax = limits(bits, signed, narrow and saturating)
    code = saturate(value, bits, signed, narrow, note=note) if saturating else wrap(value, bits, signed, note=note)
    return code, SATURATED_LOW * (value < qmin) + SATURATED_HIGH * (value > qmax)
