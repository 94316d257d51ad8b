"""Pictures of differences, as SVG: where in a tensor they are, and how large.

A tensor is shown as a matrix: its last axis (of those longer than 1) as columns, all before it flattened as rows. A
tensor with one axis is wrapped into rows of equal length. More than 96 rows or 64 columns are put together in bins,
whose sides are powers of two.
"""
from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from refquant.golden.markup import Markup, element, join

ROWS, COLUMNS = 96, 64  # of a map
WRAP = 32  # elements a row, at least, of a wrapped tensor
LETTER = 6.7  # width of one, in the map's units
SHADES = ((0.25, 0.5), (0.5, 0.65), (0.999999, 0.8), (1.0, 1.0))  # share of a bin that differs, opacity


@dataclass(frozen=True)
class Grid:
    """A tensor's differences as a matrix of bins.

    differing, elements : how many of each bin, [rows, columns].  bin : rows and columns of the matrix that a bin holds.
    leading : the shape whose flattened indices are the rows; None for a tensor that is wrapped.
    axes : what the rows and the columns are.  length : of the matrix, rows and columns.
    """

    differing: np.ndarray
    elements: np.ndarray
    bin: tuple[int, int]
    leading: tuple[int, ...] | None
    axes: tuple[str, str]
    length: tuple[int, int]

    def row_label(self, row: int) -> str:
        """The index of the bin's first row: of a wrapped tensor, its first element's."""
        first = row * self.bin[0]
        if self.leading is None:
            return str(first * self.length[1]) if self.length[0] > 1 else ""
        return ",".join(str(int(i)) for i in np.unravel_index(first, self.leading))

    def column_label(self, column: int) -> str:
        first = column * self.bin[1]
        return f"+{first}" if self.leading is None and self.length[0] > 1 else str(first)


