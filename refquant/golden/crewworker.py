"""One process of a crew: a pickled question at a time on standard input, a reply to each on standard output.

It ends when its standard input does, whatever it is doing then, so it never outlives the process that asks.
"""
from __future__ import annotations

import contextlib
import os
import pickle
import queue
import sys
import threading
import traceback
from typing import BinaryIO


def main() -> None:
    """Answer questions from standard input until it ends."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no reply
    questions: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(sys.stdin.buffer, questions), daemon=True).start()
    while True:
        task, item = questions.get()
        try:
            reply = pickle.dumps((True, task(item)))
        except Exception as error:
            reply = _failure(error)
        with contextlib.suppress(BrokenPipeError):
            replies.write(reply)
            replies.flush()


def _hear(stream: BinaryIO, questions: queue.SimpleQueue) -> None:
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            questions.put(pickle.load(stream))
    os._exit(0)  # in the middle of a case, too


def _failure(error: Exception) -> bytes:
    """An exception as a reply: itself where it can be pickled, and what was on the way to it."""
    told = "".join(traceback.format_exception(error))
    error.add_note(f"in a worker process:\n{told}")
    try:
        reply = pickle.dumps((False, error))
        pickle.loads(reply)
        return reply
    except Exception:
        return pickle.dumps((False, RuntimeError(told)))


if __name__ == "__main__":
    main()
