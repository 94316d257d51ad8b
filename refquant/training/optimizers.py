"""How parameters move, and how fast.

    SGD    g <- g + decay w,  v <- momentum v + g,  w <- w - rate (v, or with Nesterov g + momentum v)
    Adam   m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,
           w <- w - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    step       rate / 10 at each milestone          cosine   rate (1 + cos(pi t)) / 2
    linear     rate (1 - t)                         constant     t: how much of the training is done, 0 to 1
    warm-up    rate (k + 1) / n for the first n steps
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refquant.integers.quantize import choice

__all__ = ["SGD", "Adam", "Group", "Schedule"]

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum; its memory of a parameter is ``v``, of its shape.

    rate, momentum : one number each.
    nesterov : whether the step looks ahead.

    Raises nothing of its own.

    Source: SGD as PyTorch has it: the rate outside the velocity, the first velocity the first gradient.
    """

    rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False

    def moved(self, w: np.ndarray, g: np.ndarray, memory: Arrays, rate: float) -> tuple[np.ndarray, Arrays]:
        """``(w, memory)`` after a step on the parameter ``w`` by its gradient ``g``: float64, of one shape, any.

        memory : what `moved` returned before, {} at first.  rate : of this step, one number.
        """
        v = self.momentum * memory["v"] + g if memory else g
        return w - rate * (g + self.momentum * v if self.nesterov else v), {"v": v}


@dataclass(frozen=True)
class Adam:
    """Adam; b1^t and b2^t are kept as products, so that no power function is needed.

    rate, b1, b2, eps : one number each. Its memory of a parameter is m and v, of its shape, and the two powers [2].

    Raises nothing of its own.

    Source: Kingma, Ba 2015, algorithm 1.
    """

    rate: float = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def moved(self, w: np.ndarray, g: np.ndarray, memory: Arrays, rate: float) -> tuple[np.ndarray, Arrays]:
        """``(w, memory)`` after a step on the parameter ``w`` by its gradient ``g``: float64, of one shape, any.

        memory : what `moved` returned before, {} at first.  rate : of this step, one number.
        """
        old = memory or {"m": np.zeros(w.shape), "v": np.zeros(w.shape), "powers": np.ones(2)}
        m = self.b1 * old["m"] + (1 - self.b1) * g
        v = self.b2 * old["v"] + (1 - self.b2) * g * g
        powers = old["powers"] * np.array([self.b1, self.b2])
        step = (m / (1 - powers[0])) / (np.sqrt(v / (1 - powers[1])) + self.eps)
        return w - rate * step, {"m": m, "v": v, "powers": powers}


@dataclass(frozen=True)
class Group:
    """How one kind of parameter is optimized: by what, with which weight decay.

    optimizer : an `SGD` or an `Adam`.
    decay : one number: decay * w joins the gradient, whatever the shape.

    Raises nothing of its own.

    Source: L2 regularization, as PyTorch's weight_decay.
    """

    optimizer: SGD | Adam
    decay: float = 0.0


SCHEDULES = ("constant", "step", "cosine", "linear")


@dataclass(frozen=True)
class Schedule:
    """The factor on every learning rate at a step of ``steps``.

    kind : "constant", "step", "cosine" or "linear".
    steps : of the whole training, one int, 1 or more.
    milestones : of "step", as fractions of the training; each divides the rate by ten, the fourth makes it 0.
    warm_up : how many steps the rate takes to rise, 0 or more.

    Raises ValueError for another kind, and for ``steps`` or ``warm_up`` outside these.

    Source: He 2016 (step), Loshchilov, Hutter 2017 (cosine, without restarts), Liu 2022's authors' code (linear), Goyal
    2017 (warm-up); the milestones at 1/2 and 3/4 are refquant's own.
    """

    kind: str
    steps: int
    milestones: tuple[float, ...] = (0.5, 0.75)
    warm_up: int = 0

    def __post_init__(self):
        choice("schedule", self.kind, SCHEDULES)
        if self.steps < 1 or self.warm_up < 0:
            raise ValueError(f"steps = {self.steps}, warm_up = {self.warm_up}: expected 1 or more, and 0 or more")

    def factor(self, step: int) -> float:
        """The factor, one number, at ``step`` = 0 .. steps - 1; others are not refused."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        t = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        if self.kind == "step":
            reached = sum(t >= milestone for milestone in self.milestones)
            return (1.0, 0.1, 0.01, 0.001)[reached] if reached < 4 else 0.0
        return {"constant": 1.0, "cosine": (1 + cos_pi(t)) / 2, "linear": 1 - t}[self.kind]


def cos_pi(t: float) -> float:
    """cos(pi t) for t in [0, 1], as sin(pi (1/2 - t)) by its series: no library's cosine, the same on every machine."""
    x = np.pi * (0.5 - t)
    term = out = x
    for k in range(1, 13):
        term = -term * x * x / (2 * k * (2 * k + 1))
        out += term
    return float(out)


def moved(parameters: Arrays, gradients: Arrays, memories: Arrays, kinds: dict[str, str], groups: dict[str, Group],
          factor: float) -> tuple[Arrays, Arrays]:
    """``(parameters, memories)`` after one step. A kind without a group of its own goes with "weight", undecayed.

    memories : what each parameter's optimizer remembers, flat: ``"conv.w/v"``.
    """
    after = dict(parameters)
    remembered: Arrays = {}
    memory_of: dict[str, Arrays] = {name: {} for name in gradients}
    for key, value in memories.items():
        name, _, part = key.rpartition("/")
        memory_of.setdefault(name, {})[part] = value
    for name, g in gradients.items():
        group = groups.get(kinds[name]) or Group(groups["weight"].optimizer)
        if group.decay:
            g = g + group.decay * parameters[name]
        after[name], memory = group.optimizer.moved(parameters[name], g, memory_of[name], factor * group.optimizer.rate)
        remembered |= {f"{name}/{part}": value for part, value in memory.items()}
    return after, remembered
