"""Models: functions of a recipe that return a layer. Together they hold every kind of layer the papers use.

| name | what |
|---|---|
| mlp | two hidden layers with batch norm |
| cnn | two convolutions, max pooling, a hidden linear layer |
| resnet20 | He 2016 for small images: 3 stages of 3 blocks |
| preresnet20 | the same with norm and ReLU before each convolution |
| mobilenet | inverted residuals with depthwise convolutions, linear bottlenecks, ReLU6 (MobileNetV2) |
| edsr | residual blocks without norm, pixel shuffle: super-resolution by 2 |

Each takes ``(recipe, channels, size, classes)``: of the images, and of the answer. The first product stands at the
recipe's ``first``, the last at its ``last``, all others at its ``inner``.
"""
from __future__ import annotations

from collections.abc import Callable

from refquant.autodiff import Tensor, flatten, global_average_pool, max_pool, pixel_shuffle, relu, relu6
from refquant.gemm import Geometry
from refquant.integers import Fixed
from refquant.integers.quantize import choice
from refquant.training.layers import Apply, BatchNorm, Conv, Layer, Linear, Residual, Sequential
from refquant.training.quantizing import Quantizers, Recipe
from refquant.training.run import Run

__all__ = ["cnn", "edsr", "mlp", "mobilenet", "model", "preresnet20", "resnet20"]

SAME = Geometry(padding=1)


def model(name: str, recipe: Recipe, channels: int, size: int, classes: int) -> Layer:
    """The model ``name`` for images [B, channels, size, size]: a layer that gives logits [B, classes].

    name : one of the table above.
    recipe : which quantizer sits where.
    channels, size, classes : of the images, and of the answer.

    Raises ValueError for a name there is not.

    Source: refquant's own list; each model says its own.
    """
    choice("model", name, tuple(MODELS))
    return MODELS[name](recipe, channels, size, classes)


def mlp(recipe: Recipe, channels: int, size: int, classes: int, width: int = 128) -> Layer:
    """Images [B, channels, size, size] to logits [B, classes]: two hidden linear layers with norm, and one more.

    recipe : which quantizer sits where.
    channels, size, classes : of the images, and of the answer.
    width : of the hidden layers.

    Raises nothing of its own.

    Source: refquant's own.
    """
    pixels = channels * size * size
    return Sequential((
        flat,
        Linear("fc1", pixels, width, recipe.first), norm(recipe, "bn1", width), bend(recipe, "act1", width),
        Linear("fc2", width, width, recipe.inner), norm(recipe, "bn2", width), bend(recipe, "act2", width),
        Linear("fc3", width, classes, recipe.last, bias=True)))


def cnn(recipe: Recipe, channels: int, size: int, classes: int, width: int = 16) -> Layer:
    """Images [B, channels, size, size] to logits [B, classes]: two convolutions with max pooling, two linear layers.

    recipe : which quantizer sits where.
    channels, size, classes : of the images, 4 x 4 or larger, and of the answer.
    width : channels of the first convolution; the second has twice as many.

    Raises nothing of its own.

    Source: refquant's own.
    """
    left = size // 4
    return Sequential((
        Conv("conv1", channels, width, recipe.first, geometry=SAME), norm(recipe, "bn1", width),
        bend(recipe, "act1", width), Apply(max_pool, {"size": 2}),
        Conv("conv2", width, 2 * width, recipe.inner, geometry=SAME), norm(recipe, "bn2", 2 * width),
        bend(recipe, "act2", 2 * width), Apply(max_pool, {"size": 2}), Apply(flatten),
        Linear("fc1", 2 * width * left * left, 64, recipe.inner), norm(recipe, "bn3", 64), bend(recipe, "act3", 64),
        Linear("fc2", 64, classes, recipe.last, bias=True)))


