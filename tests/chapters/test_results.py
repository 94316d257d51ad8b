"""The comparison that chapter 10 shows: made by the settings and the methods of today, and found again."""
import json
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from refquant.commands.training import SHARED
from refquant.training import Settings, train
from refquant.training.data import load
from refquant.training.methods import COMPARED

CHAPTERS = Path(__file__).parents[2] / "chapters"
KEPT = json.loads((CHAPTERS / "results" / "compare.json").read_text())


def test_the_command_on_the_page_makes_these_settings():
    """Of what the command line can set, the page's command sets the epochs alone; the rest are its defaults."""
    (epochs,) = re.findall(r"^\$ refquant compare --epochs (\d+) --out runs$",
                           (CHAPTERS / "10-all-methods.md").read_text(), re.MULTILINE)
    assert KEPT["settings"] == asdict(Settings(COMPARED[0], epochs=int(epochs), batch=64, seed=0))
    assert set(SHARED) <= {field.name for field in fields(Settings)}


def test_every_method_was_compared():
    assert [row["method"] for row in KEPT["rows"]] == list(COMPARED)
    assert all(len(row["scores"]) == 3 for row in KEPT["rows"])


@pytest.mark.parametrize("method", ["sat-2"])
def test_a_score_is_found_again(method):
    (row,) = [row for row in KEPT["rows"] if row["method"] == method]
    training = train(Settings(**KEPT["settings"] | {"method": method}), load("digits"))
    assert training.history[-1]["score"] == row["scores"][0]
