"""Banner's 8-bit step: affine copies everywhere, range batch normalization, two copies of each gradient.

weights      affine(W)
activation   bn_x = affine(acc);  bn_y = range_bn forward of bn_x, in 2^-10;  y = affine(max(bn_y, 0))
             the running mean and width in 2^-12:
             batch = half_even((mean - zero_point * 2^8) * ratio(bn_x scale * 2^4)), the width without a zero point
             running' = running + half_even((batch - running) * 3277 / 2^15)
gradients    affine(g), stochastic, for the input; symmetric(g, 16 bits) for the weight. conv1 needs no input gradient
back         h = dx where bn_y > 0, else 0;  bn_g = affine(h), stochastic;  g = dx of range_bn backward of bn_g less
             its zero point, scale bn_g scale * 2^-20 / bn_x scale
learned      gamma s16 in 2^-8, gradient dgamma at bn_g scale * 2^-8;  beta s32 in 2^-20, gradient dbeta at bn_g scale
"""
from fractions import Fraction

from ..range_bn import backward_channel, forward_channel
from ..scaling import ratio, scaled
from . import copies
from .descent import ONE, learned
from .nested import at, flat, mapped, position, shape_of
from .record import Quantity, once

FRACTION, NORMAL = 8, 12  # bits of mean and width, and of x_hat
GAMMA, BETA, Y_FRACTION, RUNNING = 8, 20, 10, 12
MOMENTUM = 3277
NORMALIZED = {"fraction_bits": FRACTION, "normal_bits": NORMAL, "chunks": 1, "epsilon": 0, "rounding": "half_even"}


def weights(step, layer):
    return copies.affine(step, f"{layer}_w_codes", Quantity(step.state[f"{layer}_w"], Fraction(1, ONE)))


def activation(step, layer, acc):
    x = copies.affine(step, f"{layer}_bn_x", acc)
    shape, channels = shape_of(x.numbers), (len(x.numbers[0]),)
    gammas, betas = step.state[f"{layer}_gamma"], step.state[f"{layer}_beta"]

    @once
    def normalized(channel, note):
        # the running numbers are in another unit here: `_running` moves them
        return forward_channel(_channel(x.numbers, channel), gammas[channel], betas[channel], _constants(step, layer),
                               0, 0, **NORMALIZED, y_shift=GAMMA + NORMAL - Y_FRACTION, y_format="s16", momentum=0,
                               note=note)

    for name in ("mean", "width", "inverse"):
        step.tensor(f"{layer}_bn_{name}", channels,
                    lambda index, note, name=name: normalized(index[0], note)[name])
    _running(step, f"{layer}_mean", x.scale,
             [mean - (x.zero_point << FRACTION) for mean in step.tensors[f"{layer}_bn_mean"]])
    _running(step, f"{layer}_width", x.scale, step.tensors[f"{layer}_bn_width"])

    step.tensor(f"{layer}_bn_x_hat", shape, lambda index, note: normalized(index[1], note)["x_hat"][
        _within_channel(index, shape)])

    def y(index, note):
        found, here = normalized(index[1], note), _within_channel(index, shape)
        note(f"here x {at(x.numbers, index)}: x_hat {found['x_hat'][here]}, y {found['y'][here]}")
        return found["y"][here]

    positive = mapped(lambda number: max(number, 0), step.tensor(f"{layer}_bn_y", shape, y))
    return copies.affine(step, f"{layer}_y_codes", Quantity(positive, Fraction(1, 1 << Y_FRACTION)))


def _running(step, name, scale, batch):
    """Move a running number of each channel towards the batch's, which is in 2^-8 of bn_x's unit."""
    multiplier, shift = ratio(scale * 2**(RUNNING - FRACTION))
    running = step.state[name]

    def after(index, note):
        old = at(running, index)
        new = scaled(at(batch, index), multiplier, shift, "half_even", note=note)
        note(f"running {old}, of the batch {new}")
        return old + scaled(new - old, MOMENTUM, 15, "half_even", note=note)

    step.tensor(f"{name}_after", (len(batch),), after)


def gradients(step, layer, g):
    wide = copies.wide(step, layer, g)
    if layer == "conv1":
        return None, wide
    return copies.affine(step, f"{layer}_g_codes", g, step.rbits[f"{layer}_g"]), wide


def weight_gradient(step, layer, dw):
    return dw


def activation_gradient(step, layer, acc, y, dx):
    passed = mapped(lambda number, y: number if y > 0 else 0, dx.numbers, step.tensors[f"{layer}_bn_y"])
    g = copies.affine(step, f"{layer}_bn_g", Quantity(passed, dx.scale), step.rbits[f"{layer}_bn_g"])
    centered = mapped(lambda code: code - g.zero_point, g.numbers)
    x, x_scale = step.tensors[f"{layer}_bn_x"], step.scales[f"{layer}_bn_x"]
    shape, gammas = shape_of(x), step.state[f"{layer}_gamma"]

    @once
    def back(channel, note):
        return backward_channel(_channel(x, channel), _channel(centered, channel), gammas[channel],
                                _constants(step, layer), **NORMALIZED, dx_shift=0, dx_format="s32", note=note)

    def of_channels(name):
        return lambda note: [back(channel, note)[name] for channel in range(len(gammas))]

    learned(step, f"{layer}_gamma", of_channels("dgamma"), g.scale / 2**FRACTION, bits=16, fraction=GAMMA)
    learned(step, f"{layer}_beta", of_channels("dbeta"), g.scale, fraction=BETA)

    def number(index, note):
        found, here = back(index[1], note), _within_channel(index, shape)
        note(f"here g {at(centered, index)}: u {found['u'][here]}, dx {found['dx'][here]}")
        return found["dx"][here]

    return step.quantity(f"{layer}_g", shape, number, g.scale / 2**(GAMMA + NORMAL) / x_scale)


def _constants(step, layer):
    names = "mean_multiplier", "mean_shift", "c_multiplier", "c_shift"
    return [step.constants[f"{layer}_{name}"][0] for name in names]


def _channel(tensor, channel):
    """The numbers of a channel in the order (b, h, w)."""
    return flat([image[channel] for image in tensor])


def _within_channel(index, shape):
    """Where `_channel` has the number at index."""
    return position((index[0], *index[2:]), (shape[0], *shape[2:]))
