"""DataError, and files opened so that whatever is wrong with them is one."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from refquant.errors import CORRUPT, RefquantError


class DataError(RefquantError, ValueError):
    """Data that are missing, damaged or not what they claim to be: what was found, and what was expected.

    It is a ValueError and a RefquantError, which the command line reports in one line; exit code 3.

    Raises nothing of its own.

    Source: refquant's own.
    """

    exit_code = CORRUPT


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """The plain file ``path``, open for reading; a DataError names it when it is none or cannot be read."""
    path = Path(path)
    try:
        if not path.is_file():  # before open: a named pipe would wait for its writer
            raise DataError(f"{path}: {'not a plain file' if path.exists() else 'missing'}")
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
