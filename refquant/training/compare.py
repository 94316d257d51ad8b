"""One table: methods side by side, each trained with several seeds."""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from refquant.atomic import write
from refquant.reals import mean, sample_variance
from refquant.training import checkpoints
from refquant.training.data import Dataset
from refquant.training.loop import Settings, Trainer, Training, digest
from refquant.training.methods import recipe


@dataclass(frozen=True)
class Row:
    """What one method reached: the final test score of each seed."""

    method: str
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(mean(np.array(self.scores)))

    @property
    def deviation(self) -> float:
        """The sample standard deviation; 0 for one seed."""
        return float(np.sqrt(sample_variance(self.scores))) if len(self.scores) > 1 else 0.0


def train(settings: Settings, data: Dataset, directory: Path | None = None, resume: bool = False, *,
          start: Training | None = None, teacher: Training | None = None,
          step: Callable[[float], None] = lambda loss: None,
          epoch: Callable[[Training], None] = lambda training: None) -> Training:
    """A run of ``settings`` from its beginning, or with ``resume`` from the checkpoint in ``directory``, if any.

    settings : what the run is; its ``start`` and ``teacher`` are replaced by the digests of those given here.
    data : images uint8 [N, C, H, W] and labels, a `Dataset`.
    directory : where every epoch is saved; made if it is not there.
    resume : whether to go on from there; without a checkpoint the run begins.
    start : a run whose parameters this one begins with, as far as it has the same.
    teacher : a run to distil from.
    step, epoch : called after each step with its loss, after each epoch with the run so far.

    Returns the `Training` after the last epoch.

    Raises ValueError for a ``start`` of another model, and for what `recipe`, `Trainer` and its steps refuse;
    CheckpointError for a checkpoint that is damaged or of other settings; FloatingPointError for a loss that is not
    finite; OSError for a directory that cannot be written.

    Source: refquant's own loop; distillation as in Liu 2022's authors' code (soft targets, no labels).
    """
    settings = replace(settings, start=digest(start.parameters) if start else "",
                       teacher=digest(teacher.parameters) if teacher else "")
    training = Training(settings)
    if start is not None:
        if start.settings.model != settings.model:
            raise ValueError(f"start is a run of the model {start.settings.model}: expected {settings.model}")
        training = replace(training, parameters=start.parameters, kinds=start.kinds)
    if directory is not None and resume and (directory / checkpoints.CHECKPOINT).exists():
        training = checkpoints.load(directory, settings)
    trainer = Trainer(settings, recipe(settings.method, settings.variant), data,
                      None if teacher is None else _logits(teacher, data))
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)  # before any work: it may not be possible
    for after in trainer.epochs(training, step):
        training = after
        if directory is not None:
            checkpoints.save(training, directory)
        epoch(training)
    return training


def _logits(teacher: Training, data: Dataset) -> Callable[[np.ndarray], np.ndarray]:
    """What the ``teacher`` answers, in evaluation."""
    settings = teacher.settings
    trainer = Trainer(settings, recipe(settings.method, settings.variant), data)
    return lambda x: trainer.answer(teacher, x)


def table(rows: Sequence[Row], unit: str) -> str:
    """The rows as aligned text; differences are to the row ``float``, where there is one."""
    reference = next((row.mean for row in rows if row.method == "float"), None)
    width = max(len(name) for name in ("method", *(row.method for row in rows)))
    lines = [f"{'method':{width}}  {'mean':>6} {unit}  {'+-':>5}  {'to float':>8}  each seed"]
    for row in rows:
        difference = "" if reference is None else f"{row.mean - reference:+.2f}"
        each = " ".join(f"{score:.2f}" for score in row.scores)
        lines.append(f"{row.method:{width}}  {row.mean:6.2f} {' ' * len(unit)}  {row.deviation:5.2f}  {difference:>8}  "
                     f"{each}")
    return "\n".join(lines) + "\n"


def save(rows: Sequence[Row], settings: Mapping, path: Path) -> None:
    """The table as JSON."""
    found = [{"method": row.method, "scores": row.scores, "mean": row.mean, "deviation": row.deviation} for row in rows]
    write(path, (json.dumps({"settings": dict(settings), "rows": found}, indent=1) + "\n").encode())
