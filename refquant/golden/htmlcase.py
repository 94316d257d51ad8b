"""One failing case, as a part of a page that can be opened: its differences, where they are, and the first, explained.
"""
from __future__ import annotations

import time
from collections.abc import Iterator

from refquant.golden.explain import explain_first
from refquant.golden.markup import Markup, element
from refquant.golden.pictures import difference_map, histogram
from refquant.golden.vector import Vector
from refquant.golden.verify import CaseResult, Difference, TensorResult, differs
from refquant.golden.wording import behind, counts, differing, further, value

STEPS = (20, 40)  # lines of an explanation that are shown, its first and its last
TENSORS = 4  # of a case, in full
LINE = 300  # characters of one


def section(result: CaseResult, deadline: float, opened: bool) -> Markup:
    """The case's part of the page; its first element is explained if ``deadline``, of `time.monotonic`, is not past."""
    wrong = result.differing[:TENSORS]
    said = differing(result)
    cause = [element("small", result.cause, class_="why")] if result.cause else []
    return element(
        "details",
        element("summary", element("b", result.id), element("small", said), *cause),
        element("div", *_case(result), *(part for tensor in wrong for part in _tensor(result, tensor)),
                *([element("p", further(result, TENSORS))] if further(result, TENSORS) else []),
                *_explained(result, deadline)),
        open=opened or None)


def _case(result: CaseResult) -> Iterator[Markup]:
    """What the case is: its stimuli, its attributes, what the device was given."""
    if result.failure is None:
        return
    vector = result.failure.vector
    attrs = ", ".join(f"{name} {_brief(chosen)}" for name, chosen in vector.attrs.items())
    given = ", ".join(f"{name} {_kind(vector, name)}" for name in vector.given)
    stimulus = vector.record["stimulus"]
    yield element("p", f"Stimuli {stimulus['set']}, level {stimulus['level']}, seed {stimulus['seed']}. {attrs}. "
                       f"Given: {given}.", class_="faint")


def _brief(chosen: object) -> str:
    return "null" if chosen is None else str(chosen).lower() if isinstance(chosen, bool) else _clipped(str(chosen))


def _kind(vector: Vector, name: str) -> str:
    """``s8 [24, 10]``"""
    return f"{vector.format(name)} {list(vector.tensors[name].shape)}"


def _tensor(result: CaseResult, tensor: TensorResult) -> Iterator[Markup]:
    kind = f" {_kind(result.failure.vector, tensor.name)}" if result.failure else ""
    yield element("h4", element("code", tensor.name + kind), f": {counts(tensor)}")
    if tensor.pattern:
        yield element("p", tensor.pattern)
    pictures = [histogram(tensor.histogram)]
    if result.failure:
        got, expected = (arrays[tensor.name] for arrays in (result.failure.answer, result.failure.vector.expected))
        pictures.insert(0, difference_map(differs(got, expected)))
    yield element("div", *pictures, class_="pictures")
    head = element("tr", *(element("th", name) for name in ("at", "got", "expected", "made from")))
    yield element("div", element("table", element("thead", head), element("tbody", *map(_row, tensor.first))),
                  class_="scroll")
    if tensor.different > len(tensor.first):
        yield element("p", f"and {tensor.different - len(tensor.first)} more elements", class_="faint")


def _row(difference: Difference) -> Markup:
    at = ", ".join(map(str, difference.index)) or "()"
    return element("tr", element("td", at, class_="number whole"), _value(difference.got), _value(difference.expected),
                   element("td", behind(difference), class_="made"))


def _value(number: int | float) -> Markup:
    decimal, hexadecimal = value(number).split(" ", 1)
    return element("td", decimal, " ", element("small", hexadecimal), class_="number")


def _explained(result: CaseResult, deadline: float) -> Iterator[Markup]:
    """The scalar model's steps to the first element that differs."""
    if result.failure is None:
        return
    tensor = result.differing[0]
    first = tensor.first[0]
    at = ",".join(map(str, first.index))
    command = f"refquant vectors explain SUITE {result.id} --tensor {tensor.name} --at {at} --got {first.got!r}"
    yield element("h4", "The first, step by step")
    if time.monotonic() > deadline:
        yield element("p", "Not told here, the time for explanations is used up: ", element("code", command))
        return
    lines = explain_first(result).splitlines()[1:]
    head, tail = STEPS
    if len(lines) > head + tail:
        left_out = len(lines) - head - tail
        lines[head:-tail] = [f"  ... {left_out} more lines: {command}"]
    yield element("pre", "\n".join(map(_clipped, lines)))


def _clipped(line: str) -> str:
    return line if len(line) <= LINE else f"{line[:LINE]} ... {len(line) - LINE} more characters"
