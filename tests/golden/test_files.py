"""What may be read of a suite: plain files within it, whatever their path says."""
import os

import pytest

from refquant.golden import files
from refquant.golden.errors import CorruptError


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "suite"
    (root / "cases/a").mkdir(parents=True)
    (root / "cases/a/in.npy").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (tmp_path / "suite-2").mkdir()
    (tmp_path / "suite-2/in.npy").write_bytes(b"outside")
    return root


def test_what_is_inside(root):
    (root / "link").symlink_to(root / "cases")
    (root.parent / "linked").symlink_to(root)
    for path in ("cases/a/in.npy", "cases/../cases/a/in.npy", "link/a/in.npy", "cases/a/../../link/a/in.npy"):
        for place in (root, root.parent / "linked", root / "." / "cases" / ".."):
            assert files.read(place / path, place) == b"inside"
            assert b"".join(files.lines(place / path, place)) == b"inside"
    assert files.read(root / "cases/a/in.npy", root.parent / "linked") == b"inside"  # the same place by another name


@pytest.mark.parametrize("path, words", [
    ("../secret", "leads out of"), ("cases/../../secret", "leads out of"), ("../suite-2/in.npy", "leads out of"),
    ("link", "leads out of"), ("linked/in.npy", "leads out of"), ("cases", "not a plain file"), ("", "not a plain file"),
    ("pipe", "not a plain file"), ("cases/b", "missing"), ("cases/a/in.npy/b", "missing"), ("circle", "cannot be read"),
    ("x" * 300, "cannot be read"), ("nul\0", "cannot be read"),
])
def test_what_is_not(path, words, root):
    (root / "link").symlink_to(root.parent / "secret")
    (root / "linked").symlink_to(root.parent / "suite-2")
    (root / "circle").symlink_to(root / "circle")
    os.mkfifo(root / "pipe")
    for read in (files.read, lambda path, root: list(files.lines(path, root))):
        with pytest.raises(CorruptError, match=words):
            read(root / path, root)


def test_a_file_that_is_larger_than_expected(root):
    assert files.read(root / "cases/a/in.npy", root, most=6) == b"inside"
    with pytest.raises(CorruptError, match="has 6 bytes: expected at most 5"):
        files.read(root / "cases/a/in.npy", root, most=5)
