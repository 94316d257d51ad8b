"""What a layer moves to and from memory when ranges are known beforehand, and when they are not (Fournarakis 2021).

Weights and inputs are read and the output is written, b_w and b_a bits each. A dynamic range is known only after the
whole output is, so the accumulators, b_acc bits, are written first, read back, and quantized then:

    static  = (b_w inputs / groups outputs k^2  +  b_a inputs W H  +  b_a outputs W' H') / 8       bytes for one image
    dynamic = static + 2 b_acc outputs W' H' / 8

With 8, 8 and 32 bits dynamic is at most 9 times static, +800 %: where the output dwarfs the rest.

Notes: the formula follows from the paper's model of an accelerator; its text was not at hand. Bits beside weights and
activations (scales, biases, batch norm) are not counted, nor are pooling and additions.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["LayerShape", "bytes_moved", "increase", "mobilenet_v2", "resnet18", "table"]


@dataclass(frozen=True)
class LayerShape:
    """A convolution [inputs, size_in, size_in] -> [outputs, size_out, size_out]; linear: kernel and sizes are 1.

    name : what `table` calls it.
    inputs, outputs, kernel, size_in, size_out, groups : channels, and sizes of one side in places: integers, 1 or more.

    Raises ValueError for a number below 1, and groups that do not divide inputs and outputs.

    Source: refquant's own.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int
    size_in: int
    size_out: int
    groups: int = 1

    def __post_init__(self):
        for field in ("inputs", "outputs", "kernel", "size_in", "size_out", "groups"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} = {getattr(self, field)} in layer {self.name}: expected at least 1")
        if self.inputs % self.groups or self.outputs % self.groups:
            raise ValueError(f"groups = {self.groups} in layer {self.name}: expected a divisor of its {self.inputs} "
                             f"inputs and {self.outputs} outputs")

    @property
    def weights(self) -> int:
        """How many weights it has; no biases."""
        return self.inputs // self.groups * self.outputs * self.kernel**2


def bytes_moved(layer: LayerShape, dynamic: bool, weight_bits: int = 8, activation_bits: int = 8,
                accumulator_bits: int = 32) -> float:
    """Bytes moved for one image, one number, with dynamic or with static ranges.

    layer : its shapes.  dynamic : whether ranges are known only after the whole output is.
    weight_bits, activation_bits, accumulator_bits : of each weight, input or output, and sum.

    Raises nothing of its own.

    Source: derived by us from the accelerator of Fournarakis 2021 as we recall it; see the module.
    """
    read, written = layer.inputs * layer.size_in**2, layer.outputs * layer.size_out**2
    bits = weight_bits * layer.weights + activation_bits * (read + written)
    return (bits + dynamic * 2 * accumulator_bits * written) / 8


def increase(layer: LayerShape, **bits) -> float:
    """How much more dynamic ranges move than static ones, in per cent, one number; 0 where static ones move nothing.

    layer, bits : as for `bytes_moved`, the three numbers of bits by their names.

    Raises nothing of its own.

    Source: as `bytes_moved`.
    """
    return _per_cent(bytes_moved(layer, False, **bits), bytes_moved(layer, True, **bits))


def table(layers: Iterable[LayerShape], **bits) -> str:
    """Aligned text: layer, static KB, dynamic KB (1024 bytes each), increase; the last row is the total.

    layers : `LayerShape`s [N], a row each.  bits : as for `increase`.

    Raises nothing of its own.

    Source: as `bytes_moved`; the layout is refquant's own.
    """
    layers = tuple(layers)
    moved = [(bytes_moved(layer, False, **bits), bytes_moved(layer, True, **bits)) for layer in layers]
    moved.append((sum(static for static, _ in moved), sum(dynamic for _, dynamic in moved)))
    rows = [("layer", "static KB", "dynamic KB", "increase")]
    for name, (static, dynamic) in zip([*(layer.name for layer in layers), "total"], moved, strict=True):
        rows.append((name, f"{static / 1024:.1f}", f"{dynamic / 1024:.1f}", f"{_per_cent(static, dynamic):+.0f} %"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in
                                                           zip(row[1:], widths[1:], strict=True))]) for row in rows)


def _per_cent(static: float, dynamic: float) -> float:
    return 100 * (dynamic / static - 1) if static else 0.0


def resnet18(classes: int = 1000) -> tuple[LayerShape, ...]:
    """ResNet-18's layers for images [3, 224, 224]: convolutions in order of execution, and fc.

    classes : outputs of fc; `RESNET18` holds the layers for 1000.

    Raises ValueError for classes below 1.

    Source: He, Zhang, Ren, Sun 2015, table 1.
    """
    layers = [LayerShape("conv1", 3, 64, 7, 224, 112)]
    inputs, size_in = 64, 56  # after the max pool
    for stage, (outputs, size) in enumerate([(64, 56), (128, 28), (256, 14), (512, 7)], 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            layers.append(LayerShape(f"{name}.conv1", inputs, outputs, 3, size_in, size))
            layers.append(LayerShape(f"{name}.conv2", outputs, outputs, 3, size, size))
            if inputs != outputs:
                layers.append(LayerShape(f"{name}.shortcut", inputs, outputs, 1, size_in, size))
            inputs, size_in = outputs, size
    return (*layers, LayerShape("fc", 512, classes, 1, 1, 1))


def mobilenet_v2(classes: int = 1000) -> tuple[LayerShape, ...]:
    """MobileNetV2's layers for images [3, 224, 224], width 1: convolutions in order of execution, and fc.

    classes : outputs of fc; `MOBILENET_V2` holds the layers for 1000.

    Raises ValueError for classes below 1.

    Source: Sandler et al. 2018, table 2.
    """
    layers = [LayerShape("conv1", 3, 32, 3, 224, 112)]
    inputs, size, block = 32, 112, 0
    for factor, outputs, repeats, first_stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                   (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for repeat in range(repeats):
            wide, reduced = factor * inputs, size // (first_stride if repeat == 0 else 1)
            if factor > 1:
                layers.append(LayerShape(f"block{block}.expand", inputs, wide, 1, size, size))
            layers.append(LayerShape(f"block{block}.depthwise", wide, wide, 3, size, reduced, groups=wide))
            layers.append(LayerShape(f"block{block}.project", wide, outputs, 1, reduced, reduced))
            inputs, size, block = outputs, reduced, block + 1
    return (*layers, LayerShape("conv2", inputs, 1280, 1, size, size), LayerShape("fc", 1280, classes, 1, 1, 1))


RESNET18 = resnet18()
MOBILENET_V2 = mobilenet_v2()
