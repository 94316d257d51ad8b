"""Counts, for each file of this directory, the tests that ran and the output values they compared."""
from __future__ import annotations

import numpy as np
import pytest


class Tally:
    """``compare(actual, expected)``: both arrays equal to the bit, each element counted."""

    def __init__(self):
        self.tests = self.outputs = self.mismatches = 0

    def __call__(self, actual, expected, what: object = ""):
        actual, expected = np.asarray(actual), np.asarray(expected)
        assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
        assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, expected {expected.dtype}"
        bits = f"u{actual.dtype.itemsize}"  # so that -0.0 is not 0.0
        differs = np.ascontiguousarray(actual).view(bits) != np.ascontiguousarray(expected).view(bits)
        self.outputs += differs.size
        self.mismatches += int(differs.sum())
        if differs.any():
            at = tuple(int(i) for i in np.argwhere(differs)[0]) if differs.ndim else ()
            raise AssertionError(f"{what}: {int(differs.sum())} of {differs.size} outputs differ, "
                                 f"first at {at}: {actual[at]}, expected {expected[at]}")


_tallies: dict[str, Tally] = {}


@pytest.fixture
def compare(request) -> Tally:
    tally = _tallies.setdefault(request.path.stem.removeprefix("test_"), Tally())
    tally.tests += 1
    return tally


def pytest_terminal_summary(terminalreporter):
    for name, tally in sorted(_tallies.items()):
        terminalreporter.write_line(f"{name}: {tally.tests} tests, {tally.outputs} outputs, "
                                    f"{tally.mismatches} mismatches")
