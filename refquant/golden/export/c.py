"""c/<case-id>.h: every tensor as a C array, and refquant_compare.h to compare a result with it. C99, or C++17.

Names are rq_<case>_<tensor>, the case's id with _ for - and `.`. With the same prefix, in an enum: _size and _dim0,
_dim1, ... of each tensor, and each attribute that is a number. So one harness serves all cases, by token pasting:

    #define NAME(case, what) rq_##case##_##what
"""
from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np

from refquant.golden.vector import Vector

PER_LINE = 16
TYPES = {"float32": "float", "float64": "double"}  # the others are called as in NumPy: int8 is int8_t


def export(vector: Vector, word: int | None) -> dict[str, bytes]:
    """The case's header by path."""
    return {f"c/{vector.id}.h": header(vector).encode()}


def shared() -> dict[str, bytes]:
    """The comparer, once for the suite."""
    return {"refquant_compare.h": resources.files(__package__).joinpath("refquant_compare.h").read_bytes()}


def identifier(id: str) -> str:
    """A case's id as a part of C names."""
    return re.sub(r"[.-]", "_", id)


def header(vector: Vector) -> str:
    """The text of the case's header."""
    prefix = f"rq_{identifier(vector.id)}"
    includes = ["#include <math.h>"] if any(not _finite(array) for array in vector.tensors.values()) else []
    lines = ["#pragma once", "#include <stdint.h>", *includes, "", f"// case {vector.id}",
             f"// operation {vector.record['op']}: {vector.record['summary']}"]
    lines += [f"// {name} = {json.dumps(value)}" for name, value in vector.attrs.items()]
    lines += ["", *_enum(prefix, _constants(vector))]
    for name, array in vector.tensors.items():
        lines += ["", *_array(f"{prefix}_{name}", array, f"{name}: {vector.format(name)} {list(array.shape)}")]
    return "\n".join(lines) + "\n"


def _constants(vector: Vector) -> Iterator[tuple[str, int]]:
    """What a harness needs as a number: shapes, zero points, strides."""
    for name, array in vector.tensors.items():
        yield f"{name}_size", array.size
        yield from ((f"{name}_dim{axis}", length) for axis, length in enumerate(array.shape))
    for name, value in vector.attrs.items():
        values = {f"{name}_{k}": item for k, item in enumerate(value)} if isinstance(value, list) else {name: value}
        yield from ((key, int(item)) for key, item in values.items() if _fits_int(item))


def _fits_int(value: Any) -> bool:
    return isinstance(value, int) and -(2**31) < value < 2**31


def _enum(prefix: str, constants: Iterator[tuple[str, int]]) -> list[str]:
    body = [f"    {prefix}_{name} = {value}" for name, value in constants]
    return ["enum {", ",\n".join(body), "};"]


def _array(name: str, array: np.ndarray, comment: str) -> list[str]:
    kind = TYPES.get(str(array.dtype), f"{array.dtype}_t")
    literals = [_literal(value, array.dtype) for value in array.reshape(-1).tolist()]
    if not literals:  # C has no empty arrays
        return [f"// {comment}: no elements; the 0 only gives the array a length",
                f"static const {kind} {name}[1] = {{0}};"]
    rows = [f"    {', '.join(literals[k:k + PER_LINE])}," for k in range(0, len(literals), PER_LINE)]
    return [f"// {comment}", f"static const {kind} {name}[{len(literals)}] = {{", *rows, "};"]


def _literal(value: int | float, dtype: np.dtype) -> str:
    if isinstance(value, float):
        return _float_literal(value, "f" if dtype == np.float32 else "")
    suffix = ("U" if dtype.kind == "u" and dtype.itemsize >= 4 else "") + ("LL" if dtype.itemsize == 8 else "")
    if dtype.kind == "i" and value == np.iinfo(dtype).min and dtype.itemsize >= 2:
        return f"(-{-(value + 1)}{suffix} - 1)"  # a minus sign is no part of a literal, and this one's number too big
    return f"{value}{suffix}"


def _float_literal(value: float, suffix: str) -> str:
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return value.hex() + suffix


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
