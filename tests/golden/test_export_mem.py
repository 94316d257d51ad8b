"""mem: exact text, big integers as a second route, Icarus Verilog's own $readmemh and $writememh as a third."""
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.golden.errors import CorruptError
from refquant.golden.export.mem import WORDS, lane_format, mem, parse_mem
from refquant.integers.formats import IntFormat

NAMES = ("s2", "u2", "s3", "s4", "u4", "s4n", "s7", "s8", "u8", "s8n", "s12", "u16", "s18", "s24", "s32", "u32", "s40",
         "s48", "u63", "s64", "u64")
FORMATS = [*(IntFormat.parse(name) for name in NAMES), "f32", "f64"]
every_format = pytest.mark.parametrize("format", FORMATS, ids=str)


def array_of(format, count=7):
    """Ends, small numbers of both signs, and what stands out in hexadecimal."""
    if isinstance(format, str):
        dtype = {"f32": np.float32, "f64": np.float64}[format]
        values = [0.0, -0.0, 1.0, -1.5, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal, -np.inf]
        return np.resize(np.array(values, dtype), count)
    values = [format.qmin, format.qmax, 0, 1, -1 if format.signed else 1, format.qmin + 1, format.qmax // 3]
    return np.resize(np.array(values, format.dtype), count)


def text_of(array, format, word=None):
    return mem(array, format, word).decode()


@pytest.mark.parametrize("name, values, expected", [
    ("s8", [0, -1, 127, -128], "00\nff\n7f\n80\n"),
    ("s4", [0, -1, 7, -8], "0\nf\n7\n8\n"),
    ("u2", [0, 3, 2], "0\n3\n2\n"),
    ("s5", [-1, -16, 15], "1f\n10\n0f\n"),
    ("s18", [-1, -131072, 131071], "3ffff\n20000\n1ffff\n"),
    ("s32", [-(2**31), 10], "80000000\n0000000a\n"),
    ("u64", [2**64 - 1], "ffffffffffffffff\n"),
])
def test_twos_complement_of_the_formats_bits(name, values, expected):
    format = IntFormat.parse(name)
    assert text_of(np.array(values, format.dtype), format) == expected


def test_floats_are_their_bits():
    assert text_of(np.array([1.0, -2.0, -0.0], np.float32), "f32") == "3f800000\nc0000000\n80000000\n"
    assert text_of(np.array([1.0], np.float64), "f64") == "3ff0000000000000\n"


def test_element_0_is_in_the_least_significant_lane():
    codes = np.arange(16, dtype=np.uint8)
    u4, u8 = IntFormat(4, signed=False), IntFormat(8, signed=False)
    assert text_of(codes, u4, 64) == "fedcba9876543210\n"
    assert text_of(codes, u4, 32) == "76543210\nfedcba98\n"
    assert text_of(codes, u8, 128) == "0f0e0d0c0b0a09080706050403020100\n"
    assert bytes.fromhex(text_of(codes, u4, 64))[::-1].hex(" ") == "10 32 54 76 98 ba dc fe"


def test_a_tail_is_filled_with_zeros():
    assert text_of(np.array([-1, -1, -1], np.int8), IntFormat(8), 32) == "00ffffff\n"


def test_other_widths_take_the_lanes_of_their_container():
    assert text_of(np.array([-2, 1], np.int8), IntFormat(5), 32) == "000001fe\n"
    assert text_of(np.array([-2, 1], np.int32), IntFormat(18), 64) == "00000001fffffffe\n"
    assert text_of(np.array([2**40 - 1], np.uint64), IntFormat(40, signed=False), 64) == "000000ffffffffff\n"


def test_a_lane_of_64_bits_takes_two_words_of_32_the_low_half_first():
    assert text_of(np.array([-2], np.int64), IntFormat(40), 32) == "fffffffe\nffffffff\n"
    assert text_of(np.array([1.0]), "f64", 32) == "00000000\n3ff00000\n"


def test_a_narrow_format_keeps_the_code_that_wrapping_brings():
    s8n = IntFormat(8, narrow=True)
    assert text_of(np.array([-128], np.int8), s8n) == "80\n"
    assert text_of(np.array([-128], np.int8), s8n, 32) == "00000080\n"
    assert parse_mem("00000080", s8n, (1,), 32).tolist() == [-128]


def test_an_empty_tensor_is_an_empty_file():
    for word in (None, *WORDS):
        assert mem(np.zeros((0, 3), np.int8), IntFormat(8), word) == b""
        assert parse_mem("", IntFormat(8), (0, 3), word).shape == (0, 3)


@pytest.mark.parametrize("word", WORDS)
@every_format
def test_the_words_are_one_big_integer(format, word):
    for count in (1, 2, 5, 33):
        array = array_of(format, count)
        lane = lane_format(format).bits
        integers = array.view(f"u{array.itemsize}").tolist() if isinstance(format, str) else array.tolist()
        number = sum((code % 2**lane) << (k * lane) for k, code in enumerate(integers))
        lines = text_of(array, format, word).splitlines()
        assert all(len(line) == word // 4 for line in lines)
        assert sum(int(line, 16) << (k * word) for k, line in enumerate(lines)) == number
        assert len(lines) == -(-count * lane // word)


@pytest.mark.parametrize("word", [None, *WORDS])
@every_format
def test_what_is_written_is_read_back(format, word):
    for shape in ((7,), (1, 7), (3, 4, 5), ()):
        array = array_of(format, int(np.prod(shape))).reshape(shape)
        back = parse_mem(text_of(array, format, word), format, shape, word)
        assert back.dtype == array.dtype and back.shape == shape
        assert back.tobytes() == array.tobytes()  # so that -0.0 is not 0.0


@given(st.sampled_from([f for f in FORMATS if isinstance(f, IntFormat)]), st.sampled_from([None, *WORDS]), st.data())
def test_random_codes_are_read_back(format, word, data):
    codes = np.array(data.draw(st.lists(st.integers(format.qmin, format.qmax), max_size=40)), format.dtype)
    assert parse_mem(text_of(codes, format, word), format, codes.shape, word).tolist() == codes.tolist()


def test_all_that_readmemh_takes_is_taken():
    text = """// written by a simulator
    01 Fe   /* two on a line,
    and a comment 55 of two lines */ 7_f
    @4 80
    @00000003 5 // out of order
    """
    assert parse_mem(text, IntFormat(8), (5,)).tolist() == [1, -2, 127, 5, -128]
    assert parse_mem("0000ff\r\n00\r\n", IntFormat(8), (2,)).tolist() == [-1, 0]


@pytest.mark.parametrize("text, word, words", [
    ("00\n0x\n01\n", None, ["y.mem: line 2", "'0x'", "undefined", "8 bits"]),
    ("00\nzz\n01\n", None, ["y.mem: line 2", "'zz'", "undefined"]),
    ("00\n01\n-1\n", None, ["y.mem: line 3", "'-1'", "a hexadecimal number of 8 bits"]),
    ("00\n01\n", None, ["y.mem: ends at line 2", "2 numbers", "expected 3", "address 2 is missing"]),
    ("", None, ["0 numbers", "expected 3"]),
    ("@0 00 @2 01\n", None, ["expected 3", "address 1 is missing"]),
    ("00\n01\n02\n03\n", None, ["y.mem: line 4", "address 3", "expected 3 numbers"]),
    ("00 01 02 @1 05", None, ["line 1", "address 1", "second time"]),
    ("@ 00\n", None, ["line 1", "hexadecimal address"]),
    ("00\n\n// 1ff\n1ff\n02\n", None, ["y.mem: line 4", "1ff takes 9 bits", "at most 8"]),
    ("/* a\n b */ 00\n01\nx\n", None, ["y.mem: line 4", "'x'"]),
    ("/* open\n00 01 02\n", None, ["line 1", "'/*'"]),
    ("00 01 ۰۲", None, ["line 1", "is not a number"]),
    ("00\n", 32, []),
    ("1_0000_0000", 32, ["takes 33 bits", "at most 32"]),
    ("00 00", 32, ["address 1", "expected 1 numbers"]),
    ("01000000", 32, ["y.mem", "last word", "more than 3 elements"]),
])
def test_errors_name_the_file_the_line_and_what_was_expected(text, word, words):
    if not words:
        assert parse_mem(text, IntFormat(8), (3,), word, "y.mem").tolist() == [0, 0, 0]
        return
    with pytest.raises(CorruptError) as error:
        parse_mem(text, IntFormat(8), (3,), word, "y.mem")
    assert all(word in str(error.value) for word in words), error.value
    assert error.value.exit_code == 3


def test_a_lane_holds_its_code_extended():
    with pytest.raises(CorruptError, match=r"element 1 is 16: expected 5 bits, -16 to 15, extended to the lane's 8"):
        parse_mem("00001001", IntFormat(5), (2,), 32)


simulator = pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")

BENCH = """
module bench;
  reg [{high}:0] memory [0:{last}];
  integer k;
  initial begin
    {load}
    for (k = 0; k <= {last}; k = k + 1) $display("%b", memory[k]);
    $writememh("out.mem", memory);
  end
endmodule
"""


def simulate(directory, bits, depth, load):
    """The words that a simulator loaded, in binary, and the file that it wrote."""
    (directory / "bench.v").write_text(BENCH.format(high=bits - 1, last=depth - 1, load=load))
    subprocess.run(["iverilog", "-g2001", "-o", "bench", "bench.v"], cwd=directory, check=True)
    done = subprocess.run(["vvp", "-n", "bench"], cwd=directory, check=True, capture_output=True, text=True)
    assert "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout.split(), (directory / "out.mem").read_text()


@simulator
@pytest.mark.parametrize("word", [None, 32, 128])
@pytest.mark.parametrize("name", ["s4", "u8", "s18", "s32", "s40", "f32"])
def test_a_simulator_loads_it_and_its_dump_is_read_back(name, word, tmp_path):
    format = name if name == "f32" else IntFormat.parse(name)
    array = array_of(format, 21)
    (tmp_path / "in.mem").write_bytes(mem(array, format, word))
    depth = len(text_of(array, format, word).splitlines())
    own = 32 if name == "f32" else format.bits
    loaded, dump = simulate(tmp_path, word or own, depth, '$readmemh("in.mem", memory);')
    if word is None:
        integers = array.view(np.uint32).tolist() if name == "f32" else array.tolist()
        assert [int(bits, 2) for bits in loaded] == [code % 2**own for code in integers]
    assert parse_mem(dump, format, array.shape, word).tobytes() == array.tobytes()


@simulator
def test_memory_that_was_never_written_is_no_answer(tmp_path):
    _, dump = simulate(tmp_path, 8, 3, "memory[0] = 8'h12; memory[2] = 8'h34;")
    with pytest.raises(CorruptError, match="'xx' is not a number, undefined"):
        parse_mem(dump, IntFormat(8), (3,))
