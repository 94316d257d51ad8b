"""What long runs found, as the chapters show it: read from chapters/results, never trained anew."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
CLAIMS = ("claim", "paper", "ours", "holds", "command")


def load(name: str) -> Any:
    """The contents of results/NAME.json."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def found(experiment: str, claim: str) -> tuple[str, str]:
    """``(numbers, word)`` of a claim of experiments/mechanisms.py, by the beginning of its text.

    The numbers are the mean difference over the seeds with half the width of its 95 % interval.
    """
    claims = [each for each in load("mechanisms")[experiment]["claims"] if each["text"].startswith(claim)]
    if len(claims) != 1:
        raise ValueError(f"claim {claim!r} of {experiment}: expected the beginning of one claim, found {len(claims)}")
    (one,) = claims
    difference = round(one["difference"], 2) + 0.0  # no minus before 0
    return f"{difference:+.2f} ± {one['half_width']:.2f} {one['unit']}", one["word"]


def table(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def claims(rows: Iterable[Sequence]) -> str:
    """A chapter's table of claims: claim, the paper's figure, ours, whether it holds, the command that shows it."""
    rows = [list(row) for row in rows]
    for row in rows:
        if len(row) != len(CLAIMS):
            raise ValueError(f"row {row}: expected {len(CLAIMS)} cells: {', '.join(CLAIMS)}")
    return table(CLAIMS, rows)


def collected(chapters: dict[str, str]) -> str:
    """The tables of claims of these ``chapters`` (page: name shown) as one, each row with a link to its page."""
    rows = []
    for page, name in chapters.items():
        text = (RESULTS.parent / f"{page}.md").read_text()
        _, header, found = text.partition(table(CLAIMS, []) + "\n")
        if not header:
            raise ValueError(f"{page}.md: expected a table of claims")
        for line in found[:found.index("\n\n")].splitlines():
            rows.append([f"[{name}]({page}.md)", *cells(line)])
    return table(("chapter", *CLAIMS), rows)


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table; a bar behind a backslash belongs to its cell."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
