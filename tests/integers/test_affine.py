"""Scale and zero point of a range: by hand, and by what each convention promises."""
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refquant.integers import IntFormat, affine

S8, S8N, U8, S4 = IntFormat(8), IntFormat(8, narrow=True), IntFormat(8, signed=False), IntFormat(4)
reals = st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6)
formats = st.sampled_from([IntFormat(b, *kind) for b in range(2, 17) for kind in ((True,), (True, True), (False,))])


@pytest.mark.parametrize("low, high, format, scale, zero_point", [
    (0, 255, U8, 1.0, 0), (-128, 127, S8, 1.0, 0), (-127, 127, S8N, 1.0, 0), (-8, 7, S4, 1.0, 0),
    (-1, 1, U8, 2 / 255, 128), (-1, 1, S8, 2 / 255, -1),  # ties at 127.5 and -0.5
    (10, 20, U8, 20 / 255, 0), (-20, -10, U8, 20 / 255, 255), (-20, -10, S8, 20 / 255, 127), (0, 0, U8, 1.0, 0),
    (0, 0, S8, 1.0, -128), (-64, 191, U8, 1.0, 64)])
def test_gemmlowp_by_hand(low, high, format, scale, zero_point):
    assert affine.gemmlowp(low, high, format) == (scale, zero_point)


@pytest.mark.parametrize("low, high, format, scale, zero_point", [
    (0, 255, U8, 1.0, 0), (255, 510, U8, 1.0, -255), (-510, -255, U8, 1.0, 510), (100, 355, S8, 1.0, -228),
    (-1, 1, U8, 2 / 255, 128)])
def test_min_max_by_hand(low, high, format, scale, zero_point):
    assert affine.min_max(low, high, format) == (scale, zero_point)


@pytest.mark.parametrize("max_abs, format, scale, zero_point", [
    (127, S8, 1.0, 0), (127, S8N, 1.0, 0), (254, S8, 2.0, 0), (127, U8, 1.0, 128), (7, S4, 1.0, 0), (0, S8, 1.0, 0),
    (0, U8, 1.0, 128)])
def test_symmetric_by_hand(max_abs, format, scale, zero_point):
    assert affine.symmetric(max_abs, format) == (scale, zero_point)


@given(reals, reals, formats)
def test_gemmlowp_holds_zero_and_the_ends(a, b, format):
    low, high = min(a, b), max(a, b)
    assume((low, high) != (0, 0))
    scale, zero_point = affine.gemmlowp(low, high, format)
    assert type(scale) is float and type(zero_point) is int
    assert format.qmin <= zero_point <= format.qmax
    for end, code in ((min(low, 0), format.qmin), (max(high, 0), format.qmax)):
        assert abs(scale * (code - zero_point) - end) <= scale * (0.5 + 1e-9)


@given(reals, reals, formats)
def test_min_max_meets_both_ends_within_half_a_code(a, b, format):
    low, high = min(a, b), max(a, b)
    assume(high - low > 1e-3 * max(abs(low), abs(high), 1))
    scale, zero_point = affine.min_max(low, high, format)
    for end, code in ((low, format.qmin), (high, format.qmax)):
        assert abs(scale * (code - zero_point) - end) <= scale * (0.5 + 1e-6)


@given(st.floats(1e-6, 1e6), formats)
def test_symmetric_puts_max_abs_on_the_last_code(max_abs, format):
    scale, zero_point = affine.symmetric(max_abs, format)
    assert zero_point == (0 if format.signed else (format.qmax + 1) // 2)
    assert scale * (format.qmax - zero_point) == pytest.approx(max_abs, rel=1e-15)
    if format.narrow:
        assert scale * (format.qmin - zero_point) == pytest.approx(-max_abs, rel=1e-15)


def test_arrays_are_their_elements():
    low, high = np.array([-1.0, 0.0, -20.0, 10.0]), np.array([1.0, 0.0, -10.0, 20.0])
    for function, columns in ((affine.gemmlowp, (low, high)), (affine.min_max, (low, high + 1)),
                              (affine.symmetric, (np.abs(high),))):
        scale, zero_point = function(*columns, U8)
        assert zero_point.dtype == np.int64
        one_by_one = [function(*row, U8) for row in zip(*columns, strict=True)]
        assert list(zip(scale.tolist(), zero_point.tolist(), strict=True)) == one_by_one


@pytest.mark.parametrize("call, words", [
    (lambda: affine.gemmlowp(1.0, -1.0, S8), ["[1.0, -1.0]", "range_min <= range_max"]),
    (lambda: affine.gemmlowp(0.0, np.inf, S8), ["[0.0, inf]", "finite"]),
    (lambda: affine.gemmlowp(np.nan, 1.0, S8), ["[nan, 1.0]", "finite"]),
    (lambda: affine.gemmlowp(-1.7e308, 1.7e308, S8), ["-1.7e+308", "finite distance"]),
    (lambda: affine.gemmlowp(0.0, 5e-324, S8), ["width 5e-324", "smallest float64"]),
    (lambda: affine.min_max(1.0, 1.0, S8), ["[1.0, 1.0]", "range_min < range_max"]),
    (lambda: affine.min_max(1e12, 1e12 + 1, S8), ["zero_point", "int32"]),
    (lambda: affine.min_max([1e30], [1.0000001e30], S8), ["zero_point", "int32"]),
    (lambda: affine.symmetric(-1.0, S8), ["-1.0", "0 <= max_abs"]),
    (lambda: affine.symmetric(np.inf, S8), ["inf", "finite"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)
