"""Gradients of few bits (Kim et al. 2024), in integers: clipped below their maximum, by a factor that learns.

qmax = 2^(bits-1) - 1, the clip factor in thousandths, k = 1 ... 1000. In one step, for N gradients g:
  H = max |g|                          multiplier / 2^shift ~ 1000 qmax / (k H); where H = 0: 0 / 2^1
  code    = saturate(floor(g * multiplier / 2^shift + r / 2^n)) in -qmax ... qmax, r the n random bits
  clipped = the number of gradients with |g| > k H / 1000, the clip itself not among them
  k <- min(max(k + sign(clipped / N - 1 / (1000 (2^bits - 1))), 1), 1000); as it is where H = 0
alpha and beta are a thousandth: the fraction of large gradients, and what the factor moves by.
"""
from fractions import Fraction

from .formats import into_format
from .packing import pack_bytes
from .rounding import chance_flag
from .scaling import ratio, scaled
from .steps import silent

__all__ = ["clipped", "code", "packed_byte", "parameters", "steps", "updated"]

WHOLE = 1000  # the clip factor 1, and one over alpha


def parameters(row, clip_factor, bits, *, note=silent):
    """(highest, multiplier, shift) of one step's gradients, three ints.

    row : one row of N ints, the gradients.
    clip_factor : thousandths, 1 ... 1000.
    bits : of the codes, 2 or more.
    note : told each step as a line of text.

    Raises ValueError for a clip factor outside 1 ... 1000.

    Source: Kim 2024, the authors' grad_quant: c = gamma max|G|, levels -qmax ... qmax.
    """
    _require_clip_factor(clip_factor)
    highest = max(map(abs, row), default=0)
    note(f"largest magnitude {highest}, clip {clip_factor} / {WHOLE} of it")
    if highest == 0:
        return 0, 0, 1
    qmax = (1 << bits - 1) - 1
    return highest, *ratio(Fraction(WHOLE * qmax, clip_factor * highest), note=note)


def code(g, multiplier, shift, bits, rbits, n, *, note=silent):
    """(code, flags) of one gradient by a random number; the code an int of ``bits`` narrow bits.

    g, multiplier, shift : one int each, shift 0 ... 255.
    bits : of the code, 2 ... 64.
    rbits, n : the random number, 0 ... 2^n - 1, and n, 1 ... 63.
    note : told each step as a line of text.

    Flags: 4 and 8 saturated, 32 up by chance.

    Raises ValueError for bits, a shift or n outside these, and for random bits that do not fit.

    Source: Kim 2024, the authors' grad_quant. There noise is added, then it clips and rounds; here
    floor(u + r / 2^n), then the clip: the same distribution, but for r's n bits.
    """
    rounded = scaled(g, multiplier, shift, "stochastic", rbits, n, note=note)
    saturated, ends = into_format(rounded, bits, True, True, "saturate", note=note)
    return saturated, ends | chance_flag(Fraction(g * multiplier, 1 << shift), rounded)


def clipped(row, clip_factor, highest, *, note=silent):
    """How many gradients lie beyond the clip, one int; the clip itself is not beyond.

    row : one row of N ints, the gradients.
    clip_factor : thousandths, 1 ... 1000.
    highest : the largest magnitude, one int.
    note : told each step as a line of text.

    Raises ValueError for a clip factor outside 1 ... 1000.

    Source: Kim 2024, N(G_out), all gradients counted, with the strict comparison of the authors' code.
    """
    _require_clip_factor(clip_factor)
    clip = Fraction(clip_factor * highest, WHOLE)
    count = sum(abs(g) > clip for g in row)
    note(f"{count} of {len(row)} magnitudes above {clip_factor} x {highest} / {WHOLE}")
    return count


def updated(clip_factor, clipped, count, bits, *, note=silent):
    """The clip factor, one int, after a step with some gradient other than 0.

    clip_factor : thousandths before the step, 1 ... 1000.
    clipped, count : how many gradients lay beyond the clip, of how many.
    bits : of the codes.
    note : told each step as a line of text.

    Raises ValueError for a clip factor outside 1 ... 1000, and for no gradients.

    Source: Kim 2024: R(G_out, gamma*) = alpha / (2^b - 1); the authors' update_interval, alpha = beta = 1e-3.
    """
    _require_clip_factor(clip_factor)
    if count < 1:
        raise ValueError(f"count {count}: no gradients to take a fraction of")
    fraction, target = Fraction(clipped, count), Fraction(1, WHOLE * ((1 << bits) - 1))
    direction = (fraction > target) - (fraction < target)
    after = min(max(clip_factor + direction, 1), WHOLE)
    note(f"clipped {clipped} of {count}, target {target}: clip factor {clip_factor} -> {after}")
    return after


def steps(rows, clip_factor, bits, *, note=silent):
    """A dict of ints for each row of gradients: highest, multiplier, shift, clipped, and the clip_factor after it.

    rows : one row of gradients a step, any lengths.
    clip_factor : thousandths before the first step, 1 ... 1000.
    bits : of the codes, 2 or more.
    note : told each step as a line of text.

    Raises ValueError for a clip factor outside 1 ... 1000.

    Source: Kim 2024, the authors' update_interval, without its scan of the first batch.
    """
    told = []
    for t, row in enumerate(rows):
        note(f"step {t}")
        highest, multiplier, shift = parameters(row, clip_factor, bits, note=note)
        beyond = clipped(row, clip_factor, highest, note=note)
        if highest:
            clip_factor = updated(clip_factor, beyond, len(row), bits, note=note)
        told.append({"highest": highest, "multiplier": multiplier, "shift": shift, "clipped": beyond,
                     "clip_factor": clip_factor})
    return told


def packed_byte(codes, index, *, note=silent):
    """One byte of a step's 4-bit codes: the even element in its low half, the odd one, or 0, in its high half.

    codes : one row of N ints of 4 bits.
    index : which byte, 0 ... ceil(N / 2) - 1.
    note : told each step as a line of text.

    Raises ValueError for a byte that is not there, and for a code that does not fit.

    Source: as `pack_bytes` of `packing`.
    """
    if not 0 <= index < (len(codes) + 1) // 2:
        raise ValueError(f"no byte {index} of {len(codes)} codes of 4 bits")
    return pack_bytes(codes[2 * index:2 * index + 2], 4, note=note)[0]


def _require_clip_factor(clip_factor):
    if not 1 <= clip_factor <= WHOLE:
        raise ValueError(f"clip factor {clip_factor} outside 1 ... {WHOLE} thousandths")
