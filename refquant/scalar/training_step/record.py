"""What a training step computes: every tensor by its name, with the rule that tells how one number of it came about.

A rule takes (index, note) and returns the integer at index. Numbers are computed by it as soon as they are recorded,
silently; asked again with a note, it tells the steps of that one number. Scales are recorded as pairs
(multiplier, shift) of 31 bits, and from then on the pair is the scale.
"""
from fractions import Fraction
from typing import NamedTuple

from ..scaling import rounded_scale
from ..steps import silent
from .nested import at, filled


class Quantity(NamedTuple):
    """A nested list of integers that stand for scale * (number - zero_point)."""

    numbers: list
    scale: Fraction
    zero_point: int = 0


class Step:
    """One step: what it is given (names without their roles), and the tensors and rules it has recorded so far."""

    def __init__(self, attrs, constants, state, rbits):
        self.attrs, self.constants, self.state, self.rbits = attrs, constants, state, rbits
        self.tensors, self.rules, self.scales = {}, {}, {}

    def tensor(self, name, shape, rule):
        """Record a tensor of this shape, and return it."""
        self.rules[name] = rule
        self.tensors[name] = filled(shape, lambda index: rule(index, silent))
        return self.tensors[name]

    def whole(self, name, shape, compute):
        """Record a tensor whose numbers come together: compute(note) is all of it."""
        known = once(lambda key, note: compute(note))
        return self.tensor(name, shape, lambda index, note: at(known(None, note), index))

    def quantity(self, name, shape, rule, scale):
        """Record a tensor and its scale, and return both."""
        return Quantity(self.tensor(name, shape, rule), self.scale(name, scale))

    def scale(self, name, fraction):
        """Record the scale of the tensor `name`, and return the Fraction that its pair is."""
        return self.pair(name, lambda note: rounded_scale(fraction, note=note))

    def pair(self, name, compute):
        """Record compute(note), a (multiplier, shift), as the scale of the tensor `name`, and return its Fraction."""
        multiplier, shift = self.whole(f"{name}_scale", (2,), compute)
        self.scales[name] = Fraction(multiplier, 1 << shift)
        return self.scales[name]

    def ratio(self, name, multiplier, shift):
        """Record what numbers are multiplied by to become the codes `name`."""
        self.told(f"{name}_ratio", [multiplier, shift], f"{name}: numbers times {multiplier} / 2^{shift}")

    def told(self, name, numbers, line):
        """Record a few numbers that one line tells."""
        def compute(note):
            note(line)
            return numbers

        self.whole(name, (len(numbers),), compute)

    def after(self):
        """The state that the step leaves."""
        return {name: self.tensors[f"{name}_after"] for name in self.state}


def once(compute):
    """compute(key, note) that looks its answers up where nobody listens, and computes them again for a note."""
    known = {}

    def answer(key, note):
        if note is not silent:
            return compute(key, note)
        if key not in known:
            known[key] = compute(key, silent)
        return known[key]

    return answer
