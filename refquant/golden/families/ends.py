"""Mistakes at the ends of a format: which codes it has, and what happens to those outside.

For operations whose attributes name the ``format`` of output y; most also have an ``overflow`` and a zero point.
"""
from __future__ import annotations

import numpy as np

from refquant.golden.mutants import changed
from refquant.golden.operation import Arrays, Attrs, Mutant, Reference
from refquant.integers.formats import IntFormat

WIDE = "s32"  # holds every code that could be meant


def _codes(attrs: Attrs) -> IntFormat | None:
    """The format of y; None where y holds accumulators."""
    return None if attrs.get("flavour") == "none" else IntFormat.parse(attrs["format"])


def container(format: IntFormat) -> IntFormat:
    """The whole of the bytes that hold ``format``."""
    return IntFormat(8 * format.dtype.itemsize, format.signed)


def _reformatted(name: str, says: str, other) -> Mutant:
    """Another format, ``other(format)`` by name; None: it has no meaning here."""
    def change(attrs, inputs):
        format = _codes(attrs)
        named = None if format is None else other(format)
        return None if named is None else (attrs | {"format": named}, inputs)
    return changed(name, says, change)


NARROW = _reformatted("narrow", "the most negative code is not used",
                      lambda format: f"{format}n" if format.signed and not format.narrow else None)
FULL = _reformatted("full", "the most negative code is used in a narrow format",
                    lambda format: str(IntFormat(format.bits, format.signed)) if format.narrow else None)
CONTAINER = _reformatted("saturates_to_container", "codes are limited by their container, not by their format",
                         lambda format: str(container(format)) if container(format) != format else None)


def wide(reference: Reference, attrs: Attrs, inputs: Arrays) -> Arrays:
    """The results with y as it is before its format limits it, int64."""
    results = reference(attrs | {"format": WIDE}, inputs)
    return results | {"out_y": results["out_y"].astype(np.int64)}


def _limited(name: str, says: str, limit) -> Mutant:
    """y limited otherwise: ``limit(codes, format)`` of the wide codes, then cut to the container as a cast does."""
    def run(reference, attrs, inputs):
        format = _codes(attrs)
        if format is None or attrs.get("overflow") == "wrap":
            return None
        results = wide(reference, attrs, inputs)
        codes = limit(results["out_y"], format)
        return None if codes is None else results | {"out_y": container(format).wrap(codes)}
    return Mutant(name, says, run)


def _zero_point_last(reference, attrs, inputs):
    """The zero point added to codes that are saturated already; the sum is cast."""
    format, zero_point = _codes(attrs), attrs["zero_point"]
    plain = attrs.get("overflow") != "wrap" and attrs.get("zero_point_at") != "before"
    if format is None or not zero_point or not plain:
        return None
    results = reference(attrs | {"zero_point": 0}, inputs)
    return results | {"out_y": container(format).wrap(results["out_y"].astype(np.int64) + zero_point)}


UNCLAMPED = (
    _limited("not_clamped_below", "only the upper end is clamped: lower codes are cast",
             lambda codes, format: np.minimum(codes, format.qmax)),
    _limited("not_clamped_above", "only the lower end is clamped: higher codes are cast",
             lambda codes, format: np.maximum(codes, format.qmin)),
)
NO_CODE_0 = _limited("unsigned_narrow", "code 0 of an unsigned format is not used",
                     lambda codes, format: None if format.signed else np.clip(codes, 1, format.qmax))
ZERO_POINT_LAST = Mutant("zero_point_after_saturation", "the zero point is added after saturation", _zero_point_last)

OF_FORMATS = (NARROW, CONTAINER)
OF_CODES = (*UNCLAMPED, NO_CODE_0, ZERO_POINT_LAST)
