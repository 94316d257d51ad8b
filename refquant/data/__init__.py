"""Embedded data."""
from __future__ import annotations

from importlib.resources import files

import numpy as np


def digits() -> tuple[np.ndarray, np.ndarray]:
    """``(x, y)``: 1,797 handwritten digits, uint8 [1797, 8, 8] with values 0..16, and their labels, uint8 [1797].

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (CC BY 4.0).
    """
    with files("refquant.data").joinpath("digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as data:
        return data["x"], data["y"]
