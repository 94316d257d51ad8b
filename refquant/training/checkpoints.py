"""A run on disk: one .npz with everything that the next step needs, and the history as lines of JSON.

    checkpoint.npz   run (JSON: settings, step, kinds, history), parameters/NAME, state/NAME, memories/NAME
    log.jsonl        the settings, then one line an epoch; written anew from the history, so the two always agree

Both are written beside and renamed: after a kill at any moment they are whole, the checkpoint that of the last epoch
that was done, the log of that or, for a moment, of one more. The .npz ends with a comment, the SHA-256 of all before.
"""
from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from refquant.atomic import write
from refquant.errors import CORRUPT, RefquantError
from refquant.training.loop import Settings, Training, digest

__all__ = ["CheckpointError", "load", "read", "save"]

CHECKPOINT, LOG = "checkpoint.npz", "log.jsonl"
PARTS = ("parameters", "state", "memories")
COMMENT = 64  # bytes of the comment: SHA-256 in hexadecimal
# What NumPy, zipfile and JSON raise for files that are not theirs.
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError,
          zipfile.BadZipFile)


class CheckpointError(RefquantError):
    """A checkpoint that is missing, damaged, or of another run; its text says which, and the command line exits with 3.

    Raises nothing of its own.

    Source: refquant's own.
    """

    exit_code = CORRUPT


def save(training: Training, directory: Path) -> None:
    """Write the run's checkpoint and log into ``directory``, each beside its place and then renamed.

    training : a run of one epoch or more.
    directory : one that is there.

    Raises OSError where it cannot be written.

    Source: refquant's own file; its arrays [any shape] are those of NumPy's .npz.
    """
    head = {"settings": asdict(training.settings), "step": training.step, "kinds": training.kinds,
            "history": training.history}
    arrays = {"run": np.frombuffer(json.dumps(head).encode(), np.uint8)}
    for part in PARTS:
        arrays |= {f"{part}/{name}": value for name, value in getattr(training, part).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its own options are keywords too
    write(directory / LOG, log(training))
    write(directory / CHECKPOINT, sealed(buffer.getvalue()))


def sealed(archive: bytes) -> bytes:
    """A zip ``archive`` that ends with the SHA-256 of what is before it: NumPy and zipfile see a comment."""
    content = archive[:-2] + COMMENT.to_bytes(2, "little")
    return content + hashlib.sha256(content).hexdigest().encode()


def unsealed(path: Path) -> io.BytesIO:
    """The content of the file that `sealed` made. Raises ValueError where a bit of it differs, or it is cut short."""
    data = path.read_bytes()
    if hashlib.sha256(data[:-COMMENT]).hexdigest().encode() != data[-COMMENT:]:
        raise ValueError("it does not end with the SHA-256 of its content")
    return io.BytesIO(data)


def log(training: Training) -> bytes:
    """The history as lines of JSON, the settings first."""
    return "".join(json.dumps(line) + "\n" for line in (asdict(training.settings), *training.history)).encode()


def read(directory: Path) -> Training:
    """The run that `save` wrote into ``directory``, a `Training`: float64 arrays of the shapes they had.

    Raises CheckpointError when there is none or it is damaged: a changed bit, or weights that are not its history's.

    Source: as `save`; nothing is unpickled.
    """
    path = directory / CHECKPOINT
    try:
        with np.load(unsealed(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays.pop("run").tobytes())
        parts = {part: {name.partition("/")[2]: value for name, value in arrays.items() if name.startswith(f"{part}/")}
                 for part in PARTS}
        training = Training(Settings(**head["settings"]), **parts, kinds=head["kinds"], step=head["step"],
                            history=tuple(head["history"]))
        whole = digest(training.parameters) == training.history[-1]["weights"]
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing: expected the directory of a run") from None
    except DAMAGE as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: not a checkpoint ({reason}): remove it to start again") from None
    if not whole:
        raise CheckpointError(f"{path}: its weights are not those of its history: remove it to start again")
    return training


def load(directory: Path, settings: Settings) -> Training:
    """The run in ``directory``, a `Training`: float64 arrays of the shapes they had.

    settings : what the run must be, `Settings` of every field.

    Raises CheckpointError when there is none, it is damaged, or it is not of these ``settings``.

    Source: as `save`.
    """
    training = read(directory)
    for field in fields(Settings):
        here, there = getattr(settings, field.name), getattr(training.settings, field.name)
        if here != there:
            raise CheckpointError(f"{directory / CHECKPOINT}: is of a run with {field.name} = {there!r}, not {here!r}: "
                                  "use the same, or another directory")
    return training