def grid(wrong: np.ndarray) -> Grid:
    """The bins of ``wrong``, true where an element differs; any shape."""
    long = [axis for axis, size in enumerate(wrong.shape) if size > 1]
    if len(long) < 2:
        flat = wrong.reshape(-1)
        width = flat.size if flat.size <= WRAP else max(WRAP, 1 << math.ceil(math.log2(flat.size) / 2))
        rows = -(-flat.size // width)
        padded = np.zeros((2, rows * width), bool)
        padded[:, :flat.size] = flat, np.ones_like(flat)
        matrix = padded.reshape(2, rows, width)
        return _binned(matrix, None, ("", f"axis {long[0]}" if long else "one element"))
    leading = wrong.shape[:long[-1]]
    matrix = np.stack([wrong, np.ones_like(wrong)]).reshape(2, math.prod(leading), -1)
    rows = f"axes {', '.join(map(str, range(long[-1])))}" if len(leading) > 1 else "axis 0"
    return _binned(matrix, leading, (rows, f"axis {long[-1]}"))


def _binned(matrix: np.ndarray, leading: tuple[int, ...] | None, axes: tuple[str, str]) -> Grid:
    _, rows, columns = matrix.shape
    height, width = (1 << (-(-length // most) - 1).bit_length() for length, most in ((rows, ROWS), (columns, COLUMNS)))
    sums = np.add.reduceat(matrix, np.arange(0, rows, height), axis=1, dtype=np.int64)
    sums = np.add.reduceat(sums, np.arange(0, columns, width), axis=2)
    return Grid(sums[0], sums[1], (height, width), leading, axes, (rows, columns))


def difference_map(wrong: np.ndarray) -> Markup:
    """The SVG of where ``wrong`` is true, the first such element ringed, and a caption."""
    cells = grid(wrong)
    rows, columns = cells.differing.shape
    width, height = (min(22, max(4, 340 // cells_along)) for cells_along in (columns, rows))
    width, height = (min(size, max(14, min(width, height))) for size in (width, height))
    at_rows, at_columns = _ticks(rows, height, 13), _ticks(
        columns, width, LETTER * (1 + len(cells.column_label(columns - 1))))
    left = 12 + LETTER * max(len(cells.axes[0]) + 2, *(len(cells.row_label(row)) for row in at_rows))
    top, right = 32, left + width * columns
    first = tuple(np.argwhere(cells.differing)[0])
    drawing = [
        element("rect", x=left, y=top, width=width * columns, height=height * rows, class_="cells"),
        element("g", *_shaded(cells), transform=f"translate({left:g},{top + height / 2:g}) scale({width},{height})"),
        _lines(cells, left, top, width, height),
        element("ellipse", cx=f"{left + (first[1] + 0.5) * width:g}", cy=f"{top + (first[0] + 0.5) * height:g}",
                rx=f"{0.5 * width + 3:g}", ry=f"{0.5 * height + 3:g}", class_="ring"),
        *(_label(cells.row_label(row), left - 9, top + (row + 0.5) * height + 4, "end") for row in at_rows),
        *(_label(cells.column_label(column), left + (column + 0.5) * width, top - 5) for column in at_columns),
        _label(f"{cells.axes[0]} ↓" * bool(cells.axes[0]), left - 9, top - 19, "end", "axis"),
        _label(f"{cells.axes[1]} →", left + 2, top - 19, "start", "axis"),
    ]
    return element("figure", _svg(drawing, max(right + 12, left + 90), top + height * rows + 6,
                                  f"map of the differences, {rows} by {columns} cells"),
                   element("figcaption", _caption(cells)))


def _ticks(cells: int, size: float, room: float) -> range:
    """The cells that are labelled: every 1st, 2nd, 4th, ..., so that a label has ``room``."""
    return range(0, cells, 1 << max(0, math.ceil(math.log2(room / size))))


def _shaded(cells: Grid) -> list[Markup]:
    """One path a shade, drawn with a pen as wide as a row, in units of cells: ``M3 2h1`` is the cell (2, 3)."""
    levels = np.where(cells.differing > 0, 1 + np.searchsorted(
        [share for share, _ in SHADES], cells.differing / np.maximum(cells.elements, 1)), 0)
    paths = [""] * (len(SHADES) + 1)
    for y, row in enumerate(levels.tolist()):
        x = 0
        for level, run in itertools.groupby(row):
            length = len(list(run))
            paths[level] += f"M{x} {y}h{length}"
            x += length
    return [element("path", d=path, class_="differs", stroke_opacity=opacity if opacity < 1 else None)
            for path, (_, opacity) in zip(paths[1:], SHADES, strict=True) if path]


def _lines(cells: Grid, left: float, top: float, width: int, height: int) -> Markup:
    """Thin lines between cells where there is room, thick ones where the last but one axis starts again."""
    rows, columns = cells.differing.shape
    across, down = f"h{width * columns}", f"v{height * rows}"
    fine = [f"M{left:g} {top + height * row}{across}" for row in range(1, rows) if height >= 8]
    fine += [f"M{left + width * column:g} {top}{down}" for column in range(1, columns) if width >= 8]
    planes = cells.length[0] // cells.leading[-1] if cells.leading else 1
    thick = [f"M{left - 4:g} {top + height * plane * cells.leading[-1] / cells.bin[0]:g}h4{across}"
             for plane in range(1, planes) if cells.leading and cells.leading[-1] > 1
             and height * rows / planes >= 8]
    return join([element("path", d="".join(fine), class_="fine"), element("path", d="".join(thick), class_="thick")])


def _caption(cells: Grid) -> str:
    rows, columns = cells.bin
    each = "a cell is an element" if rows == columns == 1 else (
        f"a cell is {rows} × {columns} elements, the darker the more of them differ")
    wrapped = f"; in rows of {cells.length[1]}" if cells.leading is None and cells.length[0] > 1 else ""
    return f"Where: {each}{wrapped}; ringed: the first."


def histogram(counts: dict[str, int]) -> Markup:
    """A bar for each difference, by size, and one for the others together."""
    ranked = sorted(((gap, count) for gap, count in counts.items() if gap != "others"), key=lambda item: _size(item[0]))
    ranked += [("others", counts["others"])] if "others" in counts else []
    left, most = 10 + LETTER * max(len(gap) for gap in counts), max(counts.values())
    right = 12 + LETTER * len(str(most))
    drawing: list[Markup] = []
    for row, (gap, count) in enumerate(ranked):
        y, length = 20 * row, max(2.0, 170 * count / most)
        drawing += [_label(gap, left - 6, y + 14, "end"),
                    element("rect", x=f"{left:g}", y=y + 2, width=f"{length:g}", height=16, class_="length"),
                    _label(str(count), left + length + 5, y + 14, "start")]
    return element("figure", _svg(drawing, left + 170 + right, 20 * len(ranked) + 2, "histogram of the differences"),
                   element("figcaption", "How large: got − expected, and how many."))


def _size(gap: str) -> tuple[bool, float]:
    size = float(gap)
    return math.isnan(size), size


def _label(text: str, x: float, y: float, anchor: str = "middle", kind: str | None = None) -> Markup:
    return element("text", text, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor, class_=kind)


def _svg(drawing: list[Markup], width: float, height: float, says: str) -> Markup:
    return element("svg", element("title", says), *drawing, viewBox=f"0 0 {math.ceil(width)} {math.ceil(height)}",
                   width=math.ceil(width), role="img")
