"""The float64 product: its order, its error against fractions, and the same bits compiled or not, in any number of threads."""
import os
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.reals import kernels, matmul, products
from refquant.reals.products import in_order

U = Fraction(1, 2**53)
SIZES = st.tuples(*[st.integers(0, 9)] * 3)


def random(shape, rng, exponents=60):
    """Reals of many sizes, both signs, some zeros of both signs."""
    x = np.ldexp(rng.normal(size=shape), rng.integers(-exponents, exponents + 1, shape))
    return np.where(rng.random(shape) < 0.1, np.copysign(0.0, x), x)


def same_bits(actual, expected):
    assert actual.dtype == expected.dtype == np.float64 and actual.shape == expected.shape
    assert np.ascontiguousarray(actual).tobytes() == np.ascontiguousarray(expected).tobytes()


@settings(deadline=None)
@given(SIZES, st.integers(0, 2**32))
def test_the_order_and_the_error(sizes, seed):
    """Python floats, one product after another; K roundings of a product at most, its own and those of the sums."""
    (m, k, n), rng = sizes, np.random.default_rng(seed)
    a, b = random((m, k), rng), random((k, n), rng)
    c = in_order(a, b)
    same_bits(matmul(a, b), c)
    assert c.shape == (m, n)
    for i, j in np.ndindex(m, n):
        held, exact, size = 0.0, Fraction(0), Fraction(0)
        for p in range(k):
            held = held + float(a[i, p]) * float(b[p, j])
            term = Fraction(float(a[i, p])) * Fraction(float(b[p, j]))
            exact, size = exact + term, size + abs(term)
        assert c[i, j].tobytes() == np.float64(held).tobytes()
        assert abs(Fraction(held) - exact) <= ((1 + U) ** k - 1) * size


@settings(deadline=None)
@given(SIZES, st.integers(0, 2**32))
def test_compiled_equals_in_order(sizes, seed):
    """Two rows and four steps of k a turn, so all rests of both occur."""
    (m, k, n), rng = sizes, np.random.default_rng(seed)
    a, b = random((m, k), rng), random((k, n), rng)
    same_bits(kernels.matmul(a, b), in_order(a, b))


@pytest.mark.parametrize("steps", [kernels.BLOCK - 1, kernels.BLOCK, kernels.BLOCK + 1, 3 * kernels.BLOCK + 6])
def test_blocks_of_steps_follow_each_other(steps):
    rng = np.random.default_rng(steps)
    for rows in (1, 2, 3):
        a, b = random((rows, steps), rng), random((steps, 5), rng)
        same_bits(kernels.matmul(a, b), in_order(a, b))


def test_a_product_is_not_fused_with_its_sum():
    """(1 + e)(1 - e) rounds to 1; fused, the sum with -1 would keep -e^2."""
    e = 2.0**-30
    a, b = np.array([[-1.0, 1 + e]]), np.array([[1.0], [1 - e]])
    assert not kernels.matmul(a, np.repeat(b, 64, 1)).any()
    assert in_order(a, b) == 0


# Below and above the sizes at which kernels take over and threads do
SHAPES = [(1, 1, 1), (4, 8, 127), (4, 8, 128), (16, 90, 91), (16, 91, 91), (33, 130, 67), (1, 5000, 3), (300, 3, 200)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_size_has_the_same_bits(shape):
    (m, k, n), rng = shape, np.random.default_rng(shape)
    a, b = random((m, k), rng), random((k, n), rng)
    same_bits(matmul(a, b), in_order(a, b))


def test_small_products_are_not_compiled(monkeypatch):
    used = []
    monkeypatch.setattr(products, "in_order", lambda a, b: used.append("in order"))
    monkeypatch.setattr(kernels, "matmul", lambda a, b: used.append("compiled"))
    monkeypatch.setattr(kernels, "NOT_COMPILED", False)
    for not_compiled in (False, True):
        monkeypatch.setattr(kernels, "NOT_COMPILED", not_compiled)
        matmul(np.ones((4, 8)), np.ones((8, 127)))
        matmul(np.ones((4, 8)), np.ones((8, 128)))
    assert used == ["in order", "compiled", "in order", "in order"]


@pytest.mark.parametrize("sizes", [(5, 7, 6), (20, 30, 40)])
def test_the_bits_do_not_depend_on_how_memory_lies(sizes):
    (m, k, n), rng = sizes, np.random.default_rng(3)
    a, b = random((m, k), rng), random((k, n), rng)
    wide = np.zeros((3 * k, 2 * n))
    wide[::3, ::2] = b
    for other_a, other_b in ((np.asfortranarray(a), np.asfortranarray(b)), (a[::-1].copy()[::-1], wide[::3, ::2]),
                             (a.T.copy().T, np.flip(np.flip(b).copy())), (a.astype(">f8"), b.astype(">f8"))):
        same_bits(matmul(other_a, other_b), matmul(a, b))


def test_columns_and_rows_stand_alone():
    """A part of the product has the bits of the product's part."""
    rng = np.random.default_rng(4)
    a, b = random((40, 50), rng), random((50, 60), rng)
    c = matmul(a, b)
    for i, j in ((3, 7), (1, 60), (40, 1)):
        same_bits(matmul(a[:i], b[:, :j]), c[:i, :j])


def test_other_numbers_are_multiplied_in_float64():
    same_bits(matmul([[1, 2]], [[3], [4]]), np.array([[11.0]]))
    tenth = np.full((1, 1), 0.1, np.float32)
    same_bits(matmul(tenth, tenth), np.array([[float(tenth[0, 0]) ** 2]]))


@pytest.mark.parametrize("a, b", [((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 3), (3,)), ((1, 2, 3), (3, 1)), ((2, 0), (1, 2))])
def test_shapes_that_do_not_fit(a, b):
    with pytest.raises(ValueError, match=re.escape(f"a has shape {a} and b has shape {b}: expected [M, K] and [K, N]")):
        matmul(np.ones(a), np.ones(b))


CODE = """
import hashlib
import numpy as np
from refquant.autodiff import Tensor, conv, gradients
from refquant.gemm import Geometry
from refquant.reals import kernels, matmul
rng, bits = np.random.default_rng(0), hashlib.sha256()
for m, k, n in ((3, 5, 7), (16, 90, 91), (64, 65, 66), (130, 33, 67)):
    bits.update(matmul(rng.normal(size=(m, k)), rng.normal(size=(k, n))).tobytes())
x, w = Tensor(rng.normal(size=(4, 3, 12, 12))), Tensor(rng.normal(size=(16, 3, 3, 3)))
y = conv(x, w, geometry=Geometry(padding=1))
for array in (y.value, *gradients(y, [x, w], rng.normal(size=y.shape))):
    bits.update(array.tobytes())
import numba
print(kernels.NOT_COMPILED, numba.config.NUMBA_NUM_THREADS, bits.hexdigest())
"""


def test_the_same_bits_in_any_number_of_threads_and_without_the_compiler():
    answers = {}
    for threads, disabled in (("1", "0"), ("2", "0"), ("1", "1")):
        environment = os.environ | {"NUMBA_NUM_THREADS": threads, "NUMBA_DISABLE_JIT": disabled}
        done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
        not_compiled, used, bits = done.stdout.split() or pytest.fail(done.stderr)
        assert (not_compiled, used) == (str(disabled == "1"), threads)
        answers[threads, disabled] = bits
    assert len(set(answers.values())) == 1, answers
