"""Data sets: the digits' split for all time, and directories that hold one data set, none, two, or half of one."""
import gzip
import hashlib
import os
import pickle
import struct
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from refquant.data import digits
from refquant.training.data import DataError, Dataset, load

IDX = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
BINARY = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
PYTHON = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
TRAIN = np.arange(60, dtype=np.uint8).reshape(5, 1, 3, 4), np.int64([1, 9, 0, 3, 3])
TEST = np.arange(100, 124, dtype=np.uint8).reshape(2, 1, 3, 4), np.int64([4, 0])


def idx(array):
    array = array.astype(np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(root, names=IDX, train=TRAIN, test=TEST):
    for name, array in zip(names, (train[0][:, 0], train[1], test[0][:, 0], test[1]), strict=True):
        (root / name).write_bytes(gzip.compress(idx(array)) if name.endswith(".gz") else idx(array))


def cifar(batch):
    """Two images of batch 0 to 5, and their labels."""
    return np.random.default_rng(batch).integers(0, 256, (2, 3, 32, 32), np.uint8), [batch, 9 - batch]


def write_cifar(root, names):
    root.mkdir(exist_ok=True)
    for batch, name in enumerate(names):
        x, y = cifar(batch)
        records = b"".join(bytes([label]) + image.tobytes() for image, label in zip(x, y, strict=True))
        pickled = pickle.dumps({b"data": x.reshape(2, -1), b"labels": y}, 2)
        (root / name).write_bytes(records if name.endswith(".bin") else pickled)


def refused(root, *words):
    with pytest.raises(DataError) as error:
        load(root)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_digits_are_split_once_and_for_all():
    data = load("digits")
    assert (data.name, data.classes, data.brightest) == ("digits", 10, 16)
    assert data.train_x.shape == (1437, 1, 8, 8) and data.test_x.shape == (360, 1, 8, 8)
    parts = [getattr(data, name) for name in ("train_x", "train_y", "test_x", "test_y")]
    digest = hashlib.sha256(b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in parts)).hexdigest()
    assert digest == "5060cf91b8a7a2b3c9a37a5ee47c979603a21879af459849f6712c209ef9bc6e"
    x, y = digits()
    whole = sorted((image.tobytes(), label) for image, label in zip(x, y.tolist(), strict=True))
    assert whole == sorted((image.tobytes(), label) for x, y in (parts[:2], parts[2:]) for image, label in zip(x, y.tolist(), strict=True))
    assert min(np.bincount(data.test_y)) >= 30  # of every digit some


@pytest.mark.parametrize("spell", [str, lambda name: name + ".gz", lambda name: name.replace("-idx", ".idx"),
                                   lambda name: name.replace("-idx", ".idx") + ".gz"])
def test_idx_files_by_any_of_their_names(tmp_path, spell):
    write_idx(tmp_path, [spell(name) for name in IDX])
    data = load(str(tmp_path))
    assert (data.name, data.classes, data.brightest) == ("idx", 10, 255)
    for part, (x, y) in (("train", TRAIN), ("test", TEST)):
        got_x, got_y = getattr(data, f"{part}_x"), getattr(data, f"{part}_y")
        assert got_x.dtype == np.uint8 and np.array_equal(got_x, x) and got_x.flags.writeable
        assert got_y.dtype == np.int64 and np.array_equal(got_y, y)


def test_of_two_spellings_the_plain_file_is_read(tmp_path):
    write_idx(tmp_path, [name + ".gz" for name in IDX], train=TEST, test=TRAIN)
    write_idx(tmp_path)
    assert len(load(tmp_path).train_x) == 5
    (tmp_path / IDX[0]).unlink()
    (tmp_path / IDX[0]).mkdir()  # some archives hold directories of these names
    (tmp_path / IDX[1]).unlink()
    assert len(load(tmp_path).train_x) == 2


@pytest.mark.parametrize("names, below", [(BINARY, ""), (BINARY, "cifar-10-batches-bin"), (PYTHON, ""), (PYTHON, "cifar-10-batches-py")])
def test_cifar_in_its_own_directory_or_above_it(tmp_path, names, below):
    write_cifar(tmp_path / below, names)
    data = load(tmp_path)
    assert (data.name, data.classes, data.brightest) == ("cifar10", 10, 255)
    assert np.array_equal(data.train_x, np.concatenate([cifar(batch)[0] for batch in range(5)]))
    assert data.train_y.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert np.array_equal(data.test_x, cifar(5)[0]) and data.test_y.tolist() == [5, 4]


def test_directories_that_hold_nothing(tmp_path):
    (tmp_path / "other").write_text("a file")
    refused(tmp_path, str(tmp_path), "holds no data set", *IDX, *BINARY, *PYTHON)
    refused(tmp_path / "none", "not a directory", '"digits"', *IDX)
    refused(tmp_path / "other", "not a directory")
    refused("no\0name", "not a directory")
    refused(tmp_path / ("x" * 300), "cannot be read")


