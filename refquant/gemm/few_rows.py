"""The product of one or two rows: b is read once, where it lies, since packing it would cost more than multiplying.

    c[i, j] = sum over k of  a[i, k] ((b ^ flip)[k, j] - minus)  =  sum of a (b ^ flip)  -  minus * sum of a

Eight rows of b at a time, so that c is loaded and stored once for eight; or b's columns as dot products.
"""
from __future__ import annotations

import numpy as np

from refquant.compiling import compiled


@compiled
def few_rows(a, a_flip, a_minus, b, b_across, b_flip, b_minus, c):
    """The product modulo 2^32 in ``c`` int32 [m, n]; a uint8 [m, k], b uint8 [k, n] when ``b_across``, or [n, k].

    An element of a is ``(a ^ a_flip) - a_minus``, and so for b.
    """
    m, k = a.shape
    n = c.shape[1]
    x = np.empty(k, np.int32)
    for i in range(m):
        row, out, total = a[i], c[i], np.int32(0)
        for p in range(k):
            x[p] = np.int32(np.int32(row[p] ^ a_flip) - a_minus)
            total = np.int32(total + x[p])
        out[:] = np.int32(-b_minus * total)
        if not b_across:
            for j in range(n):
                column, dot = b[j], np.int32(0)
                for p in range(k):
                    dot = np.int32(dot + np.int32(x[p] * np.int32(column[p] ^ b_flip)))
                out[j] = np.int32(out[j] + dot)
            continue
        for p in range(0, k - k % 8, 8):
            x0, x1, x2, x3, x4, x5, x6, x7 = (x[p], x[p + 1], x[p + 2], x[p + 3], x[p + 4], x[p + 5], x[p + 6],
                                              x[p + 7])
            b0, b1, b2, b3, b4, b5, b6, b7 = (b[p], b[p + 1], b[p + 2], b[p + 3], b[p + 4], b[p + 5], b[p + 6],
                                              b[p + 7])
            for j in range(n):
                low = x0 * np.int32(b0[j] ^ b_flip) + x1 * np.int32(b1[j] ^ b_flip) + x2 * np.int32(b2[j] ^ b_flip)
                high = x3 * np.int32(b3[j] ^ b_flip) + x4 * np.int32(b4[j] ^ b_flip) + x5 * np.int32(b5[j] ^ b_flip)
                rest = x6 * np.int32(b6[j] ^ b_flip) + x7 * np.int32(b7[j] ^ b_flip)
                out[j] = np.int32(out[j] + np.int32(low + high + rest))
        for p in range(k - k % 8, k):
            x0, b0 = x[p], b[p]
            for j in range(n):
                out[j] = np.int32(out[j] + np.int32(x0 * np.int32(b0[j] ^ b_flip)))
