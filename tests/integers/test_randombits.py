"""Random bits: published answers, lanes cut from 128-bit integers, periods by exhaustion and by algebra."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers.randombits import lane_dtype, lfsr_bits, lfsr_states, philox4x32, philox_bits, taps
from refquant.scalar import randombits as scalar

# Random123, tests/kat_vectors, philox4x32 10: counter, key, answer
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
STREAM = {"seed": 0x299F31D0A4093822, "tensor": 0x13198A2E, "step": 0x03707344}
# Polynomials over GF(2) as bit masks, and the primes that divide 2^width - 1.
POLYNOMIALS = {8: 0b1_0111_0001, 16: (1 << 16) + (1 << 14) + (1 << 13) + (1 << 11) + 1,
               24: (1 << 24) + (1 << 23) + (1 << 22) + (1 << 17) + 1, 32: (1 << 32) + (1 << 22) + 0b111}
PRIMES = {8: (3, 5, 17), 16: (3, 5, 17, 257), 24: (3, 5, 7, 13, 17, 241), 32: (3, 5, 17, 257, 65537)}
widths = pytest.mark.parametrize("width", POLYNOMIALS)


def words(text):
    return [int(word, 16) for word in text.split()]


def test_philox_known_answers():
    for counter, key, answer in KNOWN:
        assert philox4x32(words(counter), tuple(words(key))).tolist() == words(answer)


def test_philox_takes_counters_of_any_shape():
    counters = np.arange(24, dtype=np.uint32).reshape(2, 3, 4)
    got = philox4x32(counters, (7, 9))
    assert got.dtype == np.uint32 and got.shape == (2, 3, 4)
    assert got[1, 2].tolist() == list(scalar.philox4x32(range(20, 24), (7, 9)))
    assert got[1, 2].tolist() == philox4x32(counters[1, 2], (7, 9)).tolist()


@pytest.mark.parametrize("n", range(1, 65))
def test_elements_are_cut_from_128_bit_blocks(n):
    width = 8 if n <= 8 else 16 if n <= 16 else 32 if n <= 32 else 64
    expected = []
    for j in range(5):
        block = philox4x32([j, 0, STREAM["tensor"], STREAM["step"]], (0xA4093822, 0x299F31D0)).tolist()
        number = block[0] + (block[1] << 32) + (block[2] << 64) + (block[3] << 96)
        lanes = [(number >> (lane * width)) % 2**width for lane in range(128 // width)]
        expected += [lane >> (width - n) for lane in lanes]
    got = philox_bits(n, len(expected) - 1, **STREAM)
    assert got.tolist() == expected[:-1]
    assert got.dtype == lane_dtype(n) == np.dtype(f"uint{width}")


@given(st.integers(1, 63), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1),
       st.integers(0, 40))
def test_philox_bits_equal_the_scalar_model(n, seed, tensor, step, count):
    got = philox_bits(n, count, seed, tensor, step)
    assert got.tolist() == [scalar.philox_bits(i, n, seed, tensor, step) for i in range(count)]


@pytest.mark.parametrize("n", [1, 8, 9, 16, 17, 32, 33, 64])
def test_a_stream_does_not_depend_on_shape_or_length(n):
    whole = philox_bits(n, 210, 5, 6, 7)
    assert (philox_bits(n, (2, 3, 5, 7), 5, 6, 7) == whole.reshape(2, 3, 5, 7)).all()
    assert (philox_bits(n, (7, 30), 5, 6, 7).ravel() == whole).all()
    for count in range(40):
        assert (philox_bits(n, count, 5, 6, 7) == whole[:count]).all()
    assert philox_bits(n, (), 5, 6, 7) == whole[0]
    assert philox_bits(n, (0, 3), 5, 6, 7).shape == (0, 3)


def test_each_name_of_a_stream_matters():
    streams = [philox_bits(32, 8, **(STREAM | other)).tolist() for other in (
        {}, {"seed": STREAM["seed"] ^ 1}, {"seed": STREAM["seed"] ^ 1 << 32}, {"tensor": 1}, {"step": 1},
        {"tensor": STREAM["step"], "step": STREAM["tensor"]})]
    assert len({tuple(stream) for stream in streams}) == 6


def times(a, b, polynomial):
    """a * b over GF(2), modulo the polynomial."""
    width, product = polynomial.bit_length() - 1, 0
    for k in range(width):
        product ^= (a << k) * (b >> k & 1)
    for k in reversed(range(width, 2 * width)):
        product ^= (polynomial << (k - width)) * (product >> k & 1)
    return product


def power(a, exponent, polynomial):
    result = 1
    for bit in f"{exponent:b}":
        result = times(result, result, polynomial)
        result = times(result, a, polynomial) if bit == "1" else result
    return result


@widths
def test_taps_are_the_polynomial_without_its_constant(width):
    assert 2 * taps(width) + 1 == POLYNOMIALS[width]
    assert taps(width) == {8: 0xB8, 16: 0xB400, 24: 0xE10000, 32: 0x80200003}[width]


@widths
def test_the_polynomial_is_primitive(width):
    order, x = 2**width - 1, 2
    rest = order
    for prime in PRIMES[width]:
        while rest % prime == 0:
            rest //= prime
        assert power(x, order // prime, POLYNOMIALS[width]) != 1
    assert rest == 1
    assert power(x, order, POLYNOMIALS[width]) == 1


@widths
def test_a_step_divides_by_x(width):
    """So the period of the register is the order of x, 2^width - 1 by the test above."""
    rng = np.random.default_rng(width)
    for seed in [1, 2, 2**width - 1, *rng.integers(1, 2**width, 200).tolist()]:
        after = int(lfsr_states(width, seed, 1)[0])
        assert times(after, 2, POLYNOMIALS[width]) == seed


@pytest.mark.parametrize("width", [8, 16])
def test_period_by_exhaustion(width):
    states = lfsr_states(width, 1, 2**width - 1)
    assert states.dtype == np.uint32
    assert sorted(states.tolist()) == list(range(1, 2**width))
    assert states[-1] == 1


@widths
def test_states_skip_steps(width):
    seed = 0x9D % 2**width
    every = lfsr_states(width, seed, 60)
    for steps in (1, 2, 3, 5, 12):
        assert (lfsr_states(width, seed, 60 // steps, steps) == every[steps - 1::steps]).all()


@widths
def test_far_states_by_powers_of_x(width):
    state = int(lfsr_states(width, 0x5A, 1, steps=5000)[0])
    assert times(state, power(2, 5000, POLYNOMIALS[width]), POLYNOMIALS[width]) == 0x5A


@widths
def test_lfsr_bits_are_the_low_bits(width):
    for n in (1, 2, 7, width):
        states = lfsr_states(width, 0x35, 12, n)
        got = lfsr_bits(n, (3, 4), width, 0x35)
        assert got.ravel().tolist() == [int(state) % 2**n for state in states]
        assert got.shape == (3, 4) and got.dtype == lane_dtype(n)
        assert got.ravel().tolist() == [scalar.lfsr_bits(i, n, width, 0x35) for i in range(12)]
        assert lfsr_bits(n, 5, width, 0x35,
                         steps=4).tolist() == [scalar.lfsr_bits(i, n, width, 0x35, 4) for i in range(5)]


@pytest.mark.parametrize("call, words", [
    (lambda: philox_bits(0, 4, 1), ["n = 0", "1 to 64"]),
    (lambda: philox_bits(65, 4, 1), ["n = 65", "1 to 64"]),
    (lambda: philox_bits(8, 4, -1), ["seed = -1", "0 to 2^64 - 1"]),
    (lambda: philox_bits(8, 4, 2**64), [f"seed = {2**64}", "0 to 2^64 - 1"]),
    (lambda: philox_bits(8, 4, 1, tensor=2**32), [f"tensor = {2**32}", "0 to 2^32 - 1"]),
    (lambda: philox_bits(8, 4, 1, step=-1), ["step = -1", "0 to 2^32 - 1"]),
    (lambda: philox4x32([0] * 4, (2**32, 0)), [f"key = {2**32}", "0 to 2^32 - 1"]),
    (lambda: taps(12), ["width = 12", "8, 16, 24, 32"]),
    (lambda: lfsr_states(12, 1, 1), ["width = 12", "8, 16, 24, 32"]),
    (lambda: lfsr_states(8, 0, 1), ["seed = 0", "nonzero"]),
    (lambda: lfsr_states(8, 256, 1), ["seed = 256", "0 to 2^8 - 1"]),
    (lambda: lfsr_states(8, 1, 1, steps=0), ["steps = 0", "1 or more"]),
    (lambda: lfsr_bits(9, 1, 8, 1), ["n = 9", "1 to 8"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)
