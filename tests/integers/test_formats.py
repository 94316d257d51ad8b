"""Formats: counting identities for the ends, the median for saturation, congruence for wrapping."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers.formats import IntFormat, as_int64, as_integers

FORMATS = [IntFormat(bits, signed, narrow) for bits in range(2, 65)
           for signed, narrow in ((True, False), (True, True), (False, False))]
SMALL = [format for format in FORMATS if format.bits <= 9]
DTYPES = [np.dtype(kind + str(size)) for kind in ("int", "uint") for size in (8, 16, 32, 64)]


def ends(dtype):
    """Every integer near an end of the dtype or a power of two, that the dtype holds."""
    info = np.iinfo(dtype)
    near = [sign * (1 << k) + d for k in range(65) for d in range(-2, 3) for sign in (-1, 1)]
    return sorted({v for v in near if info.min <= v <= info.max})


def check_saturated(values, format):
    got = format.saturate(values)
    assert got.dtype == format.dtype and got.shape == values.shape
    assert got.tolist() == [sorted((format.qmin, v, format.qmax))[1] for v in values.tolist()]


def check_wrapped(values, format):
    got = format.wrap(values)
    full = range(-(2 ** (format.bits - 1)), 2 ** (format.bits - 1)) if format.signed else range(2**format.bits)
    assert got.dtype == format.dtype and got.shape == values.shape
    for v, code in zip(values.tolist(), got.tolist(), strict=True):
        assert code in full and (v - code) % 2**format.bits == 0


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_ends_follow_from_the_number_of_codes(format):
    assert format.qmax - format.qmin + 1 == 2**format.bits - format.narrow
    assert format.qmin == 0 if not format.signed else format.qmin + format.qmax == (0 if format.narrow else -1)


@pytest.mark.parametrize("name, qmin, qmax", [
    ("s2", -2, 1), ("s2n", -1, 1), ("u2", 0, 3), ("s4", -8, 7), ("u4", 0, 15), ("s8", -128, 127), ("s8n", -127, 127),
    ("u8", 0, 255), ("s16", -32768, 32767), ("s32", -2147483648, 2147483647), ("u32", 0, 4294967295),
    ("s64", -9223372036854775808, 9223372036854775807), ("u64", 0, 18446744073709551615)])
def test_ends_of_known_formats(name, qmin, qmax):
    format = IntFormat.parse(name)
    assert (format.qmin, format.qmax) == (qmin, qmax)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_dtype_is_the_smallest_that_holds_every_code(format):
    def holds(dtype):
        return np.iinfo(dtype).min <= format.qmin and format.qmax <= np.iinfo(dtype).max

    alike = [dtype for dtype in DTYPES if (dtype.kind == "i") == format.signed]
    assert format.dtype == next(dtype for dtype in alike if holds(dtype))


def test_names_read_back():
    for format in FORMATS:
        assert IntFormat.parse(str(format)) == format
    assert len({str(format) for format in FORMATS}) == len(set(FORMATS)) == 189


def test_parse_knows_the_short_names():
    assert IntFormat.parse("s8") == IntFormat(8) == IntFormat(8, True, False)
    assert IntFormat.parse("u4") == IntFormat(4, signed=False)
    assert IntFormat.parse("s8n") == IntFormat(8, narrow=True)


@pytest.mark.parametrize("name", ["", "8", "s", "s8N", "S8", "s8nn", " s8", "s8\n", "s-8", "i8", "s123", "s8u", "s٨",
                                  8, None])
def test_parse_refuses_other_names(name):
    with pytest.raises(ValueError) as error:
        IntFormat.parse(name)
    assert all(word in str(error.value) for word in ("format", repr(name), "2 to 64", "s8, u4, s8n"))


@pytest.mark.parametrize("name", ["s08", "u02", "s08n"])
def test_parse_refuses_a_second_spelling_of_a_format(name):
    with pytest.raises(ValueError, match=name):
        IntFormat.parse(name)


@pytest.mark.parametrize("format", SMALL, ids=str)
def test_small_formats_saturate_and_wrap_every_integer_around_them(format):
    values = np.arange(-3 * 2**format.bits, 3 * 2**format.bits + 1, dtype=np.int16)
    check_saturated(values, format)
    check_wrapped(values, format)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_all_formats_saturate_and_wrap_the_ends_of_every_dtype(dtype):
    values = np.array(ends(dtype), dtype)
    for format in FORMATS:
        check_saturated(values, format)
        check_wrapped(values, format)


@given(st.sampled_from(FORMATS), st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.integers(0, 2**64 - 1)))
def test_saturate_and_wrap_of_anything(format, signed, unsigned):
    for values in (np.array(signed, np.int64), np.array(unsigned, np.uint64)):
        check_saturated(values, format)
        check_wrapped(values, format)


def test_numbers_strided_views_and_empty_arrays_are_taken():
    s8 = IntFormat(8)
    assert s8.saturate(300) == 127 and s8.wrap(300) == 44 and s8.wrap(-129) == 127
    assert np.ndim(s8.saturate(5)) == np.ndim(s8.wrap(5)) == 0
    assert s8.saturate([]).dtype == s8.wrap([]).dtype == np.int8
    transposed = np.arange(-300, 300).reshape(20, 30).T[::2]
    assert (s8.wrap(transposed) == s8.wrap(transposed.copy())).all()


def test_narrow_wraps_like_the_full_format():
    values = np.arange(-1000, 1000)
    assert (IntFormat(8, narrow=True).wrap(values) == IntFormat(8).wrap(values)).all()


def test_contains_knows_both_ends():
    for format in FORMATS:
        inside = np.array([format.qmin, format.qmax], format.dtype)
        assert format.contains(inside) and format.contains(inside[:0])
        if format.bits < 64:
            assert not any(format.contains(np.array([0, code])) for code in (format.qmin - 1, format.qmax + 1))
    assert not IntFormat(64).contains(np.array([2**63], np.uint64))
    assert not IntFormat(64, signed=False).contains(np.array([-1]))


@pytest.mark.parametrize("bits", [1, 0, -8, 65, 8.0, "8", None, True, np.True_])
def test_bits_are_an_integer_from_2_to_64(bits):
    with pytest.raises(ValueError) as error:
        IntFormat(bits)
    assert all(word in str(error.value) for word in ("bits", repr(bits), "2 to 64"))


def test_bits_may_be_a_numpy_integer():
    assert IntFormat(np.int8(7)) == IntFormat(7) and type(IntFormat(np.int8(7)).bits) is int


def test_narrow_unsigned_is_refused():
    for make in (lambda: IntFormat(8, signed=False, narrow=True), lambda: IntFormat.parse("u8n")):
        with pytest.raises(ValueError, match="narrow = True: expected a signed format"):
            make()


@pytest.mark.parametrize("values", [[0.5], [True], np.array([1, 2], object), ["1"], np.zeros(0), [2**64]])
def test_only_integers_are_integers(values):
    for check in (as_integers, as_int64):
        with pytest.raises(TypeError, match=f"rows has dtype {np.asarray(values).dtype}: expected integers"):
            check(values, "rows")


def test_an_empty_list_is_integers():
    assert as_integers([], "rows").dtype == as_int64([], "rows").dtype == np.int64


def test_int64_refuses_larger_unsigned_values():
    assert as_int64(np.array([2**63 - 1], np.uint64), "rows").tolist() == [2**63 - 1]
    with pytest.raises(ValueError, match=f"rows holds {2**63}: expected values below 2\\^63"):
        as_int64(np.array([1, 2**63], np.uint64), "rows")
