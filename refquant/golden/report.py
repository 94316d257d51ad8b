"""A report as text, JSON, JUnit XML or a page of HTML."""
from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

from refquant.golden.diagnose import Cause
from refquant.golden.html import page
from refquant.golden.verify import CaseResult, Report
from refquant.golden.wording import certainty, further, printable, tensor_line, values, verdict

SHOWN = 20  # cases that the text shows
TENSORS = 3  # of a case
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
        yield from (f"  {count} x {printable(message)}" for message, count in declined.most_common(DECLINED))
        if len(declined) > DECLINED:
            yield f"  ... and {len(declined) - DECLINED} more reasons"
    said = verdict(report)
    yield (f"{said}{',' * (',' in said)} {printable(report.device)}: {len(report.results)} cases: "
           f"{report.count('pass')} equal, {report.count('fail')} different, {report.count('error')} without an "
           f"answer, {report.count('unsupported')} unsupported")


def _cause(cause: Cause) -> str:
    mutant = f"{cause.mutant}: " * bool(cause.mutant)
    return f"  {cause.op}: {mutant}{cause.says} ({certainty(cause)})"


def _case(result: CaseResult) -> Iterator[str]:
    if result.status == "error":
        yield f"ERROR {result.id}: {printable(result.message)}"
        return
    for tensor in result.differing[:TENSORS]:
        yield f"FAIL {result.id}, {tensor_line(tensor)}"
        for difference in tensor.first[1:]:
            yield f"     also at {difference.index}: {values(difference)}"
        yield f"     differences: {', '.join(f'{gap} x {count}' for gap, count in tensor.histogram.items())}" + (
            f"; {tensor.pattern}" if tensor.pattern else "")
    if further(result, TENSORS):
        yield f"     {further(result, TENSORS)}"
    if result.cause:
        yield f"     {result.cause}"


def as_json(report: Report) -> str:
    """All of it, for programs; NaN and infinities as strings, as JSON has none."""
    record = _plain(report) | {
        "exit_code": report.exit_code,
        "counts": {status: report.count(status) for status in ("pass", "fail", "error", "unsupported")}}
    return json.dumps(record, indent=1) + "\n"


def _plain(value):
    if dataclasses.is_dataclass(value):
        shown = [field.name for field in dataclasses.fields(value) if field.metadata.get("json", True)]
        return {name: _plain(getattr(value, name)) for name in shown}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def junit(report: Report) -> str:
    """One test case a case, for continuous integration."""
    suite = ElementTree.Element("testsuite", name=f"refquant {printable(report.device)}",
                                tests=str(len(report.results)), failures=str(report.count("fail")),
                                errors=str(report.count("error")), skipped=str(report.count("unsupported")))
    for result in report.results:
        case = ElementTree.SubElement(suite, "testcase", classname=result.op, name=result.id)
        if result.status == "fail":
            lines = list(_case(result))
            ElementTree.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
        elif result.status == "error":
            ElementTree.SubElement(case, "error", message=printable(result.message))
        elif result.status == "unsupported":
            ElementTree.SubElement(case, "skipped", message=printable(result.message))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


FORMATS = {"text": text, "json": as_json, "junit": junit, "html": page}
