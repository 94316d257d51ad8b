"""One process of a crew: questions on standard input, replies on standard output, each a line of JSON.

    {"task": "names", "source": {...}}                           the ids of a source's cases
    {"task": "make", "root": ..., "source": {...}, "first": ..., "ids": [...]}      the hash of each case of a shard
    {"answer": [...]}  or  {"error": {"kind": ..., "arguments": [...], "told": ...}}

It ends when its standard input does, whatever it is doing then, so it never outlives the process that asks.
"""
from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from refquant.golden.errors import CorruptError, GoldenError
from refquant.golden.shards import Shard, Source, make, names


def main() -> None:
    """Answer questions from standard input until it ends."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no reply
    questions: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(sys.stdin.buffer, questions), daemon=True).start()
    while True:
        question = questions.get()
        try:
            reply = {"answer": _answer(**question)}
        except Exception as error:
            reply = {"error": _told(error)}
        with contextlib.suppress(BrokenPipeError):
            replies.write(json.dumps(reply).encode() + b"\n")
            replies.flush()


def _hear(stream: BinaryIO, questions: queue.SimpleQueue) -> None:
    for line in stream:
        if line.endswith(b"\n"):
            questions.put(json.loads(line))
    os._exit(0)  # in the middle of a case, too


def _answer(task: str, source: dict[str, Any], root: str = "", first: int = 0, ids: tuple[str, ...] = ()) -> list[str]:
    if task == "names":
        return names(Source(**source))
    return make(Path(root), Shard(Source(**source), first, tuple(ids)))


def _told(error: Exception) -> dict[str, Any]:
    """An exception, and what was on the way to it."""
    if isinstance(error, OSError):
        kind, arguments = "OSError", [error.errno, error.strerror, error.filename]
    else:
        kind = next((kind.__name__ for kind in (CorruptError, GoldenError) if isinstance(error, kind)), "")
        arguments = [str(error)]
    return {"kind": kind, "arguments": arguments, "told": "".join(traceback.format_exception(error))}


if __name__ == "__main__":
    main()
