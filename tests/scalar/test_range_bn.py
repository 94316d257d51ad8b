"""Range BN's integers: by hand, and within derived bounds of the real method in Fractions."""
import math
import random
from fractions import Fraction

import pytest

from refquant.scalar.range_bn import backward_channel, extremes, forward_channel
from refquant.scalar.scaling import ratio

HAND = (*ratio(Fraction(16, 4)), *ratio(Fraction(16, 2)))  # n = 4, F = 4, C = 1/2
EXACT = {"fraction_bits": 4, "normal_bits": 8, "chunks": 1, "epsilon": 0, "rounding": "half_even"}
FORWARD = {**EXACT, "y_shift": 4, "y_format": "s8", "momentum": 1 << 14}
BACKWARD = {**EXACT, "dx_shift": 3, "dx_format": "s8"}
FINE = {"fraction_bits": 12, "normal_bits": 20, "rounding": "half_even"}
ULP = Fraction(1, 2**31)  # how far ratio() is off, relative


def real_c(n, chunks):
    return Fraction(1 / math.sqrt(2 * math.log(n / chunks)))


def constants(n, chunks, fraction_bits):
    return (*ratio(Fraction(2**fraction_bits, n)), *ratio(real_c(n, chunks) / chunks * 2**fraction_bits))


def real_statistics(values, chunks):
    """(mean, width) of the real method, epsilon 0."""
    length = len(values) // chunks
    spread = sum(max(values[k:k + length]) - min(values[k:k + length]) for k in range(0, len(values), length))
    return sum(values, Fraction(0)) / len(values), real_c(len(values), chunks) / chunks * spread


def channels():
    """(values, gradients, chunks) of many sizes, every run of values with a range."""
    draw = random.Random(5)
    for _ in range(60):
        chunks = draw.choice((1, 2, 4))
        n = chunks * draw.randint(2, 12)
        values = [draw.randint(-128, 127) for _ in range(n)]
        values[0], values[1] = 100, -100
        yield values, [draw.randint(-128, 127) for _ in range(n)], chunks


def test_forward_by_hand():
    found = forward_channel([1, 3, 5, 7], 2, 100, HAND, 0, 32, **FORWARD)
    assert found == {"sum": 16, "range": 6, "mean": 4 * 16, "width": 3 * 16, "inverse": 22369621,
                     "x_hat": [-256, -85, 85, 256], "y": [-26, -4, 17, 38], "flags": [0] * 4,
                     "running_mean": 32, "running_width": 40}


def test_backward_by_hand():
    found = backward_channel([1, 3, 5, 7], [1, 0, 0, 2], 2, HAND, **BACKWARD)
    # sum of g x_hat: 1, times C = 1/2: a pull of 1/2; over the width of 3, times gamma and 2^8 / 2^3
    assert found == {"sum": 16, "range": 6, "mean": 64, "width": 48, "inverse": 22369621, "x_hat": [-256, -85, 85, 256],
                     "dbeta": 3, "dgamma": 16, "g_mean": 12, "pull": 8, "u": [12, -12, -12, 12], "dx": [16, -16, -16, 16]}


def test_saturation_and_its_flags():
    found = forward_channel([1, 3, 5, 7], 200, 0, HAND, 0, 0, **FORWARD)
    assert found["y"] == [-128, -128, 127, 127] and found["flags"] == [4, 4, 8, 8]
    found = forward_channel([1, 3, 5, 7], 2, 0, HAND, 0, 0, **{**FORWARD, "y_format": "u4"})
    assert found["y"] == [0, 0, 11, 15] and found["flags"] == [4, 4, 0, 8]
    found = backward_channel([1, 3, 5, 7], [1, 0, 0, 2], 99, HAND, **{**BACKWARD, "dx_format": "s8n"})
    assert found["dx"] == [127, -127, -127, 127]


def test_width_is_at_least_one():
    found = forward_channel([5, 5, 5, 5], 2, 3, HAND, 7, 7, **FORWARD)
    assert (found["range"], found["width"], found["inverse"]) == (0, 1, 1 << 30) and found["x_hat"] == [0] * 4
    assert forward_channel([5] * 4, 2, 3, HAND, 7, 7, **{**FORWARD, "epsilon": 2})["inverse"] == 1 << 29
    assert forward_channel([1, 3, 5, 7], 2, 3, HAND, 7, 7, **{**FORWARD, "epsilon": 2})["width"] == 50


