"""The plain product: its definition, element by element, on Python ints."""
import numpy as np
import pytest

from refquant.gemm import reference_matmul
from refquant.integers import Accumulator
from refquant.scalar.accumulate import accumulate

RNG = np.random.default_rng(0)
A, B = RNG.integers(-128, 128, (4, 9)), RNG.integers(0, 256, (9, 5))
ZA, ZB = np.array([[0], [1], [-5], [300]]), np.array([0, 128, -7, 255, 3])
BIAS = np.array([0, 5, -300, 2**31 - 1, -(2**31)])


@pytest.mark.parametrize("policy", ["wrap", "saturate_running", "saturate_final"])
@pytest.mark.parametrize("bits", [8, 16, 19, 32, 64])
def test_every_element_is_one_accumulation(policy, bits):
    acc, overflowed = reference_matmul(A, B, ZA, ZB, BIAS, Accumulator(bits, policy))
    assert acc.dtype == Accumulator(bits).format.dtype and acc.shape == overflowed.shape == (4, 5)
    for i, j in np.ndindex(4, 5):
        products = [(int(A[i, k]) - int(ZA[i, 0])) * (int(B[k, j]) - int(ZB[j])) for k in range(9)]
        assert (acc[i, j], overflowed[i, j]) == accumulate(products, int(BIAS[j]), bits, policy)


def test_a_sum_that_does_not_fit_is_an_error_where_asked():
    with pytest.raises(OverflowError, match="an accumulator of 16 bits holds -32768 to 32767"):
        reference_matmul(A, B, ZA, ZB, BIAS * 0, Accumulator(16, "error"))
    reference_matmul(A, B, ZA, ZB, BIAS, Accumulator(40, "error"))
