"""exp, log and tanh of float64 from + - * / and comparisons, the same bits on every machine and NumPy.

    exp(x)  = 2^k e^r                      x = k ln2 + r, |r| <= ln2 / 2
    log(x)  = k ln2 + 2 atanh(s)           x = 2^k m, sqrt(1/2) <= m < sqrt(2), s = (m - 1) / (m + 1)
    tanh(x) = E / (E + 2)                  E = e^(2x) - 1, x >= 0
    log_softmax(x)_i = t_i - log sum_j e^(t_j)             t = x - max x

A machine's own exp errs by as much as its library pleases, and by another amount in its vector units. Here every step
is an operation that IEEE 754 rounds correctly, in a fixed order, so there is one answer. Its error is below 0.6 units
in the last place (ulp), half of one being that of the last rounding:

    The leading terms are carried as pairs of floats, high + low, low being at most half an ulp of high. Only terms of
    third order and above are plain floats. They are a few hundredths of the result at most; so are their errors.

u = 2^-53 is the largest relative error of one rounding; an ulp is u to 2u of its number. Series are Taylor's: their
coefficients are known, and the intervals are short enough for a dozen. Every NaN that leaves is NumPy's own.
"""
from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import ArrayLike

from refquant.reals.sums import total

# ln2 rounded down to 42 bits, so that k times it is exact for |k| < 2^11, and the rest of it, good to 2^-98
LN2_HIGH, LN2_LOW = float.fromhex("0x1.62e42fefa3800p-1"), float.fromhex("0x1.ef35793c76730p-45")
ONE_OVER_LN2 = float.fromhex("0x1.71547652b82fep+0")
SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")

EXP_SERIES = [1 / factorial(n) for n in range(3, 15)]  # of r^n; the first left out is 0.3466^15 / 15! < 0.001 u
ATANH_SERIES = [2 / (2 * n + 1) for n in range(1, 12)]  # of s^(2n + 1); the first left out is 2s 0.1716^24 / 25


# exp: r = x - k LN2_HIGH - k LN2_LOW. The first difference is exact, since k LN2_HIGH is near x and no finer than
# 2^-42; the second leaves a pair. e^r - 1 is another pair, good to 0.05 u (`_expm1`), and 1 is added to it exactly.
# So the error is 0.05 u beside the last rounding, where an ulp is u (e^r < 1) or 2u: under 0.56 ulp.
# Subnormal results are rounded once, where their last place is (`_scaled`), and are no worse.

@np.errstate(all="ignore")
def exp(x: ArrayLike) -> np.ndarray:
    """e^x of each element, float64 of x's shape; error below 0.6 ulp, subnormal results included.

    x : reals, any shape. inf above 709.78, 0 below -745.13, NaN for NaN.

    Raises TypeError for what are no real numbers.

    Source: refquant's own, from Knuth's two-sum and Dekker's product, since each library's exp has its own bits.
    """
    x = _float64(x)
    inside = np.where(x > -746.0, x, -746.0)  # beyond these, and for NaN, k would not fit its integer
    inside = np.where(inside < 710.0, inside, 710.0)
    k, r, r_low = _reduced(inside)
    e, e_low = _expm1(r, r_low)
    high, low = _sum(1.0, e)
    return np.where(np.isnan(x), np.nan, _scaled(high, low + e_low, k))


# log: m - 1 is exact and m + 1 a pair, so s is a pair (`_ratio`), good to a few u^2. The terms beyond 2s,
#
#     2s^3/3 + 2s^5/5 + ...  <=  0.0101 |2s|  (s^2 <= 0.0295),
#
# have eight roundings of weight, three of them in the sums of the low parts: 0.08 u at most relative to 2s, and less
# by s^2 the closer x is to 1. In ulps that is most at the ends of m, where the result is ln2 / 2 = 0.3466 and an ulp
# u/2: 0.06. For k other than 0 the result is no smaller than that. k LN2_LOW is below 2^-34, its rounding nothing.
# Under 0.56 ulp.

@np.errstate(all="ignore")
def log(x: ArrayLike) -> np.ndarray:
    """The natural logarithm of each element, float64 of x's shape; error below 0.6 ulp.

    x : reals, any shape. -inf for zeros, NaN for negatives and NaN.

    Raises TypeError for what are no real numbers.

    Source: refquant's own, for the reason of `exp`.
    """
    x = _float64(x)
    usual = (x > 0) & (x < np.inf)
    m, k = np.frexp(np.where(usual, x, 1.0))  # 1/2 <= m < 1, subnormals too
    small = m < SQRT_HALF
    m, k = np.where(small, 2.0 * m, m), k - small
    s, s_low = _ratio(m - 1.0, 0.0, *_sum(m, 1.0))
    square = s * s
    rest = s * square * _polynomial(ATANH_SERIES, square)
    high, low = _sum(k * LN2_HIGH, 2.0 * s)
    value = high + (low + (k * LN2_LOW + (2.0 * s_low + rest)))
    return np.where(usual, value, np.where(x == 0, -np.inf, np.where(x > 0, np.inf, np.nan)))


# tanh: E is made of the pair e of e^r - 1, as (2^k - 1) + 2^k e, so that for k = 0 it is e itself and keeps its small
# relative error, however small x is. E + 2 is a pair too, and so is the quotient before its last rounding. A relative
# error of E reaches the quotient by the factor 2 / (E + 2) <= 1. It is largest at k = 1, r = -ln2 / 2, where E = 0.414
# and the error 2 * 0.034 u, 0.16 u of it: after the factor, and with an ulp of 1.47 u there, 0.1 ulp. Under 0.6 ulp.
# (From k = 54 on 2^k - 1 is rounded, but the result is 1.) For tiny x the products that underflow are x^2 and smaller;
# the quotient is 2x / 2 and keeps x, subnormals and zeros too.

