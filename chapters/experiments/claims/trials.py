"""One trial: a recipe, a setting and a seed give a trained network."""
from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from refquant.autodiff import flatten, max_pool
from refquant.reals import mean
from refquant.training import Settings, Trainer, Training
from refquant.training.data import Dataset, batches, load
from refquant.training.layers import Apply, Conv, Layer, Linear, Sequential
from refquant.training.models import MODELS, SAME, bend, flat, norm


@dataclass(frozen=True)
class Budget:
    """How much is spent.  images : at most so many to train with, and to test with.

    done : called after each trial that is trained.  met : told of each that is asked for (`description`).
    """

    epochs: int = 10
    seeds: int = 5
    images: int | None = None
    done: Callable[[], None] = field(default=lambda: None, compare=False)
    met: Callable[[str], None] = field(default=lambda description: None, compare=False)


@dataclass(frozen=True)
class Setting:
    """What is trained on what.  longer : times the budget's epochs, at least one."""

    label: str
    model: Callable[..., Layer]
    data: Dataset
    batch: int = 64
    longer: float = 1


@dataclass(frozen=True)
class Trial:
    """What a trial gave: accuracy in per cent, the mean loss of each epoch, the run as it ended."""

    score: float
    losses: tuple[float, ...]
    training: Training


def seeds(setting: Setting, budget: Budget, make: Callable, **how) -> list[Trial]:
    """The trials of seeds 0 to the budget's last."""
    return [trial(setting, budget, seed, make, **how) for seed in range(budget.seeds)]


def trial(setting: Setting, budget: Budget, seed: int, make: Callable, **how) -> Trial:
    """``make(**how)``, a recipe, trained in ``setting``; scored once, at the end. The same trial is trained once."""
    budget.met(description(setting, budget, make(**how)))
    return trained(setting, budget, seed, make, **how)


def description(setting: Setting, budget: Budget, recipe) -> str:
    """All that decides a trial but its seed: the setting, how long, and the recipe as 16 digits of a hash."""
    named = re.sub(" at 0x[0-9a-f]+", "", repr(recipe))  # functions by name alone
    digest = hashlib.sha256(named.encode()).hexdigest()[:16]
    return f"{setting.label}: epochs {epochs_of(setting, budget)}, batch {setting.batch}, {recipe.name} {digest}"


def epochs_of(setting: Setting, budget: Budget) -> int:
    """How many epochs a trial of this setting has."""
    return max(1, round(budget.epochs * setting.longer))


@functools.cache
def trained(setting: Setting, budget: Budget, seed: int, make: Callable, **how) -> Trial:
    """The trial, as `trial` has it.

    A run whose loss is no longer finite ends there, with a last loss of infinity, and is scored as it stood.
    """
    trainer, training = prepared(setting, budget, seed, make(**how))
    data, losses = trainer.data, []
    try:
        for epoch in range(trainer.settings.epochs):
            own = []
            for chosen in batches(len(data.train_x), setting.batch, seed, epoch):
                training, loss = trainer.step(training, data.train_x[chosen], data.train_y[chosen])
                own.append(loss)
            losses.append(float(mean(np.array(own))))
    except FloatingPointError:
        losses.append(float("inf"))
    score = trainer.score(training, data.test_x, data.test_y)
    budget.done()
    return Trial(score, tuple(losses), training)


def prepared(setting: Setting, budget: Budget, seed: int, recipe) -> tuple[Trainer, Training]:
    """A trainer of the setting's own network, and the run before its first step."""
    data = fewer(setting.data, budget.images)
    settings = Settings(recipe.name, epochs=epochs_of(setting, budget), batch=setting.batch, seed=seed)
    trainer = Trainer(settings, recipe, data)
    trainer.model = setting.model(recipe, data.train_x.shape[1], data.train_x.shape[2], data.classes)
    return trainer, Training(settings)


@functools.cache
def fewer(data: Dataset, images: int | None) -> Dataset:
    """The first so many images of both parts."""
    return Dataset(data.name, data.train_x[:images], data.train_y[:images], data.test_x[:images],
                   data.test_y[:images], data.classes, data.brightest)


@functools.cache
def digits(images: int | None = None, classes: int = 10) -> Dataset:
    """The digits; with few ``images`` to train with, all others are for the test.  classes : outputs of the head."""
    data = load("digits")
    if images is not None:
        x = np.concatenate([data.train_x, data.test_x])
        y = np.concatenate([data.train_y, data.test_y])
        return Dataset(f"{images} digits", x[:images], y[:images], x[images:], y[images:], classes, data.brightest)
    return Dataset(data.name, data.train_x, data.train_y, data.test_x, data.test_y, classes, data.brightest)


def narrow(recipe, channels: int, size: int, classes: int) -> Layer:
    """The model `cnn` with a quarter of its filters."""
    return MODELS["cnn"](recipe, channels, size, classes, width=4)


def deep(recipe, channels: int, size: int, classes: int, width: int = 32, depth: int = 6) -> Layer:
    """Linear layers with a norm behind each: as many products for a gradient to pass."""
    layers: list[Layer] = [flat, Linear("fc0", channels * size * size, width, recipe.first)]
    for i in range(1, depth + 1):
        layers += [norm(recipe, f"bn{i}", width), bend(recipe, f"act{i}", width)]
        layers.append(Linear(f"fc{i}", width, width, recipe.inner) if i < depth
                      else Linear(f"fc{i}", width, classes, recipe.last, bias=True))
    return Sequential(tuple(layers))


def wide_maps(recipe, channels: int, size: int, classes: int, width: int = 16) -> Layer:
    """Convolutions on maps of the images' own size, so that a gradient has many elements."""
    return Sequential((
        Conv("conv1", channels, width // 2, recipe.first, geometry=SAME), norm(recipe, "bn1", width // 2),
        bend(recipe, "act1", width // 2),
        Conv("conv2", width // 2, width, recipe.inner, geometry=SAME), norm(recipe, "bn2", width),
        bend(recipe, "act2", width),
        Conv("conv3", width, width, recipe.inner, geometry=SAME), norm(recipe, "bn3", width),
        bend(recipe, "act3", width), Apply(max_pool, {"size": 2}), Apply(flatten),
        Linear("fc", width * (size // 2)**2, classes, recipe.last, bias=True)))


EASY = Setting("cnn, 1437 images", MODELS["cnn"], digits(), longer=0.5)
HARD = Setting("cnn of width 4, 300 images", narrow, digits(300), batch=32)
DEEP = Setting("mlp of 7 layers of 32, 300 images", deep, digits(300), batch=32)
