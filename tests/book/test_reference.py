"""The reference of functions: every public name says what it takes, what it refuses and where it comes from."""
import importlib
import inspect
import re
from pathlib import Path

import pytest

import refquant
from refquant.autodiff import Op

API = Path(__file__).parents[2] / "chapters" / "api"
PACKAGES = ("autodiff", "gemm", "golden", "hardware", "integers", "quantizers", "reals", "scalar", "testing", "training")
MODULES = sorted(name for page in API.glob("*.rst") for name in re.findall(r"automodule:: (\S+)", page.read_text()))
SHAPE = re.compile(r"\[[^\]]*\]|\bshape|\bone (number|row|name)\b|\bintegers?\b|\bints?\b|\bFraction\b|\btext\b")


def described():
    """(name, value) of what is public and has a docstring of its own: functions, ops and classes."""
    for module in map(importlib.import_module, MODULES):
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if callable(value) and hasattr(value, "__name__"):
                yield pytest.param(value, id=f"{module.__name__}.{name}")


def test_there_is_a_page_for_each_package():
    assert tuple(sorted(page.stem for page in API.glob("*.rst"))) == PACKAGES
    for page in API.glob("*.rst"):
        title, underline, *_ = page.read_text().splitlines()
        assert title == f"refquant.{page.stem}" and underline == "=" * len(title)
    folders = {path.parent.name for path in Path(refquant.__path__[0]).glob("*/__init__.py")}
    assert folders - set(PACKAGES) == {"bench", "commands", "data"}  # the command line, and the digits


def test_every_module_with_public_names_is_on_a_page():
    """`__all__` is what makes a name public; modules whose names their package gives need no section of their own."""
    for name in MODULES:
        assert inspect.getdoc(importlib.import_module(name)), name
    for package in set(PACKAGES) - {"golden"}:  # whose modules say with it what they share among themselves
        root = Path(refquant.__path__[0]) / package
        for path in root.rglob("*.py"):
            if re.search(r"^__all__ = ", path.read_text(), re.MULTILINE):
                parts = path.relative_to(root.parent).with_suffix("").parts
                module = ".".join(["refquant", *parts]).removesuffix(".__init__")
                assert module in MODULES, module


@pytest.mark.parametrize("value", [*described()])
def test_a_public_name_says_all(value):
    text = inspect.getdoc(value)
    assert text and text[0].strip()
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    assert re.search(r"^Source: \S", text, re.MULTILINE), "no source"
    assert re.search(r"^Raises\b|^Raised\b", text, re.MULTILINE), "no word on errors"
    assert SHAPE.search(text), "no shape"
    for name in parameters(value):
        assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text), f"no word on {name}"


def parameters(value) -> list[str]:
    """The names of its arguments; none of a class that a user does not make."""
    if inspect.isclass(value) and getattr(value, "_is_protocol", False):
        return []
    try:
        return [name for name in inspect.signature(value.forward if isinstance(value, Op) else value).parameters if name not in ("self", "_")]
    except ValueError:
        return []
