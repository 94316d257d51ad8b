"""bin: struct as a second route, and every damage refused."""
import struct

import numpy as np
import pytest

from refquant.golden.errors import CorruptError
from refquant.golden.export.bin import export, packed_bytes, parse_bin, raw_bytes
from refquant.golden.vector import Vector
from refquant.integers.formats import IntFormat

S4, U4, S2 = IntFormat(4), IntFormat(4, signed=False), IntFormat(2)


@pytest.mark.parametrize("dtype, code, values", [
    ("int8", "b", [-128, 127, -1]), ("uint8", "B", [0, 255]), ("int16", "h", [-2, 258]), ("uint16", "H", [513]),
    ("int32", "i", [-(2**31), 67305985]), ("uint32", "I", [2**32 - 1]), ("int64", "q", [-(2**63), 1]),
    ("uint64", "Q", [2**64 - 1]), ("float32", "f", [1.5, -0.0]), ("float64", "d", [0.1, float("inf")]),
])
def test_elements_little_endian(dtype, code, values):
    data = struct.pack(f"<{len(values)}{code}", *values)
    for order in "<>":
        assert raw_bytes(np.array(values, np.dtype(dtype).newbyteorder(order))) == data
    kind = np.dtype(dtype)
    format = f"f{kind.itemsize * 8}" if kind.kind == "f" else IntFormat(kind.itemsize * 8, kind.kind == "i")
    back = parse_bin(data, format, (len(values),))
    assert back.dtype == kind and back.tolist() == values and back.dtype.isnative


def test_c_order():
    array = np.arange(6, dtype=np.int8).reshape(2, 3)
    assert raw_bytes(array.T) == bytes([0, 3, 1, 4, 2, 5])
    assert parse_bin(bytes(range(6)), IntFormat(8), (2, 3)).tolist() == array.tolist()


def test_sixteen_codes_packed():
    assert packed_bytes(np.arange(16, dtype=np.uint8), U4).hex(" ") == "10 32 54 76 98 ba dc fe"
    codes = np.array([*range(8), *range(-8, 0)], np.int8)
    assert packed_bytes(codes, S4).hex(" ") == "10 32 54 76 98 ba dc fe"
    assert parse_bin(bytes.fromhex("1032547698badcfe"), S4, (4, 4), packed=True).reshape(-1).tolist() == codes.tolist()


def test_an_odd_tail_is_0():
    assert packed_bytes(np.array([-1, -1, -1], np.int8), S4) == b"\xff\x0f"
    assert packed_bytes(np.array([-2], np.int8), S2) == b"\x02"
    assert parse_bin(b"\xff\x0f", S4, (3,), packed=True).tolist() == [-1, -1, -1]


def test_a_narrow_format_keeps_the_code_that_wrapping_brings():
    narrow = IntFormat(4, narrow=True)
    assert packed_bytes(np.array([-8, 7], np.int8), narrow) == b"\x78"
    assert parse_bin(b"\x78", narrow, (2,), packed=True).tolist() == [-8, 7]


def test_nothing_is_empty():
    assert raw_bytes(np.zeros(0, np.int32)) == b"" == packed_bytes(np.zeros(0, np.int8), S4)
    assert parse_bin(b"", IntFormat(32), (0, 2)).shape == (0, 2)
    assert parse_bin(b"", S4, (0,), packed=True).shape == (0,)


def test_a_code_outside_the_format_is_a_mismatch_not_damage():
    assert parse_bin(b"\x7f", S4, (1,)).tolist() == [127]


def test_narrow_tensors_come_both_ways(monkeypatch):
    monkeypatch.setattr(Vector, "format", lambda self, name: {"in_a": S4, "in_b": IntFormat(8), "in_c": "f32"}[name])
    tensors = {"in_a": np.array([1, -1], np.int8), "in_b": np.array([1], np.int8), "in_c": np.array([1], np.float32)}
    assert export(Vector({}, tensors), None) == {
        "bin/in_a.bin": b"\x01\xff", "bin/in_a.packed.bin": b"\xf1", "bin/in_b.bin": b"\x01",
        "bin/in_c.bin": b"\x00\x00\x80\x3f"}


@pytest.mark.parametrize("data, format, shape, packed, words", [
    (b"\0\0\0", IntFormat(16), (2,), False, ["y.bin", "3 bytes", "expected 4", "2 elements of 2 bytes"]),
    (b"", IntFormat(8), (1,), False, ["0 bytes", "expected 1"]),
    (b"\0\0", S4, (5,), True, ["2 bytes", "expected 3", "5 elements of 4 bits"]),
    (b"\0\0", S4, (2,), True, ["2 bytes", "expected 1"]),
    (b"\xff\x1f", S4, (3,), True, ["last byte is 0x1f", "zeros after element 2"]),
    (b"\0", IntFormat(8), (1,), True, ["s8 are never packed"]),
    (b"\0", "f32", (1,), True, ["f32 are never packed"]),
])
def test_errors_name_the_file_and_what_was_expected(data, format, shape, packed, words):
    with pytest.raises(CorruptError) as error:
        parse_bin(data, format, shape, packed=packed, name="y.bin")
    assert all(word in str(error.value) for word in words), error.value
