"""How a function tells its steps: `note(line)` takes one line of text, and `silent` takes it to nowhere."""
from fractions import Fraction

__all__ = ["show", "silent"]

MOST, FIRST, LAST = 12, 4, 2  # a list longer than MOST is told by its FIRST and LAST lines


def silent(line):
    """Say nothing: the ``note`` of every function unless told otherwise. To see the steps, pass `print`.

    line : one step, one text.

    Raises nothing of its own.

    Source: refquant's own.
    """


def note_some(count, line, note):
    """Note line(0) ... line(count - 1), of more than 12 only the first 4 and the last 2."""
    if count <= MOST:
        head, tail = count, count
    else:
        head, tail = FIRST, count - LAST
    for k in range(head):
        note(line(k))
    if head < tail:
        note(f"... {tail - head} more ...")
    for k in range(tail, count):
        note(line(k))


def show(number):
    """One number as text: a Fraction in decimals where binary64 holds it exactly, otherwise as a ratio.

    number : one int, float or Fraction.

    Raises nothing of its own.

    Source: refquant's own.
    """
    if not isinstance(number, Fraction):
        return str(number)
    try:
        decimal = float(number)
    except OverflowError:
        return str(number)
    return str(decimal) if decimal == number else str(number)


def require_word(word, allowed, what):
    """ValueError unless `word` is one of the names allowed for `what`."""
    if word not in allowed:
        raise ValueError(f"unknown {what} {word!r}: one of {', '.join(allowed)}")
