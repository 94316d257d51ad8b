"""Pickles read without unpickling: real ones of every protocol, one as Python 2 wrote it, and many that are refused."""
import contextlib
import os
import pickle
import pickletools
import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.training.data import DataError, pickled
from refquant.training.data.pickledarray import Array

DATA = (np.arange(2 * 12) * 11 % 256).astype(np.uint8).reshape(2, 12)
BATCH = {b"batch_label": b"batch 1 of 5", b"labels": [3, 9], b"data": DATA, b"filenames": [b"a\xff.png", b"b.png"]}
protocols = pytest.mark.parametrize("protocol", range(6))


def short(text):
    return b"U" + bytes([len(text)]) + text


def python2(data=DATA, labels=(3, 9), rows=None, flag=b"\x89"):
    """A batch as Python 2's cPickle wrote it in protocol 2, instruction by instruction."""
    rows, columns = rows or len(data), data.shape[1]
    return b"".join([
        b"\x80\x02", b"}", b"q\x01", b"(",
        short(b"batch_label"), b"q\x02", short(b"training batch 1 of 5"), b"q\x03",
        short(b"labels"), b"q\x04", b"]", b"q\x05", b"(", *(b"K" + bytes([label]) for label in labels), b"e",
        short(b"data"), b"q\x06",
        b"cnumpy.core.multiarray\n_reconstruct\n", b"q\x07", b"cnumpy\nndarray\n", b"q\x08",
        b"K\x00", b"\x85", short(b"b"), b"\x87", b"R", b"q\x09",
        b"(", b"K\x01", b"M" + struct.pack("<H", rows), b"M" + struct.pack("<H", columns), b"\x86",
        b"cnumpy\ndtype\n", b"q\x0a", short(b"u1"), b"K\x00", b"K\x01", b"\x87", b"R", b"q\x0b",
        b"(", b"K\x03", short(b"|"), b"NNN", b"J\xff\xff\xff\xff" * 2, b"K\x00", b"t", b"b",
        flag, b"T" + struct.pack("<i", data.size), data.tobytes(), b"t", b"b",
        short(b"filenames"), b"q\x0c", b"]", b"q\x0d", b"(", short(b"a.png"), b"q\x0e", short(b"b.png"), b"r\x0f\0\0\0", b"e",
        b"u", b"."])


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Reads bytes as a file."""
    path = tmp_path_factory.mktemp("pickles") / "file"

    def reading(content):
        path.write_bytes(content)
        return pickled.read(path)
    return reading


def refused(read, content, words="file: "):
    with pytest.raises(DataError, match=re.escape(words)) as error:
        read(content)
    assert "file: " in str(error.value)  # it is named


@protocols
@pytest.mark.parametrize("order", "CF")
def test_real_pickles(read, protocol, order):
    batch = {**BATCH, b"data": np.asarray(DATA, order=order)}
    got = read(pickle.dumps(batch, protocol))
    assert set(got) == {"batch_label", "labels", "data", "filenames"}
    assert got["labels"] == [3, 9] and got["batch_label"] == "batch 1 of 5" and got["filenames"] == ["a\xff.png", "b.png"]
    array = got["data"].array()
    assert array.dtype == np.uint8 and array.flags.writeable and np.array_equal(array, DATA)


@protocols
def test_names_of_the_years_before_numpy_2(read, protocol):
    old = pickle.dumps(BATCH, min(protocol, 3)).replace(b"numpy._core", b"numpy.core")  # later protocols count letters
    if protocol > 3:
        new = pickle.dumps(BATCH, protocol)
        name, = (name for name in (b"numpy._core.multiarray", b"numpy._core.numeric") if name in new)
        old = new.replace(bytes([len(name)]) + name, bytes([len(name) - 1]) + name.replace(b"_core", b"core"))
    assert np.array_equal(read(old)["data"].array(), DATA)


@protocols
def test_text_for_keys_and_values_of_every_kind(read, protocol):
    value = {"a": None, "b": [True, False, 1, -1, 2**40, -2**63, 300], "c": (), "d": (1,), "e": (1, (2, "x"), [3]), "f": {},
             "g": {"k": [], "é": "é"}, "h": (1, 2, 3, 4), "i": ["long" * 100, b"bytes" * 100]}
    expected = {**value, "i": ["long" * 100, "bytes" * 100]}
    assert read(pickle.dumps(value, protocol)) == expected
    assert read(pickletools.optimize(pickle.dumps(value, protocol))) == expected


def test_as_python_2_wrote_it(read):
    got = read(python2())
    assert got["labels"] == [3, 9] and got["filenames"] == ["a.png", "b.png"]
    assert np.array_equal(got["data"].array(), DATA)
    assert np.array_equal(pickle.loads(python2(), encoding="bytes")[b"data"], DATA)  # the stream is a true one
    large = (np.arange(20 * 300) % 251).astype(np.uint8).reshape(20, 300)
    assert np.array_equal(read(python2(large))["data"].array(), large)


@pytest.mark.parametrize("flag", [b"\x88", b"K\x01", b"I01\n"])
def test_fortran_order_as_any_pickler_says_it(read, flag):
    got = read(python2(np.asfortranarray(DATA), flag=flag))["data"].array()
    assert np.array_equal(got, np.frombuffer(DATA.tobytes(), np.uint8).reshape(12, 2).T)


def test_protocol_0_of_python_2(read):
    assert read(b"(dp1\nS'labels'\np2\n(lp3\nI3\naL9L\nas.") == {"labels": [3, 9]}


# What is refused

class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@protocols
def test_malice_is_refused_and_not_run(read, protocol, tmp_path):
    path = tmp_path / "touched"
    content = pickle.dumps({b"data": DATA, b"labels": Malice(path)}, protocol)
    refused(read, content, f"refused the name '{os.system.__module__} system'")
    assert not path.exists()
    pickle.loads(content)
    assert path.exists()  # it would have


@pytest.mark.parametrize("value", [
    np.float64(1), np.array([1.5]), np.arange(3), np.int8([1]), np.array([True]), np.array([None]), np.uint8([1])[0],
    np.dtype("u2"), np.array([(1, 2)], "u1,u1"), np.ma.array(np.uint8([1])), {1, 2}, 1.5, range(3), complex(1), Ellipsis,
    {1: 2}, {(1, 2): 3}, {None: 1}, 2**63, -2**63 - 1, int], ids=repr)
@protocols
def test_other_values_are_refused(read, value, protocol):
    refused(read, pickle.dumps({"data": value}, protocol))


@pytest.mark.parametrize("value", [[1], "text", b"bytes", 5, None, (), DATA], ids=repr)
@protocols
def test_what_is_no_dict_is_refused(read, value, protocol):
    refused(read, pickle.dumps(value, protocol), "expected a dict")


@pytest.mark.parametrize("content, words", [
    (b"", "not a whole pickle"),
    (b".", "STOP at byte 0: nothing is on the stack"),
    (b"}", "not a whole pickle after EMPTY_DICT at byte 0"),
    (b"}.}", "has bytes after STOP at byte 1"),
    (b"}}.", "2 values and 0 marks are left"),
    (b"(}.", "1 values and 1 marks are left"),
    (b"].", "finds a list: expected a dict"),
    (b"\x80\x06}.", "PROTO at byte 0: protocol 6: expected 0 to 5"),
    (b"0}.", "POP at byte 0: refused"),
    (b"}2.", "DUP at byte 1: refused"),
    (b"}K\x01Q.", "BINPERSID at byte 3: refused"),
    (b"(ios\nsystem\n.", "INST at byte 1: refused"),
    (b"(cos\nsystem\no.", "refused the name 'os system'"),
    (b"\x82\x01.", "EXT1 at byte 0: refused"),
    (b"cnumpy\nndarray\n)\x81.", "NEWOBJ at byte 16: refused"),
    (b"\x97.", "NEXT_BUFFER at byte 0: refused"),
    (b"G" + bytes(8) + b".", "BINFLOAT at byte 0: refused"),
    (b"\xff.", "not a whole pickle"),
    (b"}t.", "TUPLE at byte 1: no mark"),
    (b"}(q\x00.", "BINPUT at byte 2: nothing is on the stack"),
    (b"}(K\x01s.", "SETITEM at byte 4: nothing is on the stack"),
    (b"}h\x05.", "BINGET at byte 1: memo 5 is empty"),
    (b"}K\x01a.", "APPEND at byte 3: finds a dict: expected a list"),
    (b"}(K\x01u.", "a dict's items"),
    (b"}K\x01K\x02s.", "a dict's items"),
    (b"}]K\x02s.", "a dict's items"),
    (b"(U\x01ad.", "a dict's items"),
    (b"}X\xff\xff\xff\x7fabc.", "expected 2147483647 bytes in a unicodestring4, but only 4 remain"),
    (b"\x8e" + b"\xff" * 7 + b"\x7fabc.", "not a whole pickle"),
    (b"\x8d" + b"\xff" * 8 + b"abc.", "not a whole pickle"),
    (b"\x8b\xff\xff\xff\x7fabc.", "not a whole pickle"),
    (b"T\xff\xff\xff\xffabc.", "not a whole pickle"),
    (b"I" + b"9" * 5000 + b"\n.", "not a whole pickle"),
    (b"\x8a\x09" + b"\x01" * 9 + b".", "an integer of more than 64 bits"),
    (b"Iabc\n.", "not a whole pickle"),
    (b"X\x01\0\0\0\xff.", "not a whole pickle"),
    (b"c_codecs\nencode\n(X\x01\0\0\0aX\x04\0\0\0utf8tR.", "ENCODE with other arguments"),
    (b"c_codecs\nencode\n(K\x01X\x06\0\0\0latin1tR.", "ENCODE with other arguments"),
    (b"c_codecs\nencode\n]R.", "finds a list: expected a tuple"),
    (b"U\x01a)R.", "finds a str: expected a Name"),
    (b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR.", "DTYPE with other arguments"),
    (b"cnumpy\nndarray\n)R.", "NDARRAY with other arguments"),
    (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\nK\x00\x85U\x01btR.", "RECONSTRUCT with other arguments"),
    (b"})b.", "state of a dict"),
    (b"K\x01\x93.", "finds a int: expected a str"),
    (b"}\x8c\x02os\x8c\x06system\x93.", "refused the name 'os system'"),
])
def test_malformed_programs(read, content, words):
    refused(read, content, words)


@pytest.mark.filterwarnings("ignore")
def test_an_escape_that_python_warns_of_is_refused_whatever_the_filters(read):
    refused(read, b"}S'\\q'\nNs.", "not a whole pickle after EMPTY_DICT at byte 0: invalid escape")


@pytest.mark.parametrize("before, after, words", [
    (b"U\x02u1", b"U\x02i1", "DTYPE with other arguments"),
    (b"U\x01|", b"U\x01>", "state of a Name"),
    (b"NNN", b"NN)", "state of a Name"),
    (b"(K\x01M", b"(K\x02M", "state of a Array"),
    (b"M\x02\x00", b"M\x03\x00", "an array of shape (3, 12), 36 bytes: it holds 24"),
    (b"M\x0c\x00\x86", b"M\x00\x00\x86", "an array of shape (2, 0), 0 bytes: it holds 24"),
    (b"M\x0c\x00\x86", b"J\xff\xff\xff\xff\x86", "an array's shape"),
    (b"M\x0c\x00\x86", b"\x8a\x05\0\0\0\0\x01\x86", "an array's shape"),
    (b"M\x02\x00M\x0c\x00\x86", b"(" + b"K\x01" * 33 + b"t", "an array's shape"),
    (b"M\x02\x00M\x0c\x00\x86", b"]", "an array's shape"),
    (b"M\x0c\x00\x86", b"\x88\x86", "an array's shape"),
    (b"K\x00tb", b"K\x00lb", "finds a list: expected a tuple"),
    (b"T\x18\0\0\0" + DATA.tobytes(), b"N", "an array's content is a NoneType: expected bytes"),
    (b"\x89T", b"U\x01CT", "state of a Array"),
])
def test_arrays_that_do_not_fit(read, before, after, words):
    assert python2().count(before) == 1
    refused(read, python2().replace(before, after), words)


@pytest.mark.parametrize("content, words", [
    (b"NK\x01\x85U\x01C", "whose type is no dtype"),
    (b"cnumpy\ndtype\nU\x02u1\x89\x88\x87RK\x01\x85U\x01A", "FROMBUFFER with other arguments"),
    (b"cnumpy\ndtype\nU\x02u1\x89\x88\x87RK\x02\x85U\x01C", "an array of shape (2,), 2 bytes: it holds 1"),
])
def test_buffers_that_do_not_fit(read, content, words):
    refused(read, b"cnumpy.core.numeric\n_frombuffer\n(C\x01x" + content + b"tR.", words)


def test_arrays_that_cannot_be_had(read):
    unfilled = b"}U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btRs."
    with pytest.raises(DataError, match="never filled"):
        read(unfilled)["data"].array()
    beyond = Array((1,), "Ā")
    with pytest.raises(DataError, match="a character beyond 255"):
        beyond.array()


@pytest.mark.parametrize("content", [python2(), *(pickle.dumps(BATCH, protocol) for protocol in range(6))])
def test_no_beginning_of_a_pickle_is_one(read, content):
    for end in range(len(content)):
        refused(read, content[:end])


@settings(max_examples=400)
@given(st.integers(0, 6), st.data())
def test_damaged_pickles_give_a_dict_or_an_error(read, kind, data):
    content = bytearray(python2() if kind == 6 else pickle.dumps(BATCH, kind))
    for place, byte in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=3)):
        content[place] = byte
    with contextlib.suppress(DataError):
        got = read(bytes(content))
        assert type(got) is dict
        arrays = [value.array() for value in got.values() if isinstance(value, Array)]
        assert all(array.dtype == np.uint8 for array in arrays)


@settings(max_examples=400)
@given(st.lists(st.sampled_from([b"}", b"]", b"(", b"t", b"d", b"l", b"s", b"u", b"a", b"e", b"R", b"b", b".", b"N", b"K\x01",
                                 b"U\x01a", b"q\x00", b"h\x00", b"\x94", b"\x85", b"\x86", b")", b"cnumpy\ndtype\n", b"\x93",
                                 b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n"]), max_size=30))
def test_programs_of_known_instructions_give_a_dict_or_an_error(read, program):
    with contextlib.suppress(DataError):
        assert type(read(b"".join(program))) is dict


def test_deep_and_self_holding_values_end(read):
    assert list(read(b"}U\x01a" + b")" + b"\x85" * 200_000 + b"s.")) == ["a"]
    held = read(b"}q\x00U\x01ah\x00s.")
    assert held["a"] is held
    refused(read, b"}" + b")" + b"\x85" * 200_000 + b"b.", "state of a dict")
    refused(read, b"cnumpy\ndtype\n" + b")" + b"\x85" * 200_000 + b"R.", "DTYPE with other arguments")


def test_no_more_memory_than_the_file_and_its_instructions(read, monkeypatch, tmp_path):
    encode = b"c_codecs\nencode\nq\x01"
    text = b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"q\x00"
    content = b"}U\x01a(" + encode + text + b"h\x01h\x00U\x06latin1\x86R" * 1000 + b"ts."  # each a megabyte, if it were new
    tracemalloc.start()
    try:
        assert len(read(content)["a"]) == 1002
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(pickled, "MOST_STEPS", 1000)
    assert read(b"}" + b"q\x00" * 998 + b".") == {}
    refused(read, b"}" + b"q\x00" * 999 + b".", "instruction 1001: expected at most 1000")
    with open(tmp_path / "file", "wb") as file:
        file.truncate(pickled.MOST_BYTES + 1)  # a file of nothing but a hole
    with pytest.raises(DataError, match="bytes: expected at most"):
        pickled.read(tmp_path / "file")
