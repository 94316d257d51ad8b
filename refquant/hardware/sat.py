"""SAT's weights in integers (Jin 2019, arXiv 1912.10207): master weights to levels, their scale, and their gradient.

The real method (`refquant.quantizers.sat.sat_weight`, scheme "original"), a = 2^bits - 1, q(u) = round(a u) / a:

    W_hat = tanh W / T,  T = max |tanh W|,  Q = 2 q((W_hat + 1) / 2) - 1,  dW = G sech^2(W) / T    (T constant)
    Q* = s Q,  s = 1 / sqrt(n_out VAR[Q])  where no batch norm follows

Master weights are w * 2^-f, of b bits. tanh is a table of integers, t = sign(w) table[|w|], and W_hat = t / T:

    table[j] = half_even(2^30 tanh(j 2^-f)),  j = 0..2^(b-1)             T = max |t|: 0 is an error
    index = round(a (t + T) / (2 T)),  code = 2 index - a                value code / a;  odd, -a..a, in bits + 1 bits

The scale of a code is s / a. Its sums are of integers: over the N codes S1 = sum code, S2 = sum code^2,

    V = N S2 - S1^2,   VAR[Q] = V / (N (N - 1) a^2)
    "none"      1 / a, as a (multiplier, shift) of 31 bits
    "constant"  sqrt(N (N - 1) / (n_out V)): multiplier = floor(the root * 2^shift), 2^30 <= multiplier < 2^31
                n_out = the outputs, times the kernel's places for a convolution;  V = 0 is an error

    backward    sech^2 = 1 - tanh^2:  slope = 2^30 - floor(t^2 / 2^30),   dw = saturate(round(g slope / T), s32)

dw is in units of g, the gradient of Q: a caller that has the gradient of Q* lets s join g's scale.

How far from the real method: t errs by 1/2, so W_hat by 1 / T, and a code differs only where a (W_hat + 1) / 2 lies
within a / (2 T) of a tie. Up to f = 11 none does, for any tensor of a format up to s10, in 2 to 8 bits. With finer
weights tensors of tiny ones differ: tanh is nearly linear there, and ratios of small integers are ties. At f = 12 that
takes a tensor whose largest weight is 3 / 4096 (where 2 is nearly a tie), at f = 15 in s10 one of up to 85 / 32768.
slope errs by less than 2.1, so dw by 1/2 + |g| (2.1 / T + slope / (2 T^2)).
"""
from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from refquant.hardware import checks
from refquant.hardware.scaling import Scale, divide
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.quantize import choice
from refquant.integers.rounding import Rounding, half_even
from refquant.reals import tanh

__all__ = ["Weights", "backward", "tanh_table", "weight"]

ONE = 1 << 30  # 1 in the table
S32 = IntFormat(32)
RESCALES = ("none", "constant")


def tanh_table(w_format: IntFormat, fraction_bits: int) -> np.ndarray:
    """2^30 tanh(j 2^-fraction_bits), uint32 [2^(b-1) + 1]: every magnitude of b signed bits, that of -2^(b-1) too.

    w_format : of the master weights, b signed bits.  fraction_bits : f, of their unit 2^-f.

    Raises ValueError for an unsigned format, one of more than 24 bits, and fraction_bits outside 0..63.

    Source: refquant's own, as the paper has no integer form: tanh by `refquant.reals.tanh`, rounded half_even.
    """
    if not w_format.signed or w_format.bits > 24:
        raise ValueError(f"w_format = {w_format}: expected a signed format of at most 24 bits")
    if not 0 <= fraction_bits <= 63:
        raise ValueError(f"fraction_bits = {fraction_bits}: expected 0 to 63")
    j = np.arange((1 << (w_format.bits - 1)) + 1)
    return half_even(ONE * tanh(j * 2.0**-fraction_bits)).astype(np.uint32)


def highest(w: np.ndarray, table: np.ndarray) -> int:
    """T of the weights ``w`` (any shape): ValueError where it is 0."""
    top = int(np.abs(bent(w, table)).max(initial=0))
    if top == 0:
        raise ValueError("w is 0 everywhere: expected weights to divide by the largest of")
    return top


def codes(w: np.ndarray, table: np.ndarray, top: int, *, bits: int,
          rounding: str | Rounding = half_even) -> np.ndarray:
    """The codes of ``w``, s<bits+1>, for T = ``top``."""
    a = (1 << bits) - 1
    index = divide(a * (bent(w, table) + top), 2 * top, rounding)
    return (2 * index - a).astype(IntFormat(bits + 1).dtype)


