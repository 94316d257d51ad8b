"""The tables and constants that cases are given, by decimal arithmetic of 60 digits."""
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext

import pytest

from refquant.hardware import range_bn, sat
from refquant.hardware.step.loss import exp_table
from refquant.integers import IntFormat


@pytest.fixture(autouse=True)
def digits():
    with localcontext() as context:
        context.prec = 60
        yield


def test_the_table_of_exponentials():
    expected = [(2**15 * (Decimal(-j) / 16).exp()).quantize(Decimal(1), ROUND_HALF_EVEN) for j in range(256)]
    assert exp_table().tolist() == expected


@pytest.mark.parametrize("format, fraction_bits, every", [("s8", 7, 1), ("s12", 9, 1), ("s16", 12, 61)])
def test_the_table_of_tanh(format, fraction_bits, every):
    def tanh(j):
        power = (Decimal(2 * j) / 2**fraction_bits).exp()
        return (2**30 * (power - 1) / (power + 1)).quantize(Decimal(1), ROUND_HALF_EVEN)

    table = sat.tanh_table(IntFormat.parse(format), fraction_bits).tolist()
    assert table[::every] == [tanh(j) for j in range(0, len(table), every)]


@pytest.mark.parametrize("chunks", [1, 4])
def test_the_constants_of_range_bn(chunks):
    def pair(value):
        exponent = 0
        while value >= 1:
            value, exponent = value / 2, exponent + 1
        while value < Decimal("0.5"):
            value, exponent = value * 2, exponent - 1
        multiplier = int((value * 2**31).quantize(Decimal(1), ROUND_HALF_UP))
        return (multiplier // 2, 30 - exponent) if multiplier == 2**31 else (multiplier, 31 - exponent)

    for n in range(2 * chunks, 4096, 4 * chunks):
        constant = 1 / (2 * Decimal(n // chunks).ln()).sqrt()
        assert range_bn.constants(n, chunks, 8) == (*pair(Decimal(256) / n), *pair(constant / chunks * 256)), n
