"""Codes packed into bytes and words, in two's complement.

word = sum over lanes l of (code[l] modulo 2^bits) * 2^(l * bits)
Element 0 lies in the lowest bits, and the lanes after the last element hold 0:
4-bit codes 0 ... 15 are the bytes 10 32 54 76 98 ba dc fe.
"""
from .formats import limits, wrap
from .steps import silent

BYTE_BITS, WORD_BITS, WORDS = (2, 4), (2, 4, 8, 16, 32, 64), (32, 64, 128)


def pack_bytes(codes, bits, *, note=silent):
    """A list of bytes holding 2- or 4-bit codes, 8 / bits in each. ValueError for other bits or a code too large."""
    _require(bits, BYTE_BITS, "bits")
    return _pack(codes, bits, 8, note)


def unpack_bytes(packed, bits, signed, count, *, note=silent):
    """The first `count` codes of bytes. ValueError if they hold fewer."""
    _require(bits, BYTE_BITS, "bits")
    return _unpack(packed, bits, signed, 8, count, note)


def pack_words(codes, bits, word, *, note=silent):
    """A list of 32-, 64- or 128-bit unsigned words holding word / bits codes each; bits 2 ... 64, a power of two.

    ValueError for other sizes, codes wider than the word, or a code too large.
    """
    _require_word_sizes(bits, word)
    return _pack(codes, bits, word, note)


def unpack_words(words, bits, signed, word, count, *, note=silent):
    """The first `count` codes of words. ValueError if they hold fewer."""
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
