"""What stays in memory while a suite is verified: enough to find causes, whatever the suite's size."""
import dataclasses
import tracemalloc

import numpy as np
import pytest

from refquant.golden import vector
from refquant.golden.device import Answered
from refquant.golden.diagnose import EXAMINED, Failure, diagnose, size
from refquant.golden.kept import SHOWN, Kept
from refquant.golden.operations import OPERATIONS
from refquant.golden.suite import named_stimuli
from refquant.golden.verify import CaseResult, verify


@pytest.fixture(scope="module")
def cases():
    """Cases of one operation, more large ones first than are shown, then many small ones, of one size."""
    operation = OPERATIONS["stochastic.shift"]
    alone = dataclasses.replace(operation, mutants=())
    built = sorted((vector.build(alone, stimulus, 0, id) for id, stimulus in named_stimuli(operation, 1, 0)), key=size)
    large, small = built[-1], [case for case in built if size(case) == size(built[0])]
    copies = [large] * (SHOWN + 5) + (EXAMINED * small)[:EXAMINED + 8]
    return [dataclasses.replace(case, record=case.record | {"id": f"{case.id}_{copy}"}) for copy, case in enumerate(copies)]


def answered(cases, wrong):
    """A device that answers `wrong` cases wrong."""
    answers = {}
    for number, case in enumerate(cases):
        answers[case.id] = {name: array.copy() for name, array in case.expected.items()}
        if wrong(number):
            answers[case.id]["out_y"].reshape(-1)[0] ^= 1
    return Answered(answers)


@pytest.mark.parametrize("wrong", [lambda n: True, lambda n: n % 2 == 0, lambda n: n == 7, lambda n: False],
                         ids=["all", "every second", "one", "none"])
def test_causes_are_those_found_with_all_cases(wrong, cases):
    report = verify(cases, answered(cases, wrong), "device")
    failing = [case for number, case in enumerate(cases) if wrong(number)]
    passing = [case for number, case in enumerate(cases) if not wrong(number)]
    device = answered(cases, wrong)
    causes, by_case = diagnose([Failure(case, device.answer(case)) for case in failing], passing)
    assert report.causes == causes
    assert {result.id: result.cause for result in report.results if result.cause} == by_case
    assert report.count("fail") == len(failing) and report.count("pass") == len(passing)


def test_the_smallest_passes_stay(cases):
    kept = Kept()
    for case in cases:
        kept.add(CaseResult(case.id, case.record["op"], "pass"), case)
    assert [case.id for case in kept.passed] == [case.id for case in sorted(cases, key=size)[:EXAMINED]]
    assert size(kept.passed[-1]) < size(cases[0])


def test_the_first_and_the_smallest_failures_stay(cases):
    report = verify(cases, answered(cases, lambda n: True), "device")
    still = [number for number, result in enumerate(report.results) if result.failure is not None]
    smallest = sorted(range(len(cases)), key=lambda number: size(cases[number]))[:EXAMINED]
    assert still == sorted({*range(SHOWN), *smallest})


def test_memory_does_not_grow_with_the_suite():
    operation = OPERATIONS["rounding.shift"]
    alone = dataclasses.replace(operation, mutants=())
    id, stimulus = next(iter(named_stimuli(operation, 1, 0)))
    small = vector.build(alone, stimulus, 0, id)
    width = 1 << 16

    def vectors(count):
        for number in range(count):
            tensors = {name: np.resize(array, (width, *array.shape[1:])) for name, array in small.tensors.items()}
            yield dataclasses.replace(small, record=small.record | {"id": str(number)}, tensors=tensors)

    class Echo(Answered):
        def answer(self, asked):
            return asked.expected

    def peak(count):
        tracemalloc.start()
        assert verify(vectors(count), Echo({}), "device").exit_code == 0
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(4 * EXAMINED) < 1.1 * peak(EXAMINED + 2)
