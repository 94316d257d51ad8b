"""The matrix product against Python ints: object arrays where the order does not matter, a loop where it does."""
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.gemm import accumulator_bits, matmul, path
from refquant.integers import Accumulator
from refquant.scalar.product import gemm_dw, gemm_dx, gemm_forward

DTYPES = (np.int8, np.uint8, np.int16, np.uint16)
POLICIES = ("wrap", "saturate_running", "saturate_final", "error")


def drawn(shape, dtype, seed=0):
    """Codes of the whole dtype, with its ends among them."""
    info = np.iinfo(dtype)
    rng = np.random.default_rng((seed, *shape))
    return np.where(rng.random(shape) < 0.2, rng.choice([info.min, info.max], shape),
                    rng.integers(info.min, info.max, shape, endpoint=True)).astype(dtype)


def exact(a, b, za=0, zb=0, bias=0):
    """The exact totals, as Python ints."""
    a, b, za, zb, bias = (np.asarray(values).astype(object) for values in (a, b, za, zb, bias))
    return (a - za.reshape(-1, 1)).dot(b - zb) + bias


def fitted(totals, bits, policy):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    fit = (lambda t: (t - low) % 2**bits + low) if policy == "wrap" else (lambda t: sorted((low, t, high))[1])
    codes = np.array([[fit(t) for t in row] for row in totals.tolist()], dtype=object).reshape(totals.shape)
    return codes, codes != totals


