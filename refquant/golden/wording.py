"""How reports name things: numbers in decimal and hexadecimal, differences, causes, the verdict.

What a device says may hold anything, so it is shown as `printable` writes it.
"""
from __future__ import annotations

import numpy as np

from refquant.golden.diagnose import Cause
from refquant.golden.verify import CaseResult, Difference, Report, TensorResult

NAMED = 3  # tensors of a case that a line names


def value(number: int | float) -> str:
    """Decimal and hexadecimal: two's complement of the fewest bytes, or a hex float."""
    if isinstance(number, float):
        return f"{number!r} ({number.hex() if np.isfinite(number) else number})"
    size = 1
    while not -(1 << (8 * size - 1)) <= number < 1 << (8 * size):
        size *= 2
    return f"{number} (0x{number & ((1 << 8 * size) - 1):0{2 * size}x})"


def tensor_line(tensor: TensorResult) -> str:
    """``out_y: 3 of 640 differ (0.47 %), largest 1, first at (2, 7): got ..., expected ...; accumulator ...``."""
    first = tensor.first[0]
    return f"{tensor.name}: {counts(tensor)}, first at {first.index}: {values(first)}{'; ' * bool(first.behind)}" + (
        behind(first))


def counts(tensor: TensorResult) -> str:
    """``3 of 640 differ (0.47 %), largest 1``."""
    return (f"{tensor.different} of {tensor.elements} differ ({100 * tensor.different / tensor.elements:.2f} %), "
            f"largest {tensor.largest}")


def differing(result: CaseResult) -> str:
    """The tensors that differ and how much, of many the first few."""
    said = "; ".join(f"{tensor.name}: {counts(tensor)}" for tensor in result.differing[:NAMED])
    more = len(result.differing) - NAMED
    return said if more <= 0 else f"{said}; and {more} more"


def further(result: CaseResult, shown: int) -> str:
    """``and 93 more tensors, the first of all is mid_0_conv2_acc``; nothing where all are shown."""
    more = len(result.differing) - shown
    if more <= 0:
        return ""
    return f"and {more} more tensor{'s' * (more > 1)} that come after; the first of all is {result.differing[0].name}"


def values(difference: Difference) -> str:
    """``got -100 (0x9c), expected -99 (0x9d)``."""
    return f"got {value(difference.got)}, expected {value(difference.expected)}"


def behind(difference: Difference) -> str:
    """The numbers that the expected value was made from: ``accumulator -35985, shift 39``."""
    return ", ".join(f"{name} {number}" for name, number in difference.behind.items())


def verdict(report: Report) -> str:
    """PASS only where something was compared and nothing differs or is missing."""
    if report.count("fail") or report.count("error"):
        return "FAIL"
    if not report.count("pass"):
        return "NOTHING COMPARED"
    return "PASS, but not all is supported" if report.count("unsupported") else "PASS"


def certainty(cause: Cause) -> str:
    """``explains 5 of 5 failures examined``, and how many cases contradict."""
    explained = f"{cause.explains} of {cause.of} failures examined"
    if not cause.mutant:
        return explained
    doubt = f"; {cause.contradicted} other cases speak against it" if cause.contradicted else ""
    return f"explains {explained}{doubt}"


def printable(message: str) -> str:
    """``message`` with what neither a terminal nor XML can show written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in message)
