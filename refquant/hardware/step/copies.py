"""A tensor quantized on the range that it covers, in integers from start to end.

    symmetric   H = max|v|,             codes = round(v qmax / H)                  scale H / qmax times v's
    affine      [low, high], holding 0,  codes = round(v 255 / (high - low)) + z    scale (high - low) / 255 times v's
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.hardware.hindsight import affine as affine_parameters
from refquant.hardware.hindsight import codes as affine_codes
from refquant.hardware.scaling import scaled
from refquant.hardware.step.progress import S48, U8, Codes, Progress
from refquant.integers import IntFormat, multiplier_from_scale
from refquant.integers.rounding import half_even


def symmetric(step: Progress, name: str, v: np.ndarray, scale: Fraction, bits: int) -> Codes:
    """``v`` in ``bits`` narrow signed bits, half to even; recorded with its highest, its ratio and its scale."""
    format, highest = IntFormat(bits, narrow=True), max(int(np.abs(v.astype(np.int64)).max(initial=0)), 1)
    multiplier, shift = multiplier_from_scale(Fraction(format.qmax, highest))
    step.put(f"{name}_highest", highest, S48)
    step.put_ratio(name, multiplier, shift)
    codes = step.put(name, format.saturate(scaled(v, multiplier, shift)), format)
    return Codes(codes, step.put_scale(f"{name}_scale", scale * Fraction(highest, format.qmax)))


def affine(step: Progress, name: str, v: np.ndarray, scale: Fraction, rounding=half_even) -> Codes:
    """``v`` in 8 unsigned bits; recorded with its range, its ratio, its zero point and its scale."""
    low, high = min(int(v.min(initial=0)), 0), max(int(v.max(initial=0)), 0)
    multiplier, shift, zero_point = affine_parameters(low, high, 0, 8)
    step.put(f"{name}_range", np.array([low, high]), S48)
    step.put_ratio(name, multiplier, shift)
    codes, _ = affine_codes(v, multiplier, shift, zero_point, bits=8, rounding=rounding)
    step.put(name, codes, U8)
    step.put(f"{name}_zero_point", zero_point, U8)
    size = high - low or 1
    return Codes(codes, step.put_scale(f"{name}_scale", scale * Fraction(size, 255)), zero_point)
