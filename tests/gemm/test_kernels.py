"""The compiled products equal the plain one, bit for bit, on any number of threads."""
import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.gemm import kernels, matmul, reference_matmul
from refquant.integers import Accumulator

POLICIES = ("wrap", "saturate_final", "saturate_running")


def drawn(shape, dtype, seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng((seed, *shape)).integers(info.min, info.max, shape, dtype, endpoint=True)


def both(a, b, za, zb, bias, accumulator):
    """The compiled and the plain product of the same operands."""
    kernel = kernels.matmul_running if accumulator.overflow == "saturate_running" else kernels.matmul_total
    za = np.broadcast_to(np.asarray(za, np.int64), len(a)).reshape(-1, 1)
    zb, bias = (np.broadcast_to(np.asarray(x, np.int64), b.shape[1]) for x in (zb, bias))
    plain = reference_matmul(a.astype(np.int64), b.astype(np.int64), za, zb, bias, accumulator)
    return kernel(a, b, za, zb, bias, accumulator), plain


def check_equal(compiled, plain):
    for ours, theirs in zip(compiled, plain, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and (ours == theirs).all()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dtypes", list(itertools.product((np.int8, np.uint8, np.int16, np.uint16), repeat=2)), ids=str)
def test_dtypes_and_accumulators(dtypes, policy):
    a, b = drawn((6, 300), dtypes[0]), drawn((300, 5), dtypes[1])
    for bits, za, zb in ((8, 0, 0), (17, 3, -4), (31, 255, 255), (32, -32768, 65535), (33, 65535, -32768),
                         (64, -128, 128)):
        check_equal(*both(a, b, za, zb, np.arange(5) * 2**28, Accumulator(bits, policy)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shape", list(itertools.product((0, 1, 3, 4, 5, 11), (0, 1, 2, 13), (0, 1, 7))), ids=str)
def test_shapes(shape, policy):
    m, k, n = shape
    for dtype in (np.int8, np.int16):
        check_equal(*both(drawn((m, k), dtype), drawn((k, n), np.int8), np.arange(m), np.arange(n), np.arange(n) - 3,
                          Accumulator(13, policy)))


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 40), st.integers(1, 9), st.integers(8, 64), st.sampled_from(POLICIES),
       st.integers(0, 2**32),
       st.integers(-(2**15), 2**16 - 1), st.integers(-(2**15), 2**16 - 1), st.integers(-(2**31), 2**31 - 1))
def test_anything(m, k, n, bits, policy, seed, za, zb, bias):
    check_equal(*both(drawn((m, k), np.int8, seed), drawn((k, n), np.int16, seed), za, zb, bias,
                      Accumulator(bits, policy)))


@pytest.mark.parametrize("k", [131071, 131072, 131073, 262143])
def test_the_int32_parts_of_a_long_sum_do_not_overflow(k):
    """2^31 - 1 holds 131071 products of -128 * -128: the sum is cut there."""
    a, b = np.full((2, k), -128, np.int8), np.full((k, 3), -128, np.int8)
    b[:, 1] = 127
    acc, overflowed = kernels.matmul_total(a, b, np.zeros((2, 1), int), np.zeros(3, int), np.zeros(3, int),
                                           Accumulator(64))
    assert acc.tolist() == [[16384 * k, -128 * 127 * k, 16384 * k]] * 2 and not overflowed.any()


def test_a_zero_point_that_needs_17_bits_leaves_the_int32_path():
    a, b = np.full((1, 400), 65535, np.uint16), np.full((400, 1), 65535, np.uint16)
    acc, _ = kernels.matmul_total(a, b, np.array([[-32768]]), np.array([-32768]), np.zeros(1, int), Accumulator(64))
    assert acc == 400 * 98303**2


def test_the_largest_int16_operands_take_the_wide_path():
    for high, k in ((32767, 300), (-32768, 300), (2896, 256), (2897, 256)):  # 2896^2 * 256 < 2^31 < 2897^2 * 256
        a, b = np.full((1, k), high, np.int16), np.full((k, 1), high, np.int16)
        acc, _ = kernels.matmul_total(a, b, np.zeros((1, 1), int), np.zeros(1, int), np.zeros(1, int), Accumulator(64))
        assert acc == k * high**2


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
@pytest.mark.parametrize("policy", POLICIES)
def test_one_and_two_threads_agree(policy):
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            how = {"a_zero_point": 3, "bias": np.arange(31), "accumulator": Accumulator(18, policy)}
            results.append([matmul(drawn((67, 129), dtype), drawn((129, 31), np.int8), **how)
                            for dtype in (np.int8, np.int16)])
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        check_equal(one, two)
    assert any(overflowed.any() for _, overflowed in results[0])
