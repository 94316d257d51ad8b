"""CIFAR-10's batches in both forms: the same images, and what is no batch refused by name."""
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.training.data import DataError
from refquant.training.data.cifar import read_binary, read_python

X = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32), np.uint8)
Y = [9, 0, 4]


def binary(x=X, y=Y):
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(x, y, strict=True))


def python(x=X, y=Y, protocol=2, **changes):
    return pickle.dumps({b"data": x.reshape(len(x), 3072), b"labels": y, b"batch_label": b"one"}
                        | {key.encode(): value for key, value in changes.items()}, protocol)


def refused(read, path, content, *words):
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read(path)
    assert all(word in str(error.value) for word in (str(path), *words)), str(error.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batch"


@pytest.mark.parametrize("read, content", [(read_binary, binary()), *((read_python, python(protocol=p)) for p in range(6)),
                                           (read_python, pickle.dumps({"data": X.reshape(3, -1), "labels": Y}))])
def test_both_forms_hold_the_same(read, content, path):
    path.write_bytes(content)
    for name in (path, str(path)):
        x, y = read(name)
        assert x.dtype == np.uint8 and x.shape == (3, 3, 32, 32) and np.array_equal(x, X)
        assert y.dtype == np.int64 and y.tolist() == Y


def test_planes_and_rows_stand_where_the_format_says(path):
    record = bytearray(3073)
    record[0], record[1 + 1024 * 2 + 32 * 5 + 7] = 6, 255  # the blue pixel of row 5, column 7
    path.write_bytes(record)
    x, y = read_binary(path)
    assert np.argwhere(x).tolist() == [[0, 2, 5, 7]] and y.tolist() == [6]


@pytest.mark.parametrize("content, words", [
    (b"", "has 0 bytes: expected one or more records of 3073"),
    (binary()[:-1], "has 9218 bytes"),
    (binary() + b"\0", "has 9220 bytes"),
    (binary(y=[1, 10, 2]), "the label of image 1 is 10: expected an integer of 0 to 9"),
])
def test_damaged_binary(content, words, path):
    refused(read_binary, path, content, words)


@pytest.mark.parametrize("content, words", [
    (b"", "not a whole pickle"),
    (binary(), "not a whole pickle"),
    (python(y=[1, 10, 2]), "the label of image 1 is 10"),
    (python(y=[1, 3, -1]), "the label of image 2 is -1"),
    (python(y=[1, True, 2]), "the label of image 1 is True"),
    (python(y=["1", 2, 2]), "the label of image 0 is a str"),
    (python(y=[1, 2]), "data of shape (3, 3072) and 2 labels: expected (N, 3072) and N"),
    (python(x=X[:0], y=[], protocol=3), "data of shape (0, 3072) and 0 labels"),
    (python(data=X), "data of shape (3, 3, 32, 32)"),
    (python(data=X.reshape(-1)), "data of shape (9216,)"),
    (python(data=X.reshape(3, -1).tobytes()), "no 'data' of CIFAR-10 among its keys ('batch_label', 'data', 'labels')"),
    (python(labels=(1, 2, 3)), "no 'labels' of CIFAR-10"),
    (pickle.dumps({"data": X.reshape(3, -1), "fine_labels": Y}), "no 'labels' of CIFAR-10 among its keys ('data', 'fine_labels')"),
    (b"}(U\x06labels]U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btRu.", "data: an array that is never"),
])
def test_damaged_python(content, words, path):
    refused(read_python, path, content, words)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (read_binary, read_python):
        for name, words in (("none", "missing"), (".", "not a plain file"), ("pipe", "not a plain file"), ("x" * 300, "cannot be read")):
            with pytest.raises(DataError, match=words):
                read(tmp_path / name)


@settings(max_examples=150)
@given(st.sampled_from(range(6)), st.data())
def test_a_damaged_batch_is_a_batch_or_an_error(tmp_path_factory, protocol, data):
    path = tmp_path_factory.getbasetemp() / "damaged"
    content = bytearray(python(protocol=protocol))
    pixels = content.index(X.tobytes()[:8]) if protocol > 2 else None
    places = st.integers(0, len(content) - 1)
    if pixels is not None:  # all but a few bytes are pixels: look at the others
        places = places.filter(lambda i: not pixels + 50 < i < pixels + X.size)
    content[data.draw(places)] = data.draw(st.integers(0, 255))
    content = content[:data.draw(st.sampled_from([len(content), data.draw(places)]))]
    path.write_bytes(content)
    try:
        x, y = read_python(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert x.shape[1:] == (3, 32, 32) and x.dtype == np.uint8 and y.dtype == np.int64
        assert len(x) == len(y) and set(y.tolist()) <= set(range(10))
