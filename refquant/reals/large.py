"""When a compiled kernel serves: from a size on. Smaller arrays are done before it is at hand, and never wake Numba."""
from __future__ import annotations

import numpy as np

LARGE = 1 << 14  # elements


def large(x: np.ndarray) -> bool:
    """Whether ``x`` has so many elements that a compiled kernel pays, and the compiler is not switched off."""
    if x.size < LARGE:
        return False
    from numba import config

    return not config.DISABLE_JIT  # type: ignore[attr-defined]
