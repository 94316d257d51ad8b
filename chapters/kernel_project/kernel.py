"""An 8-bit matrix product with NumPy, as someone might write it, in TFLite's arithmetic.

    acc = (a - a_zero_point) @ (b - b_zero_point) + bias
    codes = saturate(round(acc * multiplier * 2^-shift) + zero_point)
"""
import numpy as np


def accumulate(a, b, bias=None, a_zero_point=0, b_zero_point=0):
    """int32 [M, N] of int8 or uint8 a [M, K] and b [K, N]; bias int32 [N]."""
    acc = (a.astype(np.int32) - a_zero_point) @ (b.astype(np.int32) - b_zero_point)
    return acc if bias is None else acc + bias


def requantize(acc, multiplier, shift, zero_point, dtype=np.int8):
    """Codes of int32 acc [M, N], by a scale multiplier * 2^-shift for all, or for each column; rounded twice."""
    product = acc.astype(np.int64) * np.asarray(multiplier, np.int64)
    shift = np.asarray(shift, np.int64)
    twice = half_away(half_up(product, 31), np.maximum(shift - 31, 1))
    codes = np.where(shift > 31, twice, half_up(product, shift))
    limits = np.iinfo(dtype)
    return np.clip(codes + zero_point, limits.min, limits.max).astype(dtype)


def half_up(values, shift):
    """values / 2^shift, rounded, ties up."""
    return (values + (np.int64(1) << (shift - 1))) >> shift


def half_away(values, shift):
    """values / 2^shift, rounded, ties away from zero."""
    return np.sign(values) * half_up(np.abs(values), shift)
