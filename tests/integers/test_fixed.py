"""Fixed: what it stands for, in Fractions, and what it refuses."""
from fractions import Fraction

import numpy as np
import pytest

from refquant.integers import Fixed, IntFormat
from refquant.integers.fixed import along, check_axis, check_scale, check_zero_point

S8, U64, S64 = IntFormat(8), IntFormat(64, signed=False), IntFormat(64)


def test_value_is_scale_times_codes_less_zero_point():
    for format in (S8, IntFormat(8, signed=False), IntFormat(3)):
        codes = np.arange(format.qmin, format.qmax + 1)
        value = Fixed(codes, 0.1, format, zero_point=3).value
        assert value.dtype == np.float64
        # a product of a float64 and an integer of 9 bits, rounded once
        assert value.tolist() == [float(Fraction(0.1) * (code - 3)) for code in codes.tolist()]


def test_value_per_channel_runs_along_the_axis():
    codes = np.arange(24).reshape(2, 3, 4)
    for axis in (1, -2):
        fixed = Fixed(codes, [0.5, 2.0, 8.0], S8, [1, 2, 3], axis)
        assert fixed.axis == 1 and fixed.shape == (2, 3, 4)
        for b, c, d in np.ndindex(2, 3, 4):
            assert fixed.value[b, c, d] == [0.5, 2, 8][c] * (int(codes[b, c, d]) - [1, 2, 3][c])


def test_codes_are_stored_in_the_format_and_scales_as_given():
    fixed = Fixed([1, 2], np.float32(0.1), S8, np.int16(5))
    assert fixed.codes.dtype == np.int8 and fixed.scale == np.float32(0.1) and fixed.scale.dtype == np.float32
    assert fixed.zero_point == 5 and type(fixed.zero_point) is int and fixed.axis is None
    assert Fixed([1], 1, S8).scale == 1.0


def test_codes_at_both_ends_of_every_format():
    for bits in range(2, 65):
        for format in (IntFormat(bits), IntFormat(bits, narrow=True), IntFormat(bits, signed=False)):
            fixed = Fixed(np.array([format.qmin, format.qmax], format.dtype), 1.0, format)
            assert fixed.codes.tolist() == [format.qmin, format.qmax]


def test_value_of_64_bit_codes_does_not_wrap():
    for code, zero_point in ((-(2**63), 1), (2**63 - 1, -1), (2**63 - 1, -(2**31))):
        assert Fixed([code], 1.0, S64, zero_point).value[0] == float(code - zero_point)


def test_value_of_unsigned_64_bit_codes_is_rounded_once():
    for code, zero_point in ((2**53 + 1, 1), (2**64 - 1, 0), (2**63, 0)):
        assert Fixed(np.array([code], np.uint64), 1.0, U64, zero_point).value[0] == float(code - zero_point)


@pytest.mark.parametrize("call, words", [
    (lambda: Fixed([1, 128], 1.0, S8), ["codes", "1 to 128", "s8", "-128 to 127"]),
    (lambda: Fixed([-128], 1.0, IntFormat(8, narrow=True)), ["codes", "-128", "s8n", "-127 to 127"]),
    (lambda: Fixed([-1], 1.0, IntFormat(8, signed=False)), ["codes", "-1", "u8", "0 to 255"]),
    (lambda: Fixed([1], 0.0, S8), ["scale = 0.0", "positive finite"]),
    (lambda: Fixed([1], -1.0, S8), ["scale = -1.0", "positive finite"]),
    (lambda: Fixed([1], np.inf, S8), ["scale = inf", "positive finite"]),
    (lambda: Fixed([1], np.nan, S8), ["scale = nan", "positive finite"]),
    (lambda: Fixed([1, 2], [1.0, -2.0], S8, axis=0), ["scale = -2.0", "positive finite"]),
    (lambda: Fixed([1], "wide", S8), ["scale = 'wide'", "positive finite"]),
    (lambda: Fixed([1, 2], [1.0, 2.0], S8), ["scale has shape (2,)", "one number", "(2,)"]),
    (lambda: Fixed([[1, 2]], [1.0, 2.0], S8, axis=0),
     ["scale has shape (2,)", "one number, or 1 along axis 0", "(1, 2)"]),
    (lambda: Fixed([[1, 2]], 1.0, S8, [1, 2, 3], 1), ["zero_point has shape (3,)", "one number, or 2 along axis 1"]),
    (lambda: check_scale([[1.0]]), ["scale has shape (1, 1)", "one number or one for each channel"]),
    (lambda: Fixed([1], 1.0, S8, 2**31), ["zero_point", str(2**31), "int32"]),
    (lambda: check_zero_point([0, -(2**31) - 1]), ["zero_point", f"{-(2**31) - 1} to 0", "int32"]),
    (lambda: Fixed([[1]], 1.0, S8, axis=2), ["axis = 2", "-2 to 1", "2 dimensions"]),
    (lambda: Fixed([[1]], 1.0, S8, axis=-3), ["axis = -3", "-2 to 1", "2 dimensions"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("call, words", [
    (lambda: Fixed([1.0], 1.0, S8), ["codes has dtype float64", "integers"]),
    (lambda: Fixed([True], 1.0, S8), ["codes has dtype bool", "integers"]),
    (lambda: Fixed([1], 1.0, S8, 0.5), ["zero_point has dtype float64", "integers"]),
])
def test_wrong_types_are_named(call, words):
    with pytest.raises(TypeError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_axes_count_from_both_ends():
    assert [check_axis(axis, 3) for axis in (None, 0, 2, -1, -3)] == [None, 0, 2, 2, 0]


def test_along_broadcasts_along_its_axis_only():
    assert along(np.arange(3), 1, 4).shape == (1, 3, 1, 1)
    assert along(np.arange(3), 1, 4).ravel().tolist() == [0, 1, 2]
    assert along(np.asarray(7), 1, 4).shape == () and along(np.arange(3), None, 4).shape == (3,)
