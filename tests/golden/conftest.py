"""What the tests of wrong kernels share: a device in this process, and the mistakes that a report names."""
import pytest

from refquant.golden import Case, device
from refquant.golden.verify import verify


class InProcess:
    """A device that is a function of a case."""

    def __init__(self, function):
        self.function = function

    def answer(self, vector):
        return device.named(vector, self.function(Case.of(vector)))


@pytest.fixture
def report_on(level_1):
    """(pattern, function) -> the report of the device ``function`` on the cases that match, or some of them."""
    return lambda pattern, function, among=lambda vector: True: verify(
        filter(among, level_1.vectors(pattern)), InProcess(function), "a kernel")


@pytest.fixture
def named(report_on, monkeypatch):
    """(pattern, function) -> the mutants named as causes, the parts of a pair each on its own.

    They explain every failing case, and no passing case speaks against one; or there are none at all. A busy machine
    has longer to find them; ``seconds``: for what none explains.
    """
    def names(pattern, function, seconds=30):
        monkeypatch.setattr("refquant.golden.diagnose.SECONDS", seconds)
        report = report_on(pattern, function)
        failing = [result for result in report.results if result.status == "fail"]
        assert failing and report.count("error") == 0
        unexplained = [cause for cause in report.causes if not cause.mutant]
        assert sum(cause.explains for cause in unexplained) == sum(not result.cause for result in failing)
        assert not any(cause.contradicted for cause in report.causes)
        return {name for cause in report.causes if cause.mutant for name in cause.mutant.split("+")}
    return names
