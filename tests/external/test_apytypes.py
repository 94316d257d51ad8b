"""APyTypes' fixed-point casts, answered by refquant: every small value, every shift, every mode the two share."""
from __future__ import annotations

import numpy as np
import pytest

from refquant.integers import IntFormat, requantize
from refquant.integers.rounding import MODES, OTHER_NAMES, half_even, translate

apytypes = pytest.importorskip("apytypes")
Mode, Overflow = apytypes.QuantizationMode, apytypes.OverflowMode

# What APyTypes has and refquant has not. Its enum has several names for most modes; these are the ones it lists first.
ONLY_THEIRS = {
    "TIES_ODD": "to the nearest integer, ties to the odd one",
    "TRN_MAG": "adds the sign bit at the last place that stays, then floors",
    "JAM": "sets the last bit, also of values that are exact",
    "STOCH_WEIGHTED": "random bits of its own generator",
    "STOCH_EQUAL": "random bits of its own generator, up and down equally likely",
}
SHIFTS = range(11)


def cast(values, bits, shift, mode, out_bits=32, overflow=Overflow.WRAP) -> np.ndarray:
    """``values`` (signed integers of ``bits``) / 2^shift, rounded by APyTypes to a signed integer of ``out_bits``."""
    array = apytypes.APyFixedArray([int(v) for v in values], bits=bits, frac_bits=shift)
    rounded = array.cast(bits=out_bits, frac_bits=0, quantization=mode, overflow=overflow)
    return rounded.to_numpy().astype(np.int64)  # floats that are integers of at most 32 bits: exact


def every(bits: int) -> np.ndarray:
    return np.arange(-(1 << (bits - 1)), 1 << (bits - 1))


def test_every_name_of_our_table_exists():
    assert set(OTHER_NAMES["APyTypes"]) <= set(Mode.__members__)
    assert set(OTHER_NAMES["APyTypes"].values()) == set(MODES)


def test_every_mode_of_theirs_is_ours_or_listed():
    ours = {Mode[name] for name in OTHER_NAMES["APyTypes"]}
    theirs = {Mode[name] for name in ONLY_THEIRS}
    assert not ours & theirs
    assert ours | theirs == set(Mode), "new modes: translate them, or list them"


@pytest.mark.parametrize("name", OTHER_NAMES["APyTypes"])
def test_every_value_of_up_to_10_bits_shifted_and_rounded(name, compare):
    for bits in range(2, 11):
        for shift in SHIFTS:
            compare(MODES[translate("APyTypes", name)].shift(every(bits), shift), cast(every(bits), bits, shift,
                    Mode[name]), (bits, shift))


@pytest.mark.parametrize("name", OTHER_NAMES["APyTypes"])
def test_values_of_32_bits(name, compare):
    rng = np.random.default_rng(1)
    values = rng.integers(-(2**31), 2**31, 500)
    for shift in (1, 7, 16, 30, 31):
        near_ties = ((values >> shift) << shift) + (1 << (shift - 1)) + rng.integers(-1, 2, values.size)
        near_ties = np.clip(near_ties, -(2**31), 2**31 - 1)
        for v in (values, near_ties):
            compare(MODES[translate("APyTypes", name)].shift(v, shift), cast(v, 32, shift, Mode[name], 34), shift)


@pytest.mark.parametrize("overflow, theirs", [("wrap", Overflow.WRAP), ("saturate", Overflow.SAT)])
@pytest.mark.parametrize("name", OTHER_NAMES["APyTypes"])
def test_requantize_by_shift_into_few_bits(name, overflow, theirs, compare):
    rounding = translate("APyTypes", name)
    for out_bits in (2, 3, 4, 8):
        for shift in range(6):
            codes = requantize(every(10), shift=shift, flavour="shift", rounding=rounding, overflow=overflow,
                               format=IntFormat(out_bits))
            compare(codes.astype(np.int64), cast(every(10), 10, shift, Mode[name], out_bits, theirs),
                    (out_bits, shift))


def test_what_the_modes_are_that_we_lack(compare):
    """So that the reasons in the list are facts: each deterministic one is a few integer operations away."""
    v = every(10)
    for shift in SHIFTS:
        floor = v >> shift
        tie = (v - (floor << shift)) * 2 == 1 << shift
        compare(floor | 1, cast(v, 10, shift, Mode.JAM), shift)
        compare(np.where(tie, floor | 1, half_even.shift(v, shift)), cast(v, 10, shift, Mode.TIES_ODD), shift)
        compare(floor + (v < 0) * (shift > 0), cast(v, 10, shift, Mode.TRN_MAG), shift)
