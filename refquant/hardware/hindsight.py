"""In-hindsight ranges (Fournarakis 2021) as an accelerator keeps them: two registers and integer arithmetic.

Real (`refquant.quantizers.hindsight`), an accumulator acc standing for the value s acc:

    scale = (high - low) / (2^bits - 1),  zero_point = -low / scale,  code = round(s acc / scale) + zero_point
    range_{t+1} = eta range_t + (1 - eta) minmax_t

The range is a register of two numbers in units of s 2^-F, F = fraction_bits. So s cancels: nothing below depends on it.

    low, high  = min(range_min, 0), max(range_max, 0);   size = high - low, 1 for a range of zeros;   top = 2^bits - 1
    s / scale  = top 2^F / size ~ multiplier / 2^shift,     zero_point = half_away(-low top / size)
    code       = saturate(round(acc multiplier / 2^shift) + zero_point)
    range'     = half_even((range momentum + (min acc, max acc) 2^F (2^16 - momentum)) / 2^16),    momentum = eta 2^16

The first step of a training takes its own minimum and maximum as its range; afterwards a step's accumulators are
quantized as they come out, by the range of the steps before, while two registers collect their ends for the next.

Widths: a range fits 48 bits, so both products of the update and their sum fit 64, as their weights add up to 2^16.
"""
from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refquant.hardware import checks
from refquant.hardware.scaling import divide, scaled
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import Rounding, half_away, half_even
from refquant.integers.stochastic import Stochastic

__all__ = ["Trajectory", "affine", "codes", "trajectory", "updated"]

RANGE = IntFormat(48)
MOMENTUM_BITS = 16


class Trajectory(NamedTuple):
    """What `trajectory` returns: the T steps of a tensor of N elements.

    range : the range of each step, in 2^-fraction_bits, int64 [T, 2].
    multiplier, shift, zero_point : what `affine` made of it, int64 [T].
    codes : u<bits> [T, N].  flags : uint8 [T, N] (`refquant.integers.flags`).
    seen : least and greatest accumulator of each step, int64 [T, 2].
    state : the range for the step after the last, as ``range``, int64 [2].

    Raises nothing of its own.

    Source: refquant's own; see `trajectory`.
    """

    range: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: np.ndarray
    codes: np.ndarray
    flags: np.ndarray
    seen: np.ndarray
    state: np.ndarray


def affine(low: int, high: int, fraction_bits: int, bits: int) -> tuple[int, int, int]:
    """``(multiplier, shift, zero_point)`` of the range [low, high], in 2^-fraction_bits, widened to hold 0.

    low, high, fraction_bits, bits : one integer each; bits of a code, 2 to 16.

    Raises ValueError for low above high, either outside 48 bits, fraction_bits outside 0..47, and for a range so
    narrow that the multiplier would have no shift.

    Source: google/gemmlowp's zero point, half away, in integers by refquant; the paper's choice is not known to us.
    """
    low, high = (checks.integer(name, end, RANGE.qmin, RANGE.qmax) for name, end in (("low", low), ("high", high)))
    if low > high:
        raise ValueError(f"range [{low}, {high}]: expected low <= high")
    checks.integer("fraction_bits", fraction_bits, 0, RANGE.bits - 1)
    low, high, top = min(low, 0), max(high, 0), IntFormat(bits, signed=False).qmax
    size = high - low or 1
    multiplier, shift = multiplier_from_scale(Fraction(top << fraction_bits, size))
    return multiplier, shift, int(divide(-low * top, size, half_away))


def codes(acc: ArrayLike, multiplier: ArrayLike, shift: ArrayLike, zero_point: ArrayLike, *, bits: int,
          rounding: str | Rounding | Stochastic = half_even) -> tuple[np.ndarray, np.ndarray]:
    """``(codes, flags)``: accumulators scaled, rounded, moved by the zero point and saturated; saturation is flagged.

    acc : integers, any shape.  multiplier, shift, zero_point : of `affine`, integers that broadcast with it.
    bits : 2 or more.  rounding : a mode, its name, or `Stochastic`.

    Returns u<bits> and uint8 (`refquant.integers.flags`), of the shape that the arguments have together.

    Raises ValueError for shapes that do not broadcast, a shift outside 0..63 and an unknown rounding, TypeError for
    what is not integers, OverflowError where a scaled accumulator leaves int64, with its zero point or without.

    Source: Fournarakis 2021's static quantizer, in integers by refquant; see the module.
    """
    format = IntFormat(bits, signed=False)
    checks.broadcast(acc=acc, multiplier=multiplier, shift=shift, zero_point=zero_point)
    rounded, zero_point = scaled(acc, multiplier, shift, rounding), as_int64(zero_point, "zero_point")
    moved = rounded + zero_point
    if ((rounded < 0) & (zero_point < 0) & (moved >= 0) | (rounded > 0) & (zero_point > 0) & (moved < 0)).any():
        raise OverflowError("scaled accumulators and their zero points add up to more than int64 holds")
    return format.saturate(moved), flag.of_codes(moved, format, "saturate")