def test_running_statistics():
    for momentum, expected in ((0, -100), (1 << 15, 64), (1 << 13, -100 + 41), (3 << 13, -100 + 123)):
        found = forward_channel([1, 3, 5, 7], 1, 0, HAND, -100, 48, **{**FORWARD, "momentum": momentum})
        assert (found["running_mean"], found["running_width"]) == (expected, 48)


def test_extremes():
    assert extremes([5, 1, 5, 1], 1) == [1, -1, 0, 0]
    assert extremes([5, 1, 5, 1], 2) == [1, -1, 1, -1]
    assert extremes([1, 2, 3, 9, 8, 7], 2) == [-1, 0, 1, 1, 0, -1]
    assert extremes([4, 4, 4, 2, 2, 3], 2) == [0, 0, 0, -1, 0, 1]


def test_a_zero_point_cancels():
    for shift in (-128, -7, 1, 100):
        plain = forward_channel([1, 3, 5, 7], 2, 100, HAND, 0, 0, **FORWARD)
        moved = forward_channel([v + shift for v in (1, 3, 5, 7)], 2, 100, HAND, 0, 0, **FORWARD)
        assert [moved[k] for k in ("range", "width", "x_hat", "y")] == [plain[k] for k in ("range", "width", "x_hat", "y")]
        assert moved["mean"] == plain["mean"] + 16 * shift


def normal_bound(values, chunks, found):
    """How far an x_hat may be from the real one, in 2^-G; F = 12, G = 20.

    Each rounding is off by half, each constant by 2^-31 of itself: that is mean_error and width_error. x_hat is
    d' inverse' / 2^(P - G), and d' / w' is off d / w by at most (mean_error + |d / w| width_error) / w'.
    """
    mean, width = (2**12 * number for number in real_statistics(values, chunks))
    mean_error, width_error = Fraction(1, 2) + abs(mean) * ULP, Fraction(1, 2) + width * ULP
    distance = max(abs(2**12 * v - mean) for v in values)
    quotient = (mean_error + distance / width * width_error) / found["width"]
    return Fraction(1, 2) + (distance + mean_error) / 2 / 2**10 + 2**20 * quotient


def test_forward_is_near_the_real_method():
    for values, _, chunks in channels():
        n = len(values)
        found = forward_channel(values, 1, 0, constants(n, chunks, 12), 0, 0, **FINE, chunks=chunks, epsilon=0, y_shift=0,
                                y_format="s32", momentum=0)
        mean, width = real_statistics(values, chunks)
        assert abs(found["mean"] - 2**12 * mean) <= Fraction(1, 2) + abs(2**12 * mean) * ULP
        assert abs(found["width"] - 2**12 * width) <= Fraction(1, 2) + 2**12 * width * ULP
        bound = normal_bound(values, chunks, found)
        assert bound < 2**20 / 500  # it says something
        for v, x_hat, y in zip(values, found["x_hat"], found["y"], strict=True):
            assert abs(x_hat - 2**20 * (v - mean) / width) <= bound
            assert y == x_hat


def real_loss(values, gradients, chunks):
    mean, width = real_statistics(values, chunks)
    return sum(g * (v - mean) for v, g in zip(values, gradients, strict=True)) / width


def test_backward_is_near_the_derivative_of_the_real_forward():
    """Central differences of sum g x_hat in Fractions; h is far below the gaps between equals, the gaps far below the slack."""
    h, gap, slack = Fraction(1, 10**12), Fraction(1, 10**9), Fraction(1, 100)
    for values, gradients, chunks in channels():
        # first among equals: later equals stay below the maximum and above the minimum while h moves them
        apart = [v - i * gap * extremes_side(values, chunks, i) for i, v in enumerate(values)]
        n, gamma = len(values), 3
        found = backward_channel(values, gradients, gamma, constants(n, chunks, 12), **FINE, chunks=chunks, epsilon=0,
                                 dx_shift=0, dx_format="s48")
        width = real_statistics(values, chunks)[1]
        x_hat_bound = normal_bound(values, chunks, found)
        c = real_c(n, chunks) / chunks
        dgamma_error = Fraction(1, 2) + sum(map(abs, gradients)) * x_hat_bound / 2**8
        u_error = 1 + abs(2**12 * found["dbeta"]) * ULP + c * dgamma_error + abs(found["pull"]) * 2 * ULP + Fraction(1, 2)
        for i in range(n):
            up, down = ([v + s * h * (k == i) for k, v in enumerate(apart)] for s in (1, -1))
            slope = (real_loss(up, gradients, chunks) - real_loss(down, gradients, chunks)) / (2 * h)
            assert abs(found["u"][i] - 2**12 * slope * width) <= u_error + slack
            width_error = Fraction(1, 2) + 2**12 * width * ULP
            quotient = (u_error + slack + abs(slope) * width_error) / found["width"]
            bound = 1 + abs(found["u"][i]) / Fraction(2**11) + 2**20 * quotient
            assert abs(found["dx"][i] - gamma * 2**20 * slope) <= gamma * bound


