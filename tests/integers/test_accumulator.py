"""Accumulators: all short sequences against loops over Python ints, every width at its ends, order of saturation."""
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers import Accumulator, IntFormat, least_safe_bits, safe_bits
from refquant.scalar import accumulate as scalar

POLICIES = ("wrap", "saturate_running", "saturate_final", "error")
policies = pytest.mark.parametrize("policy", POLICIES)
SEQUENCES = np.array(list(itertools.product([-128, -100, -1, 0, 1, 127], repeat=4)))


def fits(value, bits):
    return -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)


def nearest(value, bits):
    return sorted((-(2 ** (bits - 1)), value, 2 ** (bits - 1) - 1))[1]


def by_hand(products, initial, bits, policy):
    sums = list(itertools.accumulate(products, initial=initial))
    if policy == "error":
        return (sums[-1], False) if all(fits(s, bits) for s in sums) else None
    if policy == "wrap":
        low = -(2 ** (bits - 1))
        return (sums[-1] - low) % 2**bits + low, not fits(sums[-1], bits)
    if policy == "saturate_final":
        return nearest(sums[-1], bits), not fits(sums[-1], bits)
    held, overflowed = nearest(initial, bits), not fits(initial, bits)
    for product in products:
        overflowed = overflowed or not fits(held + product, bits)
        held = nearest(held + product, bits)
    return held, overflowed


@pytest.mark.parametrize("policy", POLICIES[:3])
@pytest.mark.parametrize("initial", [0, -128, 127, 128, -1000])
def test_all_short_sequences_in_8_bits(policy, initial):
    codes, overflowed = Accumulator(8, policy).sum(SEQUENCES, initial)
    assert codes.dtype == np.int8 and overflowed.dtype == bool
    expected = [by_hand(row, initial, 8, policy) for row in SEQUENCES.tolist()]
    assert list(zip(codes.tolist(), overflowed.tolist(), strict=True)) == expected
    assert sum(flag for _, flag in expected) > 0


@pytest.mark.parametrize("initial", [0, -128, 127, 128])
def test_all_short_sequences_that_must_fit(initial):
    accumulator = Accumulator(8, "error")
    for row in SEQUENCES[::5].tolist():
        expected = by_hand(row, initial, 8, "error")
        if expected is None:
            with pytest.raises(OverflowError, match="partial sums run from"):
                accumulator.sum(row, initial)
        else:
            assert accumulator.sum(row, initial) == expected


@policies
@pytest.mark.parametrize("bits", range(8, 64))
def test_every_width_at_its_ends(policy, bits):
    high, low = 2 ** (bits - 1) - 1, -(2 ** (bits - 1))
    accumulator = Accumulator(bits, policy)
    for end, step in ((high, 1), (low, -1)):
        assert accumulator.sum([step], end - step) == (end, False)
        if policy == "error":
            with pytest.raises(OverflowError, match=f"{bits} bits holds {low} to {high}; {bits + 1} bits would do"):
                accumulator.sum([step], end)
        else:
            codes, overflowed = accumulator.sum([step], end)
            assert codes.dtype == IntFormat(bits).dtype and overflowed
            assert codes == (low + high - end if policy == "wrap" else end)


@policies
def test_64_bits_hold_whatever_int64_holds(policy):
    accumulator = Accumulator(64, policy)
    assert accumulator.sum([1], 2**63 - 2) == (2**63 - 1, False)
    assert accumulator.sum([-1], -(2**63) + 2) == (-(2**63) + 1, False)
    assert accumulator.sum([2**62], 2**62 - 1) == (2**63 - 1, False)
    with pytest.raises(ValueError, match=r"2 products up to 4611686018427387904 .*below 2\^63"):
        accumulator.sum([2**62, 2**62])


def test_order_matters_to_running_saturation_alone():
    up_then_down, down_then_up = [100, 100, -100], [-100, 100, 100]
    running, final = Accumulator(8, "saturate_running"), Accumulator(8, "saturate_final")
    assert running.sum(up_then_down) == (27, True) and running.sum(down_then_up) == (100, False)
    assert final.sum(up_then_down) == final.sum(down_then_up) == (100, False)
    assert Accumulator(8, "wrap").sum(up_then_down) == (100, False)
    assert Accumulator(8, "error").sum(down_then_up) == (100, False)
    with pytest.raises(OverflowError):
        Accumulator(8, "error").sum(up_then_down)


def test_the_initial_value_is_saturated_first():
    assert Accumulator(8, "saturate_running").sum([-100], 200) == (27, True)
    assert Accumulator(8, "saturate_final").sum([-100], 200) == (100, False)
    assert Accumulator(8, "wrap").sum([-100], 200) == (100, False)


@given(st.integers(8, 64), st.sampled_from(POLICIES), st.integers(0, 50), st.data())
def test_sums_equal_the_scalar_model(bits, policy, terms, data):
    largest = min(2 ** (bits - 1), 2**56)
    number = st.integers(-largest, largest)
    products, initial = data.draw(st.lists(number, min_size=terms, max_size=terms)), data.draw(number)
    products = np.array(products, np.int64)
    try:
        expected = scalar.accumulate(products.tolist(), initial, bits, policy)
    except OverflowError:
        with pytest.raises(OverflowError):
            Accumulator(bits, policy).sum(products, initial)
        return
    assert Accumulator(bits, policy).sum(products, initial) == expected
    assert expected == by_hand(products.tolist(), initial, bits, policy)


