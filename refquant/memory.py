"""What the C library does with memory that a training step gives back."""
from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for its parameters, malloc.h
LARGEST = 1 << 25  # bytes: the most that glibc lets an array have and still takes it from what it keeps


def keep_memory() -> None:
    """Have this process keep the memory that arrays give back, for the arrays of the next step.

    Else the operating system takes it and hands it out anew, page by page, each zeroed first: a third of a step's time.
    For programs; a library leaves this to them. Where the C library is not glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, (1 << 31) - 1)
