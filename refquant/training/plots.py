"""Plots of training: needs matplotlib, which the extra ``book`` brings. The same history gives the same SVG bytes."""
from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refquant.atomic import write
from refquant.errors import RefquantError

FORMATS = (".svg", ".png")


def check(path: str) -> None:
    """A RefquantError unless a plot can be written to ``path``: call it before any work is done."""
    if Path(path).suffix not in FORMATS:
        raise RefquantError(f"--plot {path}: expected a name that ends in {' or '.join(FORMATS)}")
    if not Path(path).parent.is_dir():
        raise RefquantError(f"--plot {path}: there is no directory {Path(path).parent}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise RefquantError("--plot needs matplotlib: pip install 'refquant[book]'") from None


def curves(histories: Mapping[str, Sequence[Mapping[str, Any]]], path: str) -> None:
    """Loss and test score over the epochs, a line for each run of ``histories`` (name: its epochs)."""
    figure, (left, right) = _figure(2, (9.0, 3.6))
    for name, history in histories.items():
        epochs = [line["epoch"] for line in history]
        left.plot(epochs, [line["loss"] for line in history], label=name)
        right.plot(epochs, [line["score"] for line in history], label=name)
    unit = next(iter(histories.values()))[0]["unit"]
    for axes, title in ((left, "training loss"), (right, f"test score [{unit}]")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    left.set_yscale("log")
    right.legend(fontsize=7, ncols=2)
    _save(figure, path)


def bars(scores: Mapping[str, Sequence[float]], unit: str, path: str) -> None:
    """The final test scores of each method: a dot for each seed, a line at their mean."""
    figure, axes = _figure(1, (8.0, 0.32 * len(scores) + 1.2))
    for row, values in enumerate(scores.values()):
        axes.plot([sum(values) / len(values)] * 2, [row - 0.3, row + 0.3], color="black", linewidth=1.5)
        axes.plot(values, [row] * len(values), "o", color="tab:blue", alpha=0.6)
    axes.set_yticks(range(len(scores)), list(scores))
    axes.invert_yaxis()
    axes.set_xlabel(f"test score [{unit}]")
    axes.grid(axis="x", alpha=0.3)
    _save(figure, path)


def _figure(columns: int, size: tuple[float, float]):
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "refquant"
    from matplotlib import pyplot

    return pyplot.subplots(1, columns, figsize=size, layout="constrained")


def _save(figure, path: str) -> None:
    from matplotlib import pyplot

    kind, buffer = Path(path).suffix[1:], io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
    pyplot.close(figure)
    write(Path(path), buffer.getvalue())
