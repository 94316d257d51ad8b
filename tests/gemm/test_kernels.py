"""The compiled products equal the plain one, bit for bit, on any number of threads."""
import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.gemm import choice, kernels, matmul, path, reference_matmul
from refquant.integers import Accumulator

POLICIES = ("wrap", "saturate_final", "saturate_running")


def drawn(shape, dtype, seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng((seed, *shape)).integers(info.min, info.max, shape, dtype, endpoint=True)


def both(a, b, za, zb, bias, accumulator):
    """The compiled and the plain product of the same operands."""
    bias = np.broadcast_to(np.asarray(bias, np.int64), b.shape[1])
    za = za if isinstance(za, int) else np.asarray(za).reshape(-1, 1)
    plain = reference_matmul(a.astype(np.int64), b.astype(np.int64), za, zb, bias, accumulator)
    chosen = choice.choice(a, b, za, zb, bias, accumulator)
    return kernels.multiply(a, b, za, zb, bias, accumulator, chosen), plain


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


def exactly(a, b, bits=64, **how):
    """The accumulators of this width, and the kernel that gave them."""
    acc, overflowed = matmul(a, b, accumulator=Accumulator(bits), **how)
    assert not overflowed.any()
    return acc, path(a, b, accumulator=Accumulator(bits), **how)


@pytest.mark.parametrize("k", [131071, 131072, 131073, 262143])
def test_the_int32_parts_of_a_long_sum_do_not_overflow(k):
    """2^31 - 1 holds 131071 products of -128 * -128: beyond, the sum is cut."""
    a, b = np.full((3, k), -128, np.int8), np.full((k, 3), -128, np.int8)
    b[:, 1] = 127
    acc, kernel = exactly(a, b)
    assert acc.tolist() == [[16384 * k, -128 * 127 * k, 16384 * k]] * 3
    assert kernel.startswith("int32" if k == 131071 else "int64, in blocks of 2048 terms")


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_how_many_rows_are_few(rows):
    a, b = drawn((rows, 20_000), np.int8), drawn((20_000, 3), np.uint8)
    for other in (b, np.asfortranarray(b)):
        acc, kernel = exactly(a, other, 32, a_zero_point=5, b_zero_point=-7)
        assert (acc == (a.astype(np.int64) - 5) @ (b.astype(np.int64) + 7)).all()
        assert kernel.startswith("few_rows" if rows < 3 else "int32")


def test_a_zero_point_that_needs_17_bits_leaves_the_int16_path():
    a, b = np.full((1, 33_000), 65535, np.uint16), np.full((33_000, 1), 65535, np.uint16)
    acc, kernel = exactly(a, b, a_zero_point=-32768, b_zero_point=-32768)
    assert acc == 33_000 * 98303**2 and kernel.startswith("int64, by planes")


@pytest.mark.parametrize("high, kernel", [(32767, "int64, by planes"), (-32768, "int64, by planes"), (11585, "int64, in blocks of 16 terms"),
                                          (11586, "int64, by planes"), (2896, "int64, in blocks of 256 terms"), (250, "int32")])
def test_how_wide_operands_are_cut(high, kernel):
    """A block of n terms needs n high^2 below 2^31: 11585^2 * 16 is, 11586^2 * 16 is not."""
    a, b = np.full((1, 33_000), high, np.int16), np.full((33_000, 1), high, np.int16)
    acc, taken = exactly(a, b)
    assert acc == 33_000 * high**2 and taken.startswith(kernel), taken


@pytest.mark.parametrize("policy", ["saturate_running", "error"])
@pytest.mark.parametrize("bits, kernel", [(32, "int32"), (24, "int32"), (23, "running")])
def test_order_matters_only_where_a_partial_sum_can_leave_the_accumulator(policy, bits, kernel):
    """512 products of at most 128 * 128 reach 2^23: 24 bits hold one less, but no operand is -128 here."""
    a, b = np.full((100, 512), 127, np.int8), np.full((512, 7), -127, np.int8)
    fits = path(a.astype(np.int16), b.astype(np.int16), accumulator=Accumulator(bits, policy))
    assert fits.startswith("reference" if (policy, kernel) == ("error", "running") else kernel)
    if policy == "error" and bits == 23:
        with pytest.raises(OverflowError):
            matmul(a, b, accumulator=Accumulator(bits, policy))
    else:
        acc, overflowed = matmul(a, b, accumulator=Accumulator(bits, policy))
        assert (acc == (-(1 << 22) if bits == 23 else -512 * 127**2)).all() and overflowed.all() == (bits == 23)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
@pytest.mark.parametrize("policy", POLICIES)
def test_one_and_two_threads_agree(policy):
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            how = {"a_zero_point": 3, "accumulator": Accumulator(18, policy)}
            results.append([matmul(drawn((m, 130), dtype), drawn((130, n), np.int8), **how | {"bias": np.arange(n)})
                            for dtype in (np.int8, np.int16) for m, n in ((300, 300), (2000, 33))])
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        check_equal(one, two)
    assert any(overflowed.any() for _, overflowed in results[0])
