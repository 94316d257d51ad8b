"""Stochastic rounding of integers by a device that makes its own random bits, element by element.

  y[i] = floor(v[i] / 2^shift + r[i] / 2^n)                                        yet to be saturated
  register   r[i] = the n low bits of the state after (i + 1) * steps steps; the next tensor starts where this one ends
  philox     r[i] = the n high bits of lane i of the stream (seed, tensor, step)
"""
from fractions import Fraction

from .randombits import lfsr_bits, philox_bits
from .rounding import chance_flag, rounding_flags, stochastic_shift
from .steps import silent

__all__ = ["lfsr_after", "lfsr_shift", "philox_shift"]


def lfsr_shift(v, i, shift, width, n, steps, seed, *, note=silent):
    """(r, rounded, flags) of one element: its random bits, floor(v / 2^shift + r / 2^n), and its flags.

    v : one int.
    i : which element it is, 0 or more.
    shift : 0 ... 63.
    width : of the register: 8, 16, 24 or 32 bits.
    n : random bits, 1 ... width.
    steps : how often the register steps an element.
    seed : its state before element 0, 1 ... 2^width - 1.
    note : told each step as a line of text.

    Flags: 1 inexact, 2 a tie, 32 up by chance.

    Raises ValueError as `lfsr_bits` and `stochastic_shift`.

    Source: refquant's own: a rounder that keeps a Galois register, one for all elements in order.
    """
    r = lfsr_bits(i, n, width, seed, steps, note=note)
    return r, *_rounded(v, shift, r, n, note)


def lfsr_after(count, width, seed, steps, *, note=silent):
    """The register's state after some elements, one int: where the next tensor starts; after none, the seed.

    count : how many elements, 0 or more.
    width, seed, steps : as in `lfsr_shift`.
    note : told each step as a line of text.

    Raises ValueError for a count below 0, and as `lfsr_bits`.

    Source: as `lfsr_shift`.
    """
    if count < 0:
        raise ValueError(f"count {count} below 0")
    return lfsr_bits(0, width, width, seed, count * steps, note=note)


def philox_shift(v, i, shift, n, seed, tensor=0, step=0, *, note=silent):
    """(r, rounded, flags) of one element by Philox4x32-10; flags as in `lfsr_shift`.

    v : one int.
    i : which element it is, 0 or more.
    shift : 0 ... 63.
    n : random bits, 1 ... 63.
    seed, tensor, step : of the stream, of 64, 32 and 32 bits.
    note : told each step as a line of text.

    Raises ValueError as `philox_bits` and `stochastic_shift`.

    Source: Salmon et al. 2011, and `stochastic_shift`.
    """
    r = philox_bits(i, n, seed, tensor, step, note=note)
    return r, *_rounded(v, shift, r, n, note)


def _rounded(v, shift, r, n, note):
    note(f"value {v}")
    rounded = stochastic_shift(v, shift, r, n, note=note)
    real = Fraction(v, 1 << shift)
    return rounded, rounding_flags(real) | chance_flag(real, rounded)