def test_arrays_of_sums_broadcast():
    products = np.arange(24).reshape(2, 3, 4) * 9 - 100
    initial = np.array([0, 100, -100])
    for policy in POLICIES[:3]:
        codes, overflowed = Accumulator(8, policy).sum(products, initial)
        for i, j in np.ndindex(2, 3):
            assert (codes[i, j], overflowed[i, j]) == by_hand(products[i, j].tolist(), int(initial[j]), 8, policy)


@policies
def test_nothing_to_add_leaves_the_initial_value(policy):
    codes, overflowed = Accumulator(8, policy).sum(np.zeros((3, 0), int), [1, 2, 3])
    assert codes.tolist() == [1, 2, 3] and not overflowed.any()
    assert Accumulator(8, policy).sum(np.zeros((0, 5), int))[0].shape == (0,)


def test_nothing_to_add_still_fits_the_initial_value():
    nothing = np.zeros(0, int)
    assert Accumulator(8, "wrap").sum(nothing, 128) == (-128, True)
    assert Accumulator(8, "saturate_final").sum(nothing, 128) == (127, True)
    assert Accumulator(8, "saturate_running").sum(nothing, -129) == (-128, True)
    with pytest.raises(OverflowError):
        Accumulator(8, "error").sum(nothing, 128)


def by_trial(products, initial):
    sums = list(itertools.accumulate(products, initial=initial))
    return next(bits for bits in range(1, 70) if all(fits(s, bits) for s in sums))


def test_least_safe_bits_of_all_short_sequences():
    for row in itertools.product([-9, -8, -1, 0, 1, 7, 8], repeat=3):
        for initial in (0, -8, 7, 8):
            assert least_safe_bits(row, initial) == by_trial(row, initial)


@given(st.lists(st.integers(-(2**40), 2**40), max_size=30), st.integers(-(2**50), 2**50))
def test_least_safe_bits_by_trial(products, initial):
    least = least_safe_bits(np.array(products, np.int64), initial)
    assert least == by_trial(products, initial) == scalar.least_safe_bits(products, initial)
    for bits in (least, least - 1):
        if bits >= 8:
            safe = by_hand(products, initial, bits, "error") is not None
            assert safe == (bits == least)


def test_least_safe_bits_by_hand():
    assert least_safe_bits([0, 0]) == 1 and least_safe_bits([-1]) == 1 and least_safe_bits([1]) == 2
    assert least_safe_bits([127]) == least_safe_bits([-128]) == 8 and least_safe_bits([128]) == 9
    assert least_safe_bits([100, 100, -150]) == 9  # the total needs 7, the way there 9
    assert least_safe_bits(np.zeros((0, 3), int)) == 1


@pytest.mark.parametrize("terms", [1, 2, 3])
@pytest.mark.parametrize("initial", [0, 3])
def test_safe_bits_by_all_codes(terms, initial):
    formats = [IntFormat(2), IntFormat(2, narrow=True), IntFormat(2, signed=False), IntFormat(3)]
    for a, b in itertools.product(formats, repeat=2):
        for za, zb in itertools.product((-1, 0, 2, 5), repeat=2):
            products = {(x - za) * (y - zb) for x in range(a.qmin, a.qmax + 1) for y in range(b.qmin, b.qmax + 1)}
            extremes = (min(products), max(products))  # the widest sums are of equal products
            widest = max(by_trial([product] * terms, start) for product in extremes for start in (-initial, 0, initial))
            assert safe_bits(a, b, terms, za, zb, initial) == widest


def test_safe_bits_of_int8():
    s8, s8n = IntFormat(8), IntFormat(8, narrow=True)
    assert safe_bits(s8, s8, 131071) == 32 and safe_bits(s8, s8, 131072) == 33
    assert safe_bits(s8n, s8, 1) == 15 and safe_bits(s8, s8, 1) == 16


@pytest.mark.parametrize("call, words", [
    (lambda: Accumulator(7), ["bits = 7", "8 to 64"]),
    (lambda: Accumulator(65), ["bits = 65", "8 to 64"]),
    (lambda: Accumulator(32.0), ["bits = 32.0", "8 to 64"]),
    (lambda: Accumulator(True), ["bits = True", "8 to 64"]),
    (lambda: Accumulator(32, "clamp"), ["overflow = 'clamp'", *POLICIES]),
    (lambda: Accumulator(8).sum(np.array([2**63], np.uint64)), ["products", str(2**63), "below 2^63"]),
    (lambda: Accumulator(8).sum([1], np.uint64(2**63)), ["initial", str(2**63), "below 2^63"]),
    (lambda: least_safe_bits([2**62], 2**62), ["1 products up to 4611686018427387904", "below 2^63"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_the_overflow_error_says_what_would_do():
    with pytest.raises(OverflowError, match="partial sums run from 0 to 200: an accumulator of 8 bits "
                                            "holds -128 to 127; 9 bits would do"):
        Accumulator(8, "error").sum([100, 100, -50])


def test_products_are_integers():
    with pytest.raises(TypeError, match="products has dtype float64: expected integers"):
        Accumulator(8).sum([0.5])
