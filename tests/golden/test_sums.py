"""SHA256SUMS walked beside the files: the order of both, and what either has too much."""
import hashlib
import shutil
import subprocess

import pytest

from refquant.golden import sums
from refquant.golden.errors import CorruptError

TREE = ("a", "a-b", "a.b", "a0", "b/a", "b-/a", "b./a", "b0/a", "b/c/d", "b/c-", "b/c.d/e", "b/c0", "z/SHA256SUMS", "Z")
LISTED = sorted(name for name in TREE if not name.endswith("SHA256SUMS"))


@pytest.fixture
def root(tmp_path):
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "b/.a.npy.123").write_text("left by a killed write")
    sums.write(tmp_path)
    return tmp_path


def test_files_come_in_the_order_of_their_paths(root):
    assert list(sums.file_names(root)) == LISTED
    lines = (root / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in LISTED]
    assert sums.check(root) == len(lines)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=root, check=True)


@pytest.mark.parametrize("name", LISTED)
def test_a_file_too_much_or_too_few(name, root):
    lines = (root / "SHA256SUMS").read_text().splitlines(keepends=True)
    (root / "SHA256SUMS").write_text("".join(line for line in lines if not line.endswith(f"  {name}\n")))
    with pytest.raises(CorruptError, match=rf"/{name}: not listed in SHA256SUMS$"):
        sums.check(root)
    (root / "SHA256SUMS").write_text("".join(lines))
    (root / name).unlink()
    with pytest.raises(CorruptError, match=rf"/{name}: missing \(listed in .*SHA256SUMS\)$"):
        sums.check(root)


@pytest.mark.parametrize("change", [
    lambda lines: lines[::-1], lambda lines: [*lines[:3], lines[2], *lines[3:]], lambda lines: [lines[1], lines[0], *lines[2:]],
    lambda lines: [line.replace("\n", "\r\n") for line in lines], lambda lines: [*lines[:-1], lines[-1].rstrip("\n")],
], ids=["backwards", "twice", "two exchanged", "other line ends", "no last line end"])
def test_another_order_or_form(change, root):
    with open(root / "SHA256SUMS", newline="") as file:
        lines = file.readlines()
    (root / "SHA256SUMS").write_bytes("".join(change(lines)).encode())
    with pytest.raises(CorruptError, match="its lines are not sorted, or not as sha256sum writes them"):
        sums.check(root)


def test_links(root, tmp_path_factory):
    """To a directory: not walked. To a file: listed as one, and followed only within the suite."""
    (root / "to directory").symlink_to(root / "b")
    assert sums.check(root) == len(LISTED)
    (root / "b/link").symlink_to(root / "a")
    with pytest.raises(CorruptError, match="link: not listed"):
        sums.check(root)
    sums.write(root)
    assert sums.check(root) == len(LISTED) + 1
    (root / "b/link").unlink()
    outside = tmp_path_factory.mktemp("outside") / "a"
    shutil.copy(root / "a", outside)
    (root / "b/link").symlink_to(outside)
    with pytest.raises(CorruptError, match="link: leads out of"):
        sums.check(root)
    (root / "b/link").unlink()
    (root / "b/link").symlink_to(root / "b/link")
    with pytest.raises(CorruptError, match="link: cannot be read"):
        sums.check(root)
