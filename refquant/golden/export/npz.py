"""case.npz: every tensor of a case in one file, for numpy.load."""
from __future__ import annotations

import io
import zipfile

from refquant.golden import files
from refquant.golden.vector import Vector

FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can have: the bytes must not depend on when they are written
UNIX = 3  # else zipfile notes the system that it runs on


def export(vector: Vector, word: int | None) -> dict[str, bytes]:
    """case.npz by path, the same bytes whenever and wherever it is written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in vector.tensors.items():
            member = zipfile.ZipInfo(f"{name}.npy", FIRST_DATE)
            member.create_system = UNIX
            member.external_attr = 0o644 << 16
            archive.writestr(member, files.npy(array))
    return {"case.npz": buffer.getvalue()}
