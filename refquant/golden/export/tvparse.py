"""The lines of a .tv file read back, each checked by itself: see tv.py for the grammar."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from refquant.golden.errors import CorruptError
from refquant.golden.export.fields import Field
from refquant.golden.export.patterns import digits, width
from refquant.golden.export.tv import FIRST_LINE, NO_FLAGS
from refquant.golden.operation import role


class Line(NamedTuple):
    """One element: its case, its number in the file, operands and results as written, flags None for `--`."""

    case: str
    number: int
    operands: tuple[str, ...]
    result: tuple[str, ...]
    flags: tuple[str, ...] | None


@dataclass
class Block:
    """One case: its comment lines, (number, text), and its elements."""

    id: str
    number: int
    comments: list[tuple[int, str]]
    operands: list[Field]
    results: list[Field]
    lines: list[Line]

    @property
    def flags(self) -> list[Field]:
        return [field for field in self.results if role(field.name) == "flags"]


def parse(lines: Iterable[str]) -> Iterator[Line]:
    """The elements of .tv ``lines``, checked against their own `# fields` lines only.

    Raises CorruptError naming the line and its text when it is malformed, or when there is no element's line at all.
    """
    empty = True
    for block in blocks(lines):
        for line in block.lines:
            empty = False
            yield line
    if empty:
        raise CorruptError("no results: expected at least one line")


def blocks(lines: Iterable[str]) -> Iterator[Block]:
    """The cases in ``lines``, every line well-formed by itself."""
    block: Block | None = None
    number = 0
    versioned = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        if text.startswith("# refquant tv"):
            if text != FIRST_LINE:
                fail(number, text, f"expected `{FIRST_LINE}`: another version is not understood")
            versioned = True
        elif not versioned:
            fail(number, text, f"expected `{FIRST_LINE}` first")
        elif text.startswith("# case "):
            if block is not None:
                yield _finished(block)
            block = _new_block(number, text)
        elif text.startswith("#"):
            if text.startswith(("# attr", "# fields")):
                if block is None or block.results:
                    fail(number, text, "expected it between a `# case` line and its elements")
                _add_comment(block, number, text)
        else:
            if block is None or not block.results:
                fail(number, text, "expected `# case` and `# fields` lines before it")
            block.lines.append(_line(block, number, text))
    if block is None:
        raise CorruptError(f"line {number}: ends without a case: expected at least one `# case` line")
    yield _finished(block)


def _finished(block: Block) -> Block:
    if not block.results:
        fail(block.number, f"# case {block.id}", "the case has no `# fields` line")
    return block


def _new_block(number: int, text: str) -> Block:
    words = text.split()
    if len(words) != 4:
        fail(number, text, "expected `# case <id> <operation>`")
    return Block(words[2], number, [(number, text)], [], [], [])


def _add_comment(block: Block, number: int, text: str) -> None:
    block.comments.append((number, text))
    if not text.startswith("# fields"):
        return
    left, found, right = (part.split() for part in text.removeprefix("# fields").partition("="))
    operands, results = ([Field.parse(word) for word in words] for words in (left, right))
    if not found or not results or None in operands or None in results:
        fail(number, text, "expected `# fields name:<bits><s|u|f>[:vector] ... = name:<bits><s|u|f> ...`")
    block.operands = [field for field in operands if field]
    block.results = [field for field in results if field]


def _line(block: Block, number: int, text: str) -> Line:
    left, _, right = text.lower().partition("=")
    operands, results = left.split(), right.split()
    for words, fields, what in ((operands, block.operands, "before"), (results, block.results, "after")):
        if len(words) != len(fields):
            fail(number, text, f"{len(words)} columns {what} `=`: expected {len(fields)}")
    for word, field in zip([*operands, *results], [*block.operands, *block.results], strict=True):
        if not (word == NO_FLAGS and field in block.flags) and not field.accepts(word):
            fail(number, text, f"{short(word)!r} is not {field}: expected {digits(width(field.format))} hexadecimal "
                               f"digits{' each, joined by commas' if field.vector else ''}")
    count = len(block.results) - len(block.flags)
    flags = results[count:]
    absent = flags.count(NO_FLAGS)
    if absent not in (0, len(flags)):
        fail(number, text, "some flags are given and some are `--`")
    return Line(block.id, number, tuple(operands), tuple(results[:count]), None if absent else tuple(flags))


def short(text: str) -> str:
    """The beginning of a text that may be thousands of numbers."""
    return text if len(text) <= 80 else text[:77] + "..."


def fail(number: int, text: str, problem: str) -> NoReturn:
    """A CorruptError that names the line."""
    raise CorruptError(f"line {number}: {short(text)!r}: {problem}")
