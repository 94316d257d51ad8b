"""What several commands' arguments have in common."""
from __future__ import annotations

import argparse

EXIT_CODES = """exit codes: 0 all equal (or done), 1 a mismatch, 2 bad usage, 3 a missing or corrupt vector, answer,
data set or checkpoint, 4 semantics that a case asks for are not supported, 130 interrupted,
141 the reader of the output has gone"""


def seed(text: str) -> int:
    """An integer from 0 to 2^64 - 1, in any base that Python writes."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer from 0 to 2^64 - 1")
    return value


def positive(text: str) -> float:
    """A positive finite number."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected a positive number")
    return seconds


def index(text: str) -> tuple[int, ...]:
    """Integers with commas between."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: expected integers with commas between, such as 2,7") from None


def count(text: str, least: int = 1) -> int:
    """An integer, 1 or more."""
    value = int(text) if text.isdecimal() and len(text) < 10 else -1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer, {least} or more")
    return value


def count_or_none(text: str) -> int:
    """An integer, 0 or more."""
    return count(text, 0)
