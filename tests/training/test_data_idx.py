"""idx files, plain and gzip: what was written is read, and every damage is named."""
import gzip
import io
import os
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.training.data import DataError
from refquant.training.data import idx as module
from refquant.training.data.idx import read_idx, read_pair

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.uint8([7, 2])


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def packed(content, name=b""):
    buffer = io.BytesIO()
    with gzip.GzipFile(name.decode(), "wb", fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Reads bytes as a file."""
    path = tmp_path_factory.mktemp("idx") / "file"

    def reading(content):
        path.write_bytes(content)
        return read_idx(path)
    return reading


def refused(read, content, words):
    with pytest.raises(DataError, match=re.escape(words)) as error:
        read(content)
    assert "file: " in str(error.value)


@pytest.mark.parametrize("array", [IMAGES, LABELS, np.zeros((1, 1, 1), np.uint8), np.arange(200, dtype=np.uint8)])
@pytest.mark.parametrize("form", [bytes, packed, lambda content: packed(content, b"named-within")])
def test_what_was_written_is_read(read, array, form):
    got = read(form(idx(array)))
    assert got.dtype == np.uint8 and np.array_equal(got, array) and got.flags.writeable


def test_more_than_a_chunk_of_gzip(read):
    array = np.random.default_rng(0).integers(0, 256, (150, 40, 50), np.uint8)  # 300 kB that do not compress
    assert np.array_equal(read(packed(idx(array))), array)


def test_zeros_that_deflate_packs_best_are_no_bomb(read):
    whole = packed(idx(np.zeros((10, 1000, 1000), np.uint8)))
    assert 10**7 / len(whole) > 1020
    assert read(whole).shape == (10, 1000, 1000)


@pytest.mark.parametrize("content, words", [
    (b"", "begins with nothing: expected an idx file"),
    (b"\0\0\x08", "begins with 00 00 08"),
    (b"\x89PNG\r\n", "begins with 89 50 4e 47: expected an idx file, 00 00 08 0n"),
    (b"\0\0\x0d" + idx(LABELS)[3:], "holds idx type 0x0d: expected 0x08"),
    (idx(np.uint8(3)), "has 0 dimensions: expected 1 (labels) or 3 (images)"),
    (idx(np.zeros((2, 2), np.uint8)), "has 2 dimensions"),
    (idx(np.zeros((1, 2, 1, 2), np.uint8)), "has 4 dimensions"),
    (idx(IMAGES)[:15], "ends within its header: expected 3 dimensions of 4 bytes"),
    (idx(IMAGES[:0]), "claims shape (0, 3, 4): expected no dimension of 0"),
    (idx(IMAGES)[:-1], "claims shape (2, 3, 4), 24 bytes: after it come 23"),
    (idx(LABELS)[:8], "claims shape (2,), 2 bytes: after it come 0"),
])
def test_damage_is_named(read, content, words):
    refused(read, content, words)
    refused(read, packed(content), words)


def test_excess_is_named(read):
    refused(read, idx(IMAGES) + b"\0\0", "24 bytes: after it come 26")
    refused(read, packed(idx(IMAGES) + b"\0\0"), "24 bytes: after it come more")


@pytest.mark.parametrize("shape", [(2**32 - 1,), (2**32 - 1,) * 3, (1, 1, 10**6)])
def test_a_claim_beyond_the_file_takes_no_memory(read, shape):
    header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    tracemalloc.start()
    try:
        refused(read, header + b"\0" * 9, "bytes: after it come 9")
        refused(read, packed(header + b"\0" * 9), "bytes: expected at most")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_is_not_inflated(read, monkeypatch):
    bomb = packed(idx(LABELS) + bytes(1 << 26))
    inflated = []

    class Counting:
        def __init__(self, wbits):
            self.inner = original(wbits=wbits)

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def decompress(self, data, most):
            inflated.append(self.inner.decompress(data, most))
            return inflated[-1]

    original = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    tracemalloc.start()
    try:
        refused(read, bomb, "claims shape (2,), 2 bytes: after it come more")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert sum(map(len, inflated)) == len(idx(LABELS)) + 1


@pytest.mark.parametrize("chunk", [1, 2, len(packed(idx(IMAGES))), module.CHUNK])
def test_damaged_gzip(read, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)  # the pieces in which it is read
    assert np.array_equal(read(packed(idx(IMAGES))), IMAGES)
    whole = packed(idx(IMAGES))
    refused(read, whole[:2], "truncated")
    refused(read, whole[:-1], "truncated: expected the end of its gzip stream")
    refused(read, whole + b"\0", "has bytes after its gzip stream")
    refused(read, whole + packed(b"more"), "has bytes after its gzip stream")
    refused(read, whole[:-8] + bytes(4) + whole[-4:], "not a valid gzip file")
    refused(read, whole[:2] + b"\x07" + whole[3:], "not a valid gzip file")


@pytest.mark.parametrize("form", [bytes, packed])
def test_no_beginning_of_a_file_is_a_file(read, form):
    whole = form(idx(IMAGES))
    for end in range(len(whole)):
        with pytest.raises(DataError):
            read(whole[:end])


@given(st.data())
def test_any_byte_changed_of_gzip_gives_the_same_or_an_error(read, data):
    whole = packed(idx(IMAGES), b"name")
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1:]
    try:
        assert np.array_equal(read(changed), IMAGES)
    except DataError as error:
        assert "file: " in str(error)


@given(st.integers(0, 15), st.integers(0, 255))
def test_any_byte_of_the_header_matters(read, place, byte):
    whole = idx(IMAGES)
    if whole[place] != byte:
        with pytest.raises(DataError):
            read(whole[:place] + bytes([byte]) + whole[place + 1:])


@given(st.binary(max_size=60))
def test_noise_is_refused(read, content):
    for form in (content, b"\x1f\x8b" + content, b"\x1f\x8b\x08\0\0\0\0\0\0\0" + content, packed(content)):
        with pytest.raises(DataError):
            read(form)


def test_what_is_no_file(tmp_path):
    for path, words in ((tmp_path / "none", "none: missing"), (tmp_path, "not a plain file"),
                        (tmp_path / ("x" * 300), "cannot be read")):
        with pytest.raises(DataError, match=words):
            read_idx(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: not a plain file"):
        read_idx(tmp_path / "pipe")


def test_a_pair(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx(IMAGES))
    labels.write_bytes(packed(idx(LABELS)))
    x, y = read_pair(images, labels)
    assert x.dtype == np.uint8 and np.array_equal(x, IMAGES.reshape(2, 1, 3, 4))
    assert y.dtype == np.int64 and y.tolist() == [7, 2]
    with pytest.raises(DataError, match="labels: has 1 dimensions: expected 3, images"):
        read_pair(labels, images)
    with pytest.raises(DataError, match="images: has 3 dimensions: expected 1, labels"):
        read_pair(images, images)
    labels.write_bytes(idx(np.uint8([1, 2, 3])))
    with pytest.raises(DataError, match=r"images holds 2 images, .*labels holds 3 labels: expected as many"):
        read_pair(images, labels)
