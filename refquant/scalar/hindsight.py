"""Ranges known in hindsight (Fournarakis, Nagel 2021), in integers: quantize by the steps before, watch this one.

A range is a pair (min, max) in 2^-F of the accumulator's unit, F = fraction_bits. In step t, for the accumulators acc:
  seen  = (min acc, max acc)
  range = state, the range kept since the step before; in the first step of all, which has none, seen * 2^F
  state <- half_even((range * momentum + seen * 2^F * (2^16 - momentum)) / 2^16), each end
momentum is the weight of the old range, 0 ... 2^16 - 1; the first step leaves seen * 2^F, as the weights sum to 1.
A range is used as the codes 0 ... top = 2^bits - 1:
  low  = min(range_min, 0), high = max(range_max, 0), size = high - low, or 1 where that is 0
  multiplier / 2^shift ~ top * 2^F / size               zero_point = half_away(-low * top / size)
  code = saturate(round(acc * multiplier / 2^shift) + zero_point)
"""
from fractions import Fraction

from .formats import into_format
from .rounding import round_shift
from .scaling import divide, ratio, scaled
from .steps import silent

MOMENTUM_BITS = 16


def affine(low, high, fraction_bits, bits, *, note=silent):
    """(multiplier, shift, zero_point) of the range [low, high], widened to hold 0; a range of zeros has the size 1.

    ValueError for low above high, and for a range so small that the multiplier has no shift.
    """
    if low > high:
        raise ValueError(f"range [{low}, {high}] is empty")
    low, high = min(low, 0), max(high, 0)
    size, top = high - low or 1, (1 << bits) - 1
    note(f"range [{low}, {high}] holds 0, size {size} / 2^{fraction_bits}, codes 0 ... {top}")
    multiplier, shift = ratio(Fraction(top << fraction_bits, size), note=note)
    return multiplier, shift, divide(-low * top, size, "half_away", note=note)


def code(acc, multiplier, shift, zero_point, bits, rounding, rbits=None, n=None, *, note=silent):
    """(code, flags) of an accumulator; flags 4 and 8: saturated. rounding "stochastic" takes the n-bit number rbits."""
    centered = scaled(acc, multiplier, shift, rounding, rbits, n, note=note)
    note(f"+ zero point {zero_point} = {centered + zero_point}")
    return into_format(centered + zero_point, bits, False, False, "saturate", note=note)


def updated(state, seen, momentum, fraction_bits, *, note=silent):
    """The range for the next step, of the range kept so far and the least and greatest accumulator of this step.

    ValueError for a momentum outside 0 ... 2^16 - 1.
    """
    if not 0 <= momentum < 1 << MOMENTUM_BITS:
        raise ValueError(f"momentum {momentum} outside 0 ... {(1 << MOMENTUM_BITS) - 1}")
    return tuple(_end(old, new << fraction_bits, momentum, note) for old, new in zip(state, seen, strict=True))


def _end(old, new, momentum, note):
    total = old * momentum + new * ((1 << MOMENTUM_BITS) - momentum)
    note(f"{momentum} of 2^{MOMENTUM_BITS} parts of {old}, the others of {new}: {total}")
    return round_shift(total, MOMENTUM_BITS, "half_even", note=note)


def steps(acc_rows, state, first, bits, fraction_bits, momentum, *, note=silent):
    """A dict for each row of accumulators: seen, range, multiplier, shift, zero_point, and the state after the step.

    `first`: the first row is a training's first step; `state` is not looked at then. ValueError for an empty row.
    """
    told = []
    for t, row in enumerate(acc_rows):
        if not row:
            raise ValueError(f"step {t} has no accumulators to see a range of")
        seen = min(row), max(row)
        note(f"step {t} sees [{seen[0]}, {seen[1]}]")
        used = tuple(end << fraction_bits for end in seen) if first and t == 0 else tuple(state)
        multiplier, shift, zero_point = affine(used[0], used[1], fraction_bits, bits, note=note)
        state = updated(used, seen, momentum, fraction_bits, note=note)
        told.append({"seen": seen, "range": used, "multiplier": multiplier, "shift": shift, "zero_point": zero_point,
                     "state": state})
    return told