def extremes_side(values, chunks, i):
    """1 for a later equal of its chunk's maximum, -1 for one of its minimum, else 0."""
    length = len(values) // chunks
    first = i // length * length
    chunk = values[first:first + length]
    later = values[i] in chunk[:i - first]
    return later * ((values[i] == max(chunk)) - (values[i] == min(chunk)))


@pytest.mark.parametrize("rounding", ["half_even", "half_away", "floor", "ceil"])
def test_the_gradients_sum_to_nothing(rounding):
    """The signs cancel exactly; what is left of sum u is n times g_mean's rounding, and one more a rounding of dx."""
    for values, gradients, chunks in channels():
        n, gamma = len(values), -5
        found = backward_channel(values, gradients, gamma, constants(n, chunks, 12), **{**FINE, "rounding": rounding},
                                 chunks=chunks, epsilon=3, dx_shift=4, dx_format="s48")
        left = n * (1 + abs(2**12 * Fraction(found["dbeta"], n)) * ULP)
        assert abs(sum(found["u"])) <= left
        assert found["dgamma"] and found["pull"]
        per_dx = abs(gamma) * (left * found["inverse"] / 2**10 + n) / 2**4 + n
        assert abs(sum(found["dx"])) <= per_dx


def test_chunks_partition_the_range():
    """One chunk of everything, or two halves with the same extremes: half as large a constant, twice the range."""
    values = [1, 7, 3, 5, 7, 1, 2, 2]
    one, two = ({**FORWARD, "chunks": chunks} for chunks in (1, 2))
    halved = (*ratio(Fraction(16, 8)), *ratio(Fraction(16, 4)))
    whole = (*ratio(Fraction(16, 8)), *ratio(Fraction(16, 2)))
    first, second = forward_channel(values, 2, 0, whole, 0, 0, **one), forward_channel(values, 2, 0, halved, 0, 0, **two)
    assert (first["range"], second["range"]) == (6, 12) and first["x_hat"] == second["x_hat"]


def test_errors():
    for chunks in (0, 3, 5):
        with pytest.raises(ValueError, match=f"4 values do not divide into {chunks}"):
            forward_channel([1, 2, 3, 4], 1, 0, HAND, 0, 0, **{**FORWARD, "chunks": chunks})
    with pytest.raises(ValueError, match="0 values"):
        extremes([], 1)
    with pytest.raises(ValueError, match="3 gradients"):
        backward_channel([1, 2, 3, 4], [1, 2, 3], 1, HAND, **BACKWARD)
    with pytest.raises(ValueError, match="normal_bits 3"):
        backward_channel([1, 2, 3, 4], [1, 2, 3, 4], 1, HAND, **{**BACKWARD, "normal_bits": 3})


def test_notes():
    lines = []
    forward_channel([1, 3, 5, 7], 2, 100, HAND, 0, 32, **FORWARD, note=lines.append)
    assert "range, of 1 chunks together, 6; the width in 2^-4:" in lines
    assert "7 x 2^4 - 64 = 48; x 22369621, / 2^22, half_even: 256" in lines
    assert "2 x 256 + 100 = 612, / 2^4, half_even, saturated: 38" in lines
    assert lines[-1] == "running 32 moved towards 48 by 16384 / 2^15: 40"
    lines.clear()
    backward_channel([1, 3, 5, 7], [1, 0, 0, 2], 2, HAND, **BACKWARD, note=lines.append)
    assert lines[-1] == ("g 2 x 2^4 - 12 - 8 x 1 = 12; over the width 64; x 2, / 2^3, half_even, saturated: 16")