def updated(state: ArrayLike, seen: ArrayLike, momentum: int, fraction_bits: int) -> np.ndarray:
    """The range for the next step: ``state``, in 2^-fraction_bits, weighted by momentum / 2^16, the rest by ``seen``.

    state : integers [2], (min, max), or any shape.  seen : accumulators, the same shape.
    momentum : eta 2^16, one integer.  fraction_bits : 0 to 47.

    Returns int64 of state's shape, half_even.

    Raises ValueError for another shape, a momentum outside 0 to 2^16 - 1, fraction_bits outside 0..47, and for ranges
    that do not fit 48 bits; TypeError for what is not integers.

    Source: Fournarakis 2021, the update as LUQ, eq. 18, quotes it for max|x|; in integers by refquant.
    """
    checks.integer("momentum", momentum, 0, (1 << MOMENTUM_BITS) - 1)
    checks.shape("seen", seen, np.shape(state))
    weighted = _in_48_bits("state", as_int64(state, "state")) * momentum
    return half_even.shift(weighted + _fixed(seen, fraction_bits) * ((1 << MOMENTUM_BITS) - momentum), MOMENTUM_BITS)


def trajectory(acc: ArrayLike, state: ArrayLike, *, first: bool, bits: int, fraction_bits: int, momentum: int,
               rounding: str | Rounding | Stochastic = half_even) -> Trajectory:
    """Step after step of accumulators ``acc`` [T, N], each quantized by the range of the steps before it.

    acc : integers.
    state : the range before the first step, integers [2], in 2^-fraction_bits.
    first : there is none, the first step takes its own and ``state`` is not looked at.
    bits : of a code, 2 to 16.  fraction_bits, momentum : as for `updated`.
    rounding : of the codes, a mode, its name, or `Stochastic` with random bits of shape [T, N].

    Raises ValueError for tensors without a step or an element, a state or random bits of another shape, and as
    `affine`, `codes` and `updated` do.

    Source: Fournarakis 2021; that a first step takes its own range is the public quantization library's of its authors'
    group.
    """
    acc = as_int64(acc, "acc")
    if acc.ndim != 2 or acc.size == 0:
        raise ValueError(f"acc has shape {acc.shape}: expected [steps, elements], at least one of each")
    if not first:
        checks.shape("state", state, (2,))
    if isinstance(rounding, Stochastic):
        checks.random_bits("rounding", rounding, acc.shape)
    seen = np.stack([acc.min(1), acc.max(1)], axis=1)
    ranges = [_fixed(seen[0], fraction_bits) if first else _in_48_bits("state", as_int64(state, "state"))]
    for step in seen:  # a first step's range, updated with itself, stays: state_1 is what the first step showed
        ranges.append(updated(ranges[-1], step, momentum, fraction_bits))
    used = np.stack(ranges[:-1])
    multiplier, shift, zero_point = affines(used, fraction_bits, bits)
    quantized, flags = codes(acc, multiplier[:, None], shift[:, None], zero_point[:, None], bits=bits,
                             rounding=rounding)
    return Trajectory(used, multiplier, shift, zero_point, quantized, flags, seen, ranges[-1])


def affines(ranges: ArrayLike, fraction_bits: int, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`affine` of each of ``ranges`` [T, 2], one at least: three arrays [T]."""
    pairs = as_int64(ranges, "ranges")
    checks.shape("ranges", pairs, (max(len(pairs), 1), 2))
    multiplier, shift, zero_point = zip(*(affine(low, high, fraction_bits, bits) for low, high in pairs.tolist()),
                                        strict=True)
    return np.array(multiplier), np.array(shift), np.array(zero_point)


def _fixed(seen: ArrayLike, fraction_bits: int) -> np.ndarray:
    """Accumulators in 2^-fraction_bits."""
    wide = as_int64(seen, "seen")
    limit = RANGE.qmax >> checks.integer("fraction_bits", fraction_bits, 0, RANGE.bits - 1)
    if wide.size and not -limit - 1 <= int(wide.min()) <= int(wide.max()) <= limit:
        raise ValueError(f"seen runs from {wide.min()} to {wide.max()}: with {fraction_bits} fraction bits, "
                         f"expected {-limit - 1} to {limit}")
    return wide << fraction_bits


def _in_48_bits(name: str, range: np.ndarray) -> np.ndarray:
    if not RANGE.contains(range):
        raise ValueError(f"{name} = {range.tolist()}: expected {RANGE.qmin} to {RANGE.qmax}")
    return range
