"""Random bits: published answers, periods by exhaustion and by group order, and the lanes cut from bytes."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.randombits import _power, _taps, lfsr_bits, lfsr_step, philox4x32, philox_bits

# Random123, kat_vectors, philox4x32 10: counter, key, block
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
MASKS = {8: 0xB8, 16: 0xB400, 24: 0xE10000, 32: 0x80200003}


def words(text):
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize("counter, key, block", KNOWN)
def test_philox_known_answers(counter, key, block):
    assert philox4x32(words(counter), words(key)) == words(block)


@pytest.mark.parametrize("n", [1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63])
def test_lanes_are_little_endian_bytes(n):
    seed, tensor, step = 0x299F31D0A4093822, 0x13198A2E, 0x03707344
    size = 1 if n <= 8 else 2 if n <= 16 else 4 if n <= 32 else 8
    stream = b"".join(word.to_bytes(4, "little") for j in range(5)
                      for word in philox4x32((j, 0, tensor, step), (0xA4093822, 0x299F31D0)))
    for i in range(len(stream) // size):
        lane = stream[i * size:(i + 1) * size]
        bits = "".join(f"{byte:08b}" for byte in reversed(lane))
        assert philox_bits(i, n, seed, tensor, step) == int(bits[:n], 2)


def test_philox_known_element():
    """Block 0x85a308d3243f6a88 of the third known answer; 32-bit lane 2 of it, whole and its top half."""
    first = 4 * 0x85A308D3243F6A88
    arguments = (0x299F31D0A4093822, 0x13198A2E, 0x03707344)
    assert philox_bits(first + 2, 32, *arguments) == 0x5001E420
    assert philox_bits(2 * first + 5, 16, *arguments) == 0x5001
    assert philox_bits(4 * first + 9, 5, *arguments) == 0xE4 >> 3


@pytest.mark.parametrize("width", MASKS)
def test_taps_are_the_masks(width):
    assert _taps(1, width) == MASKS[width]
    assert lfsr_step(1, width) == MASKS[width]
    assert lfsr_step(6, width) == 3


@pytest.mark.parametrize("width", [8, 16])
def test_period_by_exhaustion(width):
    seen, state = set(), 1
    while state not in seen:
        seen.add(state)
        state = lfsr_step(state, width)
    assert state == 1 and len(seen) == 2**width - 1


@pytest.mark.parametrize("width, primes", [(8, (3, 5, 17)), (16, (3, 5, 17, 257)), (24, (3, 5, 7, 13, 17, 241)),
                                           (32, (3, 5, 17, 257, 65537))])
def test_period_is_the_whole_group(width, primes):
    taps, order = MASKS[width], 2**width - 1
    assert _power(taps, order, width, taps) == 1
    for prime in primes:
        assert order % prime == 0 and _power(taps, order // prime, width, taps) != 1


@given(st.sampled_from(sorted(MASKS)), st.integers(0, 40), st.data())
def test_lfsr_bits_are_steps(width, index, data):
    n = data.draw(st.integers(1, width))
    seed = data.draw(st.integers(1, 2**width - 1))
    steps = data.draw(st.one_of(st.none(), st.integers(0, 9)))
    state, mask = seed, MASKS[width]
    for _ in range((index + 1) * (n if steps is None else steps)):
        state = state >> 1 ^ (mask if state & 1 else 0)
    assert lfsr_bits(index, n, width, seed, steps) == state & (1 << n) - 1


def test_errors():
    for arguments in ((-1, 8, 0), (0, 0, 0), (0, 65, 0), (0, 8, -1), (0, 8, 2**64), (0, 8, 0, 2**32), (0, 8, 0, 0, -1)):
        with pytest.raises(ValueError):
            philox_bits(*arguments)
    for arguments in ((0, 8, 8, 0), (0, 9, 8, 1), (0, 8, 8, 256), (0, 8, 12, 1), (-1, 8, 8, 1)):
        with pytest.raises(ValueError):
            lfsr_bits(*arguments)
