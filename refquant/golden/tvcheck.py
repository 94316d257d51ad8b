"""A device's .tv lines held against a suite: see tv.py for the grammar."""
from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from refquant.golden.errors import CorruptError
from refquant.golden.export.patterns import elements
from refquant.golden.export.tv import NO_FLAGS, case_lines, leading, refusal
from refquant.golden.export.tvparse import Block, blocks, fail, short
from refquant.golden.operation import Arrays
from refquant.golden.suite import Suite
from refquant.golden.vector import Vector


def check(lines: Iterable[str], suite: Suite, whole: bool = False) -> dict[str, Arrays]:
    """What a device answered, by case and tensor: its results, and its flags unless they are all `--`.

    whole : the lines must come with `# end <cases>`, as `vectors gen` writes it, so that no case can be lost unseen.
    Raises CorruptError naming the line and its text when it is malformed, not of a case of ``suite``, not the element
    expected there, missing or surplus, when a case comes twice, and when there is none.
    """
    answers: dict[str, Arrays] = {}
    ends: list[str] = []
    known = {entry["id"] for entry in suite.manifest["cases"]}
    for block in blocks(_watched(lines, ends)):
        if block.id not in known:
            fail(block.number, f"# case {block.id}", f"no such case in {suite.root}")
        if block.id in answers:
            fail(block.number, f"# case {block.id}", "the case comes a second time")
        vector = suite.vector(block.id)
        _match(block, vector)
        answers[block.id] = _arrays(block, vector)
    if not answers:
        raise CorruptError("no cases: expected at least one `# case` line")
    if whole and ends != [f"# end {len(answers)}"]:
        raise CorruptError(f"{len(answers)} cases came, and {' '.join(ends) or 'nothing'} in a last line "
                           f"that should be `# end {len(answers)}`: something was lost")
    return answers


def _watched(lines: Iterable[str], ends: list[str]) -> Iterator[str]:
    """The lines, those that say how many cases there were put into ``ends`` on the way."""
    for line in lines:
        if line.startswith("# end"):
            ends.append(line.strip())
        yield line


def _match(block: Block, vector: Vector) -> None:
    """Everything that a device passes through must be what `generate` wrote."""
    reason = refusal(vector)
    if reason:
        fail(block.number, f"# case {block.id}", f"the case has no .tv lines: {reason}")
    texts = list(case_lines(vector))
    comments = [text for text in texts if text.startswith("#")]
    data = texts[len(comments):]
    for (number, text), wanted in zip(block.comments, comments, strict=False):
        if text != wanted:
            fail(number, text, f"expected `{wanted}`")
    for position, (line, wanted) in enumerate(zip(block.lines, data, strict=False)):
        operands = tuple(wanted.partition("=")[0].split())
        if line.operands != operands:
            fail(line.number, " ".join(line.operands),
                  f"not the operands of {vector.id}, element {position}: expected {short(' '.join(operands))}")
    if len(block.lines) != len(data):
        at = block.lines[-1].number if block.lines else block.number
        raise CorruptError(f"line {at}: case {vector.id} ends after {len(block.lines)} elements: "
                           f"expected {len(data)}")


def _arrays(block: Block, vector: Vector) -> Arrays:
    shape = leading(vector).shape
    without = [line for line in block.lines if line.flags is None]
    if block.flags and 0 < len(without) < len(block.lines):
        line = without[0]
        fail(line.number, NO_FLAGS, f"case {block.id} has flags on other lines: expected them on all, or on none")
    fields = [field for field in block.results if not (without and field in block.flags)]
    columns = zip(*([*line.result, *(line.flags or ())] for line in block.lines), strict=True)
    answers = {}
    for field, column in zip(fields, columns if block.lines else [()] * len(fields), strict=True):
        pattern = np.array([int(text, 16) for text in column], np.uint64)
        answers[field.name] = elements(pattern, vector.format(field.name)).reshape(shape)
    return answers
