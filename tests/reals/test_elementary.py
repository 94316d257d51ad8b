"""exp, log, tanh and log_softmax against the decimal module, which gives any number of correct digits."""
from __future__ import annotations

import decimal
import hashlib
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.reals.elementary import exp, log, log_softmax, tanh

Decimal = decimal.Decimal
FUNCTIONS = [exp, log, tanh]
BOUND = {exp: 0.56, log: 0.56, tanh: 0.6}  # ulp, derived beside each
LN2 = math.log(2)
TINY, LEAST, MOST = 2.0**-1074, 2.0**-1022, sys.float_info.max
OVERFLOW, UNDERFLOW = 1024 * LN2, -1075 * LN2  # where exp is 2^1024, and half of TINY

every = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
rng = np.random.default_rng(7)


def true_exp(x: Decimal) -> Decimal:
    return x.exp()


def true_log(x: Decimal) -> Decimal:
    return x.ln()


def true_tanh(x: Decimal) -> Decimal:
    """(e^2x - 1) / (e^2x + 1), with as many more digits as the difference loses."""
    with decimal.localcontext() as context:
        context.prec += 2 + max(0, -x.adjusted())
        e = (2 * x).exp()
        return (e - 1) / (e + 1)


TRUE = {exp: true_exp, log: true_log, tanh: true_tanh}


def errors(function, x) -> np.ndarray:
    """The errors of ``function`` at ``x``, in ulps of the correctly rounded result.

    2^1024 stands for all that is no float: for an infinity, and for truths beyond it.
    """
    found = []
    with decimal.localcontext() as context:
        context.prec = 40
        for argument, y in zip(x.tolist(), function(x).tolist(), strict=True):
            true = min(TRUE[function](Decimal(argument)), Decimal(2)**1024)
            ulp = Decimal(math.ulp(min(abs(float(true)), MOST)))
            value = Decimal(y) if math.isfinite(y) else Decimal(2)**1024 * int(math.copysign(1, y))
            found.append(float(abs(value - true) / ulp))
    return np.array(found)


def beside(x, steps=2) -> np.ndarray:
    """``x`` and the floats up to ``steps`` away on either side."""
    down = up = np.asarray(x, np.float64)
    out = [up]
    for _ in range(steps):
        down, up = np.nextafter(down, -np.inf), np.nextafter(up, np.inf)
        out += [down, up]
    return np.concatenate(out)


def signed(x) -> np.ndarray:
    return np.concatenate([x, -x])


def scattered(low, high, n) -> np.ndarray:
    """``n`` positive numbers, their binary exponents uniform in low .. high - 1."""
    return np.ldexp(rng.uniform(1, 2, n), rng.integers(low, high, n))


half_ln2 = LN2 / 2 * np.arange(1, 2151, 2)  # where exp's k changes
POINTS = {
    exp: {
        "everywhere": rng.uniform(UNDERFLOW, OVERFLOW, 1500),
        "every exponent": signed(scattered(-1074, 9, 500)),
        "about 0": rng.uniform(-1, 1, 1500),
        "where k changes": beside(signed(half_ln2)[np.abs(signed(half_ln2)) < 709], 1),
        "beside multiples of ln2": beside(LN2 * np.arange(-1074, 1024, 7), 1),
        "overflow": beside([OVERFLOW, 709.0, 710.0, 1023.5 * LN2], 8),
        "subnormal results": rng.uniform(UNDERFLOW, -1021 * LN2, 1500),
        "underflow": beside([UNDERFLOW, -1074 * LN2, -1022 * LN2, -745.0, -746.0], 8),
    },
    log: {
        "every exponent": scattered(-1074, 1024, 1500),
        "near 1": 1 + signed(scattered(-53, -1, 750)),
        "beside 1": beside([1.0], 16),
        "between 1/2 and 2": rng.uniform(0.5, 2, 1500),
        "powers of two": 2.0**np.arange(-1074, 1024),
        "where k changes": beside(math.sqrt(2) * 2.0**np.arange(-1020, 1023, 13), 3),
        "subnormal": TINY * np.concatenate([rng.integers(1, 2**52, 500), np.arange(1, 65)]),
        "ends": np.array([TINY, np.nextafter(LEAST, 0), LEAST, MOST]),
    },
    tanh: {
        "everywhere": rng.uniform(-22, 22, 1500),
        "about 0": rng.uniform(-1, 1, 1500),
        "every exponent": signed(scattered(-100, 6, 500)),
        "tiny": signed(scattered(-1074, -100, 50)),
        "where k changes": beside(signed(half_ln2[:40]) / 2, 3),
        "where x becomes the answer": beside(signed(2.0**np.arange(-30, -23)), 4),
        "where 1 is the answer": beside([19.0, 19.06, 19.0615, 22.0, -22.0], 8),
        "powers of two": signed(2.0**np.arange(-60, 10)),
    },
}
CASES = [pytest.param(f, x, id=f"{f.__name__}, {name}") for f, kinds in POINTS.items() for name, x in kinds.items()]


