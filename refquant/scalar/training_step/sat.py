"""SAT's step: weights of 8, 4 and 8 bits bent by tanh, activations of 4 bits clipped at a learned alpha (CG-PACT).

weights      `sat` with the table of f = 12, rescale "constant", half_even
activation   `pact` by ratio(15 * acc scale * 2^12 / alpha), scale alpha * 2^-12 / 15
gradients    symmetric(g, 16 bits), for both
W's          `sat`'s gradient of dw, saturated in 32 bits, at dw scale * a * w scale, a = 2^bits - 1
back         alpha_acc = ceil(alpha * 2^-12 / acc scale);  g of `pact`, calibrated, F = 12, at dx scale
learned      alpha s32 in 2^-12, positive: half_even(dalpha / (15 * 2^12)) at dx scale
"""
from fractions import Fraction
from math import ceil

from .. import pact, sat
from ..formats import saturate
from ..scaling import divide, ratio
from . import copies
from .descent import LEAST, ONE, learned, positive
from .nested import at, flat, shape_of
from .record import Quantity

BITS = {"conv1": 8, "conv2": 4, "linear": 8}
Y_BITS = 4
TOP = (1 << Y_BITS) - 1
ERROR_BITS = 12


def weights(step, layer):
    w, table, bits = step.state[f"{layer}_w"], step.constants["tanh"], BITS[layer]
    name = f"{layer}_w_codes"
    highest, = step.whole(f"{layer}_w_highest", (1,), lambda note: [sat.highest(flat(w), table, note=note)])
    codes = step.tensor(name, shape_of(w),
                        lambda index, note: sat.code(at(w, index), table, highest, bits, "half_even", note=note))
    outputs = len(flat(w)) // len(w[0])  # those of a convolution are counted once for each place of its kernel
    return Quantity(codes, step.pair(name, lambda note: sat.scale(flat(codes), outputs, bits, "constant", note=note)))


def activation(step, layer, acc):
    alpha, = positive(step, f"{layer}_alpha")
    multiplier, shift = _by_alpha(step, layer, acc)
    step.ratio(f"{layer}_y_codes", multiplier, shift)
    return step.quantity(
        f"{layer}_y_codes", shape_of(acc.numbers),
        lambda index, note: pact.code(at(acc.numbers, index), multiplier, shift, Y_BITS, "half_even", note=note)[0],
        Fraction(alpha, ONE * TOP))


def gradients(step, layer, g):
    wide = copies.wide(step, layer, g)
    return wide, wide


def weight_gradient(step, layer, dw):
    w, table = step.state[f"{layer}_w"], step.constants["tanh"]
    highest, = step.tensors[f"{layer}_w_highest"]

    def gradient(index, note):
        g = saturate(at(dw.numbers, index), 32, True, note=note)
        return sat.gradient(g, at(w, index), table, highest, "half_even", note=note)

    top = (1 << BITS[layer]) - 1
    return step.quantity(f"{layer}_w_gradient", shape_of(w), gradient,
                         dw.scale * top * step.scales[f"{layer}_w_codes"])


def activation_gradient(step, layer, acc, y, dx):
    alpha, = positive(step, f"{layer}_alpha")
    alpha_acc = ceil(Fraction(alpha, ONE) / acc.scale)
    multiplier, shift = _by_alpha(step, layer, acc)
    by = {"bits": Y_BITS, "fraction_bits": ERROR_BITS, "rounding": "half_even"}

    def alphas(note):
        total = pact.alpha_gradient(flat(dx.numbers), flat(acc.numbers), alpha_acc, multiplier, shift, **by,
                                    calibrated=True, note=note)
        return [divide(total, TOP << ERROR_BITS, note=note)]

    def g(index, note):
        slope, _ = pact.slope_and_error(at(acc.numbers, index), alpha_acc, multiplier, shift, **by, note=note)
        return slope * at(dx.numbers, index)

    learned(step, f"{layer}_alpha", alphas, dx.scale, least=LEAST)
    return step.quantity(f"{layer}_g", shape_of(acc.numbers), g, dx.scale)


def _by_alpha(step, layer, acc):
    return ratio(TOP * acc.scale * ONE / positive(step, f"{layer}_alpha")[0])
