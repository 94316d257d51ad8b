"""PACT and CG-PACT in integers (Jin 2019, arXiv 1912.10207): activations quantized from the accumulators themselves.

The real method (`refquant.quantizers.sat.pact`), a = 2^bits - 1, x the layer's result and alpha > 0 learned:

    y = alpha q(u),  u = clip(x, 0, alpha) / alpha,  q(u) = round(a u) / a
    dx = g for 0 < x < alpha, else 0
    dalpha = sum over x >= alpha of g  +  (CG-PACT) sum over 0 < x < alpha of g (q(u) - u)

An accelerator has x as acc_scale * acc. Where x is inside,  a u = acc * (a acc_scale / alpha),  so one scale turns
accumulators into codes; below 0 and above alpha the codes saturate to what the clip gives, 0 and a:

    multiplier * 2^-shift ~ a acc_scale / alpha        alpha_acc = the least acc with acc_scale * acc >= alpha
    forward     code = saturate(round(acc * multiplier / 2^shift), u<bits>)
    backward    dx = g for 0 < acc < alpha_acc, else 0
                error = code * 2^F - round(acc * multiplier / 2^(shift - F))      between (0 < acc < alpha_acc), else 0
                dalpha = sum over acc >= alpha_acc of g * a * 2^F  +  (calibrated) sum of g * error

error is a (q(u) - u) in 2^-F, so dalpha is in units of g's scale / (a 2^F). With F = shift nothing in it is rounded.

Codes differ from the real method's only where the multiplier, one of 31 bits, errs: where a u lies within a u * 2^-31
of a tie. That takes in exact ties whose ratio is no number of 31 bits (bits = 5, alpha = 5, acc_scale = 1/2, acc = 5:
a u = 31/2, whose even neighbour is 16; the multiplier is a little below 31/10, the code 15). Of ratios that are such
numbers, ties stay ties. For roundings other than the half_ ones, integers take the place of ties: floor of a u = a may
be a - 1.
"""
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from refquant.hardware import checks
from refquant.hardware.scaling import scaled
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import Rounding, half_even

__all__ = ["backward", "forward", "parameters"]

ALPHA = IntFormat(48)
S32 = IntFormat(32)


def parameters(alpha: float, acc_scale: float, bits: int) -> tuple[int, int, int]:
    """``(multiplier, shift, alpha_acc)`` of a real clip level and a real scale, exactly as their floats stand.

    alpha : one number; its magnitude counts, as in the real method; dalpha then takes alpha's sign.
    acc_scale : one number, what an accumulator of 1 stands for.  bits : of a code, 2 or more.

    Returns three integers; alpha_acc is the least accumulator at or above alpha.

    Raises ValueError for an alpha of 0, a scale that is not positive, either not finite, an alpha_acc above 47 bits,
    and a scale of codes of 2^30 or more.

    Source: Jin 2019, PACT's clip, in integers by refquant; the pair as `refquant.integers.multiplier_from_scale`.
    """
    if not math.isfinite(alpha) or alpha == 0:
        raise ValueError(f"alpha = {alpha}: expected a finite number other than 0")
    checks.positive("acc_scale", acc_scale)
    in_accumulators = Fraction(abs(float(alpha))) / Fraction(float(acc_scale))
    alpha_acc = math.ceil(in_accumulators)
    if alpha_acc > ALPHA.qmax:
        raise ValueError(f"alpha = {alpha} is {alpha_acc} times acc_scale = {acc_scale}: expected at most 2^47 - 1")
    return *multiplier_from_scale(IntFormat(bits, signed=False).qmax / in_accumulators), alpha_acc


def forward(acc: ArrayLike, multiplier: int, shift: int, *, bits: int,
            rounding: str | Rounding = half_even) -> np.ndarray:
    """Codes u<bits> of accumulators, of their shape.

    acc : integers, any shape.  multiplier, shift : of `parameters`.
    bits : 2 or more.  rounding : a mode, its name, or `Stochastic`.

    Raises ValueError for a shift outside 0..63 and an unknown rounding, TypeError for what is not integers, and
    OverflowError where a code before saturation leaves int64.

    Source: Jin 2019, PACT's y = alpha q(x~ / alpha), in integers by refquant.
    """
    return IntFormat(bits, signed=False).saturate(scaled(acc, multiplier, shift, rounding))


def backward(g: np.ndarray, acc: np.ndarray, alpha_acc: int, multiplier: int, shift: int, *, bits: int,
             fraction_bits: int, calibrated: bool, rounding: str | Rounding = half_even
             ) -> tuple[np.ndarray, int, np.ndarray]:
    """``(dx, dalpha, error)``: dx in g's dtype and error int32, both of acc's shape; dalpha one number.

    g, acc : integers of one shape, any shape, g of 32 bits at most.
    alpha_acc, multiplier, shift : of `parameters`.  bits, rounding : as for `forward`.
    fraction_bits : F: error is in 2^-F of a code, dalpha in g's units / (a 2^F).
    calibrated : whether it is CG-PACT, else PACT.

    Raises ValueError for shapes that differ, a wider g, an alpha_acc below 1, F outside 0..min(shift, 30), and an error
    or a dalpha that could leave 32 or 64 bits; else as `forward`.

    Source: Jin 2019, CG-PACT, in integers by refquant: dx is the derivative of the clip, dalpha that of y with the
    rounding error constant (PACT: of the clip).
    """
    wide_g, acc = as_int64(g, "g"), as_int64(acc, "acc")
    checks.shape("g", wide_g, acc.shape)
    if not S32.contains(wide_g):
        raise ValueError(f"g holds values from {int(wide_g.min())} to {int(wide_g.max())}: expected 32 bits")
    checks.integer("alpha_acc", alpha_acc, 1, (1 << 63) - 1)
    checks.integer("shift", shift, 0, 63)
    checks.integer("fraction_bits", fraction_bits, 0, min(shift, 30))
    between, above = (acc > 0) & (acc < alpha_acc), acc >= alpha_acc
    inside = np.where(between, acc, 0)
    code = forward(inside, multiplier, shift, bits=bits, rounding=rounding).astype(np.int64)
    error = (code << fraction_bits) - scaled(inside, multiplier, shift - fraction_bits, rounding)
    one = IntFormat(bits, signed=False).qmax << fraction_bits  # 1 in dalpha's unit
    largest = int(np.abs(wide_g).sum()) * max(one, int(np.abs(error).max(initial=0)))
    if not S32.contains(error) or largest >= 1 << 63:
        raise ValueError(f"dalpha can reach {largest}, error {int(np.abs(error).max(initial=0))}: "
                         "expected 64 and 32 bits to hold them")
    dalpha = int(wide_g[above].sum()) * one + (int((wide_g * error).sum()) if calibrated else 0)
    return np.where(between, wide_g, 0).astype(np.asarray(g).dtype), dalpha, error.astype(np.int32)
