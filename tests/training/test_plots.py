"""Plots: what is refused before any work, and the same bytes twice where matplotlib is there."""
import importlib.util
import sys

import pytest

from refquant.errors import RefquantError
from refquant.training import plots

needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib, of the extra `book`")
HISTORIES = {name: [{"epoch": i + 1, "loss": 2.0 / (i + k), "score": 10.0 * i + k, "unit": "%"} for i in range(4)]
             for k, name in enumerate(("float", "sat-4"), 1)}
SCORES = {"float": (97.0, 98.0, 96.5), "sat-4": (95.0,)}


class Missing:
    """Finds matplotlib before others do, and has none."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError("none here")


@pytest.mark.parametrize("name, words", [("a.pdf", "ends in .svg or .png"), ("a", "ends in"), ("", "ends in"), ("a.SVG", "ends in"),
                                         ("missing/a.svg", "there is no directory")])
def test_wrong_names(tmp_path, name, words):
    with pytest.raises(RefquantError, match=words) as caught:
        plots.check(str(tmp_path / name) if name else name)
    assert name in str(caught.value) and caught.value.exit_code == 2


def test_without_matplotlib(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(RefquantError, match=r"pip install 'refquant\[book\]'"):
        plots.check(str(tmp_path / "a.svg"))


@needs_matplotlib
@pytest.mark.parametrize("kind, start", [("svg", b"<?xml"), ("png", b"\x89PNG\r\n\x1a\n")])
def test_the_same_bytes_twice(tmp_path, kind, start):
    for number, draw in enumerate((lambda path: plots.curves(HISTORIES, path), lambda path: plots.bars(SCORES, "%", path))):
        paths = [tmp_path / f"{number}{copy}.{kind}" for copy in "ab"]
        for path in paths:
            plots.check(str(path))
            draw(str(path))
        first, second = (path.read_bytes() for path in paths)
        assert first == second and first.startswith(start)
    assert (tmp_path / f"0a.{kind}").read_bytes() != (tmp_path / f"1a.{kind}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


@needs_matplotlib
def test_what_is_drawn(tmp_path, monkeypatch):
    """Every run is a line of its epochs; every score a dot, at its place."""
    drawn = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: drawn.append(figure))
    plots.curves(HISTORIES, "x.svg")
    plots.bars(SCORES, "%", "x.svg")
    left, right = drawn[0].axes
    for axes, key in ((left, "loss"), (right, "score")):
        assert [line.get_ydata().tolist() if hasattr(line.get_ydata(), "tolist") else list(line.get_ydata()) for line in axes.lines] == [
            [row[key] for row in history] for history in HISTORIES.values()]
        assert [line.get_label() for line in axes.lines] == list(HISTORIES)
    dots = [list(line.get_xdata()) for line in drawn[1].axes[0].lines if line.get_marker() == "o"]
    assert dots == [list(values) for values in SCORES.values()]
    assert [label.get_text() for label in drawn[1].axes[0].get_yticklabels()] == list(SCORES)
    from matplotlib import pyplot
    pyplot.close("all")
