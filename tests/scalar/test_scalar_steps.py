"""Notes: what they leave out of long lists; and what keeps this implementation independent of the other."""
import ast
import importlib
import inspect
import pathlib
import sys
from fractions import Fraction

import pytest

import refquant.scalar.steps as steps
from refquant.scalar.steps import note_some, show, silent

FILES = sorted(pathlib.Path(steps.__file__).parent.glob("*.py"))
MODULES = [path.stem for path in FILES if path.stem not in ("__init__", "steps")]


@pytest.mark.parametrize("count", range(15))
def test_note_some(count):
    lines = []
    note_some(count, str, lines.append)
    if count <= 12:
        assert lines == [str(k) for k in range(count)]
    else:
        assert lines == ["0", "1", "2", "3", f"... {count - 6} more ...", str(count - 2), str(count - 1)]


def test_show():
    assert [show(v) for v in (3, 2.5, Fraction(5, 2), Fraction(1, 3), Fraction(10**400))] == [
        "3", "2.5", "2.5", "1/3", "1" + "0" * 400]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_only_itself_and_the_standard_library(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert all(name.name in sys.stdlib_module_names for name in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1 or (node.level == 0 and node.module in sys.stdlib_module_names)


@pytest.mark.parametrize("module", MODULES)
def test_every_operation_can_tell_its_steps(module):
    module = importlib.import_module(f"refquant.scalar.{module}")
    helpers = {"exact", "exponent", "is_infinite", "require_float", "chance_flag"}
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ != module.__name__ or name.startswith("_") or name in helpers:
            continue
        note = inspect.signature(function).parameters["note"]
        assert note.kind is note.KEYWORD_ONLY and note.default is silent, name
