"""From which size on compiled kernels serve real arrays."""
from __future__ import annotations

import numpy as np

from refquant.worth import worth_compiling

LARGE = 1 << 14  # elements


def large(x: np.ndarray) -> bool:
    """Whether ``x`` has so many elements that a compiled kernel pays, and the compiler is not switched off."""
    return worth_compiling(x.size, LARGE)
