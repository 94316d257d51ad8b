"""Flags: each bit from its words, against Fractions."""
from fractions import Fraction

import numpy as np
import pytest

from refquant.integers import IntFormat, Stochastic, flags
from refquant.integers.rounding import MODES


def test_bits_and_names():
    assert (flags.INEXACT, flags.TIE, flags.SATURATED_LOW, flags.SATURATED_HIGH, flags.ACCUMULATOR_OVERFLOW,
            flags.ROUNDED_UP_BY_CHANCE) == (1, 2, 4, 8, 16, 32)
    assert flags.names(0) == []
    assert flags.names(1 | 2 | 16) == ["inexact", "tie", "accumulator overflow"]
    assert flags.names(4 | 8 | 32) == ["saturated low", "saturated high", "rounded up by chance"]


def said(v):
    return (v != int(v)) + 2 * (2 * v == int(2 * v) and v != int(v))


def test_reals_are_inexact_or_ties():
    for dtype in (np.float32, np.float64):
        got = flags.of_real(np.arange(-64, 65).astype(dtype) / dtype(16))
        assert got.dtype == np.uint8 and got.tolist() == [said(Fraction(k, 16)) for k in range(-64, 65)]


def test_edges_of_the_reals():
    x = np.array([np.inf, -np.inf, 2.0**52 + 1, 2.0**51 + 0.5, 0.49999999999999994, -5e-324, 0.0])
    assert flags.of_real(x).tolist() == [0, 0, 0, 3, 1, 1, 0]


def test_shifts_are_inexact_or_ties():
    got = flags.of_shift(np.arange(-40, 41)[:, None], np.arange(6))
    assert got.tolist() == [[said(Fraction(v, 2**s)) for s in range(6)] for v in range(-40, 41)]
    assert flags.of_shift(np.array([-(2**63), -(2**62), 2**62, 2**62 + 1]), 63).tolist() == [0, 3, 3, 1]


@pytest.mark.parametrize("format, overflow, low, high", [
    (IntFormat(4), "saturate", -9, 8), (IntFormat(4), "wrap", -9, 8), (IntFormat(4, signed=False), "wrap", -1, 16),
    (IntFormat(4, narrow=True), "saturate", -8, 8), (IntFormat(4, narrow=True), "wrap", -9, 8)])
def test_codes_outside_a_format(format, overflow, low, high):
    got = flags.of_codes(np.array([low - 9, low, low + 1, high - 1, high, high + 9]), format, overflow)
    assert got.tolist() == [4, 4, 0, 0, 8, 8]


def test_only_stochastic_rounding_rounds_by_chance():
    rounded, below = np.array([1, 2]), np.array([1, 1])
    assert flags.of_chance(rounded, below, Stochastic(0, 1)).tolist() == [0, 32]
    assert flags.of_chance(rounded, below, MODES["ceil"]).tolist() == [0, 0]