@np.errstate(all="ignore")
def tanh(x: ArrayLike) -> np.ndarray:
    """The hyperbolic tangent of each element, float64 of x's shape; error below 0.6 ulp, odd to the bit.

    x : reals, any shape. Tiny x, -0.0 among them, are their own answer; NaN for NaN.

    Raises TypeError for what are no real numbers.

    Source: refquant's own, for the reason of `exp`.
    """
    x = _float64(x)
    size = np.abs(x)
    k, r, r_low = _reduced(2.0 * np.where(size < 22.0, size, 22.0))  # tanh(22) rounds to 1
    e, e_low = _expm1(r, r_low)
    power = _power_of_two(k)
    high, low = _sum(power - 1.0, power * e)
    high, low = _sum(high, low + power * e_low)
    bottom, bottom_low = _sum(high, 2.0)
    quotient, rest = _ratio(high, low, bottom, bottom_low + low)
    return np.where(np.isnan(x), np.nan, np.copysign(quotient + rest, x))


# log_softmax: t errs by u |t|, and the sum, by the errors of its t, relatively by u times their mean weighted by e^t,
# which is at most log C; exp adds 1.2 u, the sum of C numbers 2 log2(C) u, log 1.2 u log C, the last difference
# u |result|. Together: at most 2^-53 (|t| + |result| + 4 log2(2C)). Where the result is near 0, this is no small
# error relative to it: a probability near 1 is not known better than by its float.

@np.errstate(all="ignore")
def log_softmax(x: ArrayLike) -> np.ndarray:
    """The logarithms of softmax over the last axis.

    x : reals [..., C], C >= 1. -inf has probability 0; a row that holds NaN or +inf, or nothing but -inf, is NaN.

    Returns float64 [..., C].

    Raises ValueError where there is no last axis, or it is empty, and TypeError for what are no real numbers.

    Source: ONNX LogSoftmax, the maximum taken out first; `exp`, `log` and `total` are refquant's own.
    """
    x = _float64(x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"x has shape {x.shape}: expected [..., C] with C >= 1")
    shifted = x - x.max(axis=-1, keepdims=True)  # a zero's sign here is lost again: two zeros make the sum 2 or more
    value = shifted - log(total(exp(shifted), -1))[..., None]
    return np.where(np.isnan(value), np.nan, value)


def _float64(x: ArrayLike) -> np.ndarray:
    array = np.asarray(x)
    if array.dtype.kind not in "iufb":
        raise TypeError(f"x has dtype {array.dtype}: expected floats or integers")
    return array.astype(np.float64)


def _reduced(x):
    """``(k, r, r_low)``: x = k ln2 + r + r_low with |r| at most ln2 / 2 and a rounding. k is an integer."""
    k = np.rint(x * ONE_OVER_LN2)
    return (k.astype(np.intc), *_sum(x - k * LN2_HIGH, -k * LN2_LOW))


def _expm1(r, r_low):
    """e^(r + r_low) - 1 as a pair, for |r| < 0.347.

    r and r^2/2 are exact. What follows is at most 0.0064 (r < 0) or 0.0076 (r > 0). It has five roundings of weight
    when it is made and three when it is added: 0.034 u at r = -ln2 / 2, 0.05 u anywhere, and vanishing as r^3.
    """
    square, square_low = _product(r, r)
    rest = r * square * _polynomial(EXP_SERIES, r)
    high, low = _sum(r, 0.5 * square)
    return _sum(high, low + ((0.5 * square_low + rest) + (r_low + r_low * high)))


def _polynomial(coefficients, x):
    """c0 + c1 x + c2 x^2 + ... by Horner's rule."""
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = coefficient + x * value
    return value


def _sum(a, b):
    """a + b as a pair, exactly (Knuth's two-sum)."""
    high = a + b
    of_b = high - a
    return high, (a - (high - of_b)) + (b - of_b)


def _product(a, b):
    """a * b as a pair, exactly where nothing over- or underflows (Dekker's product, of halves by Veltkamp)."""
    high = a * b
    (a, a_low), (b, b_low) = _halves(a), _halves(b)
    return high, a_low * b_low - (((high - a * b) - a_low * b) - a * b_low)


def _halves(a):
    """a as the sum of two floats of 26 bits, whose products are exact."""
    scaled = (2.0**27 + 1.0) * a
    high = scaled - (scaled - a)
    return high, a - high


def _ratio(a, a_low, b, b_low):
    """(a + a_low) / (b + b_low) as a pair: the quotient of the high parts, and the remainder divided once more."""
    quotient = a / b
    product, product_low = _product(quotient, b)
    return quotient, (((a - product) - product_low) + (a_low - quotient * b_low)) / b


def _scaled(high, low, k):
    """(high + low) * 2^k, rounded once: 0.7 < high < 1.5, -1076 <= k <= 1024.

    A float that became subnormal by a multiplication would be rounded twice. But next to 1 floats are 2^-52 apart,
    as subnormals are, times 2^1022: there the pair is added to 1, which rounds it, and 1 taken away, which is exact.
    """
    half = k // 2  # 2^1024 is no float, and neither power may be subnormal
    value = (high + low) * _power_of_two(half) * _power_of_two(k - half)
    shrink = _power_of_two(np.minimum(k, -1022) + 1022)
    above_1, rest = _sum(1.0, high * shrink)
    subnormal = ((above_1 + (rest + low * shrink)) - 1.0) * 2.0**-1022
    return np.where((k < -1022) | ((k == -1022) & (high < 1.0)), subnormal, value)


def _power_of_two(k):
    """2^k, a normal float. (Not all C libraries round what ldexp makes subnormal.)"""
    return np.ldexp(1.0, k)
