"""The loop: epochs of steps, each a pure function of what was before it.

All that a run remembers is in `Training`: parameters, state, the optimizer's memory, how many epochs are done and what
they gave. It is replaced as a whole after a step, and every random number is drawn for (seed, tensor, step): so a run
that is stopped after an epoch and resumed ends in the same bits as one that was not.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refquant.autodiff import Tensor
from refquant.quantizers.n2uq import distillation_loss
from refquant.reals import mean
from refquant.training.data import Dataset, batches, crop_and_flip, steps
from refquant.training.models import model
from refquant.training.optimizers import Schedule, moved
from refquant.training.quantizing import Recipe
from refquant.training.run import Arrays, Run
from refquant.training.tasks import task

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Settings:
    """What a run is: with the data, this determines every bit of its result.

    rate : replaces the recipe's learning rates by their multiples; 1 leaves them.  pad, flip : augmentation.
    start, teacher : the digests of the weights that the run starts from, and of those that it learns from; "" for none.
    """

    method: str
    variant: str = "paper"
    data: str = "digits"
    model: str = "cnn"
    epochs: int = 30
    batch: int = 64
    seed: int = 0
    rate: float = 1.0
    schedule: str = "cosine"
    warm_up: int = 0
    smoothing: float = 0.0
    pad: int = 0
    flip: bool = False
    start: str = ""
    teacher: str = ""

    def __post_init__(self):
        for name, low in (("epochs", 1), ("batch", 2), ("warm_up", 0), ("pad", 0), ("seed", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} = {getattr(self, name)}: expected {low} or more")
        if not 0 < self.rate < float("inf"):
            raise ValueError(f"rate = {self.rate}: expected a positive multiple")
        if not 0 <= self.smoothing <= 1:
            raise ValueError(f"smoothing = {self.smoothing}: expected 0 to 1")


@dataclass(frozen=True)
class Training:
    """A run so far."""

    settings: Settings
    parameters: Arrays = field(default_factory=dict)
    state: Arrays = field(default_factory=dict)
    memories: Arrays = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    step: int = 0
    history: tuple[dict[str, Any], ...] = ()

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)


class Trainer:
    """A model, its recipe and its data; it carries no memory of a run.

    teacher : logits from images; the model then learns their probabilities in place of the labels (distillation).
    """

    def __init__(self, settings: Settings, recipe: Recipe, data: Dataset,
                 teacher: Callable[[np.ndarray], np.ndarray] | None = None):
        self.settings, self.recipe, self.data, self.teacher = settings, recipe, data, teacher
        _, channels, height, width = data.train_x.shape
        if height != width or height < 4:
            raise ValueError(f"images of {height} x {width}: expected squares of 4 x 4 or more")
        if settings.pad > height:
            raise ValueError(f"pad = {settings.pad}: expected 0 to {height} for images of {height} x {width}")
        if settings.smoothing and (teacher is not None or settings.model == "edsr"):
            raise ValueError(f"smoothing = {settings.smoothing}: expected 0 where no labels are learned from")
        self.task = task(data, settings.model, settings.smoothing)
        self.model = model(settings.model, recipe, channels, height, data.classes)
        self.schedule = Schedule(settings.schedule, settings.epochs * steps(len(data.train_x), settings.batch),
                                 warm_up=settings.warm_up)

    def epochs(self, training: Training, done: Callable[[float], None] = lambda loss: None) -> Iterator[Training]:
        """The run after each epoch that is left.  done : called after each step with its loss."""
        while training.epoch < self.settings.epochs:
            losses = []
            order = batches(len(self.data.train_x), self.settings.batch, self.settings.seed, training.epoch)
            for chosen in order:
                training, loss = self.step(training, self.data.train_x[chosen], self.data.train_y[chosen])
                losses.append(loss)
                done(loss)
            line = {"epoch": training.epoch + 1, "loss": float(mean(np.array(losses))),
                    "score": self.score(training, self.data.test_x, self.data.test_y), "unit": self.task.unit,
                    "weights": digest(training.parameters)}
            training = replace(training, history=(*training.history, line))
            yield training

    @np.errstate(over="ignore", invalid="ignore")  # a run that diverges ends by the error below
    def step(self, training: Training, x: np.ndarray, y: np.ndarray) -> tuple[Training, float]:
        """``(the run after a step on these images and labels, the loss before it)``."""
        settings, kinds = self.settings, dict(training.kinds)
        if settings.pad or settings.flip:
            x = crop_and_flip(x, settings.pad, settings.flip, settings.seed, training.step)
        run = Run(dict(training.parameters), training.state, kinds, training=True, seed=settings.seed,
                  step=training.step)
        out = self.model(self.task.input(x), run)
        loss = distillation_loss(out, self.teacher(x)) if self.teacher else self.task.loss(out, x, y)
        value = float(loss.value)
        if not np.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {training.step}: expected a finite number; "
                                     "a lower rate may help")
        gradients = run.gradients(loss)
        factor = settings.rate * self.schedule.factor(training.step)
        parameters, memories = run.parameters, training.memories
        if not (self.recipe.skips_first and training.step == 0):
            parameters, memories = moved(parameters, gradients, memories, kinds, self.recipe.groups, factor)
        return replace(training, parameters=parameters, state=run.state, memories=memories, kinds=kinds,
                       step=training.step + 1), value

    def answer(self, training: Training, x: np.ndarray) -> np.ndarray:
        """The model's output for images ``x`` in evaluation."""
        run = Run(training.parameters, training.state, training.kinds, training=False, seed=self.settings.seed)
        out: Tensor = self.model(self.task.input(x), run)
        return out.value

    def score(self, training: Training, x: np.ndarray, y: np.ndarray) -> float:
        """The mean score over images: accuracy in per cent, or PSNR in dB."""
        parts = [slice(i, i + EVALUATION_BATCH) for i in range(0, len(x), EVALUATION_BATCH)]
        return float(mean(np.concatenate(
            [self.task.scores(self.answer(training, x[part]), x[part], y[part]) for part in parts])))


def digest(parameters: Arrays) -> str:
    """SHA-256 of all parameters: names in order, each with its little-endian float64."""
    sha = hashlib.sha256()
    for name in sorted(parameters):
        sha.update(name.encode() + b"\0" + np.ascontiguousarray(parameters[name], "<f8").tobytes())
    return sha.hexdigest()
