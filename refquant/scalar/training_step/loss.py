"""Softmax and cross entropy on the last accumulators, by a table exp_table[t] = half_even(2^15 exp(-t / 16)).

l = half_even(acc * ratio(16 * acc scale))         the logits, in sixteenths
e = exp_table[min(max over the row of l - l, 255)]
p = half_even(e * 2^15 / sum over the row of e)
g = p - 2^15 at the label                          scale 2^-15 / B: the loss is the mean over the batch
"""
from fractions import Fraction

from ..scaling import divide, ratio, scaled
from ..steps import note_some
from .nested import at, shape_of

SIXTEENTHS, ONE_BITS = 16, 15


def logits(step, acc):
    """Record and return the logits."""
    multiplier, shift = ratio(SIXTEENTHS * acc.scale)
    return step.tensor("logits", shape_of(acc.numbers), lambda index, note: scaled(
        at(acc.numbers, index), multiplier, shift, "half_even", note=note))


def gradient(step, logits, labels):
    """Record the loss' gradient, `loss_g`, and return it with its scale."""
    table = step.constants["exp"]

    def g(index, note):
        row, output = logits[index[0]], index[1]
        label = labels[index[0]]
        distances = [min(max(row) - number, len(table) - 1) for number in row]
        parts = [table[distance] for distance in distances]
        note_some(len(row), lambda j: f"logit {row[j]}, {distances[j]} below the largest: {parts[j]}", note)
        share = divide(parts[output] << ONE_BITS, sum(parts), note=note)
        answer = share - (output == label) * (1 << ONE_BITS)
        note(f"label {label}: output {output} has gradient {answer}")
        return answer

    return step.quantity("loss_g", shape_of(logits), g, Fraction(1, len(labels) << ONE_BITS))
