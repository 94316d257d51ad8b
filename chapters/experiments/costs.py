"""What one training step of a method multiplies and moves, counted on a recorded step: nothing repeats a recipe.

A layer multiplies three times, each time as often:  images * outputs * size_out^2 * inputs / groups * kernel^2.

    forward   x and w are read, the next layer's input is written
    dx        g and w are read, the output gradient of the layer before is written, each copy of it (not in layer one)
    dw        g and x are read, the weight gradient is written, in reals

    product bits    multiply-adds times the bits of the one operand times the bits of the other; 32 * 32 if one is real
    bits moved      what is read and written; and where a result's range is not known beforehand, its accumulators,
                    32 bits each, written and read back: the accelerator of `refquant.quantizers.traffic`

Norms, ReLU, pooling, the loss and the optimizer are not counted.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refquant.autodiff import Call, recorded
from refquant.integers import Fixed
from refquant.quantizers.traffic import LayerShape
from refquant.training import Quantizers, Settings, Trainer, Training, recipe
from refquant.training.data import Dataset

BITS = 32  # of a real number, and of an accumulator in memory

# the model cnn on images of 8 x 8, in order of execution
CNN = (LayerShape("conv1", 1, 16, 3, 8, 8), LayerShape("conv2", 16, 32, 3, 4, 4),
       LayerShape("fc1", 128, 64, 1, 1, 1), LayerShape("fc2", 64, 10, 1, 1, 1))


@dataclass(frozen=True)
class Operand:
    """What is multiplied: a real number, or codes of so many bits, which take ``stored`` bits in memory."""

    bits: int = BITS
    stored: int = BITS
    real: bool = True

    @classmethod
    def of(cls, operand: Fixed) -> Operand:
        """Codes that are all odd (-3, -1, 1, 3: levels half a step beside 0) need one bit less: the last is known."""
        bits = operand.format.bits
        return cls(bits, bits - bool((operand.codes & 1).all()), real=False)

    def __str__(self) -> str:
        return "real" if self.real else str(self.bits)


@dataclass(frozen=True)
class Layer:
    """A layer's operands: input, weight, and the output gradient as dX takes it and as dW takes it."""

    shape: LayerShape
    quantizers: Quantizers
    x: Operand = Operand()
    w: Operand = Operand()
    g_dx: Operand = Operand()
    g_dw: Operand = Operand()

    def copies(self, first: bool) -> list[tuple[Operand, Any]]:
        """The output gradient as it stands in memory, each copy with its quantizer; the first layer makes no dX."""
        q = self.quantizers
        one = first or q.input_gradient == q.weight_gradient
        return [(self.g_dw, q.weight_gradient)] + ([] if one else [(self.g_dx, q.input_gradient)])


@dataclass(frozen=True)
class Product:
    """One of a layer's products.  result : bits of what is written, an element.  dynamic : it waits for its range."""

    shape: LayerShape
    kind: str
    images: int
    left: Operand
    right: Operand
    result: int = BITS
    dynamic: bool = False

    @property
    def multiply_adds(self) -> int:
        return self.images * self.shape.size_out**2 * self.shape.weights

    @property
    def real(self) -> bool:
        return self.left.real or self.right.real

    @property
    def bits(self) -> int:
        """Product bits."""
        return self.multiply_adds * (BITS * BITS if self.real else self.left.bits * self.right.bits)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many elements are read on the left, read on the right, and written."""
        shape = self.shape
        x, w = self.images * shape.inputs * shape.size_in**2, shape.weights
        y = self.images * shape.outputs * shape.size_out**2
        return {"forward": (x, w, y), "dx": (y, w, x), "dw": (y, x, w)}[self.kind]

    @property
    def moved(self) -> int:
        """Bits read and written, accumulators apart."""
        left, right, written = self.sizes
        return left * self.left.stored + right * self.right.stored + written * self.result

    @property
    def waiting(self) -> int:
        """Bits of accumulators written and read back."""
        return 2 * BITS * self.sizes[2] if self.dynamic else 0


def products(layers: list[Layer], images: int) -> Iterator[Product]:
    """All products of a step."""
    for number, layer in enumerate(layers):
        after = layers[number + 1] if number + 1 < len(layers) else None
        written = {} if after is None else {"result": after.x.stored, "dynamic": waits(after.quantizers.activation)}
        yield Product(layer.shape, "forward", images, layer.x, layer.w, **written)
        yield Product(layer.shape, "dw", images, layer.g_dw, layer.x)
        if number > 0:
            copies = layers[number - 1].copies(first=number == 1)
            yield Product(layer.shape, "dx", images, layer.g_dx, layer.w, sum(copy.stored for copy, _ in copies),
                          any(waits(quantizer) for _, quantizer in copies))


def waits(quantizer: Any) -> bool:
    """Whether a quantizer's range comes from all of the tensor that it quantizes.

    Then it has an estimator that is not static; or none at all, which for Banner's activations means the batch's own
    ranges. Learned clips and thresholds are known beforehand, and what stays real needs no range.
    """
    return hasattr(quantizer, "estimator") and (quantizer.estimator is None or not quantizer.estimator.static)


def trace(method: str, data: Dataset, images: int = 64, variant: str = "paper") -> list[Call]:
    """The integer products of the first step of ``method`` with the model cnn."""
    settings = Settings(method, variant=variant, batch=images)
    with recorded() as calls:
        Trainer(settings, recipe(method, variant), data).step(
            Training(settings), data.train_x[:images], data.train_y[:images])
    return calls


def layers_of(method: str, calls: list[Call]) -> list[Layer]:
    """The layers of the model cnn with their operands; those that no integer product has are real."""
    chosen = recipe(method)
    places = [chosen.first, *[chosen.inner] * (len(CNN) - 2), chosen.last]
    layers = {shape.name: Layer(shape, place) for shape, place in zip(CNN, places, strict=True)}
    for call in calls:
        name, left, right = shape_of(call).name, *operands(call)
        if call.operation.endswith("forward"):
            layers[name] = replace(layers[name], x=Operand.of(left), w=Operand.of(right))
        else:
            layers[name] = replace(layers[name], **{f"g_{call.operation[-2:]}": Operand.of(left)})
    return list(layers.values())


def shape_of(call: Call) -> LayerShape:
    """The layer that a product belongs to, by how many weights it has."""
    weights = call.accumulators if call.operation.endswith("dw") else call.b
    (shape,) = (shape for shape in CNN if shape.weights == weights.codes.size)
    return shape


def operands(call: Call) -> tuple[Fixed, Fixed]:
    """A call's operands as (x, w), (g, w) or (g, x)."""
    return (call.b, call.a) if call.operation == "conv.dw" else (call.a, call.b)


def terms(call: Call) -> int:
    """How many products a call adds up, by the shapes of its tensors; zeros of the padding count too."""
    if call.operation.startswith("gemm"):
        return call.a.codes.size * call.b.shape[1]
    outputs = {"conv.forward": call.accumulators, "conv.dx": call.a, "conv.dw": call.b}[call.operation]
    kernels = call.accumulators if call.operation == "conv.dw" else call.b
    return outputs.codes.size * int(np.prod(kernels.shape[1:]))
