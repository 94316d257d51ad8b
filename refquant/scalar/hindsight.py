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

__all__ = ["affine", "code", "steps", "updated"]

MOMENTUM_BITS = 16


def affine(low, high, fraction_bits, bits, *, note=silent):
    """(multiplier, shift, zero_point) of one range, widened to hold 0: three ints. A range of zeros has the size 1.

    low, high : one int each, in 2^-F of the accumulator's unit.
    fraction_bits : F.
    bits : of the codes 0 ... 2^bits - 1.
    note : told each step as a line of text.

    Raises ValueError for low above high, and for a range so small that the multiplier has no shift.

    Source: Google's gemmlowp scheme, which holds 0 exactly; which quantizer the paper has is not known to us.
    """
    if low > high:
        raise ValueError(f"range [{low}, {high}] is empty")
    low, high = min(low, 0), max(high, 0)
    size, top = high - low or 1, (1 << bits) - 1
    note(f"range [{low}, {high}] holds 0, size {size} / 2^{fraction_bits}, codes 0 ... {top}")
    multiplier, shift = ratio(Fraction(top << fraction_bits, size), note=note)
    return multiplier, shift, divide(-low * top, size, "half_away", note=note)


def code(acc, multiplier, shift, zero_point, bits, rounding, rbits=None, n=None, *, note=silent):
    """(code, flags) of one accumulator; flags 4 and 8: saturated.

    acc, multiplier, shift, zero_point : one int each, shift 0 ... 255.
    bits : of the unsigned code, 2 ... 64.
    rounding : one of the ten modes, or "stochastic" by the n-bit number ``rbits``.
    rbits, n : 0 ... 2^n - 1, and n, 1 ... 63.
    note : told each step as a line of text.

    Raises ValueError for bits, a shift or n outside these, an unknown rounding, and random bits that do not fit.

    Source: as `affine`; how the paper rounds is not known to us.
    """
    centered = scaled(acc, multiplier, shift, rounding, rbits, n, note=note)
    note(f"+ zero point {zero_point} = {centered + zero_point}")
    return into_format(centered + zero_point, bits, False, False, "saturate", note=note)


def updated(state, seen, momentum, fraction_bits, *, note=silent):
    """(min, max) for the next step, two ints.

    state : (min, max) kept so far, in 2^-F.
    seen : the least and greatest accumulator of this step.
    momentum : weight of the old range, 0 ... 2^16 - 1.
    fraction_bits : F, 0 or more.
    note : told each step as a line of text.

    Raises ValueError for a momentum outside 0 ... 2^16 - 1.

    Source: Fournarakis 2021, the update of the maximum as LUQ (its eq. 18) quotes it; the minimum alike.
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

    acc_rows : one row of accumulators a step, ints; any lengths but 0.
    state : (min, max) before the first row, in 2^-F; not looked at where ``first``.
    first : whether the first row is a training's first step.
    bits, fraction_bits, momentum : as in `affine` and `updated`.
    note : told each step as a line of text.

    Raises ValueError for an empty row, and as `affine` and `updated`.

    Source: Fournarakis 2021, as `updated`; the first step's own range is refquant's: the paper's is not known
    to us.
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
