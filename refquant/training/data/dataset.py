"""Data sets: the digits embedded here, or MNIST's and CIFAR-10's own files in a directory.

    real = code / brightest

What a directory holds is decided by the names of its files alone.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refquant.data import digits
from refquant.training.data.batches import permutation
from refquant.training.data.cifar import read_binary, read_python
from refquant.training.data.errors import DataError
from refquant.training.data.idx import read_pair

DIGITS_TRAIN = 1437  # of 1,797: four fifths
DIGITS_KEY = int.from_bytes(b"digits", "big")  # of the split: the same for every training seed
Pairs = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels to train with, and others to test with.

    name : what it is called.
    train_x, test_x : uint8 [N, C, H, W], 0 to ``brightest``, which stands for 1.0.
    train_y, test_y : int64 [N], 0 to ``classes`` - 1.
    classes, brightest : one int each, 1 or more, and 1 to 255.

    Raises DataError for arrays of another dtype or shape, for labels and pixels outside these, and where train_x and
    test_x differ in [C, H, W].

    Source: refquant's own.
    """

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    classes: int
    brightest: int

    def __post_init__(self):
        for name, high in (("classes", None), ("brightest", 255)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1 or (high and value > high):
                raise DataError(f"{name} = {value!r}: expected an integer, 1 {f'to {high}' if high else 'or more'}")
        for part in ("train", "test"):
            x, y = getattr(self, f"{part}_x"), getattr(self, f"{part}_y")
            if x.dtype != np.uint8 or x.ndim != 4 or 0 in x.shape:
                raise DataError(f"{part}_x is {x.dtype} {list(x.shape)}: expected uint8 [N, C, H, W], none of them 0")
            if y.dtype != np.int64 or y.shape != x.shape[:1]:
                raise DataError(f"{part}_y is {y.dtype} {list(y.shape)}: expected int64 [{len(x)}] like {part}_x")
            if y.min() < 0 or y.max() >= self.classes:
                wrong = y.min() if y.min() < 0 else y.max()
                raise DataError(f"{part}_y holds label {wrong}: expected 0 to {self.classes - 1}")
            if x.max() > self.brightest:
                raise DataError(f"{part}_x holds {x.max()}: expected at most brightest, {self.brightest}")
        if self.train_x.shape[1:] != self.test_x.shape[1:]:
            raise DataError(f"train_x holds images {list(self.train_x.shape[1:])}, test_x "
                            f"{list(self.test_x.shape[1:])}: expected the same [C, H, W]")

    def reals(self, x: np.ndarray) -> np.ndarray:
        """``x / brightest`` in float64, for uint8 ``x`` of any shape; ValueError for another dtype."""
        if x.dtype != np.uint8:
            raise ValueError(f"x is {x.dtype}: expected uint8")
        return x.astype(np.float64) / np.float64(self.brightest)


@dataclass(frozen=True)
class Layout:
    """One form of a data set: its files, each with the names it may have, in one of ``folders``."""

    name: str
    title: str
    folders: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]
    read: Callable[[list[Path]], Pairs]

    def among(self, folder: Path) -> list[Path | None]:
        """Each file's path in ``folder``, by the first of its names found there, or None."""
        return [next((folder / name for name in names if (folder / name).is_file()), None) for names in self.files]


def _spelled(name: str) -> tuple[str, ...]:
    dotted = name.replace("-idx", ".idx")
    return name, dotted, f"{name}.gz", f"{dotted}.gz"


LAYOUTS = (
    Layout("idx", "idx files of MNIST or Fashion-MNIST (also with .idx for -idx, or .gz at the end)", ("",),
           tuple(_spelled(f"{file}-ubyte") for file in
                 ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")),
           lambda paths: [read_pair(paths[0], paths[1]), read_pair(paths[2], paths[3])]),
    Layout("cifar10", "CIFAR-10, binary version (also in cifar-10-batches-bin/)", ("", "cifar-10-batches-bin"),
           (*((f"data_batch_{i}.bin",) for i in range(1, 6)), ("test_batch.bin",)),
           lambda paths: [read_binary(path) for path in paths]),
    Layout("cifar10", "CIFAR-10, Python version (also in cifar-10-batches-py/)", ("", "cifar-10-batches-py"),
           (*((f"data_batch_{i}",) for i in range(1, 6)), ("test_batch",)),
           lambda paths: [read_python(path) for path in paths]),
)


def load(source: str | Path) -> Dataset:
    """The data set ``source``: "digits", or the directory of another.

    source : "digits" is always the one embedded here (a directory of that name is "./digits"), [N, 1, 8, 8] with
        ``brightest`` 16, split once and for all into 1,437 images to train with and 360 to test with. A directory must
        hold one whole data set, in one of `LAYOUTS`, MNIST's [N, 1, 28, 28] or CIFAR-10's [N, 3, 32, 32]; of two files
        that differ only in their spelling, the plain one is read. The last pair of files is for testing.

    Raises DataError naming what is missing, damaged or too much.

    Source: Alpaydin, Kaynak 1998, UCI (digits); LeCun 1998 (MNIST's idx files); Krizhevsky 2009 (CIFAR-10); the split
    is refquant's own.
    """
    if source == "digits":
        return _digits()
    root = Path(source)
    try:
        layout, folder, paths = _found(root)
    except OSError as error:
        raise DataError(f"{root}: cannot be read: {error.strerror or error}") from None
    *train, (test_x, test_y) = layout.read(paths)
    try:
        x, y = (np.concatenate(parts) for parts in zip(*train, strict=True))
        return Dataset(layout.name, x, y, test_x, test_y, classes=10, brightest=255)
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None


def _digits() -> Dataset:
    x, y = digits()
    order = permutation(len(x), DIGITS_KEY, 0)
    x, y = x[order][:, None], y[order].astype(np.int64)
    return Dataset("digits", x[:DIGITS_TRAIN], y[:DIGITS_TRAIN], x[DIGITS_TRAIN:], y[DIGITS_TRAIN:], 10, 16)


def _found(root: Path) -> tuple[Layout, Path, list[Path]]:
    """The one layout of which ``root`` holds files, the folder they are in, and their paths."""
    expected = "expected one of\n" + "\n".join(
        f"  {layout.title}: {', '.join(names[0] for names in layout.files)}" for layout in LAYOUTS)
    if not root.is_dir():
        raise DataError(f"{root}: not a directory: expected \"digits\", or a directory of data; in it {expected}")
    found = [(layout, root / folder, paths) for layout in LAYOUTS for folder in layout.folders
             if any(paths := layout.among(root / folder))]
    if not found:
        raise DataError(f"{root}: holds no data set: {expected}")
    if len(found) > 1:
        names = "; ".join(f"{next(filter(None, paths)).name} in {folder}" for _, folder, paths in found)
        raise DataError(f"{root}: holds files of more than one data set ({names}): {expected}")
    layout, folder, paths = found[0]
    missing = [names[0] for names, path in zip(layout.files, paths, strict=True) if path is None]
    if missing:
        raise DataError(f"{folder}: missing {', '.join(missing)}: {expected}")
    return layout, folder, [path for path in paths if path is not None]
