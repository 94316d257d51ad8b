"""One element of a matrix product of codes, and of its three gradients.

acc[i,j] = bias[j] + sum over k of (a[i,k] - za) * (b[k,j] - zb)
dx[i,k]  = sum over n of (g[i,n] - zg) * (w[k,n] - zw)
dw[k,n]  = sum over m of (x[m,k] - zx) * (g[m,n] - zg)
db[n]    = sum over m of (g[m,n] - zg)

Matrices are lists of rows. Every sum runs upwards, in the accumulator `bits`, `overflow` (see `accumulate`),
and returns (acc, overflowed).
"""
from .accumulate import accumulate
from .steps import note_some, silent

__all__ = ["dot", "gemm_db", "gemm_dw", "gemm_dx", "gemm_forward", "total"]


def gemm_forward(a, b, i, j, *, zero_point_a=0, zero_point_b=0, bias=None, bits=32, overflow="wrap", note=silent):
    """(acc[i,j], overflowed), one element of a b + bias: an int and whether it overflowed.

    a, b : nested lists of codes [M, K] and [K, N].
    i, j : which element.
    zero_point_a, zero_point_b : one int each.
    bias : one row of N ints in the accumulator's unit, or None.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError if the two K differ and as `accumulate`; OverflowError as `accumulate`; IndexError outside [M, N].

    Source: ONNX MatMulInteger, with a bias and an accumulator of any width.
    """
    initial = 0 if bias is None else bias[j]
    return dot(a[i], [row[j] for row in b], zero_point_a, zero_point_b, initial, bits, overflow, note=note)


def gemm_dx(g, w, i, k, *, zero_point_g=0, zero_point_w=0, bits=32, overflow="wrap", note=silent):
    """(dx[i,k], overflowed), one element of g w^T: an int and whether it overflowed.

    g, w : nested lists of codes [M, N] and [K, N].
    i, k : which element.
    zero_point_g, zero_point_w : one int each.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError if the two N differ and as `accumulate`; OverflowError as `accumulate`; IndexError outside [M, K].

    Source: Banner 2018, eq. 5-7: g_{l-1} = g_l W_l^T, the derivative of `gemm_forward` by a.
    """
    return dot(g[i], w[k], zero_point_g, zero_point_w, 0, bits, overflow, note=note)


def gemm_dw(x, g, k, n, *, zero_point_x=0, zero_point_g=0, bits=32, overflow="wrap", note=silent):
    """(dw[k,n], overflowed), one element of x^T g: an int and whether it overflowed.

    x, g : nested lists of codes [M, K] and [M, N].
    k, n : which element.
    zero_point_x, zero_point_g : one int each.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError if the two M differ and as `accumulate`; OverflowError as `accumulate`; IndexError outside [K, N].

    Source: Banner 2018, eq. 5-7: gW_l = g_l I_{l-1}^T, the derivative of `gemm_forward` by b.
    """
    return dot([row[k] for row in x], [row[n] for row in g], zero_point_x, zero_point_g, 0, bits, overflow, note=note)


def gemm_db(g, n, *, zero_point_g=0, bits=32, overflow="wrap", note=silent):
    """(db[n], overflowed), one element: the sum of a column of g, an int, and whether it overflowed.

    g : a nested list of codes [M, N].
    n : which element.
    zero_point_g : one int.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError and OverflowError as `accumulate`; IndexError outside [N].

    Source: the derivative of `gemm_forward` by its bias.
    """
    return total([row[n] for row in g], zero_point_g, bits, overflow, note=note)


def dot(left, right, zero_point_left, zero_point_right, initial, bits, overflow, *, note=silent):
    """(acc, overflowed) of initial + the sum of (left[k] - zero_point_left) * (right[k] - zero_point_right).

    left, right : one row of K codes each.
    zero_point_left, zero_point_right, initial : one int each.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError if the two K differ and as `accumulate`; OverflowError as `accumulate`.

    Source: ONNX MatMulInteger, one element.
    """
    products = [(p - zero_point_left) * (q - zero_point_right) for p, q in zip(left, right, strict=True)]
    if note is not silent:
        note_some(len(products), lambda k: f"product {k}: ({left[k]} - {zero_point_left}) x "
                                           f"({right[k]} - {zero_point_right}) = {products[k]}", note)
    return accumulate(products, initial, bits, overflow, note=note)


def total(codes, zero_point, bits, overflow, *, note=silent):
    """(acc, overflowed) of the sum of codes[k] - zero_point.

    codes : one row of K ints.
    zero_point : one int.
    bits, overflow : of the accumulator, see `accumulate`.
    note : told each step as a line of text.

    Raises ValueError and OverflowError as `accumulate`.

    Source: the derivative of a product by its bias.
    """
    if note is not silent:
        note(f"{len(codes)} codes, less zero point {zero_point} each")
    return accumulate([code - zero_point for code in codes], 0, bits, overflow, note=note)