def all_points(function) -> np.ndarray:
    return np.concatenate(list(POINTS[function].values()))


def bits(x) -> np.ndarray:
    return np.ascontiguousarray(x).view(np.uint64)


# ---- the error

@pytest.mark.parametrize("function, x", CASES)
def test_error_below_the_bound(function, x):
    error = errors(function, x)
    assert error.max() < BOUND[function], f"{function.__name__}({float(x[error.argmax()]).hex()}): {error.max()} ulp"


@given(st.floats(-750, 715))
def test_exp_anywhere(x):
    assert errors(exp, np.array([x])).max() < BOUND[exp]


@given(st.floats(0, exclude_min=True, allow_infinity=False))
def test_log_anywhere(x):
    assert errors(log, np.array([x])).max() < BOUND[log]


@given(st.floats(-25, 25))
def test_tanh_anywhere(x):
    assert errors(tanh, np.array([x])).max() < BOUND[tanh]


@every
def test_never_falls_between_sampled_neighbours(function):
    """Not proved, but held where it was sampled: runs of 32 neighbours around every fourth point."""
    start = np.sort(all_points(function))[::4]
    runs = [start[start < MOST / 2]]
    for _ in range(31):
        runs.append(np.nextafter(runs[-1], np.inf))
    y = function(np.stack(runs))
    assert (y[1:] >= y[:-1]).all()


# ---- by name

def check(function, cases):
    x, expected = (np.array(column, np.float64) for column in zip(*cases, strict=True))
    np.testing.assert_array_equal(bits(function(x)), bits(expected))


def test_exp_by_name():
    check(exp, [(0.0, 1.0), (-0.0, 1.0), (math.inf, math.inf), (-math.inf, 0.0), (math.nan, math.nan),
                (-math.nan, math.nan), (1.0, math.e), (TINY, 1.0), (-TINY, 1.0), (2.0**-54, 1.0), (-2.0**-55, 1.0),
                (2.0**-52, 1 + 2.0**-52), (MOST, math.inf), (-MOST, 0.0), (709.782712893384, 1.7976931348622732e308),
                (709.7827128933841, math.inf), (-745.1332191019411, TINY), (-745.1332191019412, 0.0)])


def test_log_by_name():
    check(log, [(1.0, 0.0), (0.0, -math.inf), (-0.0, -math.inf), (math.inf, math.inf), (-math.inf, math.nan),
                (-1.0, math.nan), (-TINY, math.nan), (math.nan, math.nan), (-math.nan, math.nan), (2.0, LN2),
                (0.5, -LN2), (1 - 2.0**-53, -2.0**-53), (TINY, -744.4400719213812), (MOST, 709.782712893384)])


def test_tanh_by_name():
    check(tanh, [(0.0, 0.0), (-0.0, -0.0), (math.inf, 1.0), (-math.inf, -1.0), (math.nan, math.nan),
                 (-math.nan, math.nan), (TINY, TINY), (-TINY, -TINY), (LEAST, LEAST), (2.0**-30, 2.0**-30),
                 (20.0, 1.0), (-20.0, -1.0), (MOST, 1.0), (-MOST, -1.0), (0.5, 0.46211715726000973)])


def test_tanh_is_odd():
    x = all_points(tanh)
    np.testing.assert_array_equal(bits(tanh(-x)), bits(-tanh(x)))


def test_powers_of_two_and_back():
    """exp(log(2^k)) is off by what log's rounding costs, k ln2 u at most, and by exp's own ulp."""
    k = np.arange(-1021, 1024)
    there = exp(log(2.0**k)) / 2.0**k - 1
    assert (np.abs(there) <= (np.abs(k) * LN2 + 2) * 2.0**-53).all()


# ---- arrays

@every
def test_scalars_and_shapes(function):
    for x in (0.75, np.float64(0.75), np.array(0.75)):
        assert function(x).shape == () and function(x) == function(np.array([0.75]))[0]
    for shape in ((0,), (1,), (2, 0, 3), (2, 3, 4)):
        y = function(np.full(shape, 0.75))
        assert y.shape == shape and y.dtype == np.float64


@every
def test_other_numbers_become_float64(function):
    values = [0, 1, 2, 5]
    expected = bits(function(np.array(values, np.float64)))
    for x in (values, np.array(values), np.array(values, np.uint8), np.array(values, np.float16),
              np.array(values, np.float32), np.array(values, ">f8")):
        np.testing.assert_array_equal(bits(function(x)), expected)
    assert function(True) == function(1.0)
    assert function(np.float32(0.1)) == function(float(np.float32(0.1)))


@pytest.mark.parametrize("function", [*FUNCTIONS, log_softmax])
@pytest.mark.parametrize("x", [[1j], ["1"], [None], [2**70]], ids=["complex", "text", "None", "large int"])
def test_what_are_no_reals(function, x):
    with pytest.raises(TypeError, match=r"x has dtype .*: expected floats or integers"):
        function(x)


