"""Narrow codes in bytes and in memory words. Element 0 always has the lowest bits; a tail is filled with 0.

    int4 codes 0..15  ->  10 32 54 76 98 ba dc fe
"""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from refquant.integers.formats import IntFormat, as_integers


def pack(codes: ArrayLike, format: IntFormat, word: int = 8) -> np.ndarray:
    """``codes``, flattened in C order, packed into words of ``word`` bits.

    codes : integers of ``format``, any shape.
    format : of 2, 4, 8, 16, 32 or 64 bits, at most ``word``.
    word : 8, 16, 32, 64 (returns uint8 .. uint64 [words]) or 128 (returns uint64 [words, 2], low half first).

    Raises ValueError for a code outside the format, or another width of codes or words; TypeError for floats.

    Source: ONNX's int4 and uint4 tensors (the first element in the low four bits); all else likewise, refquant's own.
    """
    width = _check(format, word)
    codes = as_integers(codes, "codes").reshape(-1)
    if not format.contains(codes):
        raise ValueError(f"codes run from {codes.min()} to {codes.max()}: expected {format.qmin} to {format.qmax}")
    per_word, per_byte = word // width, max(1, 8 // width)
    lanes = np.zeros(-(-codes.size // per_word) * per_word, f"<u{max(width, 8) // 8}")
    lanes[:codes.size] = codes.astype(f"<{'i' if format.signed else 'u'}{lanes.itemsize}", copy=False).view(lanes.dtype)
    if per_byte > 1:
        lanes &= np.uint8((1 << width) - 1)
        octets = lanes[::per_byte].copy()
        for lane in range(1, per_byte):
            octets |= lanes[lane::per_byte] << np.uint8(lane * width)
        lanes = octets
    words = lanes.view(f"<u{min(word, 64) // 8}")  # a NumPy word; 128 bits are two
    return words.astype(words.dtype.newbyteorder("="), copy=False).reshape((-1, 2) if word == 128 else -1)


def unpack(words: ArrayLike, format: IntFormat, count: int, word: int = 8) -> np.ndarray:
    """The codes [count] that `pack` put into ``words``, in the format's dtype.

    words : integers [words], of 128 bits [words, 2]; as `pack` returns them. Bits above a word's width and the tail
        behind the last code are not looked at.
    format, word : as for `pack`.
    count : how many codes.

    Raises ValueError when ``words`` holds fewer codes, or so many words that some hold none, or for a width that `pack`
    refuses; TypeError for floats.

    Source: as for `pack`.
    """
    width = _check(format, word)
    part = min(word, 64)
    words = as_integers(words, "words").astype(f"<u{part // 8}").reshape(-1)
    need = -(-count * width // word) * (word // part)
    if words.size != need:
        raise ValueError(f"words holds {words.size} x {part} bits: expected {need} for {count} codes of {width} bits")
    if width >= 8:
        lanes = words.view(f"<{'i' if format.signed else 'u'}{width // 8}")
        return lanes[:count].astype(format.dtype)
    octets = words.view(np.uint8)
    codes = np.empty((octets.size, 8 // width), format.dtype)
    for lane in range(8 // width):
        moved = octets << np.uint8(8 - width * (lane + 1))  # its highest bit to the top, from where its sign moves in
        np.right_shift(moved.view(format.dtype), 8 - width, out=codes[:, lane])
    return codes.reshape(-1)[:count]


def _check(format: IntFormat, word: int) -> int:
    if word not in (8, 16, 32, 64, 128):
        raise ValueError(f"word = {word!r}: expected 8, 16, 32, 64 or 128")
    if format.bits not in (2, 4, 8, 16, 32, 64) or format.bits > word:
        raise ValueError(f"format = {format}: expected 2, 4, 8, 16, 32 or 64 bits, at most {word}")
    return format.bits
