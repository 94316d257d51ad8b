"""The process that a Python device runs in: one question a line on stdin, one reply a line on a pipe of its own.

What the device prints goes to stderr, so that it cannot be taken for a reply or end up in a report.
"""
from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from refquant.golden import files, vector
from refquant.golden.device import Case, NoAnswer, named
from refquant.golden.errors import Unsupported


def main(target: str, root: str, reply_fd: str) -> None:
    """Answer questions until stdin ends."""
    sys.path.insert(0, os.getcwd())
    questions = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a device that reads its stdin finds it empty
    with open(int(reply_fd), "w", buffering=1) as reply:
        function = None
        for line in questions:
            question = json.loads(line)
            try:
                function = function or _function(target)
                message = "" if "load" in question else _answer(function, Path(root), question)
                kind = "error" if message else "answer"
            except _LoadError as error:
                kind, message = "load", str(error)
            except Unsupported as error:
                kind, message = "unsupported", str(error)
            except Exception as error:  # whatever a device raises is its answer
                kind, message = "error", f"the device raised {type(error).__name__}: {error}"
            reply.write(json.dumps({"kind": kind, "message": message}) + "\n")


class _LoadError(Exception):
    """MODULE or FUNCTION is not there."""


def _function(target: str) -> Any:
    module, _, name = target.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise _LoadError(f"{type(error).__name__}: {error}") from None
    if not callable(function):
        raise _LoadError(f"{name} is {type(function).__name__}: expected a function")
    return function


def _answer(function: Any, root: Path, question: dict[str, str]) -> str:
    """Ask, and write what came; returns what was wrong with it, or nothing."""
    asked = vector.load(root, question["op"], question["id"])
    answer = function(Case.of(asked))
    try:
        arrays = named(asked, answer)
    except NoAnswer as error:
        return str(error)
    for name, array in arrays.items():
        files.write(Path(question["out"]) / f"{name}.npy", files.npy(array))
    return ""


if __name__ == "__main__":
    main(*sys.argv[1:])
