"""CIFAR-10's batches (Krizhevsky, "Learning multiple layers of features from tiny images", 2009), in both forms.

    binary   records of 3073 bytes: a label of 0 to 9; 1024 red, 1024 green, 1024 blue pixels, row by row
    Python   a pickled dict: "data", uint8 [N, 3072], the same pixels; "labels", a list of N integers of 0 to 9
"""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from refquant.training.data import pickled
from refquant.training.data.errors import DataError, opened
from refquant.training.data.pickledarray import Array

CLASSES = 10
IMAGE = 3, 32, 32
PIXELS = 3 * 32 * 32


def read_binary(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """``(x, y)`` of a .bin file: uint8 [N, 3, 32, 32] and int64 [N], or a DataError."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0 or size % (1 + PIXELS):
            raise DataError(f"{path}: has {size} bytes: expected one or more records of {1 + PIXELS}")
        records = np.frombuffer(file.read(), np.uint8).reshape(-1, 1 + PIXELS)
    return records[:, 1:].reshape(-1, *IMAGE), _labels(path, records[:, 0].tolist())


def read_python(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """``(x, y)`` of a pickled batch: uint8 [N, 3, 32, 32] and int64 [N], or a DataError. Nothing is unpickled."""
    batch = pickled.read(path)
    for key, kind in (("data", Array), ("labels", list)):
        if not isinstance(batch.get(key), kind):
            keys = ", ".join(ascii(name[:30]) for name in sorted(batch)[:10])
            raise DataError(f"{path}: no {key!r} of CIFAR-10 among its keys ({keys}): "
                            f"expected an array 'data' and a list 'labels'")
    labels = batch["labels"]
    try:
        data = batch["data"].array()
    except DataError as error:
        raise DataError(f"{path}: data: {error}") from None
    if data.shape != (len(labels), PIXELS) or not labels:
        raise DataError(f"{path}: holds data of shape {data.shape} and {len(labels)} labels: "
                        f"expected (N, {PIXELS}) and N, 1 or more")
    return data.reshape(-1, *IMAGE), _labels(path, labels)


def _labels(path: str | Path, labels: list) -> np.ndarray:
    """``labels`` as int64 [N]."""
    for i, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < CLASSES:
            said = label if isinstance(label, int) else f"a {type(label).__name__}"
            raise DataError(f"{path}: the label of image {i} is {said}: expected an integer of 0 to {CLASSES - 1}")
    return np.array(labels, np.int64)
