"""A signed two's complement accumulator of 8 ... 64 bits: an initial value (the bias) plus products, in order.

wrap              the exact total, modulo 2^bits
saturate_running  the initial value, and then every sum, is saturated before the next product comes
saturate_final    the exact total, saturated once
error             the exact total; OverflowError if the initial value or any partial sum does not fit
"""
import itertools

from .formats import limits, saturate, wrap
from .steps import note_some, require_word, silent

__all__ = ["accumulate", "least_safe_bits"]

OVERFLOWS = ("wrap", "saturate_running", "saturate_final", "error")


def accumulate(products, initial, bits, overflow, *, note=silent):
    """(value, overflowed) of initial + products: one int, and whether wrapping or saturation changed a value.

    products : one row of K ints, added in order.
    initial : one int, the bias.
    bits : of the accumulator, 8 ... 64.
    overflow : "wrap", "saturate_running", "saturate_final" or "error".
    note : told each step as a line of text.

    Raises OverflowError with "error", as above; ValueError for an unknown overflow, and for bits outside 8 ... 64.

    Source: refquant's own names for what accumulators do; wrap is int32 of ONNX MatMulInteger and of TFLite.
    """
    require_word(overflow, OVERFLOWS, "overflow")
    if not 8 <= bits <= 64:
        raise ValueError(f"accumulator bits {bits} outside 8 ... 64")
    if overflow == "saturate_running":
        return _saturate_running(products, initial, bits, note)
    if note is not silent:
        _note_sums(products, initial, list(itertools.accumulate(products, initial=initial)), note)
    total = initial + sum(products)
    if overflow == "error":
        _require_fit(products, initial, bits)
        return total, False
    value = wrap(total, bits, True, note=note) if overflow == "wrap" else saturate(total, bits, True, note=note)
    return value, value != total


def least_safe_bits(products, initial, *, note=silent):
    """The fewest bits of a signed number in which the initial value and every partial sum fit, one int, at least 1.

    products : one row of K ints, added in order.
    initial : one int, the bias.
    note : told each step as a line of text.

    Raises nothing of its own.

    Source: two's complement: v and -1 - v need as many bits, and the sign one more.
    """
    sums = list(itertools.accumulate(products, initial=initial))
    # v and -1 - v need the same number of bits, and the sign one more
    bits = 1 + max((v if v >= 0 else ~v).bit_length() for v in (min(sums), max(sums)))
    note(f"partial sums in [{min(sums)}, {max(sums)}] need {bits} bits")
    return bits


def _saturate_running(products, initial, bits, note):
    low, high = limits(bits, True)
    value = min(max(initial, low), high)
    overflowed = value != initial
    sums = [value]
    for product in products:
        value += product
        if not low <= value <= high:
            value = low if value < low else high
            overflowed = True
        sums.append(value)
    if note is not silent:
        _note_sums(products, initial, sums, note)
        if overflowed:
            note("saturated on the way")
    return value, overflowed


def _note_sums(products, initial, sums, note):
    """Tell each addition; `sums` holds the initial value and each sum as the accumulator kept it."""
    def told(k):
        exact = sums[k] + products[k]
        return f"+ {products[k]} = {exact}" + (f", saturated to {sums[k + 1]}" if sums[k + 1] != exact else "")

    note(f"initial {initial}" + (f", saturated to {sums[0]}" if sums[0] != initial else ""))
    note_some(len(products), told, note)
    if len(products) > 0:
        note(f"sum of {len(products)} products and the initial value: {sums[-1]}")


def _require_fit(products, initial, bits):
    low, high = limits(bits, True)
    for k, value in enumerate(itertools.accumulate(products, initial=initial)):
        if not low <= value <= high:
            raise OverflowError(f"the sum {value} after {k} products leaves {bits} bits, [{low}, {high}]")
