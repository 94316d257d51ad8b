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

    method, variant : a name that `recipe` knows, such as "banner-8", and "paper" or "authors".
    data : what the data are called. They are given to `train` itself; a checkpoint must have the same name.
    model : mlp, cnn, resnet20, preresnet20, mobilenet or edsr.
    epochs, batch : how many, 1 or more; images a step, 2 or more.
    seed : of weights, order, augmentation and rounding, below 2^64.
    rate : one number: replaces the recipe's learning rates by their multiples; 1 leaves them.
    schedule, warm_up : "constant", "step", "cosine" or "linear"; steps that the rate takes to rise, 0 or more.
    smoothing : the share of a target that all classes get, 0 to 1.
    pad, flip : augmentation: by how many pixels images shift each way, and whether half of them are mirrored.
    start, teacher : the digests of the weights that the run starts from, and of those that it learns from; "" for none.

    Raises ValueError for a number outside its limits; names are looked at by `Trainer`, the seed's upper limit by the
    first draw.

    Source: refquant's own defaults; what the papers set stands in the recipes.
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
    """A run so far: all that it remembers.

    settings : what the run is.
    parameters : float64 arrays by name, any shape: what is learned, "conv1.w" [O, C, KH, KW].
    state : float64 arrays by name: what is collected, running statistics, ranges, clip factors.
    memories : what the optimizers remember, by parameter and part: "conv1.w/v".
    kinds : each parameter's kind: weight, depthwise, quantizer or other.
    step : how many steps are done.
    history : a dict for each epoch done: epoch, loss, score, unit, and weights, the digest of the parameters.

    Raises nothing of its own.

    Source: refquant's own.
    """

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

    settings : what the run is.
    recipe : which quantizer sits where, a `Recipe`.
    data : a `Dataset` of square images, 4 x 4 or larger.
    teacher : logits [B, classes] from images uint8 [B, C, H, W]; the model then learns their probabilities in place of
        the labels (distillation).

    Raises ValueError for other images, a ``pad`` beyond them, ``smoothing`` where no labels are learned from, and an
    unknown model or schedule.

    Source: refquant's own loop; distillation as in Liu 2022's authors' code.
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
        """The run after each epoch that is left of ``training``, one at a time; raises as `step`.

        done : called after each step with its loss.
        """
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
        """``(the run after a step on these images and labels, the loss before it)``.

        training : the run so far.  x : uint8 [B, C, H, W].  y : int64 [B].

        Raises FloatingPointError for a loss that is not finite, and ValueError for parameters of another model.
        """
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
        """The model's output for images in evaluation, float64: logits [B, classes], of edsr images [B, C, 2 H', 2 W'].

        training : a run of one step or more: before that there are no running statistics, a KeyError.
        x : uint8 [B, C, H, W]; edsr gets their halves, [B, C, H', W'] with H' = H // 2.
        """
        run = Run(training.parameters, training.state, training.kinds, training=False, seed=self.settings.seed)
        out: Tensor = self.model(self.task.input(x), run)
        return out.value

    def score(self, training: Training, x: np.ndarray, y: np.ndarray) -> float:
        """The mean score over images: accuracy in per cent, or PSNR in dB.

        training : a run of one step or more.  x : uint8 [N, C, H, W], N above 0, else a ValueError.  y : int64 [N].
        """
        parts = [slice(i, i + EVALUATION_BATCH) for i in range(0, len(x), EVALUATION_BATCH)]
        return float(mean(np.concatenate(
            [self.task.scores(self.answer(training, x[part]), x[part], y[part]) for part in parts])))


def digest(parameters: Arrays) -> str:
    """SHA-256 of all ``parameters``, 64 hexadecimal digits: names in order, each with its little-endian float64.

    parameters : arrays by name, any shape; shapes do not enter.

    Raises nothing of its own.

    Source: refquant's own; FIPS 180-4.
    """
    sha = hashlib.sha256()
    for name in sorted(parameters):
        sha.update(name.encode() + b"\0" + np.ascontiguousarray(parameters[name], "<f8").tobytes())
    return sha.hexdigest()
