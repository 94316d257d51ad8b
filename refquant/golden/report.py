"""A report as text, JSON or JUnit XML."""
from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

from refquant.golden.diagnose import Cause
from refquant.golden.verify import CaseResult, Difference, Report, TensorResult

SHOWN = 20  # cases that the text shows
DECLINED = 8  # reasons


def text(report: Report) -> str:
    """What a person reads: failures first, then the likely causes, then the counts."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    bad = [result for result in report.results if result.status in ("fail", "error")]
    for result in bad[:SHOWN]:
        yield from _case(result)
    if len(bad) > SHOWN:
        yield f"... and {len(bad) - SHOWN} more cases; --report json has them all"
    if report.causes:
        yield ""
        yield "Likely causes:"
        yield from map(_cause, report.causes)
        yield ""
    declined = Counter(f"{result.op}: {result.message}" for result in report.results if result.status == "unsupported")
    if declined:
        yield "Declined by the device:"
        yield from (f"  {count} x {_printable(message)}" for message, count in declined.most_common(DECLINED))
        if len(declined) > DECLINED:
            yield f"  ... and {len(declined) - DECLINED} more reasons"
    yield (f"{_verdict(report)} {_printable(report.device)}: {len(report.results)} cases: "
           f"{report.count('pass')} equal, {report.count('fail')} different, {report.count('error')} without an "
           f"answer, {report.count('unsupported')} unsupported")


def _verdict(report: Report) -> str:
    if report.count("fail") or report.count("error"):
        return "FAIL"
    if not report.count("pass"):
        return "NOTHING COMPARED"
    return "PASS, but not all is supported," if report.count("unsupported") else "PASS"


def _cause(cause: Cause) -> str:
    explained = f"{cause.explains} of {cause.of} failures examined"
    if not cause.mutant:
        return f"  {cause.op}: {cause.says} ({explained})"
    doubt = f"; {cause.contradicted} other cases speak against it" if cause.contradicted else ""
    return f"  {cause.op}: {cause.mutant}: {cause.says} (explains {explained}{doubt})"


def _case(result: CaseResult) -> Iterator[str]:
    if result.status == "error":
        yield f"ERROR {result.id}: {_printable(result.message)}"
        return
    for tensor in result.tensors:
        if tensor.different:
            yield f"FAIL {result.id}, {tensor_line(tensor)}"
            for difference in tensor.first[1:]:
                yield f"     also at {difference.index}: {_values(difference)}"
            yield f"     differences: {', '.join(f'{gap} x {count}' for gap, count in tensor.histogram.items())}" + (
                f"; {tensor.pattern}" if tensor.pattern else "")
    if result.cause:
        yield f"     {result.cause}"


def tensor_line(tensor: TensorResult) -> str:
    """``out_y: 3 of 640 differ (0.47 %), largest 1, first at (2, 7): got ..., expected ...; accumulator ...``."""
    first = tensor.first[0]
    numbers = "; " * bool(first.behind) + ", ".join(f"{name} {number}" for name, number in first.behind.items())
    return (f"{tensor.name}: {tensor.different} of {tensor.elements} differ "
            f"({100 * tensor.different / tensor.elements:.2f} %), largest {tensor.largest}, first at {first.index}: "
            f"{_values(first)}{numbers}")


def _values(difference: Difference) -> str:
    return f"got {value(difference.got)}, expected {value(difference.expected)}"


def value(number: int | float) -> str:
    """Decimal and hexadecimal: two's complement of the fewest bytes, or a hex float."""
    if isinstance(number, float):
        return f"{number!r} ({number.hex() if np.isfinite(number) else number})"
    size = 1
    while not -(1 << (8 * size - 1)) <= number < 1 << (8 * size):
        size *= 2
    return f"{number} (0x{number & ((1 << 8 * size) - 1):0{2 * size}x})"


def as_json(report: Report) -> str:
    """All of it, for programs; NaN and infinities as strings, as JSON has none."""
    record = dataclasses.asdict(report) | {
        "exit_code": report.exit_code,
        "counts": {status: report.count(status) for status in ("pass", "fail", "error", "unsupported")}}
    return json.dumps(_plain(record), indent=1) + "\n"


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def junit(report: Report) -> str:
    """One test case a case, for continuous integration."""
    suite = ElementTree.Element("testsuite", name=f"refquant {_printable(report.device)}",
                                tests=str(len(report.results)), failures=str(report.count("fail")),
                                errors=str(report.count("error")), skipped=str(report.count("unsupported")))
    for result in report.results:
        case = ElementTree.SubElement(suite, "testcase", classname=result.op, name=result.id)
        if result.status == "fail":
            lines = list(_case(result))
            ElementTree.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
        elif result.status == "error":
            ElementTree.SubElement(case, "error", message=_printable(result.message))
        elif result.status == "unsupported":
            ElementTree.SubElement(case, "skipped", message=_printable(result.message))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(message: str) -> str:
    """``message`` with what neither a terminal nor XML can show written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in message)


FORMATS = {"text": text, "json": as_json, "junit": junit}
