"""Stochastic rounding of integers by a device that makes its own random bits, element by element.

  y[i] = floor(v[i] / 2^shift + r[i] / 2^n)                                        yet to be saturated
  register   r[i] = the n low bits of the state after (i + 1) * steps steps; the next tensor starts where this one ends
  philox     r[i] = the n high bits of lane i of the stream (seed, tensor, step)
"""
from fractions import Fraction

from .randombits import lfsr_bits, philox_bits
from .rounding import chance_flag, rounding_flags, stochastic_shift
from .steps import silent


def lfsr_shift(v, i, shift, width, n, steps, seed, *, note=silent):
    """(r, rounded, flags) of element i, v, by a register of `width` bits that steps `steps` times an element.

    Flags 1: inexact, 2: a tie, 32: up by chance. Errors of `lfsr_bits` and `stochastic_shift`.
    """
    r = lfsr_bits(i, n, width, seed, steps, note=note)
    return r, *_rounded(v, shift, r, n, note)


def lfsr_after(count, width, seed, steps, *, note=silent):
    """The register's state after `count` elements; after none, the seed. ValueError for a count below 0."""
    if count < 0:
        raise ValueError(f"count {count} below 0")
    return lfsr_bits(0, width, width, seed, count * steps, note=note)


def philox_shift(v, i, shift, n, seed, tensor=0, step=0, *, note=silent):
    """(r, rounded, flags) of element i, v, by Philox4x32-10. Flags as above; errors of `philox_bits` and theirs."""
    r = philox_bits(i, n, seed, tensor, step, note=note)
    return r, *_rounded(v, shift, r, n, note)


def _rounded(v, shift, r, n, note):
    note(f"value {v}")
    rounded = stochastic_shift(v, shift, r, n, note=note)
    real = Fraction(v, 1 << shift)
    return rounded, rounding_flags(real) | chance_flag(real, rounded)