def resnet20(recipe: Recipe, channels: int, size: int, classes: int, width: int = 16, blocks: int = 3) -> Layer:
    """Images [B, channels, size, size] to logits [B, classes]: 3 stages of ``blocks`` blocks of two convolutions.

    recipe : which quantizer sits where.
    channels, size, classes : of the images, and of the answer.
    width, blocks : channels of the first stage, doubled in each after it; blocks a stage, 3 for 20 layers.

    Raises nothing of its own.

    Source: He 2016, section 4.2; where a stage begins the shortcut is a convolution with norm (its option B, there A).
    """
    layers: list[Layer] = [Conv("conv", channels, width, recipe.first, geometry=SAME), norm(recipe, "bn", width),
                           bend(recipe, "act", width)]
    inputs = width
    for stage in range(3):
        for block in range(blocks):
            outputs, stride, name = width << stage, 2 if stage and not block else 1, f"s{stage}b{block}"
            body = Sequential((
                Conv(f"{name}.conv1", inputs, outputs, recipe.inner, geometry=Geometry(stride, 1)),
                norm(recipe, f"{name}.bn1", outputs), bend(recipe, f"{name}.act1", outputs),
                Conv(f"{name}.conv2", outputs, outputs, recipe.inner, geometry=SAME),
                norm(recipe, f"{name}.bn2", outputs)))
            shortcut = None if inputs == outputs else Sequential((
                Conv(f"{name}.down", inputs, outputs, recipe.inner, kernel=1, geometry=Geometry(stride)),
                norm(recipe, f"{name}.down.bn", outputs)))
            layers += [Residual(body, shortcut), bend(recipe, f"{name}.act2", outputs)]
            inputs = outputs
    return Sequential((*layers, Apply(global_average_pool), Linear("fc", inputs, classes, recipe.last, bias=True)))


def preresnet20(recipe: Recipe, channels: int, size: int, classes: int, width: int = 16, blocks: int = 3) -> Layer:
    """Images [B, channels, size, size] to logits [B, classes]: `resnet20` with norm and ReLU before each convolution.

    recipe : which quantizer sits where.
    channels, size, classes : of the images, and of the answer.
    width, blocks : channels of the first stage, doubled in each after it; blocks a stage, 3 for 20 layers.

    Raises nothing of its own.

    Source: He 2016, Identity mappings in deep residual networks; a new stage's shortcut is a bare convolution of its
    input, which may be negative.
    """
    layers: list[Layer] = [Conv("conv", channels, width, recipe.first, geometry=SAME)]
    inputs = width
    for stage in range(3):
        for block in range(blocks):
            outputs, stride, name = width << stage, 2 if stage and not block else 1, f"s{stage}b{block}"
            body = Sequential((
                norm(recipe, f"{name}.bn1", inputs), bend(recipe, f"{name}.act1", inputs),
                Conv(f"{name}.conv1", inputs, outputs, recipe.inner, geometry=Geometry(stride, 1)),
                norm(recipe, f"{name}.bn2", outputs), bend(recipe, f"{name}.act2", outputs),
                Conv(f"{name}.conv2", outputs, outputs, recipe.inner, geometry=SAME)))
            shortcut = None if inputs == outputs else Conv(f"{name}.down", inputs, outputs, recipe.inner, signed=True,
                                                           kernel=1, geometry=Geometry(stride))
            layers.append(Residual(body, shortcut))
            inputs = outputs
    return Sequential((*layers, norm(recipe, "bn", inputs), bend(recipe, "act", inputs), Apply(global_average_pool),
                       Linear("fc", inputs, classes, recipe.last, bias=True)))


