"""Random bits for stochastic rounding: a counter-based generator and a shift register.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): ten rounds of
  (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))
and (k0, k1) += (W0, W1) between rounds, where hi and lo are the halves of a 64-bit product.
Block j: counter (j low, j high, tensor, step), key (seed low, seed high). A block is one 128-bit number, word 0 lowest,
cut into lanes of 8, 16, 32 or 64 bits. An element takes the n highest bits of its lane.

Galois register of width W with the polynomial P over GF(2): one step right is state <- state / x modulo P,
  out = state & 1; state >>= 1; if out, state ^= P >> 1
because adding P makes an odd state divisible by x. As x * (P >> 1) = 1 modulo P, t steps are
  state <- state * (P >> 1)^t modulo P.
"""
from .steps import silent

__all__ = ["lfsr_bits", "lfsr_step", "philox4x32", "philox_bits"]

M0, M1, W0, W1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
LOW = 0xFFFFFFFF

# width: exponents of the polynomial's terms besides x^0
EXPONENTS = {8: (8, 6, 5, 4), 16: (16, 14, 13, 11), 24: (24, 23, 22, 17), 32: (32, 22, 2, 1)}


def philox4x32(counter, key, *, note=silent):
    """One block, four 32-bit words, of a counter and a key: ten rounds.

    counter, key : four ints and two ints, each below 2^32.
    note : told each step as a line of text.

    Raises nothing of its own; words of more than 32 bits are not refused.

    Source: Salmon, Moraes, Dror, Shaw 2011, Philox4x32-10.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        even, odd = M0 * c0, M1 * c2
        c0, c1, c2, c3 = odd >> 32 ^ c1 ^ k0, odd & LOW, even >> 32 ^ c3 ^ k1, even & LOW
        k0, k1 = k0 + W0 & LOW, k1 + W1 & LOW
    if note is not silent:
        note(f"philox4x32-10 of counter {_words(counter)}, key {_words(key)}: {_words((c0, c1, c2, c3))}")
    return c0, c1, c2, c3


def philox_bits(index, n, seed, tensor=0, step=0, *, note=silent):
    """The n random bits of one element, an unsigned int.

    index : which element, 0 or more.
    n : 1 ... 64.
    seed, tensor, step : of the stream, of 64, 32 and 32 bits.
    note : told each step as a line of text.

    Raises ValueError for an n outside 1 ... 64, an index below 0, and a seed, tensor or step that does not fit.

    Source: Salmon et al. 2011; which counter, lane and bits an element has is refquant's own, so that elements are
    independent of their order.
    """
    _require_random(index, n, 64)
    for name, value, bits in (("seed", seed, 64), ("tensor", tensor, 32), ("step", step, 32)):
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{name} {value} does not fit {bits} bits")
    width = next(w for w in (8, 16, 32, 64) if w >= n)
    block, lane = divmod(index, 128 // width)
    words = philox4x32((block & LOW, block >> 32, tensor, step), (seed & LOW, seed >> 32), note=note)
    number = sum(word << 32 * k for k, word in enumerate(words))
    bits = (number >> lane * width) % (1 << width) >> width - n
    note(f"element {index}: block {block}, lane {lane} of {width} bits, its {n} highest: {bits}")
    return bits


def lfsr_step(state, width, *, note=silent):
    """One state after one step right, an int.

    state : one int, 1 ... 2^width - 1.
    width : 8, 16, 24 or 32 bits.
    note : told each step as a line of text.

    Raises ValueError for another width, and for a state of 0 or beyond the width.

    Source: a Galois linear feedback shift register; its primitive polynomials are `EXPONENTS`.
    """
    taps = _taps(state, width)
    after = state >> 1 ^ taps if state & 1 else state >> 1
    note(f"lfsr {state:#x} -> {after:#x}")
    return after


def lfsr_bits(index, n, width, seed, steps=None, *, note=silent):
    """The n low bits of one element, an unsigned int: of the state (index + 1) * steps steps after ``seed``.

    index : which element, 0 or more.
    n : 1 ... width.
    width : 8, 16, 24 or 32 bits.
    seed : the state before element 0, 1 ... 2^width - 1.
    steps : steps an element, 0 or more; n unless given.
    note : told each step as a line of text.

    Raises ValueError for another width or n, a seed of 0 or beyond the width, and an index below 0.

    Source: as `lfsr_step`; n steps for n bits are refquant's own, so that no bit is used twice.
    """
    taps = _taps(seed, width)
    _require_random(index, n, width)
    count = (index + 1) * (n if steps is None else steps)
    state = _times(seed, _power(taps, count, width, taps), width, taps)
    bits = state % (1 << n)
    note(f"lfsr {seed:#x} after {count} steps: {state:#x}, its {n} lowest bits: {bits}")
    return bits


def _taps(state, width):
    """P >> 1: bit e - 1 for each exponent e > 0."""
    if width not in EXPONENTS:
        raise ValueError(f"no polynomial of width {width}: one of {', '.join(map(str, EXPONENTS))}")
    if not 0 < state < 1 << width:
        raise ValueError(f"state {state} is 0 or no {width}-bit number")
    return sum(1 << e - 1 for e in EXPONENTS[width])


def _times(a, b, width, taps):
    """a * b modulo P, by Horner's rule from b's highest bit."""
    polynomial, product = taps << 1 | 1, 0
    for k in reversed(range(width)):
        product <<= 1
        if product >> width:
            product ^= polynomial
        if b >> k & 1:
            product ^= a
    return product


def _power(a, count, width, taps):
    """a^count modulo P."""
    result = 1
    for bit in bin(count)[2:]:
        result = _times(result, result, width, taps)
        if bit == "1":
            result = _times(result, a, width, taps)
    return result


def _require_random(index, n, most):
    if not 1 <= n <= most:
        raise ValueError(f"number of random bits {n} outside 1 ... {most}")
    if index < 0:
        raise ValueError(f"element {index} below 0")


def _words(words):
    return " ".join(f"{word:08x}" for word in words)
