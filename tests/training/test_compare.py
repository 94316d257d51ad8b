"""The table of methods side by side."""
import json
import statistics

import pytest

from refquant.training.compare import Row, save, table


def test_mean_and_deviation():
    scores = (90.0, 92.5, 97.0)
    row = Row("sat-4", scores)
    assert row.mean == pytest.approx(statistics.mean(scores), rel=1e-14)
    assert row.deviation == pytest.approx(statistics.stdev(scores), rel=1e-14)
    assert (Row("x", (50.0,)).mean, Row("x", (50.0,)).deviation) == (50, 0)


def test_the_table():
    rows = [Row("float", (97.0, 98.0)), Row("int4-4+hindsight", (90.0, 91.0)), Row("sat-2", (100.0, 99.25))]
    assert table(rows, "%") == (
        "method              mean %     +-  to float  each seed\n"
        "float              97.50     0.71     +0.00  97.00 98.00\n"
        "int4-4+hindsight   90.50     0.71     -7.00  90.00 91.00\n"
        "sat-2              99.62     0.53     +2.12  100.00 99.25\n")


def test_a_table_without_float_has_no_differences():
    lines = table([Row("sat-4", (20.5,)), Row("sat-2", (9.25,))], "dB").splitlines()
    assert [line.split() for line in lines[1:]] == [["sat-4", "20.50", "0.00", "20.50"], ["sat-2", "9.25", "0.00", "9.25"]]
    ends = [len(line) - len(line.split("  ")[-1]) for line in lines]
    assert len(set(ends)) == 1  # the last column begins at one place


def test_the_table_as_json(tmp_path):
    rows = [Row("float", (97.0, 98.0)), Row("sat-2", (1.0, 2.0))]
    save(rows, {"model": "cnn"}, tmp_path / "compare.json")
    found = json.loads((tmp_path / "compare.json").read_text())
    assert found == {"settings": {"model": "cnn"}, "rows": [
        {"method": row.method, "scores": list(row.scores), "mean": row.mean, "deviation": row.deviation} for row in rows]}
