"""What strategies demand of their arguments, when they are called and not when they first draw."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from refquant.hardware.checks import integer
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import choice


def some(name: str, given: Any, allowed: Iterable[str]) -> None:
    """ValueError unless ``given`` is a tuple, or another collection, of some of ``allowed``; a string is none."""
    allowed = tuple(allowed)
    if isinstance(given, str) or not isinstance(given, Iterable) or not (given := tuple(given)):
        raise ValueError(f"{name} = {given!r}: expected a tuple of some of {', '.join(allowed)}")
    for one in given:
        choice(name, one, allowed)


def between(least: int, most: int, low: int, high: int) -> None:
    """ValueError unless ``low <= least <= most <= high``."""
    integer("most", most, low, high)
    integer("least", least, low, most)


def format(name: str, given: Any, most: int = 64) -> None:
    """ValueError unless ``given`` is a format of at most ``most`` bits."""
    if not isinstance(given, IntFormat):
        raise ValueError(f"{name} = {given!r}: expected an IntFormat")
    if given.bits > most:
        raise ValueError(f"{name} = {given}: expected at most {most} bits")


def format_or_strategy(name: str, given: Any, most: int = 64) -> None:
    """ValueError unless ``given`` is None, a strategy, or a format of at most ``most`` bits."""
    if given is not None and not isinstance(given, st.SearchStrategy):
        format(name, given, most)
