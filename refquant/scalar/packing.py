"""Codes packed into bytes and words, in two's complement.

word = sum over lanes l of (code[l] modulo 2^bits) * 2^(l * bits)
Element 0 lies in the lowest bits, and the lanes after the last element hold 0:
4-bit codes 0 ... 15 are the bytes 10 32 54 76 98 ba dc fe.
"""
from .formats import limits, wrap
from .steps import silent

__all__ = ["pack_bytes", "pack_words", "unpack_bytes", "unpack_words"]

BYTE_BITS, WORD_BITS, WORDS = (2, 4), (2, 4, 8, 16, 32, 64), (32, 64, 128)


def pack_bytes(codes, bits, *, note=silent):
    """A list of bytes holding 2- or 4-bit codes, 8 / bits in each, element 0 in the lowest bits: [ceil(N bits / 8)].

    codes : one row of N ints, each -2^(bits-1) ... 2^bits - 1, signed or not.
    bits : 2 or 4.
    note : told each step as a line of text.

    Raises ValueError for other bits and for a code that does not fit.

    Source: ONNX's INT4 and UINT4 tensors, the first element in the low half of a byte; 2 bits alike.
    """
    _require(bits, BYTE_BITS, "bits")
    return _pack(codes, bits, 8, note)


def unpack_bytes(packed, bits, signed, count, *, note=silent):
    """The first N codes that a list of bytes holds: one row of N ints.

    packed : one row of bytes, ints 0 ... 255.
    bits, signed : of the codes; bits 2 or 4.
    count : N.
    note : told each step as a line of text.

    Raises ValueError for other bits, and for a ``count`` below 0 or beyond what the bytes hold.

    Source: as `pack_bytes`.
    """
    _require(bits, BYTE_BITS, "bits")
    return _unpack(packed, bits, signed, 8, count, note)


def pack_words(codes, bits, word, *, note=silent):
    """A list of unsigned words holding word / bits codes each, element 0 in the lowest bits: [ceil(N bits / word)].

    codes : one row of N ints, each -2^(bits-1) ... 2^bits - 1, signed or not.
    bits : 2, 4, 8, 16, 32 or 64, at most ``word``.
    word : 32, 64 or 128 bits.
    note : told each step as a line of text.

    Raises ValueError for other sizes and for a code that does not fit.

    Source: refquant's own: little-endian lanes, as memories of an accelerator are loaded ($readmemh).
    """
    _require_word_sizes(bits, word)
    return _pack(codes, bits, word, note)


def unpack_words(words, bits, signed, word, count, *, note=silent):
    """The first N codes that a list of words holds: one row of N ints.

    words : one row of unsigned ints below 2^word.
    bits, signed : of the codes; bits as in `pack_words`.
    word : 32, 64 or 128 bits.
    count : N.
    note : told each step as a line of text.

    Raises ValueError for other sizes, and for a ``count`` below 0 or beyond what the words hold.

    Source: as `pack_words`.
    """
    _require_word_sizes(bits, word)
    return _unpack(words, bits, signed, word, count, note)


def _pack(codes, bits, word, note):
    (low, _), (_, high) = limits(bits, True), limits(bits, False)
    for code in codes:
        if not low <= code <= high:
            raise ValueError(f"code {code} does not fit {bits} bits")
    lanes = word // bits
    packed = []
    for first in range(0, len(codes), lanes):
        number = sum(code % (1 << bits) << lane * bits for lane, code in enumerate(codes[first:first + lanes]))
        if note is not silent:
            note(f"codes {first} ... {min(first + lanes, len(codes)) - 1}: {number:#0{word // 4 + 2}x}")
        packed.append(number)
    return packed


def _unpack(packed, bits, signed, word, count, note):
    lanes = word // bits
    if not 0 <= count <= len(packed) * lanes:
        raise ValueError(f"{len(packed)} words of {word} bits do not hold {count} codes of {bits} bits")
    codes = [wrap(packed[k // lanes] >> k % lanes * bits, bits, signed) for k in range(count)]
    note(f"{len(packed)} words of {word} bits hold {count} codes of {bits} bits")
    return codes


def _require(size, allowed, what):
    if size not in allowed:
        raise ValueError(f"{what} {size}: one of {', '.join(map(str, allowed))}")


def _require_word_sizes(bits, word):
    _require(word, WORDS, "word")
    _require(bits, [size for size in WORD_BITS if size <= word], "bits")
