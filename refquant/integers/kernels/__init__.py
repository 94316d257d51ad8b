"""The same answers as the plain forms beside them, in one compiled pass each, for arrays that are worth it.

A plain form in NumPy defines what is computed, serves small arrays, every unusual combination of choices, and machines
without the compiler; a kernel has equal bits.
"""
from __future__ import annotations

from refquant import worth

SMALL = 1 << 14  # elements that NumPy has done before a kernel is loaded


def worth_compiling(elements: int) -> bool:
    """Whether arrays of so many ``elements`` go to the compiled kernels."""
    return worth.worth_compiling(elements, SMALL)
