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


def gemm_forward(a, b, i, j, *, zero_point_a=0, zero_point_b=0, bias=None, bits=32, overflow="wrap", note=silent):
    """acc[i,j] of a [M, K], b [K, N] and bias [N] or None. ValueError if the two K differ."""
    initial = 0 if bias is None else bias[j]
    return dot(a[i], [row[j] for row in b], zero_point_a, zero_point_b, initial, bits, overflow, note=note)


def gemm_dx(g, w, i, k, *, zero_point_g=0, zero_point_w=0, bits=32, overflow="wrap", note=silent):
    """dx[i,k] of g [M, N] and w [K, N]. ValueError if the two N differ."""
    return dot(g[i], w[k], zero_point_g, zero_point_w, 0, bits, overflow, note=note)


def gemm_dw(x, g, k, n, *, zero_point_x=0, zero_point_g=0, bits=32, overflow="wrap", note=silent):
    """dw[k,n] of x [M, K] and g [M, N]. ValueError if the two M differ."""
    return dot([row[k] for row in x], [row[n] for row in g], zero_point_x, zero_point_g, 0, bits, overflow, note=note)


def gemm_db(g, n, *, zero_point_g=0, bits=32, overflow="wrap", note=silent):
    """db[n] of g [M, N]."""
    return total([row[n] for row in g], zero_point_g, bits, overflow, note=note)


def dot(left, right, zero_point_left, zero_point_right, initial, bits, overflow, *, note=silent):
    """(acc, overflowed) of initial + the sum of (left[k] - zero_point_left) * (right[k] - zero_point_right)."""
    products = [(p - zero_point_left) * (q - zero_point_right) for p, q in zip(left, right, strict=True)]
    if note is not silent:
        note_some(len(products), lambda k: f"product {k}: ({left[k]} - {zero_point_left}) x "
                                           f"({right[k]} - {zero_point_right}) = {products[k]}", note)
    return accumulate(products, initial, bits, overflow, note=note)


def total(codes, zero_point, bits, overflow, *, note=silent):
    """(acc, overflowed) of the sum of codes[k] - zero_point."""
    if note is not silent:
        note(f"{len(codes)} codes, less zero point {zero_point} each")
    return accumulate([code - zero_point for code in codes], 0, bits, overflow, note=note)
