"""Rows, ratios, the table, and the document, whose module states every field that it has."""
import datetime
import re

import pytest

from refquant.bench import document as documents
from refquant.bench.plan import Plan
from refquant.bench.report import text
from refquant.bench.rows import Figure, Row, Table, merged

OURS = Row("64", "refquant", "refquant", "", "GMAC/s", 0.5, [0.25, 0.125, 0.5], "aa", "in tiles")
SLOW = Row("64", "NumPy", "numpy", "refquant", "GMAC/s", 0.5, [1.0], "aa")
FAST = Row("64", "torch", "torch", "refquant", "GMAC/s", 0.5, [0.125], "bb")
REALS = Row("64", "torch float32", "torch", "refquant", "GMAC/s", 0.25, [0.25])
ALONE = Row("1", "NumPy", "numpy", "refquant", "", 1.0, [0.5])
TABLE = Table([OURS, SLOW, FAST, REALS, ALONE])
PEAK = {"clock_ghz": 3.5, "instruction": "vpmaddwd on 256 bits", "gmac_per_second": 112.0}
MACHINE = {"processor": "A chip", "cores": 2, "memory_gib": 4.0, "system": "An OS", "compiled_for": "znver3",
           "instruction_sets": ["sse2", "avx2"], "peak": PEAK}
FIGURES = [Figure("how fast", "64", 4.0), Figure("how fast", "a share", 50.0, "%"), Figure("memory", "a step", 1.5, "MB")]


def complete(**how):
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    start = documents.document(Plan("rows", "gemm", ["refquant"], **how), "one process", MACHINE, {"python": "3.11.0"},
                               {"onnxruntime": ["onnx"]}, when)
    return start | {"rows": documents.rows_of(TABLE), "figures": documents.figures_of(FIGURES)}


def test_ratios_are_of_medians():
    assert TABLE.ratio("64", "refquant", "NumPy") == 4.0
    assert TABLE.ratio("64", "refquant", "torch") == 0.5
    assert TABLE.ratio("1", "refquant", "NumPy") is None and TABLE.ratio("64", "refquant", "nobody") is None
    assert TABLE.ratios(["64", "1", "2"], "refquant", "NumPy") == [4.0]


def test_the_best_is_the_fastest_of_those_timed():
    assert TABLE.best("64", "NumPy", "torch", "nobody") is FAST
    assert TABLE.best("64", "nobody") is None


def test_answers_are_compared_where_both_are_integers():
    assert [TABLE.answer(row) for row in TABLE.rows] == ["", "equal", "differs", "", ""]


def test_rate():
    assert OURS.rate == 2.0


def test_rows_of_several_processes_are_one():
    again = [Row("64", "refquant", "refquant", "", "GMAC/s", 0.5, [4.0], "aa", "in tiles"), ALONE]
    found = merged([OURS, ALONE, SLOW, *again])
    assert [(row.case, row.peer) for row in found] == [("64", "refquant"), ("64", "NumPy"), ("1", "NumPy")]
    assert [row.seconds for row in found] == [[0.25, 0.125, 0.5, 4.0], [1.0], [0.5, 0.5]]
    assert OURS.seconds == [0.25, 0.125, 0.5]


def test_the_table():
    assert text(complete(threads=2)) == "\n".join([
        "refquant bench gemm: 2 threads; one process",
        "A chip, 2 cores, 4.0 GiB, An OS",
        "kernels compiled for znver3: sse2 avx2",
        "clock 3.50 GHz (dependent additions); vpmaddwd on 256 bits: 112.0 GMAC/s a thread (on registers)",
        f"refquant {documents.__version__}, python 3.11.0",
        "without onnxruntime, which needs: onnx",
        "",
        "                                                   median ms     best ms              rate  refquant is",
        "64",
        "  refquant                                               250         125          2 GMAC/s                     in tiles",
        "  NumPy                                                 1000        1000        0.5 GMAC/s      4.00 x as fast equal",
        "  torch                                                  125         125          4 GMAC/s      0.50 x as fast ITS ANSWER DIFFERS",
        "  torch float32                                          250         250          1 GMAC/s      1.00 x as fast",
        "1",
        "  NumPy                                                  500         500",
        "",
        "how fast",
        "       4.00 x   64",
        "      50.00 %   a share",
        "",
        "memory",
        "       1.50 MB  a step",
        ""])


def test_the_table_without_a_peak():
    without = complete() | {"machine": MACHINE | {"peak": None, "memory_gib": None}}
    assert "clock" not in text(without) and "A chip, 2 cores, An OS\n" in text(without)


def stated():
    """The fields that the module's docstring names."""
    return set(re.findall(r"^    ([\w.*\[\]]+)  ", documents.__doc__, re.MULTILINE)) | {
        line.split()[0] for line in documents.__doc__.splitlines() if line.startswith("    ")}


def fields(value, path=""):
    """The fields that a document has, written as the docstring does."""
    if path in ("versions", "missing"):
        return set().union(*(fields(inner, f"{path}.*") for inner in value.values()))
    if isinstance(value, dict):
        return set().union(*(fields(inner, f"{path}.{name}" if path else name) for name, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(fields(inner, f"{path}[]") for inner in value)) if value else {f"{path}[]"}
    return {path}


def test_the_document_has_the_fields_that_are_stated_and_no_others():
    assert fields(complete()) == stated() - {"machine.peak"}  # which is null, or has fields of its own
    assert fields(complete() | {"machine": MACHINE | {"peak": None}}) >= {"machine.peak"}


@pytest.mark.parametrize("row, expected", [(0, (0.25, 0.125, None, "")), (1, (1.0, 1.0, 4.0, "equal")),
                                           (2, (0.125, 0.125, 0.5, "differs")), (4, (0.5, 0.5, None, ""))])
def test_a_row_of_the_document(row, expected):
    found = complete()["rows"][row]
    assert tuple(found[name] for name in ("median", "best", "ratio", "answer")) == expected