@pytest.mark.parametrize("names", [IDX, BINARY, PYTHON])
def test_directories_that_hold_a_part(tmp_path, names):
    for missing in names:
        if names is IDX:
            write_idx(tmp_path)
        else:
            write_cifar(tmp_path, names)
        (tmp_path / missing).unlink()
        refused(tmp_path, f"{tmp_path}: missing {missing}: expected one of")
    for name in names[1:]:
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / names[0]).write_bytes(b"")
    refused(tmp_path, f"missing {', '.join(names[1:])}: expected")


def test_directories_that_hold_more_than_one(tmp_path):
    write_cifar(tmp_path, BINARY)
    write_cifar(tmp_path / "cifar-10-batches-py", PYTHON)
    refused(tmp_path, "more than one data set", f"data_batch_1.bin in {tmp_path}; data_batch_1 in", "cifar-10-batches-py")
    os.rename(tmp_path / "cifar-10-batches-py", tmp_path / "elsewhere")
    load(tmp_path)
    (tmp_path / IDX[2]).write_bytes(b"")
    refused(tmp_path, "more than one data set", f"{IDX[2]} in {tmp_path}")
    write_cifar(tmp_path / "elsewhere" / "cifar-10-batches-bin", BINARY)
    refused(tmp_path / "elsewhere", "more than one data set")


def test_what_files_hold_is_checked(tmp_path):
    write_idx(tmp_path, train=(TRAIN[0], np.int64([1, 2, 10, 3, 4])))
    refused(tmp_path, str(tmp_path), "train_y holds label 10: expected 0 to 9")
    write_idx(tmp_path, test=(TEST[0][..., :3], TEST[1]))
    refused(tmp_path, str(tmp_path), "train_x holds images [1, 3, 4], test_x [1, 3, 3]")
    write_idx(tmp_path, test=(TEST[0], TEST[1][:1]))
    refused(tmp_path, "holds 2 images", "holds 1 labels")
    (tmp_path / IDX[1]).write_bytes(b"noise")
    refused(tmp_path, f"{tmp_path / IDX[1]}: begins with 6e 6f 69 73")


def test_a_dataset_is_not_changed():
    data = Dataset("small", *TRAIN, *TEST, 10, 255)
    with pytest.raises(FrozenInstanceError):
        data.classes = 11


@pytest.mark.parametrize("changes, words", [
    ({"classes": 0}, "classes = 0: expected an integer, 1 or more"),
    ({"classes": 9}, "train_y holds label 9: expected 0 to 8"),
    ({"classes": 10.0}, r"classes = 10\.0"),
    ({"brightest": 0}, "brightest = 0: expected an integer, 1 to 255"),
    ({"brightest": 256}, "brightest = 256"),
    ({"brightest": 122}, "test_x holds 123: expected at most brightest, 122"),
    ({"train_x": TRAIN[0].astype(float)}, "train_x is float64"),
    ({"test_x": TEST[0][:, 0]}, r"test_x is uint8 \[2, 3, 4\]: expected uint8 \[N, C, H, W\]"),
    ({"test_x": TEST[0][:0], "test_y": TEST[1][:0]}, r"test_x is uint8 \[0, 1, 3, 4\]"),
    ({"test_y": TEST[1].astype(np.uint8)}, r"test_y is uint8 \[2\]: expected int64 \[2\] like test_x"),
    ({"train_y": TRAIN[1][:4]}, r"train_y is int64 \[4\]: expected int64 \[5\]"),
    ({"train_y": TRAIN[1][:, None]}, r"train_y is int64 \[5, 1\]"),
    ({"test_y": np.int64([0, -1])}, "test_y holds label -1: expected 0 to 9"),
    ({"test_x": TEST[0][:, :, :2]}, r"train_x holds images \[1, 3, 4\], test_x \[1, 2, 4\]: expected the same"),
])
def test_fields_are_checked(changes, words):
    with pytest.raises(DataError, match=words):
        replace(Dataset("small", *TRAIN, *TEST, 10, 255), **changes)


@pytest.mark.parametrize("brightest", [1, 16, 255])
def test_reals_are_the_nearest_to_the_fraction(brightest):
    dark = np.zeros((1, 1, 1, 1), np.uint8)
    data = Dataset("dark", dark, np.int64([0]), dark, np.int64([0]), 1, brightest)
    got = data.reals(np.arange(256, dtype=np.uint8))
    assert got.dtype == np.float64 and got.tolist() == [code / brightest for code in range(256)]
    with pytest.raises(ValueError, match="x is int64: expected uint8"):
        data.reals(np.arange(3))
