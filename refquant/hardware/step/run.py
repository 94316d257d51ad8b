"""A whole training step in integers: forward, loss, backward, update, by one of the five methods.

Between the tensors of a step stand the units of `refquant.hardware` and the rules of the method's own file. Every
tensor has a name, and they are recorded in the order in which they are computed.
"""
from __future__ import annotations

from fractions import Fraction

import numpy as np

from refquant.hardware.step.learning import move
from refquant.hardware.step.loss import loss_gradient
from refquant.hardware.step.method import Method
from refquant.hardware.step.network import FIRST, LAST, LAYERS
from refquant.hardware.step.progress import S16, S32, S48, Arrays, Codes, Progress

__all__ = ["forward", "step", "steps"]

IMAGE_SCALE = Fraction(1, 256)


def step(method: Method, progress: Progress, x: np.ndarray, labels: np.ndarray) -> None:
    """One step of ``method`` on images ``x`` and their ``labels``, into ``progress``, whose state it replaces.

    x : uint8 [B, 1, 8, 8], in 1/256.  labels : integers 0 to 9 [B].

    Raises ValueError for shapes that do not fit each other or the random bits, values that leave their formats and
    rates that are not positive, KeyError for a table, state or random bits missing, IndexError for another label.

    Source: SGD on the softmax cross-entropy, cut into integers by refquant; the method's rules are its paper's.
    """
    inputs, weights = forward(method, progress, x)
    g, scale = loss_gradient(progress, progress.tensors[f"{LAST}_acc"], progress.scale(f"{LAST}_acc_scale"), labels)
    for layer, before in zip(reversed(LAYERS), (*reversed(LAYERS[:-1]), None), strict=True):
        x_codes, w = inputs[layer.name], weights[layer.name]
        for_input, for_weight = method.gradient(progress, layer, g, scale)
        dw = progress.put(f"{layer.name}_dw", layer.weight_gradient(x_codes.centred, for_weight.centred), S48)
        dw_scale = progress.put_scale(f"{layer.name}_dw_scale", x_codes.scale * for_weight.scale)
        move(progress, f"{layer.name}_w", *method.weight_gradient(progress, layer, dw, dw_scale), progress.rate, S16)
        if before is not None:
            dx = layer.input_gradient(for_input.centred, w.centred, x_codes.codes.shape)
            dx = progress.put(f"{layer.name}_dx", dx, S32)
            dx_scale = progress.put_scale(f"{layer.name}_dx_scale", for_input.scale * w.scale)
            g, scale = method.activation_gradient(progress, before, dx, dx_scale)
            g = progress.put(f"{before.name}_g", g, S32)
            scale = progress.put_scale(f"{before.name}_g_scale", scale)


def forward(method: Method, progress: Progress, x: np.ndarray) -> tuple[dict[str, Codes], dict[str, Codes]]:
    """``(inputs, weights)`` of the layers as `Codes`, by name; the sums are recorded as ``<layer>_acc``.

    method, progress, x : as for `step`; x uint8 [B, 1, 8, 8]. No random bits are needed.

    Raises ValueError and KeyError as `step` does.

    Source: as `step`.
    """
    inputs, weights = {FIRST: Codes(x, IMAGE_SCALE)}, {}
    for layer, after in zip(LAYERS, (*LAYERS[1:], None), strict=True):
        x_codes, w = inputs[layer.name], method.weight(progress, layer)
        weights[layer.name] = w
        acc = progress.put(f"{layer.name}_acc", layer.forward(x_codes.centred, w.centred), S32)
        scale = progress.put_scale(f"{layer.name}_acc_scale", x_codes.scale * w.scale)
        if after is not None:
            inputs[after.name] = method.activation(progress, layer, acc, scale)
    return inputs, weights


def steps(method: Method, constants: Arrays, state: Arrays, batches: list[tuple[np.ndarray, np.ndarray]],
          rbits: list[Arrays], rate: int, learned_rate: int) -> tuple[list[Progress], Arrays]:
    """The steps on ``batches``, each from the state that the one before left; and the state after the last.

    method : one of `refquant.hardware.step.training.METHODS`.
    constants : its tables, by name.  state : before the first step, by name; it is not changed.
    batches : (x [B, 1, 8, 8], labels [B]) of each step.  rbits : random bits of each step, by name.
    rate, learned_rate : in 2^-12, 1 or more, one integer each.

    Raises ValueError where there are not as many rbits as batches, and as `step` does.

    Source: as `step`.
    """
    done = []
    for (x, labels), bits in zip(batches, rbits, strict=True):
        progress = Progress(rate, learned_rate, constants, bits, dict(state))
        step(method, progress, x, labels)
        state = progress.state
        done.append(progress)
    return done, state
