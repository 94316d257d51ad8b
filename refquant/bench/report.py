"""The table of a run, from its document."""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

WIDTH = 48
HEADING = f"{'':{WIDTH}} {'median ms':>11} {'best ms':>11} {'rate':>17}  refquant is"

ANSWERS = {"equal": "equal", "differs": "ITS ANSWER DIFFERS", "": ""}


def text(document: dict[str, Any]) -> str:
    """What it ran on, a line for each peer of each case, the figures."""
    return "\n".join([*_head(document), "", HEADING, *_rows(document["rows"]), *_figures(document["figures"]), ""])


def _head(document: dict[str, Any]) -> Iterator[str]:
    machine, threads = document["machine"], document["threads"]
    yield f"refquant bench {document['topic']}: {threads} thread{'s' * (threads > 1)}; {document['how']}"
    memory = "" if machine["memory_gib"] is None else f", {machine['memory_gib']} GiB"
    yield f"{machine['processor']}, {machine['cores']} cores{memory}, {machine['system']}"
    yield f"kernels compiled for {machine['compiled_for']}: {' '.join(machine['instruction_sets'])}"
    peak = machine["peak"]
    if peak:
        yield (f"clock {peak['clock_ghz']:.2f} GHz (dependent additions); {peak['instruction']}: "
               f"{peak['gmac_per_second']:.1f} GMAC/s a thread (on registers)")
    yield ", ".join([f"refquant {document['version']}", *(f"{name} {version}" for name, version in
                                                          document["versions"].items())])
    for library, packages in document["missing"].items():
        yield f"without {library}, which needs: {', '.join(packages)}"


def _rows(rows: list[dict[str, Any]]) -> Iterator[str]:
    for case, peers in itertools.groupby(rows, lambda row: row["case"]):
        yield case
        for row in peers:
            ratio = "" if row["ratio"] is None else f"{row['ratio']:8.2f} x as fast"
            said = ", ".join(part for part in (ANSWERS[row["answer"]], row["note"]) if part)
            yield (f"  {row['peer']:{WIDTH - 2}} {1e3 * row['median']:11.4g} {1e3 * row['best']:11.4g} "
                   f"{_rate(row):>17}  {ratio:18} {said}").rstrip()


def _rate(row: dict[str, Any]) -> str:
    return f"{row['work'] / row['median']:.4g} {row['unit']}" if row["unit"] else ""


def _figures(figures: list[dict[str, Any]]) -> Iterator[str]:
    for section, members in itertools.groupby(figures, lambda figure: figure["section"]):
        yield ""
        yield section
        for figure in members:
            yield f"  {figure['value']:9.2f} {figure['unit']:3} {figure['what']}"
