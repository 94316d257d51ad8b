"""npz: NumPy loads it, and its bytes depend on nothing but the tensors."""
import io
import time
import zipfile

import numpy as np

from refquant.golden import files
from refquant.golden.export.npz import export
from refquant.golden.vector import Vector

TENSORS = {"in_a": np.arange(6, dtype=np.int8).reshape(2, 3), "mid_acc": np.array([2**40], np.int64),
           "in_scale": np.array([0.1, np.inf], np.float32), "out_y": np.zeros((0, 4), np.uint8)}


def data():
    (path, data), = export(Vector({}, TENSORS), None).items()
    assert path == "case.npz"
    return data


def test_numpy_loads_every_tensor():
    with np.load(io.BytesIO(data()), allow_pickle=False) as loaded:
        assert list(loaded) == list(TENSORS)
        for name, array in TENSORS.items():
            assert loaded[name].dtype == array.dtype and loaded[name].shape == array.shape
            assert loaded[name].tolist() == array.tolist()


def test_members_are_the_canonical_files_stored_without_a_date():
    with zipfile.ZipFile(io.BytesIO(data())) as archive:
        assert archive.testzip() is None
        for info, (name, array) in zip(archive.infolist(), TENSORS.items(), strict=True):
            assert info.filename == f"{name}.npy"
            assert archive.read(info) == files.npy(array)
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert (info.compress_type, info.create_system) == (zipfile.ZIP_STORED, 3)


def test_the_same_bytes_at_any_time_on_any_system(monkeypatch):
    first = data()
    later = time.localtime(2_000_000_000)
    monkeypatch.setattr(time, "localtime", lambda *when: later)
    monkeypatch.setattr("sys.platform", "win32")
    assert data() == first


def test_fortran_order_and_byte_order_do_not_show():
    tensors = {"in_a": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3))}
    plain = {"in_a": np.arange(6, dtype="<i2").reshape(2, 3)}
    assert export(Vector({}, tensors), None) == export(Vector({}, plain), None)
