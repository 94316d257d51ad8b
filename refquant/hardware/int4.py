"""INT4 gradients (Kim 2024) as an accelerator quantizes them: the clip factor is an integer, its test one of integers.

Real (`refquant.quantizers.int4`), H = max|g|, gamma the clip factor, alpha = beta = 1/1000, N gradients in a step:

    c = gamma H,  step = c / (2^(bits-1) - 1),  code = round(clip(g, -c, c) / step) stochastically
    R = number of |g| > c, over N;    gamma' = clip(gamma + beta sign(R - alpha / (2^bits - 1)), beta, 1)

gamma only ever moves by 1/1000, so it is a counter k of thousandths, 1 to 1000. With qmax = 2^(bits-1) - 1:

    1 / step = 1000 qmax / (k H) ~ multiplier / 2^shift,   code = saturate(round(g multiplier / 2^shift), -qmax, qmax)
    |g| > c                    1000 |g| > k H                           counted before anything is rounded
    R > alpha / (2^bits - 1)   clipped 1000 (2^bits - 1) > N            no division
    k' = min(max(k + sign(clipped 1000 (2^bits - 1) - N), 1), 1000)     the sign of 0 is 0

A step of zeros has codes 0, clips nothing, and leaves k as it is. Its multiplier is 0 by convention, its shift 1.

The upper limit never acts: at k = 1000 nothing lies beyond the clip, and k falls. Below it the largest gradient always
does, so k falls only in tensors of more than 1000 (2^bits - 1) gradients: in smaller ones it rises to 1000 and from
then on alternates with 999.
"""
from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refquant.hardware import checks
from refquant.hardware.scaling import scaled
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import floor
from refquant.integers.stochastic import Stochastic

__all__ = ["Quantized", "Trajectory", "codes", "parameters", "trajectory", "updated"]

THOUSAND = 1000  # 1 / alpha, 1 / beta, and the clip factor that clips nothing


class Quantized(NamedTuple):
    """What `codes` returns.

    codes : s<bits> narrow, of the gradients' shape, any shape.  flags : uint8, of it too (`refquant.integers.flags`).
    highest : H, in units of g.  multiplier, shift : of codes.  clipped : how many gradients are. One integer each.

    Raises nothing of its own.

    Source: refquant's own; see `codes`.
    """

    codes: np.ndarray
    flags: np.ndarray
    highest: int
    multiplier: int
    shift: int
    clipped: int


class Trajectory(NamedTuple):
    """What `trajectory` returns: `Quantized` for every step.

    codes, flags : [T, N].  highest, multiplier, shift, clipped : int64 [T].
    clip_factor : after each step, in thousandths, int64 [T].

    Raises nothing of its own.

    Source: refquant's own; see `trajectory`.
    """

    codes: np.ndarray
    flags: np.ndarray
    highest: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    clipped: np.ndarray
    clip_factor: np.ndarray


def parameters(highest: int, clip_factor: int, bits: int) -> tuple[int, int]:
    """``(multiplier, shift)`` of gradients whose largest magnitude is ``highest``, clipped at clip_factor / 1000 of it.

    highest, clip_factor, bits : one integer each; highest 0 to 2^31, bits of a code.

    Raises ValueError for a clip factor outside 1 to 1000, gradients of more than 32 bits, and a scale of 2^30 or
    more, as wide codes of small gradients have.

    Source: Kim 2024's step, in integers by refquant; (0, 1) for gradients of zeros is its own convention.
    """
    clip_factor, qmax = _thousandths(clip_factor), IntFormat(bits).qmax
    highest = checks.integer("max|g|", highest, 0, 1 << 31)
    return multiplier_from_scale(Fraction(THOUSAND * qmax, clip_factor * highest)) if highest else (0, 1)


def codes(g: ArrayLike, clip_factor: int, bits: int, rounding: Stochastic) -> Quantized:
    """The gradients ``g`` as codes of 2^bits - 1 levels; see the module.

    g : integers of at most 32 bits, any shape.
    clip_factor : in thousandths, 1 to 1000.  bits : 2 or more.
    rounding : `Stochastic`, its random bits of g's shape. Flags: saturation, rounded up by chance.

    Raises ValueError for another rounding or random bits of another shape, and as `parameters` does; TypeError for
    a ``g`` that is not integers.

    Source: Kim 2024, grad_quant of the authors' code, in integers by refquant.
    """
    g, format = as_int64(g, "g"), IntFormat(bits, narrow=True)
    checks.random_bits("rounding", rounding, g.shape)
    highest = max(-int(g.min(initial=0)), int(g.max(initial=0)))
    multiplier, shift = parameters(highest, clip_factor, bits)
    rounded = scaled(g, multiplier, shift, rounding)
    flags = flag.of_codes(rounded, format, "saturate") | flag.of_chance(rounded, scaled(g, multiplier, shift, floor),
                                                                        rounding)
    clipped = int(np.count_nonzero(THOUSAND * np.abs(g) > clip_factor * highest))
    return Quantized(format.saturate(rounded), flags, highest, multiplier, shift, clipped)


def updated(clip_factor: int, clipped: int, count: int, bits: int) -> int:
    """The clip factor after a step of ``count`` gradients, not all 0, of which ``clipped`` lay beyond the clip.

    clip_factor, clipped, count, bits : one integer each; the clip factor in thousandths, as the result.

    Raises ValueError for a clip factor outside 1 to 1000, a count below 1, and clipped outside 0 to count.

    Source: Kim 2024, update_interval of the authors' code with alpha = beta = 1/1000, in integers by refquant.
    """
    clip_factor = _thousandths(clip_factor)
    count = checks.integer("count", count, 1, (1 << 63) - 1)
    clipped = checks.integer("clipped", clipped, 0, count)
    excess = clipped * THOUSAND * IntFormat(bits, signed=False).qmax - count
    return min(max(clip_factor + (excess > 0) - (excess < 0), 1), THOUSAND)


def trajectory(g: ArrayLike, clip_factor: int, *, bits: int, rbits: ArrayLike, n: int) -> Trajectory:
    """Step after step of gradients ``g`` [T, N], each clipped as the steps before it taught.

    g : integers of at most 32 bits.
    clip_factor : before the first step, in thousandths.  bits : 2 or more.
    rbits : ``n`` random bits a gradient, unsigned integers below 2^n [T, N].

    Raises ValueError for tensors without a step or an element, for random bits of another shape or beyond n, and as
    `codes` does.

    Source: Kim 2024, in integers by refquant; see `codes` and `updated`.
    """
    g, rbits = as_int64(g, "g"), np.asarray(rbits)
    if g.ndim != 2 or g.size == 0:
        raise ValueError(f"g has shape {g.shape}: expected [steps, elements], at least one of each")
    checks.shape("rbits", rbits, g.shape)
    steps, factors = [], []
    for row, random in zip(g, rbits, strict=True):
        step = codes(row, clip_factor, bits, Stochastic(random, n))
        if step.highest:
            clip_factor = updated(clip_factor, step.clipped, row.size, bits)
        steps.append(step)
        factors.append(clip_factor)
    return Trajectory._make([*(np.array(column) for column in zip(*steps, strict=True)), np.array(factors)])


def _thousandths(clip_factor: int) -> int:
    return checks.integer("clip_factor", clip_factor, 1, THOUSAND)
