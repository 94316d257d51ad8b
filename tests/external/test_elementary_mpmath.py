"""exp, log and tanh against mpmath, 20,000 points each: ``pytest -s`` prints the largest error of each."""
from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from refquant.reals.elementary import exp, log, tanh

mpmath = pytest.importorskip("mpmath")
N = 5000


def scattered(rng, low, high, n=N) -> np.ndarray:
    """``n`` positive numbers, their binary exponents uniform in low .. high - 1."""
    return np.ldexp(rng.uniform(1, 2, n), rng.integers(low, high, n))


def exp_points(rng):
    return [rng.uniform(-745.2, 709.79, N), rng.uniform(-0.35, 0.35, N), rng.uniform(-745.2, -707.8, N),
            scattered(rng, -60, 9) * rng.choice([-1, 1], N)]


def log_points(rng):
    return [scattered(rng, -1074, 1024), rng.uniform(0.5, 2, N), rng.uniform(0.7, 0.72, N),
            1 + scattered(rng, -53, -1) * rng.choice([-1, 1], N)]


def tanh_points(rng):
    return [rng.uniform(-20, 20, N), rng.uniform(-1, 1, N), rng.uniform(0.16, 0.2, N),
            scattered(rng, -1074, 5) * rng.choice([-1, 1], N)]


@pytest.mark.parametrize("function, points", [(exp, exp_points), (log, log_points), (tanh, tanh_points)],
                         ids=["exp", "log", "tanh"])
def test_error_in_ulps(function, points):
    x = np.concatenate(points(np.random.default_rng(3)))
    true_function, largest, place = getattr(mpmath, function.__name__), 0.0, math.nan
    assert len(x) == 20_000
    with mpmath.workprec(200):
        for argument, y in zip(x.tolist(), function(x).tolist(), strict=True):
            true = min(true_function(mpmath.mpf(argument)), mpmath.mpf(2)**1024)  # no float lies beyond
            ulp = math.ulp(min(abs(float(true)), sys.float_info.max))
            value = mpmath.mpf(y) if math.isfinite(y) else mpmath.mpf(2)**1024 * int(math.copysign(1, y))
            error = float(abs(value - true) / mpmath.mpf(ulp))
            if not error <= largest:  # a NaN is no smaller
                largest, place = error, argument
    print(f"\n{function.__name__}: at most {largest:.4f} ulp, at {place.hex()}")
    assert largest < 0.6