def mobilenet(recipe: Recipe, channels: int, size: int, classes: int, expansion: int = 4) -> Layer:
    """Images [B, channels, size, size] to logits [B, classes]: inverted residuals, five blocks.

    recipe : which quantizer sits where.
    channels, size, classes : of the images, and of the answer.
    expansion : how many times a block widens its input.

    Blocks of (outputs, stride); each widens, convolves every channel on its own, and narrows without a ReLU.

    Raises nothing of its own.

    Source: Sandler 2018, MobileNetV2, section 3 and table 1; its blocks and channels are fewer here.
    """
    layers: list[Layer] = [Conv("conv", channels, 16, recipe.first, geometry=SAME), norm(recipe, "bn", 16),
                           bend(recipe, "act", 16, relu6)]
    inputs, positive = 16, True
    for i, (outputs, stride) in enumerate(((16, 1), (24, 2), (24, 1), (32, 2), (32, 1))):
        name, wide = f"block{i}", inputs * expansion
        body = Sequential((
            Conv(f"{name}.widen", inputs, wide, recipe.inner, signed=not positive, kernel=1),
            norm(recipe, f"{name}.bn1", wide), bend(recipe, f"{name}.act1", wide, relu6),
            Conv(f"{name}.each", wide, wide, recipe.inner, geometry=Geometry(stride, 1, groups=wide)),
            norm(recipe, f"{name}.bn2", wide), bend(recipe, f"{name}.act2", wide, relu6),
            Conv(f"{name}.narrow", wide, outputs, recipe.inner, kernel=1), norm(recipe, f"{name}.bn3", outputs)))
        layers.append(Residual(body) if inputs == outputs and stride == 1 else body)
        inputs, positive = outputs, False
    return Sequential((
        *layers, Conv("top", inputs, 64, recipe.inner, signed=True, kernel=1), norm(recipe, "top.bn", 64),
        bend(recipe, "top.act", 64, relu6), Apply(global_average_pool),
        Linear("fc", 64, classes, recipe.last, bias=True)))


def edsr(recipe: Recipe, channels: int, size: int, classes: int, width: int = 16, blocks: int = 4) -> Layer:
    """Images [B, channels, H, W] to images of twice the size, [B, channels, 2 H, 2 W].

    recipe : which quantizer sits where; ``inner`` gives way to ``bare`` where there is one, as no norm follows.
    channels : of the images.
    size, classes : not used.
    width, blocks : channels within, and how many residual blocks.

    No norm holds the blocks' sums, so they start small.

    Raises nothing of its own.

    Source: Lim 2017, EDSR; small first weights in place of its residual scaling are refquant's own.
    """
    def conv(name: str, inputs: int, outputs: int, q: Quantizers, signed: bool = True, gain: float = 0.5) -> Conv:
        return Conv(name, inputs, outputs, q, bias=True, signed=signed, geometry=SAME, gain=gain)

    inner = recipe.bare or recipe.inner
    body: list[Layer] = []
    for i in range(blocks):
        body.append(Residual(Sequential((
            conv(f"block{i}.conv1", width, width, inner), bend(recipe, f"block{i}.act", width),
            conv(f"block{i}.conv2", width, width, inner, signed=False, gain=0.1)))))
    body.append(conv("body", width, width, inner, gain=0.1))
    return Sequential((
        conv("head", channels, width, recipe.first, signed=False), Residual(Sequential(tuple(body))),
        conv("up", width, 4 * width, inner), Apply(pixel_shuffle, {"factor": 2}),
        conv("tail", width, channels, recipe.last)))


def flat(x: Tensor, run: Run) -> Tensor:
    """Images [B, C, H, W] as rows [B, C H W]; the input's integers stay integers."""
    if isinstance(x.value, Fixed):
        return Tensor(Fixed(x.value.codes.reshape(len(x.value.codes), -1), x.value.scale, x.value.format))
    return flatten(x)


def norm(recipe: Recipe, name: str, channels: int) -> Layer:
    """The recipe's normalization, batch norm unless it has its own."""
    return recipe.norm(name, channels) if recipe.norm else BatchNorm(name, channels)


def bend(recipe: Recipe, name: str, channels: int, op: Callable = relu) -> Layer:
    """The recipe's nonlinearity, ``op`` unless it has its own."""
    return recipe.nonlinearity(name, channels) if recipe.nonlinearity else Apply(op)


MODELS: dict[str, Callable[..., Layer]] = {
    "mlp": mlp, "cnn": cnn, "resnet20": resnet20, "preresnet20": preresnet20, "mobilenet": mobilenet, "edsr": edsr}
