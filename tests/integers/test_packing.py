"""Packing: every code of the narrow formats, and big integers as a second route."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers import IntFormat, pack, unpack
from refquant.scalar import packing as scalar

S2, S4, U4, S8 = IntFormat(2), IntFormat(4), IntFormat(4, signed=False), IntFormat(8)
WIDTHS, WORDS = (2, 4, 8, 16, 32, 64), (8, 16, 32, 64, 128)
CASES = [(IntFormat(bits, signed), word)
         for bits in WIDTHS for signed in (True, False) for word in WORDS if bits <= word]
cases = pytest.mark.parametrize("format, word", CASES, ids=lambda x: str(x))


def codes_of(format, count):
    """Codes that show every lane: both ends, and a walk through the format."""
    step = max((format.qmax - format.qmin) // 37, 1)
    walk = [format.qmin + (k * step) % (format.qmax - format.qmin + 1) for k in range(count)]
    return np.array([format.qmin, format.qmax, *walk][:count], format.dtype)


def test_sixteen_codes_of_four_bits():
    assert pack(np.arange(16), U4).tobytes().hex(" ") == "10 32 54 76 98 ba dc fe"
    assert pack([*range(8), *range(-8, 0)], S4).tobytes().hex(" ") == "10 32 54 76 98 ba dc fe"
    assert unpack(bytes_of("10 32 54 76 98 ba dc fe"), S4, 16).tolist() == [*range(8), *range(-8, 0)]


def bytes_of(text):
    return np.frombuffer(bytes.fromhex(text), np.uint8)


def test_four_codes_of_two_bits_to_a_byte():
    assert pack([0, 1, -2, -1], S2).tolist() == [0b11_10_01_00]
    assert unpack([0b11_10_01_00], S2, 4).tolist() == [0, 1, -2, -1]
    assert unpack([0b11_10_01_00], IntFormat(2, signed=False), 4).tolist() == [0, 1, 2, 3]


def test_an_odd_tail_is_filled_with_zero():
    assert pack([-1, -1, -1], S4).tolist() == [0xFF, 0x0F]
    assert pack([-1], S2).tolist() == [0x03]
    assert pack([-1], S8, 128).tolist() == [[0xFF, 0]]
    assert pack([-1] * 9, S8, 128).tolist() == [[2**64 - 1, 0xFF]]


@cases
def test_words_are_big_integers_cut_apart(format, word):
    for count in (0, 1, 2, 3, word // format.bits, word // format.bits + 1, 77):
        codes = codes_of(format, count)
        number = sum((code % 2**format.bits) << (k * format.bits) for k, code in enumerate(codes.tolist()))
        words = -(-count * format.bits // word)
        packed = pack(codes, format, word)
        assert packed.dtype == np.dtype(f"uint{min(word, 64)}")
        assert packed.shape == ((words, 2) if word == 128 else (words,))
        assert packed.astype(f"<u{min(word, 64) // 8}").tobytes() == number.to_bytes(words * word // 8, "little")
        back = unpack(packed, format, count, word)
        assert back.dtype == format.dtype and back.tolist() == codes.tolist()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_every_code_and_every_byte_goes_round(bits):
    for signed in (True, False):
        format = IntFormat(bits, signed)
        codes = np.arange(format.qmin, format.qmax + 1)
        assert (unpack(pack(codes, format), format, len(codes)) == codes).all()
        every = np.arange(256, dtype=np.uint8)
        assert (pack(unpack(every, format, 256 * 8 // bits), format) == every).all()


@given(st.sampled_from([c for c in CASES if c[1] >= 32]), st.data())
def test_words_equal_the_scalar_model(case, data):
    format, word = case
    codes = data.draw(st.lists(st.integers(format.qmin, format.qmax), max_size=40))
    packed = pack(np.array(codes, format.dtype), format, word)
    numbers = [int(low) + (int(high) << 64) for low, high in packed] if word == 128 else packed.tolist()
    assert numbers == scalar.pack_words(codes, format.bits, word)
    assert unpack(packed, format, len(codes), word).tolist() == codes


def test_arrays_are_flattened_in_c_order():
    codes = np.arange(12).reshape(3, 4)
    assert (pack(codes, U4) == pack(codes.ravel(), U4)).all()
    assert (pack(codes.T, U4) == pack(codes.T.copy().ravel(), U4)).all()


def test_narrow_formats_pack_like_full_ones():
    assert pack([-7, 7], IntFormat(4, narrow=True)).tolist() == pack([-7, 7], S4).tolist() == [0x79]


@pytest.mark.parametrize("call, words", [
    (lambda: pack([8], S4), ["codes", "8 to 8", "-8 to 7"]),
    (lambda: pack([0, -1], U4), ["codes", "-1 to 0", "0 to 15"]),
    (lambda: pack([-8], IntFormat(4, narrow=True)), ["codes", "-8", "-7 to 7"]),
    (lambda: pack([0], IntFormat(3)), ["format = s3", "2, 4, 8, 16, 32 or 64"]),
    (lambda: pack([0], IntFormat(16)), ["format = s16", "at most 8"]),
    (lambda: pack([0], S4, 24), ["word = 24", "8, 16, 32, 64 or 128"]),
    (lambda: unpack([0], S4, 2, 12), ["word = 12", "8, 16, 32, 64 or 128"]),
    (lambda: unpack([0], IntFormat(64), 1, 32), ["format = s64", "at most 32"]),
    (lambda: unpack([0], S4, 3), ["words holds 1 x 8 bits", "2 for 3 codes of 4 bits"]),
    (lambda: unpack([0, 0], S4, 2), ["words holds 2 x 8 bits", "1 for 2 codes of 4 bits"]),
    (lambda: unpack([0], S4, 2, 128), ["words holds 1 x 64 bits", "2 for 2 codes of 4 bits"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_codes_are_integers():
    with pytest.raises(TypeError, match="codes has dtype float64: expected integers"):
        pack([0.0], S4)
    with pytest.raises(TypeError, match="words has dtype float64: expected integers"):
        unpack([0.0], S4, 1)
