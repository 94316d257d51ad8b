"""Rounding with the generator inside: the register step by step, a whole period summed, and lanes cut from bytes."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.generated import lfsr_after, lfsr_shift, philox_shift
from refquant.scalar.randombits import philox4x32

MASKS = {8: 0xB8, 16: 0xB400, 24: 0xE10000, 32: 0x80200003}


def stepped(state, width, count):
    for _ in range(count):
        state = state >> 1 ^ (MASKS[width] if state & 1 else 0)
    return state


def test_by_hand():
    """0xb4 has no low bit for two steps: 0x5a, 0x2d; then 0x16 ^ 0xb8 = 0xae."""
    assert lfsr_after(1, 8, 0xB4, 1) == 0x5A and lfsr_after(1, 8, 0xB4, 3) == lfsr_after(3, 8, 0xB4, 1) == 0xAE
    assert lfsr_shift(5, 0, 3, 8, 4, 1, 0xB4) == (0xA, 1, 1 | 32)  # 5 / 8 + 10 / 16
    assert lfsr_shift(5, 1, 3, 8, 4, 1, 0xB4) == (0xD, 1, 1 | 32)
    assert lfsr_shift(-5, 0, 3, 8, 4, 1, 0xB4) == (0xA, 0, 1 | 32)  # -5 / 8 + 10 / 16 is just enough
    assert lfsr_shift(-5, 0, 3, 8, 3, 1, 0xB4) == (2, -1, 1)
    assert lfsr_shift(4, 0, 3, 8, 1, 3, 0xB4) == (0, 0, 1 | 2)
    assert lfsr_shift(4, 0, 3, 8, 2, 3, 0xB4) == (2, 1, 1 | 2 | 32)
    assert lfsr_shift(16, 0, 3, 8, 8, 3, 0xB4) == (0xAE, 2, 0)


@pytest.mark.parametrize("width", MASKS)
def test_after_no_element_it_is_the_seed(width):
    assert [lfsr_after(0, width, seed, 5) for seed in (1, 77, 2**width - 1)] == [1, 77, 2**width - 1]


@given(st.sampled_from(sorted(MASKS)), st.integers(0, 12), st.integers(0, 9), st.integers(1, 8), st.data())
def test_the_register_step_by_step(width, i, later, steps, data):
    seed, n = data.draw(st.integers(1, 2**width - 1)), data.draw(st.integers(1, width))
    v, shift = data.draw(st.integers(-(2**40), 2**40)), data.draw(st.integers(0, 44))
    r, rounded, flags = lfsr_shift(v, i, shift, width, n, steps, seed)
    assert r == stepped(seed, width, (i + 1) * steps) % 2**n
    assert rounded == ((v << n) + (r << shift)) // 2 ** (shift + n)
    fraction = v % 2**shift
    assert flags == (1 * (fraction != 0) + 2 * (shift > 0 and fraction == 2**shift // 2) + 32 * (rounded != v // 2**shift))
    assert lfsr_after(i, width, seed, steps) == stepped(seed, width, i * steps)
    # the next tensor goes on from where this one ended
    end = lfsr_after(i, width, seed, steps)
    assert lfsr_shift(v, later, shift, width, n, steps, end) == lfsr_shift(v, i + later, shift, width, n, steps, seed)
    assert lfsr_after(later, width, end, steps) == lfsr_after(i + later, width, seed, steps)


@pytest.mark.parametrize("seed", [1, 0xB4, 255])
def test_a_whole_period_is_right_on_average(seed):
    """255 steps show every number but 0, and the 256 numbers round v / 2^8 to sums of v."""
    for v in (*range(-40, 41), -256, -255, 255, 256, 12345, -12345):
        told = [lfsr_shift(v, i, 8, 8, 8, 1, seed) for i in range(255)]
        assert sorted(r for r, _, _ in told) == list(range(1, 256))
        assert sum(rounded for _, rounded, _ in told) == v - v // 256
        assert sum(flags & 32 for _, _, flags in told) == 32 * (v % 256)
        assert {flags & 3 for _, _, flags in told} == {(v % 256 != 0) + 2 * (v % 256 == 128)}
    assert lfsr_after(255, 8, seed, 1) == seed


def test_philox_lanes_are_bytes():
    """Sixteen lanes of 8 bits a block, the lowest byte first; an element takes a lane's high bits."""
    seed, tensor, step = 0x299F31D0A4093822, 0x13198A2E, 0x03707344
    stream = b"".join(word.to_bytes(4, "little") for j in range(3)
                      for word in philox4x32((j, 0, tensor, step), (0xA4093822, 0x299F31D0)))
    for i, byte in enumerate(stream):
        for n in (1, 5, 8):
            for v, shift in ((-1000, 4), (77, 3), (8, 4), (-16, 4), (3, 0)):
                r, rounded, flags = philox_shift(v, i, shift, n, seed, tensor, step)
                assert r == byte >> 8 - n
                assert rounded == ((v << n) + (r << shift)) // 2 ** (shift + n)
                fraction = v % 2**shift
                assert flags == (fraction != 0) + 2 * (2 * fraction == 2**shift) + 32 * (rounded != v // 2**shift)


def test_philox_known_answer():
    """Random123: counter 0, key 0 give 6627e8d5 first; bytes d5, e8."""
    assert philox_shift(1, 0, 4, 8, 0) == (0xD5, 0, 1) and philox_shift(3, 0, 4, 8, 0) == (0xD5, 1, 1 | 32)
    assert philox_shift(8, 1, 4, 4, 0) == (0xE, 1, 1 | 2 | 32)
    assert philox_shift(1, 0, 4, 32, 0) == (0x6627E8D5, 0, 1)


def test_errors():
    for wrong in (lambda: lfsr_after(-1, 8, 1, 1), lambda: lfsr_after(1, 12, 1, 1), lambda: lfsr_after(0, 8, 0, 1), lambda: lfsr_after(0, 8, 256, 1),
                  lambda: lfsr_shift(1, 0, 64, 8, 8, 1, 1), lambda: lfsr_shift(1, 0, 4, 8, 9, 1, 1), lambda: lfsr_shift(1, -1, 4, 8, 8, 1, 1),
                  lambda: philox_shift(1, 0, 4, 64, 1), lambda: philox_shift(1, 0, -1, 8, 1), lambda: philox_shift(1, 0, 4, 8, 2**64)):
        with pytest.raises(ValueError):
            wrong()


def test_notes():
    lines = []
    lfsr_shift(5, 0, 3, 8, 4, 1, 0xB4, note=lines.append)
    philox_shift(3, 0, 4, 8, 0, note=lines.append)
    lfsr_after(3, 8, 0xB4, 1, note=lines.append)
    assert lines == ["lfsr 0xb4 after 1 steps: 0x5a, its 4 lowest bits: 10", "value 5",
                     "+ random 10 of 2^4, aligned 5, / 2^3, floor -> 1",
                     "philox4x32-10 of counter 00000000 00000000 00000000 00000000, key 00000000 00000000: 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
                     "element 0: block 0, lane 0 of 8 bits, its 8 highest: 213", "value 3",
                     "+ random 213 of 2^8, aligned 13, / 2^4, floor -> 1",
                     "lfsr 0xb4 after 3 steps: 0xae, its 8 lowest bits: 174"]