def variance(codes: np.ndarray) -> int:
    """V = N S2 - S1^2 of N codes; ValueError where it could leave 64 bits."""
    codes = as_int64(codes, "codes")
    largest = max(-int(codes.min(initial=0)), int(codes.max(initial=0)))
    if (codes.size * largest) ** 2 >= 1 << 63:
        raise ValueError(f"{codes.size} codes of up to {largest}: expected 64 bits to hold V")
    return codes.size * int((codes * codes).sum()) - int(codes.sum()) ** 2


def outputs(shape: tuple[int, ...]) -> int:
    """n_out of weights [out, ...]: outputs, times the kernel's places."""
    return shape[0] * math.prod(shape[2:])


def scale(v: int, count: int, n_out: int, bits: int, rescale: str) -> Scale:
    """``(multiplier, shift)`` of a code's scale, from V of ``count`` codes; ValueError for "constant" of V = 0."""
    choice("rescale", rescale, RESCALES)
    if rescale == "none":
        return multiplier_from_scale(Fraction(1, (1 << bits) - 1))
    if v == 0:
        raise ValueError("the weights in use are all equal: expected a variance to divide by")
    return root(Fraction(count * (count - 1), n_out * v))


def root(square: Fraction) -> Scale:
    """``(multiplier, shift)`` of a positive square's root, rounded down to 31 bits."""
    shift = (62 + square.denominator.bit_length() - square.numerator.bit_length()) // 2
    shift -= square * Fraction(4) ** shift >= 1 << 62  # the lengths give it but for one
    scaled = square * Fraction(4) ** shift
    return math.isqrt(scaled.numerator // scaled.denominator), shift


class Weights(NamedTuple):
    """What the forward pass computes.

    codes : odd integers -a..a of the weights' shape [out, ...], s<bits+1>.
    scale : (multiplier, shift) of one code.
    highest : T, in 2^-30.  variance : V.

    Raises nothing of its own.

    Source: refquant's own; see `weight`.
    """

    codes: np.ndarray
    scale: Scale
    highest: int
    variance: int


def weight(w: np.ndarray, table: np.ndarray, *, bits: int, rescale: str, rounding: str | Rounding = half_even
           ) -> Weights:
    """The codes of weights and their scale.

    w : integers [out, ...], in 2^-f.  table : uint32 [2^(b-1) + 1], by `tanh_table`.
    bits : 2..8.
    rescale : "none", where a batch norm follows, or "constant".
    rounding : of the index, a mode or its name.

    Raises ValueError for other bits or rescale, a w without weights, 0 everywhere or beyond the table, "constant" where
    all codes are equal, and a V that could leave 64 bits; TypeError for a w that is not integers.

    Source: Jin 2019 with DoReFa's weights, in integers by refquant; the module has the derivation.
    """
    checks.integer("bits", bits, 2, 8)
    w = as_int64(w, "w")
    checks.weights(w, axes=1)
    top = highest(w, table)
    level = codes(w, table, top, bits=bits, rounding=rounding)
    v = variance(level)
    return Weights(level, scale(v, w.size, outputs(w.shape), bits, rescale), top, v)


def backward(g: np.ndarray, w: np.ndarray, table: np.ndarray, *,
             rounding: str | Rounding = half_even) -> np.ndarray:
    """dw, int32 of w's shape, in units of ``g``: the gradient of the master weights.

    g : integers of at most 32 bits, of w's shape: the gradient of Q.
    w, table : as for `weight`.  rounding : a mode or its name.

    Raises ValueError for a wider g, one of another shape, and a w that is 0 everywhere or beyond the table; TypeError
    for what is not integers.

    Source: Jin 2019's straight-through rule, the derivative of tanh W / T with T constant, in integers by refquant.
    """
    wide, w = as_int64(g, "g"), as_int64(w, "w")
    checks.shape("g", wide, w.shape)
    if not S32.contains(wide):
        raise ValueError(f"g holds values from {int(wide.min())} to {int(wide.max())}: expected 32 bits")
    return S32.saturate(divide(wide * slope(bent(w, table)), highest(w, table), rounding))


def slope(t: np.ndarray) -> np.ndarray:
    """2^30 sech^2 of weights whose tanh is ``t``."""
    return ONE - (t * t >> 30)


def bent(w: np.ndarray, table: np.ndarray) -> np.ndarray:
    """t: 2^30 tanh of the weights ``w``, int64; ValueError for a weight that the table does not reach."""
    size = np.abs(as_int64(w, "w"))
    if size.max(initial=0) >= len(table):
        raise ValueError(f"w holds {int(size.max())} in magnitude: expected at most {len(table) - 1}, the table's last")
    return np.sign(w).astype(np.int64) * table[size].astype(np.int64)