@every
def test_one_answer_in_any_layout(function):
    """Vector units take several elements at once and leave a tail; where an element lies must not matter."""
    x = all_points(function)[:2003]
    specials = [0.0, -0.0, math.inf, -math.inf, math.nan, TINY, -TINY, MOST, -MOST]
    x[::223] = specials
    expected = bits(function(x))
    spread = np.zeros((len(x), 3))
    spread[:, 1] = x
    moved = np.zeros(8 * len(x) + 1, np.uint8)[1:].view(np.float64)  # at an odd address
    moved[:] = x
    for found in (function(x[::-1])[::-1], function(spread[:, 1]), function(spread.T)[1], function(moved),
                  function(np.tile(x, 9))[4 * len(x):5 * len(x)], np.stack([function(v) for v in x])):
        np.testing.assert_array_equal(bits(found), expected)
    for n in range(1, 20):
        np.testing.assert_array_equal(bits(function(x[n:2 * n])), expected[n:2 * n])


@every
def test_the_argument_stays_and_nothing_is_said(function):
    x = np.array([0.0, -1.0, math.inf, -math.inf, math.nan, TINY, 1e300, -1e300, 1e-200])
    before = bits(x).copy()
    with np.errstate(all="raise"):
        y = function(x)
    np.testing.assert_array_equal(bits(x), before)
    assert not np.shares_memory(x, y)


DIGESTS = {
    exp: "a889d434b6df91d36589dee4a26a395246fe6cd37ae6b5b41960d866510da806",
    log: "eab7af70e2397dbf29a8c76a122a607cc0c126680a8d338c917a3fcc1770d400",
    tanh: "76d163e961b5db61e2c0057e356e94bc1776ca7422bd9a6dd96eef3ca7aef86a",
}


@every
def test_the_same_bits_everywhere(function):
    """One digest for all machines. The arguments come from integers, so that no library has a part in them."""
    mixed = np.arange(1, 20001, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    fraction = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    x = {exp: fraction * 1460 - 748, tanh: fraction * 40 - 20, log: (mixed >> np.uint64(1)).view(np.float64)}[function]
    found = hashlib.sha256(bits(function(x)).astype("<u8").tobytes()).hexdigest()
    assert found == DIGESTS[function]


# ---- log_softmax

def test_log_softmax_within_its_bound():
    for classes in (1, 2, 3, 10, 100):
        for spread in (1e-3, 1.0, 30.0, 1000.0):
            x = rng.normal(0, spread, (4, classes))
            for row, found in zip(x, log_softmax(x), strict=True):
                with decimal.localcontext() as context:
                    context.prec = 60
                    shifted = [Decimal(v) - Decimal(row.max()) for v in row.tolist()]
                    level = sum(t.exp() for t in shifted).ln()
                    for t, y in zip(shifted, found.tolist(), strict=True):
                        bound = (abs(t) + abs(t - level) + 4 + 4 * Decimal(math.log2(classes))) * Decimal(2.0**-53)
                        assert abs(Decimal(y) - (t - level)) <= bound


def test_log_softmax_by_name():
    np.testing.assert_array_equal(log_softmax([5.0]), [0.0])
    np.testing.assert_array_equal(log_softmax(np.full(8, -3.25)), np.full(8, -log(8.0)))
    np.testing.assert_array_equal(log_softmax([0.0, -0.0]), log_softmax([-0.0, 0.0]))
    np.testing.assert_array_equal(log_softmax([1e308, -1e308, 0.0]), [0.0, -math.inf, -1e308])
    np.testing.assert_array_equal(log_softmax([-math.inf, 2.0]), [-math.inf, 0.0])
    np.testing.assert_array_equal(log_softmax([800, 800]), [-LN2, -LN2])
    for row in ([math.inf, 0.0], [math.nan, 0.0], [-math.inf, -math.inf]):
        np.testing.assert_array_equal(bits(log_softmax(row)), bits(np.full(2, math.nan)))


def test_log_softmax_takes_the_last_axis():
    x = rng.normal(0, 5, (2, 3, 5))
    whole = log_softmax(x)
    assert whole.shape == x.shape
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(whole[i, j], log_softmax(x[i, j]))
    np.testing.assert_array_equal(log_softmax(np.asfortranarray(x)), whole)
    assert log_softmax(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("x, shape", [(1.0, r"\(\)"), (np.zeros(0), r"\(0,\)"), (np.zeros((3, 0)), r"\(3, 0\)")])
def test_log_softmax_needs_classes(x, shape):
    with pytest.raises(ValueError, match=rf"x has shape {shape}: expected \[\.\.\., C\] with C >= 1"):
        log_softmax(x)


def test_log_softmax_warns_of_nothing():
    with np.errstate(all="raise"):
        log_softmax([[math.inf, 0.0], [-math.inf, -math.inf], [1e308, -1e308], [-800, 0]])
