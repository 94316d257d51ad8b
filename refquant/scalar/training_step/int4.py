"""INT4's step: conv2's weights, inputs and gradients in 4 bits, the rest in 8 and 16; clips that are learned.

weights      symmetric(W, 8 bits); conv2: min(max(half_even((7 W + 7 clip) / clip), 0), 14) - 7 at clip * 2^-12 / 7
activation   u<b> of half_even(acc * ratio((2^b - 1) acc scale * 2^12 / clip)), b = 4 of conv1's output, 8 of conv2's
gradients    symmetric(g, 16 bits), for both; conv2: `int4` of 4 bits by its clip factor k, at g scale * k H / 7000,
             H = max |g|, or 1 where that is 0
W's          dw; conv2: dw where |W| <= clip, else 0
back         limit = floor(clip * 2^-12 / acc scale);  g = dx where 0 <= acc <= limit, else 0, at dx scale
learned      clips, s32 in 2^-12, positive
             y_clip: half_even(dalpha / ((2^b - 1) 2^12)) at dx scale; `pact`'s, alpha_acc limit + 1, calibrated, F = 12
             conv2's w_clip: half_even(D / (7 clip)) at dw scale, D = the sum of dw * (7 clip where W > clip, -7 clip
             where W < -clip, else code * clip - 7 W)
"""
from fractions import Fraction

from .. import int4, pact
from ..scaling import divide, ratio
from ..steps import note_some
from . import copies
from .descent import LEAST, ONE, learned, positive
from .nested import at, flat, shape_of
from .record import Quantity

NARROW = "conv2"  # the layer in 4 bits
Y_BITS = {"conv1": 4, "conv2": 8}
QMAX = 7
ERROR_BITS = 12


def weights(step, layer):
    w, name = step.state[f"{layer}_w"], f"{layer}_w_codes"
    if layer != NARROW:
        return copies.symmetric(step, name, Quantity(w, Fraction(1, ONE)), 8)
    clip, = positive(step, f"{layer}_w_clip")

    def code(index, note):
        number = at(w, index)
        note(f"weight {number}, clip {clip}")
        level = min(max(divide(QMAX * (number + clip), clip, note=note), 0), 2 * QMAX)
        note(f"level {level} of 0 ... {2 * QMAX}: code {level - QMAX}")
        return level - QMAX

    return step.quantity(name, shape_of(w), code, Fraction(clip, ONE * QMAX))


def activation(step, layer, acc):
    clip, = positive(step, f"{layer}_y_clip")
    multiplier, shift = _by_clip(step, layer, acc)
    step.ratio(f"{layer}_y_codes", multiplier, shift)
    bits = Y_BITS[layer]
    return step.quantity(
        f"{layer}_y_codes", shape_of(acc.numbers),
        lambda index, note: pact.code(at(acc.numbers, index), multiplier, shift, bits, "half_even", note=note)[0],
        Fraction(clip, ONE * ((1 << bits) - 1)))


def gradients(step, layer, g):
    if layer != NARROW:
        wide = copies.wide(step, layer, g)
        return wide, wide
    numbers, rbits, (clip_factor,) = flat(g.numbers), step.rbits[f"{layer}_g"], step.state[f"{layer}_clip_factor"]
    highest, multiplier, shift = int4.parameters(numbers, clip_factor, 4)
    told = f"largest magnitude {highest}, clip factor {clip_factor}: {multiplier} / 2^{shift}"
    step.told(f"{layer}_g_codes_highest", [highest], told)
    step.ratio(f"{layer}_g_codes", multiplier, shift)

    def code(index, note):
        note(told)
        return int4.code(at(g.numbers, index), multiplier, shift, 4, at(rbits, index), copies.RANDOM_BITS, note=note)[0]

    beyond, = step.whole(f"{layer}_g_clipped", (1,),
                         lambda note: [int4.clipped(numbers, clip_factor, highest, note=note)])

    def after(note):
        return [int4.updated(clip_factor, beyond, len(numbers), 4, note=note) if highest else clip_factor]

    step.whole(f"{layer}_clip_factor_after", (1,), after)
    codes = step.quantity(f"{layer}_g_codes", shape_of(g.numbers), code,
                          g.scale * clip_factor * (highest or 1) / (int4.WHOLE * QMAX))
    return codes, codes


def weight_gradient(step, layer, dw):
    if layer != NARROW:
        return dw
    w, (clip,) = step.state[f"{layer}_w"], positive(step, f"{layer}_w_clip")
    codes = step.tensors[f"{layer}_w_codes"]

    def gradient(index, note):
        number, passed = at(w, index), at(dw.numbers, index)
        note(f"weight {number}, passed in -{clip} ... {clip}: {passed}")
        return passed if abs(number) <= clip else 0

    def weight(number, code):
        if abs(number) > clip:
            return QMAX * clip if number > clip else -QMAX * clip
        return code * clip - QMAX * number

    def clips(note):
        dws, ws = flat(dw.numbers), flat(w)
        by = [weight(*pair) for pair in zip(ws, flat(codes), strict=True)]
        note_some(len(ws), lambda i: f"weight {ws[i]}: dw {dws[i]} x {by[i]}", note)
        return [divide(sum(one * other for one, other in zip(dws, by, strict=True)), QMAX * clip, note=note)]

    learned(step, f"{layer}_w_clip", clips, dw.scale, least=LEAST)
    return step.quantity(f"{layer}_w_gradient", shape_of(w), gradient, dw.scale)


def activation_gradient(step, layer, acc, y, dx):
    clip, = positive(step, f"{layer}_y_clip")
    limit = Fraction(clip, ONE) / acc.scale // 1
    multiplier, shift = _by_clip(step, layer, acc)
    bits = Y_BITS[layer]

    def clips(note):
        total = pact.alpha_gradient(flat(dx.numbers), flat(acc.numbers), limit + 1, multiplier, shift, bits=bits,
                                    fraction_bits=ERROR_BITS, calibrated=True, rounding="half_even", note=note)
        return [divide(total, (1 << bits) - 1 << ERROR_BITS, note=note)]

    def g(index, note):
        number, passed = at(acc.numbers, index), at(dx.numbers, index)
        note(f"acc {number}, passed in 0 ... {limit}: {passed}")
        return passed if 0 <= number <= limit else 0

    learned(step, f"{layer}_y_clip", clips, dx.scale, least=LEAST)
    return step.quantity(f"{layer}_g", shape_of(acc.numbers), g, dx.scale)


def _by_clip(step, layer, acc):
    clip, = positive(step, f"{layer}_y_clip")
    return ratio(((1 << Y_BITS[layer]) - 1) * acc.scale * ONE / clip)
