"""Packing: the sixteen nibbles, bit strings, and the round trip."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.formats import limits
from refquant.scalar.packing import WORD_BITS, WORDS, pack_bytes, pack_words, unpack_bytes, unpack_words

SIZES = [(bits, word) for word in WORDS for bits in WORD_BITS if bits <= word]


def test_sixteen_nibbles():
    assert bytes(pack_bytes(list(range(16)), 4)).hex(" ") == "10 32 54 76 98 ba dc fe"
    assert pack_words(list(range(16)), 4, 64) == [0xFEDCBA9876543210]
    assert unpack_bytes(list(bytes.fromhex("1032547698badcfe")), 4, True, 16) == [*range(8), *range(-8, 0)]


def test_tails_are_zero():
    assert pack_bytes([-1, -1, -1], 4) == [0xFF, 0x0F]
    assert pack_bytes([-1, 1, -2, 0, -1], 2) == [0b00_10_01_11, 0b11]
    assert pack_words([-1], 8, 32) == [0xFF]
    assert pack_words([1, -1, 2], 64, 128) == [(2**64 - 1) << 64 | 1, 2]
    assert pack_bytes([], 4) == pack_words([], 8, 32) == []


@pytest.mark.parametrize("bits, word", SIZES)
@given(st.data(), st.booleans())
def test_words_are_bit_strings(bits, word, data, signed):
    codes = data.draw(st.lists(st.integers(*limits(bits, signed)), max_size=70))
    words = pack_words(codes, bits, word)
    assert unpack_words(words, bits, signed, word, len(codes)) == codes
    text = "".join(reversed([f"{code % 2**bits:0{bits}b}" for code in codes]))  # the last code leads
    text = text.zfill(-(-len(text) // word) * word)
    assert words == [int(text[end - word:end], 2) for end in range(len(text), 0, -word)]


@pytest.mark.parametrize("bits", [2, 4])
@given(st.data(), st.booleans())
def test_bytes_are_the_bytes_of_words(bits, data, signed):
    codes = data.draw(st.lists(st.integers(*limits(bits, signed)), max_size=70))
    packed = pack_bytes(codes, bits)
    assert unpack_bytes(packed, bits, signed, len(codes)) == codes
    stream = b"".join(word.to_bytes(4, "little") for word in pack_words(codes, bits, 32))
    assert bytes(packed).ljust(len(stream), b"\0") == stream
    assert len(packed) == -(-len(codes) * bits // 8)


def test_errors():
    for call in (lambda: pack_bytes([1], 8), lambda: pack_bytes([16], 4), lambda: pack_bytes([-9], 4),
                 lambda: unpack_bytes([0], 4, True, 3), lambda: unpack_bytes([0], 4, True, -1),
                 lambda: pack_words([1], 3, 32), lambda: pack_words([1], 64, 32), lambda: pack_words([1], 8, 16),
                 lambda: unpack_words([0], 8, True, 32, 5)):
        with pytest.raises(ValueError):
            call()