def running(a, b, bits, za=0, zb=0, bias=0):
    """Saturated after every addition, in a loop over Python ints."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    terms = (a.astype(object) - np.asarray(za).reshape(-1, 1))[:, :, None] * (b.astype(object) - np.asarray(zb))[None]
    codes, overflowed = np.zeros((len(a), b.shape[1]), object), np.zeros((len(a), b.shape[1]), bool)
    start = np.broadcast_to(np.asarray(bias).astype(object), b.shape[1])
    for i, j in np.ndindex(*codes.shape):
        held = 0
        for term in [start[j], *terms[i, :, j]]:
            codes[i, j] = min(max(held + term, low), high)
            overflowed[i, j] |= codes[i, j] != held + term
            held = codes[i, j]
    return codes, overflowed


def check(got, expected, bits):
    acc, overflowed = got
    assert acc.dtype == Accumulator(bits).format.dtype and overflowed.dtype == bool
    assert acc.shape == overflowed.shape == expected[0].shape
    assert (acc.astype(object) == expected[0]).all() and (overflowed == expected[1]).all()


def expected(a, b, bits, policy, **more):
    if policy == "saturate_running":
        return running(a, b, bits, **more)
    return fitted(exact(a, b, **more), bits, policy)


@pytest.mark.parametrize("policy", POLICIES[:3])
@pytest.mark.parametrize("dtypes", list(itertools.product(DTYPES, DTYPES)), ids=str)
def test_every_pair_of_dtypes_in_every_policy(dtypes, policy):
    a, b = drawn((5, 13), dtypes[0]), drawn((13, 7), dtypes[1])
    more = {"za": np.array([0, 1, -128, 255, -32768]), "zb": 65535, "bias": np.arange(-3, 4) * 2**29}
    for bits in (8, 15, 16, 24, 31, 32, 33, 48, 64):
        got = matmul(a, b, a_zero_point=more["za"], b_zero_point=65535, bias=more["bias"],
                     accumulator=Accumulator(bits, policy))
        check(got, expected(a, b, bits, policy, **more), bits)


@pytest.mark.parametrize("shape", list(itertools.product((0, 1, 2, 7, 17), repeat=3)), ids=str)
def test_shapes_at_the_edge(shape):
    m, k, n = shape
    a, b, bias = drawn((m, k), np.int8), drawn((k, n), np.uint8), np.arange(n) * 100 - 300
    for policy in POLICIES[:3]:
        got = matmul(a, b, a_zero_point=3, b_zero_point=np.arange(n), bias=bias, accumulator=Accumulator(12, policy))
        check(got, expected(a, b, 12, policy, za=3, zb=np.arange(n), bias=bias), 12)


@pytest.mark.parametrize("shape", [(1, 32768, 1), (37, 41, 43), (101, 3, 127), (3, 211, 83), (130, 1, 257),
                                   (2, 16411, 1), (1, 7, 4801)],
                         ids=str)
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_compiled_shapes(shape, dtype):
    m, k, n = shape
    a, b = drawn((m, k), dtype), drawn((k, n), np.int8)
    za, zb, bias = np.arange(m) - 3, np.arange(n) % 200, np.arange(n) * 1000
    totals = exact(a, b, za, zb, bias)
    for policy in ("wrap", "saturate_final"):
        got = matmul(a, b, a_zero_point=za, b_zero_point=zb, bias=bias, accumulator=Accumulator(16, policy))
        check(got, fitted(totals, 16, policy), 16)
    acc, overflowed = matmul(a, b, a_zero_point=za, b_zero_point=zb, bias=bias,
                             accumulator=Accumulator(64, "saturate_running"))
    assert (acc == totals).all() and not overflowed.any()


@settings(deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(1, 8), st.integers(1, 6), st.integers(8, 64),
       st.sampled_from(POLICIES))
def test_products_equal_the_scalar_model(data, m, k, n, bits, policy):
    number = st.integers(-128, 127) | st.sampled_from([-128, 127])
    a = np.array(data.draw(st.lists(number, min_size=m * k, max_size=m * k))).reshape(m, k)
    b = np.array(data.draw(st.lists(number, min_size=k * n, max_size=k * n))).reshape(k, n)
    bias = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-300, 300), min_size=n, max_size=n))
    za, zb = data.draw(st.integers(-300, 300)), data.draw(st.integers(-300, 300))
    rows, columns = a.tolist(), b.tolist()
    try:
        wanted = [[gemm_forward(rows, columns, i, j, zero_point_a=za, zero_point_b=zb, bias=bias, bits=bits,
                                overflow=policy)
                   for j in range(n)] for i in range(m)]
    except OverflowError:
        with pytest.raises(OverflowError):
            matmul(a, b, a_zero_point=za, b_zero_point=zb, bias=bias, accumulator=Accumulator(bits, policy))
        return
    acc, overflowed = matmul(a, b, a_zero_point=za, b_zero_point=zb, bias=bias, accumulator=Accumulator(bits, policy))
    assert [[(int(acc[i, j]), bool(overflowed[i, j])) for j in range(n)] for i in range(m)] == wanted


def test_gradients_are_products_of_transposes():
    x, w, g = drawn((4, 6), np.int8), drawn((6, 5), np.int8, 1), drawn((4, 5), np.int8, 2)
    how = {"accumulator": Accumulator(16, "saturate_running")}
    dx = matmul(g, w.T, a_zero_point=3, b_zero_point=-2, **how)
    dw = matmul(x.T, g, a_zero_point=-2, b_zero_point=3, **how)
    scalar = {"bits": 16, "overflow": "saturate_running", "zero_point_g": 3}
    for i, k in np.ndindex(4, 6):
        assert (dx[0][i, k], dx[1][i, k]) == gemm_dx(g.tolist(), w.tolist(), i, k, zero_point_w=-2, **scalar)
    for k, n in np.ndindex(6, 5):
        assert (dw[0][k, n], dw[1][k, n]) == gemm_dw(x.tolist(), g.tolist(), k, n, zero_point_x=-2, **scalar)


@pytest.mark.parametrize("policy, code, flagged", [
    ("wrap", -(2**31), True), ("saturate_final", 2**31 - 1, True), ("saturate_running", 2**31 - 1, True)])
def test_131072_products_of_minus_128_overflow_32_bits(policy, code, flagged):
    a, b = np.full((1, 131072), -128, np.int8), np.full((131072, 1), -128, np.int8)
    assert matmul(a, b, accumulator=Accumulator(32, policy)) == (code, flagged)
    assert matmul(a[:, 1:], b[1:], accumulator=Accumulator(32, policy)) == (2**31 - 128 * 128, False)
    assert matmul(a, b, accumulator=Accumulator(33, policy)) == (2**31, False)
    assert matmul(a, b, bias=[-1], accumulator=Accumulator(32, policy)) == (2**31 - 1, False)


def test_131072_products_of_minus_128_are_an_error_where_asked():
    a, b = np.full((1, 131072), -128, np.int8), np.full((131072, 1), -128, np.int8)
    with pytest.raises(OverflowError, match=r"0 to 2147483648: an accumulator of 32 bits .* 33 bits would do"):
        matmul(a, b, accumulator=Accumulator(32, "error"))
    assert matmul(a, b, bias=[-1], accumulator=Accumulator(32, "error")) == (2**31 - 1, False)


@pytest.mark.parametrize("repeat", [1, 20000])
def test_running_saturation_loses_what_the_final_one_keeps(repeat):
    """Up to the end of 16 bits and back; repeat 20000 columns so that the compiled kernel runs too."""
    a, b = np.array([[127, 127, 127, -127, -127]], np.int8), np.full((5, repeat), 127, np.int8)
    for policy, code, flagged in (("saturate_running", 32767 - 2 * 16129, True), ("saturate_final", 16129, False),
                                  ("wrap", 16129, False)):
        acc, overflowed = matmul(a, b, accumulator=Accumulator(16, policy))
        assert (acc == code).all() and (overflowed == flagged).all()
    acc, overflowed = matmul(a[:, ::-1], b, accumulator=Accumulator(16, "saturate_running"))
    assert (acc == 16129).all() and not overflowed.any()


def test_the_bias_is_saturated_first():
    for n in (1, 40000):
        acc, overflowed = matmul(np.array([[-100]], np.int8), np.ones((1, n), np.int8), bias=np.full(n, 1000),
                                 accumulator=Accumulator(8, "saturate_running"))
        assert (acc == 27).all() and overflowed.all()


@pytest.mark.parametrize("container", [list, np.int32, np.int64, np.uint64, np.uint32])
def test_any_integers_of_at_most_16_bits_will_do(container):
    a, b = drawn((3, 4), np.uint8), drawn((4, 2), np.uint8)
    give = (lambda x: x.tolist()) if container is list else (lambda x: x.astype(container))
    check(matmul(give(a), give(b)), fitted(exact(a, b), 32, "wrap"), 32)
    high = np.full((1, 1), 65535, np.uint16)
    check(matmul(give(high), give(high), accumulator=Accumulator(33)),
          (np.array([[65535**2]], object), np.array([[False]])), 33)


def test_strided_and_transposed_operands():
    a, b = drawn((90, 40), np.int8)[::2], drawn((30, 40), np.uint8).T
    check(matmul(a, b), fitted(exact(a, b), 32, "wrap"), 32)
    check(matmul(a[::-1, ::2], b[::2]), fitted(exact(a[::-1, ::2], b[::2]), 32, "wrap"), 32)


def test_a_zero_point_a_row_and_a_column_broadcast_the_right_way():
    a, b, za, zb = np.zeros((2, 3), np.int8), np.zeros((3, 4), np.int8), [1, 10], [1, 2, 3, 4]
    assert matmul(a, b, a_zero_point=za, b_zero_point=zb)[0].tolist() == [[3 * p * q for q in zb] for p in za]
    assert matmul(a, b, a_zero_point=[2], b_zero_point=3)[0].tolist() == [[18] * 4] * 2


def test_large_products_are_compiled_and_small_ones_are_not():
    small, large = np.zeros((2, 2), np.int8), np.full((181, 181), 127, np.int8)
    assert path(small, small) == "reference: the product is small"
    from refquant.gemm import kernels
    chosen = {policy: path(large, large, accumulator=Accumulator(20, policy)).split()[0].strip(":,")
              for policy in POLICIES}
    compiled = {"wrap": "int32", "saturate_final": "int32", "saturate_running": "running", "error": "reference"}
    assert chosen == (dict.fromkeys(POLICIES, "reference") if kernels.NOT_COMPILED else compiled)


@pytest.mark.parametrize("types, words", [((np.int8, np.uint8), "quads of bytes"), ((np.int16, np.int8), "pairs"), ((np.int8, np.int16), "pairs")])
def test_only_bytes_are_multiplied_in_quads(monkeypatch, types, words):
    from refquant.gemm import choice
    monkeypatch.setattr(choice, "QUADS", True)
    choice._by_type.cache_clear()
    a, b = (np.zeros((181, 181), t) for t in types)
    for bias in (None, np.zeros(181, np.int32)):
        assert str(choice.choice(a, b, 0, 0, bias, Accumulator(32))).startswith(f"int32, by {words}: ")
    choice._by_type.cache_clear()


A, B = np.zeros((2, 3), np.int8), np.zeros((3, 4), np.int8)


@pytest.mark.parametrize("call, words", [
    (lambda: matmul(A, A), ["a has shape (2, 3)", "b has shape (2, 3)", "[M, K] and [K, N]"]),
    (lambda: matmul(A[0], B), ["a has shape (3,)", "[M, K] and [K, N]"]),
    (lambda: matmul([[1, 65536]], [[1], [1]]), ["a runs from 1 to 65536", "at most 16 bits"]),
    (lambda: matmul([[1]], [[-32769]]), ["b runs from -32769", "at most 16 bits"]),
    (lambda: matmul([[-1, 32768]], [[1], [1]]), ["a runs from -1 to 32768", "at most 16 bits"]),
    (lambda: matmul(A, B, a_zero_point=65536), ["a_zero_point", "65536", "at most 16 bits"]),
    (lambda: matmul(A, B, b_zero_point=-32769), ["b_zero_point", "-32769", "at most 16 bits"]),
    (lambda: matmul(A, B, a_zero_point=[1, 2, 3]),
     ["a_zero_point has shape (3,)", "one integer or [2]", "along the contraction"]),
    (lambda: matmul(A, B, b_zero_point=[1, 2, 3]),
     ["b_zero_point has shape (3,)", "one integer or [4]", "along the contraction"]),
    (lambda: matmul(A, B, b_zero_point=[1, 2]), ["b_zero_point has shape (2,)", "one integer or [4]"]),
    (lambda: matmul(A, B, b_zero_point=[[1, 2, 3, 4]]), ["b_zero_point has shape (1, 4)", "one integer or [4]"]),
    (lambda: matmul(A, B, bias=[1, 2]), ["bias has shape (2,)", "[4]", "column of b"]),
    (lambda: matmul(A, B, bias=[2**31, 0, 0, 0]), ["bias", str(2**31), "int32"]),
    (lambda: matmul(A, B, bias=[0, 0, 0, -(2**31) - 1]), ["bias", str(-(2**31) - 1), "int32"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("call, words", [
    (lambda: matmul(A.astype(float), B), ["a has dtype float64", "integers"]),
    (lambda: matmul(A, B, b_zero_point=0.5), ["b_zero_point has dtype float64", "integers"]),
    (lambda: matmul(A, B, bias=[0.5] * 4), ["bias has dtype float64", "integers"]),
])
def test_wrong_types_are_named(call, words):
    with pytest.raises(TypeError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_accumulator_bits_is_the_width_at_which_overflow_stops():
    a, b = np.array([[-128, 127, -128]], np.int8), np.array([[-128], [127], [127]], np.int8)
    bits = accumulator_bits(a, b, bias=[1000])
    assert bits == 17  # 1000 + 16384 + 16129 does not fit 16 bits
    matmul(a, b, bias=[1000], accumulator=Accumulator(bits, "error"))
    with pytest.raises(OverflowError, match="17 bits would do"):
        matmul(a, b, bias=[1000], accumulator=Accumulator(bits - 1, "error"))
    assert accumulator_bits(np.full((1, 131072), -128, np.int8), np.full((131072, 1), -128, np.int8)) == 33
    assert accumulator_bits(np.zeros((0, 3), np.int8), np.zeros((3, 2), np.int8)) == 1
