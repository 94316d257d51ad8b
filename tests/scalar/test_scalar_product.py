"""Products: by hand, and gradients as exact differences of the forward product."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.scalar.product import gemm_db, gemm_dw, gemm_dx, gemm_forward

A, B = [[1, 2], [3, 4]], [[5, 6, 7], [8, 9, 10]]


def matrix(rows, columns):
    return st.lists(st.lists(st.integers(-128, 127), min_size=columns, max_size=columns), min_size=rows, max_size=rows)


def test_by_hand():
    assert [[gemm_forward(A, B, i, j)[0] for j in range(3)] for i in range(2)] == [[21, 24, 27], [47, 54, 61]]
    assert gemm_forward(A, B, 1, 2, zero_point_a=1, zero_point_b=-2) == (2 * 9 + 3 * 12, False)
    assert gemm_forward(A, B, 0, 1, bias=[100, 200, 300]) == (224, False)
    assert gemm_forward([[-128] * 4], [[-128]] * 4, 0, 0, bits=16) == (0, True)
    assert gemm_forward([[-128] * 4], [[-128]] * 4, 0, 0, bits=16, overflow="saturate_running") == (32767, True)
    assert gemm_forward([[]], [], 0, 0) == (0, False)


def loss(x, w, g, zx, zw, zg):
    """Sum of (g - zg) * y, whose exact differences are the gradients."""
    return sum((g[m][n] - zg) * gemm_forward(x, w, m, n, zero_point_a=zx, zero_point_b=zw, bits=64)[0]
               for m in range(len(g)) for n in range(len(g[0])))


def bumped(matrix, i, j):
    return [[v + ((r, c) == (i, j)) for c, v in enumerate(row)] for r, row in enumerate(matrix)]


@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), *[st.integers(-9, 9)] * 3)
def test_gradients_are_differences_of_the_loss(data, m, k, n, zx, zw, zg):
    """y is linear in x, in w and in the bias: adding one to an entry adds its gradient to the loss, exactly."""
    x, w, g = data.draw(matrix(m, k)), data.draw(matrix(k, n)), data.draw(matrix(m, n))
    base = loss(x, w, g, zx, zw, zg)
    for i in range(m):
        for j in range(k):
            expected = loss(bumped(x, i, j), w, g, zx, zw, zg) - base
            assert gemm_dx(g, w, i, j, zero_point_g=zg, zero_point_w=zw) == (expected, False)
    for i in range(k):
        for j in range(n):
            expected = loss(x, bumped(w, i, j), g, zx, zw, zg) - base
            assert gemm_dw(x, g, i, j, zero_point_x=zx, zero_point_g=zg) == (expected, False)
    for j in range(n):
        assert gemm_db(g, j, zero_point_g=zg) == (sum(row[j] for row in g) - m * zg, False)


def test_sums_run_upwards():
    """100 + 100 - 100 saturates on the way, -100 + 100 + 100 does so at the end only."""
    how = {"bits": 8, "overflow": "saturate_running"}
    up, ones = [100, 100, -100], [[1], [1], [1]]
    assert gemm_forward([up], ones, 0, 0, **how) == gemm_dx([up], [[1, 1, 1]], 0, 0, **how) == (27, True)
    assert gemm_dw([[v] for v in up], ones, 0, 0, **how) == gemm_db([[v] for v in up], 0, **how) == (27, True)
    assert gemm_forward([up[::-1]], ones, 0, 0, **how) == (100, False)


def test_errors():
    with pytest.raises(ValueError):
        gemm_forward([[1, 2]], [[1]], 0, 0)
    with pytest.raises(OverflowError):
        gemm_forward([[127, 127]], [[2], [-2]], 0, 0, bits=8, overflow="error")


def test_notes():
    lines = []
    gemm_forward(A, B, 0, 0, zero_point_a=1, zero_point_b=2, bias=[9, 0, 0], note=lines.append)
    assert lines == ["product 0: (1 - 1) x (5 - 2) = 0", "product 1: (2 - 1) x (8 - 2) = 6", "initial 9", "+ 0 = 9",
                     "+ 6 = 15", "sum of 2 products and the initial value: 15", "modulo 2^32, signed: 15"]
    lines.clear()
    gemm_forward([list(range(20))], [[1]] * 20, 0, 0, note=lines.append)
    assert lines.count("... 14 more ...") == 2 and len(lines) == 17
