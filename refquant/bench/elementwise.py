"""Arithmetic on every element of a tensor, and what is drawn from its times.

Rates are in bytes read and written, so that they stand beside those of a plain copy: quantizing float32 to 8 bits moves
five bytes an element, a copy of float32 eight.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refquant.bench.plan import Plan
from refquant.bench.rows import FASTER, Case, Figure, Table
from refquant.bench.timing import geometric_mean

LIBRARIES = ("refquant", "torch", "numpy")

SIZES = {"32 K": 1 << 15, "1 M": 1 << 20, "16 M": 1 << 24}
BYTES = {  # read and written for each element
    "quantize": 5, "quantize per channel": 5, "quantize half_away": 5, "quantize float64": 9, "quantize stochastic": 5,
    "dequantize": 5, "pack s4": 1.5, "unpack s4": 1.5}
FLAVOURS = ("tosa_single", "tosa_double", "ruy_double", "mul16", "rndnu", "fp32_rint", "fp32_round", "shift half_even",
            "shift half_away", "shift floor")
REQUANTIZE = {f"requantize {flavour}": 5 for flavour in FLAVOURS} | {"requantize tosa_single per channel": 5}
OPERATIONS = BYTES | REQUANTIZE
QUICK = ("quantize", "quantize stochastic", "dequantize", "requantize tosa_single")
EVERY_SIZE = ("quantize", "quantize stochastic", "dequantize", "requantize tosa_single", "requantize shift half_even")

OURS, RECIPROCAL, NUMPY, COPY = "refquant", "refquant, reciprocal", "NumPy", "NumPy copy of float32"


def cases(quick: bool) -> list[Case]:
    if quick:
        return [case_of(operation, "32 K") for operation in QUICK]
    return [case_of(operation, size) for operation in OPERATIONS
            for size in (SIZES if operation in EVERY_SIZE else ("1 M",))]


def case_of(operation: str, size: str) -> Case:
    return Case(f"{operation}, {size}", OPERATIONS[operation] * SIZES[size] / 1e9, "GB/s",
                {"operation": operation, "count": SIZES[size]})


def figures(table: Table, machine: dict[str, Any], plan: Plan) -> Iterator[Figure]:
    requantized = []
    for case in cases(plan.quick):
        ratio = table.ratio(case.name, OURS, NUMPY)
        if ratio is not None:
            yield Figure(FASTER, f"{case.name} / NumPy", ratio)
            requantized += [ratio] if case.given["operation"] in REQUANTIZE else []
    if requantized:
        yield Figure(FASTER, f"requantize / NumPy, geometric mean of {len(requantized)}", geometric_mean(requantized))
        yield Figure(FASTER, f"requantize / NumPy, worst of {len(requantized)}", min(requantized))
    for size in SIZES:
        case = f"quantize, {size}"
        copy = table.row(case, COPY)
        for ours in (OURS, RECIPROCAL):
            row = table.row(case, ours)
            if row is not None and copy is not None:
                yield Figure("share of copy bandwidth", f"{case}, {ours}", 100 * row.rate / copy.rate, "%")
