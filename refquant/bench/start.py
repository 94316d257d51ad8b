"""The time before the first result: processes that are new, each started several times.

    python                an interpreter that does nothing: what the others cannot be faster than
    import refquant       the package alone, which loads neither NumPy nor Numba
    product, step         a product of 256 x 256 x 256; a whole step of the cnn by hindsight-8, 64 images of 28 x 28
    warm, cold            with the machine code of a process before on disk, or with an empty cache

Of a product and a step there are the seconds of the whole process, and those of the first call inside it alone, which
from cold are nearly all compilation.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refquant.bench.plan import Plan
from refquant.bench.rows import Figure, Table

LIBRARIES = ("refquant",)
HOW = "each time a new process"
NOTHING, IMPORT = "python", "import refquant"
PROCESS, FIRST = "the whole process", "the first call"
WORK = ("product", "step")


def figures(table: Table, machine: dict[str, Any], plan: Plan) -> Iterator[Figure]:
    for row in table.rows:
        yield Figure("medians", f"{row.case}: {row.peer}", row.median, "s")
