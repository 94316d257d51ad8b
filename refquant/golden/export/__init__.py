"""Golden vectors in the files that testbenches, kernels and other tools load: below <suite>/export/<group>/<op>/<id>/.

A format is a module whose ``export(vector, word)`` returns the case's files, {path: bytes}, or a string that says why
it cannot have any. Those reasons are listed in export/REFUSED.txt. Bytes depend on the vector alone.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refquant.golden import files, vector
from refquant.golden.errors import GoldenError
from refquant.golden.export import bin, c, mem, npz, onnx, tv
from refquant.golden.vector import Vector

Exporter = Callable[[Vector, int | None], dict[str, bytes] | str]

FORMATS: dict[str, Exporter] = {"mem": mem.export, "c": c.export, "bin": bin.export, "npz": npz.export,
                                "tv": tv.export, "onnx": onnx.export}
SHARED = {"c": c.shared}  # files that a suite has once


def check_request(formats: tuple[str, ...], word: int | None) -> None:
    """A GoldenError unless these formats can be exported here: call it before any work is done."""
    for name in formats:
        if name not in FORMATS:
            raise GoldenError(f"export format {name!r}: expected some of {', '.join(FORMATS)}")
    if word is not None and word not in mem.WORDS:
        raise GoldenError(f"word = {word!r}: expected 32, 64 or 128 bits, or none for one element a line")
    if "onnx" in formats:
        onnx.onnx_package()


def export_suite(root: Path, entries: list[dict[str, Any]], formats: tuple[str, ...], word: int | None) -> None:
    """Write the cases ``entries`` of the suite ``root`` below root/export, in every one of ``formats``.

    word : bits a line of .mem files, 32, 64 or 128; None for one element a line.
    """
    check_request(formats, word)
    refused: dict[str, dict[str, str]] = {name: {} for name in formats}
    for entry in entries:
        case = vector.load(root, entry["op"], entry["id"])
        for name in formats:
            found = FORMATS[name](case, word)
            if isinstance(found, str):
                refused[name][entry["id"]] = found
            else:
                _write(root / "export" / case.path, found)
    for name in formats:
        _write(root / "export", SHARED[name]() if name in SHARED else {})
    text = "".join(_refusals(name, reasons, len(entries)) for name, reasons in refused.items() if reasons)
    _write(root / "export", {"REFUSED.txt": text.encode()} if text else {})


def _write(directory: Path, found: dict[str, bytes]) -> None:
    for name, data in found.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, data)


def _refusals(name: str, reasons: dict[str, str], cases: int) -> str:
    """How many cases have no export in format ``name``, for which reasons, and which they are."""
    counts = "".join(f"{count:7} {reason}\n" for reason, count in Counter(reasons.values()).most_common())
    listed = "".join(f"{id}: {reason}\n" for id, reason in reasons.items())
    return f"{name}: {len(reasons)} of {cases} cases have none\n{counts}\n{listed}\n"
