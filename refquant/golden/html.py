"""A report as one page of HTML that needs nothing else: no script, no other file, no network.

What failed comes first, and can be opened: which elements, by how much, where in the tensor, and the first one step by
step. Then what gave no answer, and the counts of every operation. What a page has no room for is counted, and named as
left out: the JSON report has everything.
"""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator

from refquant import __version__
from refquant.golden.htmlcase import section
from refquant.golden.markup import Markup, element, join
from refquant.golden.operations import OPERATIONS
from refquant.golden.pagestyle import STYLE
from refquant.golden.verify import CaseResult, Report
from refquant.golden.wording import certainty, differing, verdict

SECTIONS = 60  # failing cases that are shown with pictures and steps: as many of each operation as there is room for
LISTED = 1000  # failing cases that are listed besides
REASONS = 60  # messages of cases without an answer, and reasons of declines
NAMED = 20  # cases that are named with such a message
MESSAGE = 600  # characters of it
SECONDS = 20.0  # for explanations
STATUSES = {"pass": ("equal", "good"), "fail": ("different", "bad"), "error": ("without an answer", "warn"),
            "unsupported": ("unsupported", "idle")}


def page(report: Report) -> str:
    """The whole page."""
    said = verdict(report)
    head = element("head", element("meta", charset="utf-8"),
                   element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                   element("title", f"{said}: {_clipped(report.device)}"), element("style", Markup(STYLE)))
    body = element("body", *_totals(report, said), *_causes(report), *_failing(report), *_unanswered(report),
                   *_operations(report), *_declined(report),
                   element("footer", f"refquant {__version__}. All cases, and every number here: --report json.",
                           class_="faint"))
    whole = f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
    return whole.encode("ascii", "xmlcharrefreplace").decode()  # so that no terminal's or server's charset spoils it


def _totals(report: Report, said: str) -> Iterator[Markup]:
    colour = "bad" if said == "FAIL" else "good" if said == "PASS" else "warn"
    yield element("h1", element("span", said, class_=colour))
    yield element("p", "Device ", element("code", _clipped(report.device)), f", {_cases(len(report.results))}")
    if report.suite:
        yield element("p", f"Suite {report.suite}", class_="faint")
    numbers = {status: report.count(status) for status in STATUSES}
    yield element("div", *(
        element("div", element("b", number, class_=STATUSES[status][1]), STATUSES[status][0],
                class_=None if number else "none") for status, number in numbers.items()), class_="totals")
    yield element("div", *(element("i", class_=status, style=f"flex: {number}")
                           for status, number in numbers.items() if number), class_="bar")


def _cases(number: int) -> str:
    return f"{number} case{'s' * (number != 1)}"


def _causes(report: Report) -> Iterator[Markup]:
    if report.causes:
        yield element("h2", "Likely causes")
    for cause in report.causes:
        name = [element("b", element("code", cause.mutant)), ": "] if cause.mutant else []
        yield element("div", element("div", *name, cause.says),
                      element("div", f"{cause.op}; {certainty(cause)}", class_="faint"),
                      class_="cause" if cause.mutant else "cause unknown")


def _failing(report: Report) -> Iterator[Markup]:
    """The failing cases by operation: some as sections, the first of them open, others as lines, the rest counted."""
    failing = [result for result in report.results if result.status == "fail"]
    if not failing:
        return
    yield element("h2", f"{_cases(len(failing))} with differences")
    shown, deadline = _chosen(failing), time.monotonic() + SECONDS
    listed = {result.id for result in [result for result in failing if result.id not in shown][:LISTED]}
    for number, (op, results) in enumerate(_by_operation(failing).items()):
        summary = f" {OPERATIONS[op].summary}" if op in OPERATIONS else ""
        yield element("h3", op, element("span", f":{summary}; {_cases(len(results))}", class_="faint"))
        detailed = [result for result in results if result.id in shown]
        yield from (section(result, deadline, opened=not number and result is detailed[0]) for result in detailed)
        yield from _lines([result for result in results if result.id in listed])
        more = sum(result.id not in shown and result.id not in listed for result in results)
        if more:
            yield element("p", f"and {_cases(more)} more: no room here; --report json has all", class_="faint")


def _chosen(failing: list[CaseResult]) -> set[str]:
    """The ids of `SECTIONS` cases: the first of every operation, then the second, ..."""
    ranked = [(rank, result.id) for results in _by_operation(failing).values() for rank, result in enumerate(results)]
    return {id for _, id in sorted(ranked, key=lambda item: item[0])[:SECTIONS]}


def _by_operation(results: Iterable[CaseResult]) -> dict[str, list[CaseResult]]:
    groups: dict[str, list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.op, []).append(result)
    return groups


def _lines(results: list[CaseResult]) -> Iterator[Markup]:
    if results:
        yield element(
            "details", element("summary", f"{_cases(len(results))} more, in a line each"),
            element("div", element("ul", *(element("li", element("code", result.id), f" {differing(result)}",
                                                   element("div", result.cause, class_="faint"))
                                           for result in results))))


def _unanswered(report: Report) -> Iterator[Markup]:
    """Cases without an answer that can be compared, those of one message together."""
    messages: dict[tuple[str, str], list[str]] = {}
    for result in report.results:
        if result.status == "error":
            messages.setdefault((result.op, result.message), []).append(result.id)
    if not messages:
        return
    yield element("h2", f"{_cases(report.count('error'))} without an answer")
    for (op, message), ids in list(messages.items())[:REASONS]:
        named = join((element("code", id) for id in ids[:NAMED]), ", ")
        more = f" and {_cases(len(ids) - NAMED)} more" if len(ids) > NAMED else ""
        yield element("details", element("summary", element("b", f"{len(ids)} × {op}"),
                                         element("small", _clipped(message))),
                      element("div", element("p", named, more)))
    yield from _left_out(len(messages), "messages")


def _operations(report: Report) -> Iterator[Markup]:
    """The counts of every operation."""
    yield element("h2", "By operation")
    head = element("tr", element("th", "operation"), element("th", "cases", class_="count"),
                   *(element("th", says, class_="count") for says, _ in STATUSES.values()))
    rows = []
    for op, results in _by_operation(report.results).items():
        found = Counter(result.status for result in results)
        rows.append(element("tr", element("td", element("code", op)), element("td", len(results), class_="count"), *(
            element("td", found[status], class_=f"count {colour if found[status] else 'zero'}")
            for status, (_, colour) in STATUSES.items())))
    yield element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def _declined(report: Report) -> Iterator[Markup]:
    """Why the device declined what it declined."""
    reasons = Counter((result.op, result.message) for result in report.results if result.status == "unsupported")
    if not reasons:
        return
    yield element("h2", "Declined by the device")
    yield element("ul", *(element("li", f"{count} × ", element("code", op), f": {_clipped(message)}")
                          for (op, message), count in reasons.most_common(REASONS)))
    yield from _left_out(len(reasons), "reasons")


def _left_out(number: int, of: str) -> Iterator[Markup]:
    if number > REASONS:
        yield element("p", f"and {number - REASONS} more {of}: no room here; --report json has all", class_="faint")


def _clipped(message: str) -> str:
    return message if len(message) <= MESSAGE else f"{message[:MESSAGE]} ... {len(message) - MESSAGE} more characters"
