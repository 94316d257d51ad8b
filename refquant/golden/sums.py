"""SHA256SUMS: the hash of every file of a suite, a line each, sorted by path, as sha256sum writes and checks it.

The list and the directories are walked side by side in that order, so that a suite of millions of files needs no more
memory than its largest directory.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from refquant.golden import files
from refquant.golden.errors import CorruptError

NAME = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_.+/-]+)")


def file_names(root: Path) -> Iterator[str]:
    """Every file of a suite but SHA256SUMS and what a killed write left, relative to ``root``, sorted."""
    return _walk(str(root), "")


def _walk(directory: str, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(directory) as found:
            # a directory stands where its files do: "a-b" < "a/b" < "a0"
            names = sorted(entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in found)
    except PermissionError:
        return
    for name in names:
        if name.endswith("/"):
            yield from _walk(os.path.join(directory, name), prefix + name)
        elif name != NAME and not name.startswith(".") and not os.path.isdir(os.path.join(directory, name)):
            yield prefix + name


def write(root: Path) -> None:
    """Hash every file of ``root`` into its SHA256SUMS."""
    with open(root / NAME, "wb") as sums:
        for name in file_names(root):
            sums.write(f"{files.sha256(files.read(root / name, root))}  {name}\n".encode())


def check(root: Path) -> int:
    """Compare every file with SHA256SUMS; returns their number, or a CorruptError naming the first bad one."""
    path = root / NAME
    found = file_names(root)
    ahead, unlisted = next(found, None), ""
    count, last, canonical = 0, "", True
    for digest, name, ending in _listed(path, root):
        try:
            right = files.sha256(files.read(root / name, root)) == digest
        except CorruptError as error:
            raise CorruptError(f"{error} (listed in {path})") from None
        if not right:
            raise CorruptError(f"{root / name}: its SHA-256 is not the one in {NAME}")
        canonical = canonical and last < name and ending == b"\n"
        count, last = count + 1, name
        while ahead is not None and ahead <= name:
            unlisted = unlisted or (ahead if ahead < name else "")
            ahead = next(found, None)
    unlisted = unlisted or ahead or ""
    if canonical and unlisted:
        raise CorruptError(f"{root / unlisted}: not listed in {NAME}")
    if not canonical:
        raise CorruptError(f"{path}: its lines are not sorted, or not as sha256sum writes them")
    return count


def _listed(path: Path, root: Path) -> Iterator[tuple[str, str, bytes]]:
    """The digest, name and line ending of each line; a CorruptError for a line of another form."""
    for number, line in enumerate(files.lines(path, root), 1):
        text = line.rstrip(b"\r\n")
        match = LINE.fullmatch(text.decode("utf-8", "replace"))
        if not match or match[2].startswith("/") or any(part in (".", "..") for part in match[2].split("/")):
            shown = text.decode("utf-8", "replace")[:200]
            raise CorruptError(f"{path}: line {number} is {shown!r}: expected a SHA-256, two spaces and a path "
                               "inside the suite")
        yield match[1], match[2], line[len(text):]
