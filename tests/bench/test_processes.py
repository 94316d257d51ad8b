"""Whose turn it is, what a process is told, what it ran on."""
import dataclasses
import json
import os
import sys

import pytest

from refquant.bench import machine, processes
from refquant.bench.plan import Plan
from refquant.bench.run import plan_of, run
from refquant.errors import RefquantError

PLAN = Plan("rows", "gemm", ["refquant", "torch", "numpy"], rounds=7)


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Makes `answers` start this Python program in place of a process that measures."""
    def instead(program):
        (tmp_path / "child.py").write_text(program)
        (tmp_path / "python").write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" "{tmp_path}/child.py" "$@"\n')
        (tmp_path / "python").chmod(0o755)
        monkeypatch.setattr(processes.sys, "executable", str(tmp_path / "python"))
    return instead


def test_one_thread_is_one_process():
    assert processes.turns(PLAN) == [PLAN]


def test_with_threads_libraries_take_turns():
    found = processes.turns(dataclasses.replace(PLAN, threads=2))
    assert [plan.libraries for plan in found] == 3 * [["refquant"], ["torch"], ["numpy"]]
    assert {plan.rounds for plan in found} == {3} and {plan.threads for plan in found} == {2}
    assert len(processes.turns(dataclasses.replace(PLAN, threads=2, rounds=1))) == 3
    assert {plan.rounds for plan in processes.turns(dataclasses.replace(PLAN, threads=2, rounds=None))} == {None}
    alone = dataclasses.replace(PLAN, threads=2, libraries=["refquant"])
    assert processes.turns(alone) == [alone]


def test_a_process_is_told_its_plan_and_its_threads(child):
    child("import json, os, sys; print(json.dumps(json.loads(sys.argv[1])));"
          f"print(json.dumps([os.environ[name] for name in {processes.THREADS}]))")
    told, threads = processes.answers(dataclasses.replace(PLAN, threads=3))
    assert Plan(**told) == dataclasses.replace(PLAN, threads=3)
    assert threads == ["3"] * 4


def test_a_process_that_fails_is_an_error_that_says_why(child):
    child("print(1, flush=True); raise ValueError('no such kernel')")
    with pytest.raises(RefquantError, match=r"measuring gemm \(refquant, torch, numpy\) failed: ValueError: no such kernel"):
        list(processes.answers(PLAN))


def test_a_process_that_is_killed_is_an_error(child):
    child("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(RefquantError, match="ended with -9"):
        list(processes.answers(PLAN))


def test_a_process_that_nobody_listens_to_is_ended(child, tmp_path):
    """Not waited for: it would have written a file."""
    child(f"import os, time; print(os.getpid(), flush=True); time.sleep(5); open('{tmp_path}/done', 'w')")
    answers = processes.answers(PLAN)
    number = next(answers)
    answers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert not (tmp_path / "done").exists()


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(machine, "installed", lambda package: package in ("numpy", "onnxruntime"))
    assert machine.missing(("refquant", "torch", "onnxruntime", "numpy")) == {"torch": ["torch"], "onnxruntime": ["onnx"]}
    monkeypatch.setattr(machine.importlib.metadata, "version", {"numpy": "2.0"}.__getitem__)
    monkeypatch.setattr(machine.importlib.metadata, "PackageNotFoundError", KeyError)
    assert {name: found for name, found in machine.versions().items() if name != "python"} == {
        "numpy": "2.0", "onnxruntime": "of unknown version"}


def test_missing_libraries_are_not_measured(monkeypatch):
    """The others are, and the document says which were missing."""
    asked = []

    def answers(plan):
        asked.append(plan)
        return iter([{"compiled_for": "x", "instruction_sets": [], "peak": None}] if plan.job == "machine" else [])

    monkeypatch.setattr("refquant.bench.run.answers", answers)
    monkeypatch.setattr("refquant.bench.machine.missing", lambda libraries: {"torch": ["torch"]})
    document = run(plan_of("conv"))
    assert [plan.libraries for plan in asked] == [["refquant", "onnxruntime"]] * 2
    assert document["missing"] == {"torch": ["torch"]} and document["rows"] == document["figures"] == []
    assert json.loads(json.dumps(document)) == document


def test_more_threads_than_cores():
    with pytest.raises(RefquantError, match=f"--threads {machine.cores() + 1}: expected at most {machine.cores()}"):
        run(plan_of("gemm", threads=machine.cores() + 1))


def test_facts():
    found = machine.facts()
    assert found["processor"] and 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["memory_gib"] is None or 0 < found["memory_gib"] < 1e6
    assert machine.versions()["numpy"] == __import__("numpy").__version__
