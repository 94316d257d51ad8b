"""When a compiled kernel serves: from a size on. Smaller arrays are done before it is at hand, and never wake Numba."""
from __future__ import annotations


def worth_compiling(elements: int, least: int) -> bool:
    """Whether there are ``least`` elements or more, and the compiler is not switched off."""
    if elements < least:
        return False
    from numba import config

    return not config.DISABLE_JIT  # type: ignore[attr-defined]
