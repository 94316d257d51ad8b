"""assert_golden: silent where all is right, and clear about what is not."""
import re
import subprocess
import sys

import numpy as np
import pytest

from refquant.golden import Unsupported
from refquant.golden.operations import OPERATIONS
from refquant.testing import assert_golden
from refquant.testing.assertion import _stimuli, _vector


def right(case):
    """The reference itself, as a device sees a case."""
    given = {name if name.startswith(("rbits_", "state0_")) else f"in_{name}": array for name, array in case.inputs.items()}
    results = OPERATIONS[case.op].reference(case.attrs, given)
    return {name.split("_", 1)[1] if name.startswith("out_") else name: array for name, array in results.items()}


def shift(case):
    """rounding.shift as someone would write it, and ties the wrong way in one mode."""
    if case.attrs["rounding"] != "half_away":
        raise Unsupported(f"rounding {case.attrs['rounding']}")
    return {"y": right(case)["y"]}


def failure(function, *arguments, **how):
    with pytest.raises(AssertionError) as error:
        assert_golden(function, *arguments, **how)
    return str(error.value), error.value


def test_right_answers_are_counted():
    report = assert_golden(right, "rounding")
    assert report.count("pass") == len(report.results) > 20 and report.device == "right"
    assert {result.op for result in report.results} == {"rounding.real", "rounding.shift"}
    one = assert_golden(right, "rounding", operation="rounding.shift")
    assert {result.op for result in one.results} == {"rounding.shift"}


def test_some_may_be_declined():
    report = assert_golden(shift, "rounding", operation="rounding.shift")
    assert report.count("pass") > 0 and report.count("unsupported") > 0 == report.count("fail") + report.count("error")


def test_the_cases_are_those_of_the_suite(small):
    report = assert_golden(right, "stochastic")
    entries = [entry["id"] for entry in small.manifest["cases"]]
    assert [result.id for result in report.results] == entries
    for id in entries[::5]:
        mine, theirs = _vector(next(r.op for r in report.results if r.id == id), 1, 0, id), small.vector(id)
        assert mine.record == theirs.record
        assert all(np.array_equal(array, theirs.tensors[name]) for name, array in mine.tensors.items())


def test_cases_of_one_name_are_numbered(monkeypatch):
    """As a suite numbers them."""
    monkeypatch.setattr("refquant.golden.suite._stem", lambda operation, stimulus, seed: stimulus.set)
    named = list(_stimuli.__wrapped__("stochastic.lfsr", 1, 0))
    assert named[:3] == ["random", "random_2", "random_3"] and len(set(named)) == len(named)


def test_level_seed_and_glob():
    first = assert_golden(right, "rounding", operation="rounding.real")
    more = assert_golden(right, "rounding", 2, operation="rounding.real")
    assert len(more.results) > len(first.results)
    other = assert_golden(right, "rounding", operation="rounding.real", seed=7)
    assert all(result.id.endswith("_s7") for result in other.results)
    some = assert_golden(right, "rounding", cases="rounding_shift_*")
    assert {result.op for result in some.results} == {"rounding.shift"}


def test_a_vector_is_built_once_and_only_when_asked_for(monkeypatch):
    _vector.cache_clear()
    built = []
    from refquant.testing import assertion
    monkeypatch.setattr(assertion.vector, "build", lambda *a, build=assertion.vector.build: built.append(a[-1]) or build(*a))
    ids = list(_stimuli("stochastic.lfsr", 1, 0))
    for _ in range(2):
        assert_golden(right, "stochastic", operation="stochastic.lfsr", cases=ids[2])
        assert built == [ids[2]]
    assert_golden(right, "stochastic", operation="stochastic.lfsr")
    assert sorted(built) == sorted(ids)


def test_a_wrong_function_fails_and_the_cause_is_named():
    """Ties of the second rounding the wrong way: the report says so, and explains one element."""
    mutant = next(m for m in OPERATIONS["requantize.requantize"].mutants if m.name == "tosa_double->ruy_double")

    def wrong(case):
        given = {f"in_{name}": array for name, array in case.inputs.items()}
        results = mutant(OPERATIONS[case.op].reference, case.attrs, given)
        return right(case) if results is None else {"y": results["out_y"]}
    said, error = failure(wrong, "requantize", operation="requantize.requantize")
    assert "tosa_double->ruy_double: " + mutant.says in said
    first = re.search(r"FAIL (\S+), out_y: \d+ of \d+ differ .*? first at \(.*?\): got (\S+ \(0x\w+\)), expected (\S+ \(0x\w+\))", said)
    explained = said.split("The first difference, step by step:\n")[1]
    assert explained.startswith(first[1]) and f"= {first[3]}" in explained and f"{first[2]} is what comes of:" in explained
    assert "tosa_double->ruy_double" in explained and error.__cause__ is None


def test_an_exception_is_a_clear_failure():
    def raising(case):
        if case.attrs["rounding"] == "floor":
            return {"y": case.inputs["no such tensor"]}
        return right(case)
    said, error = failure(raising, "rounding", operation="rounding.shift")
    line = raising.__code__.co_firstlineno + 2
    assert f"raised KeyError: 'no such tensor' ({__file__}:{line})" in said and "ERROR rounding_shift_" in said
    assert isinstance(error.__cause__, KeyError) and "step by step" not in said


@pytest.mark.parametrize("change, words", [
    (lambda y: y.astype(np.float64), "is float64"), (lambda y: y.reshape(-1)[1:], "out_y: is "), (lambda y: y[..., None], "out_y: is "),
    (lambda y: None, "returned object for y: expected integers or floats"), (lambda y: ["a"], "returned <U1 for y"),
    (lambda y: y.astype(np.int16 if y.dtype != np.int16 else np.int8), "is int"),
])
def test_answers_of_a_wrong_kind(change, words):
    said, _ = failure(lambda case: {"y": change(right(case)["y"])}, "rounding", operation="rounding.shift")
    assert words in said and "without an answer" in said


@pytest.mark.parametrize("answer, words", [
    (None, "returned NoneType: expected a dict of arrays"), (np.zeros(3), "returned ndarray: expected a dict"), ({}, "returned no y"),
    ({"z": 1}, "returned 'z': expected y, flags_y"), ({"y": 1, "in_x": 2}, "returned 'in_x'"),
])
def test_answers_of_a_wrong_form(answer, words):
    said, _ = failure(lambda case: answer, "rounding", operation="rounding.shift")
    assert words in said


def test_a_case_that_fails_and_one_that_raises_are_both_told():
    def both(case):
        if case.attrs["rounding"] == "floor":
            raise RuntimeError("no floor")
        return {"y": right(case)["y"] + right(case)["y"].dtype.type(case.attrs["rounding"] == "ceil")}
    said, error = failure(both, "rounding", operation="rounding.shift")
    assert "raised RuntimeError: no floor" in said and "step by step" in said and isinstance(error.__cause__, RuntimeError)


def test_nothing_compared_is_a_failure():
    def declining(case):
        raise Unsupported("no <such> thing")
    said, _ = failure(declining, "rounding")
    assert "NOTHING COMPARED" in said and "no <such> thing" in said


def test_a_function_that_changes_its_case_harms_nobody():
    """Inputs, attributes and the lists in them; the next call finds what the first one found."""
    def vandal(case):
        answer = right(case)
        for array in case.inputs.values():
            array[...] = 0
        for value in case.attrs.values():
            if isinstance(value, list):
                value.append(99)
        case.attrs.clear()
        case.outputs.clear()
        return answer
    for group in ("rounding", "quantize"):
        before = {id: _vector(op, 1, 0, id).record for op in OPERATIONS if op.startswith(group) for id in _stimuli(op, 1, 0)}
        copies = {id: repr(record) for id, record in before.items()}
        assert_golden(vandal, group)
        assert_golden(right, group)
        assert {id: repr(record) for id, record in before.items()} == copies


def test_a_buffer_that_is_used_again_is_no_answer_changed_later():
    """Every answer is in one buffer, right or as a mutant's when it is given; the cause is found in what it was then."""
    buffer = np.zeros(10**5, np.int64)
    operation = OPERATIONS["rounding.shift"]
    mutant = next(m for m in operation.mutants if m.name == "half_away->half_up")

    def reusing(case):
        given = {f"in_{name}": array for name, array in case.inputs.items()}
        wrong = mutant(operation.reference, case.attrs, given)
        y = right(case)["y"] if wrong is None else wrong["out_y"]
        view = buffer.view(y.dtype)[:y.size].reshape(y.shape)
        view[...] = y
        return {"y": view}
    said, _ = failure(reusing, "rounding", operation="rounding.shift")
    assert f"rounding.shift: half_away->half_up: {mutant.says} (explains " in said and "no known mistake" not in said


@pytest.mark.parametrize("arguments, words", [
    ({"group": "nothing"}, "group = 'nothing': expected one of rounding, quantize"), ({"level": 4}, "level = 4: expected 1, 2 or 3"),
    ({"operation": "shift"}, "operation = 'shift': expected one of rounding.real, rounding.shift"),
    ({"operation": "gemm.dw"}, "operation = 'gemm.dw'"), ({"seed": -1}, "seed = -1: expected 0 to 2^64 - 1"),
    ({"cases": "gemm*"}, "cases = 'gemm*': expected a glob that matches some of 31 cases, such as rounding_real_"),
])
def test_wrong_arguments(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        assert_golden(right, **{"group": "rounding"} | arguments)


def test_what_pytest_shows(tmp_path):
    """The test's line and the report, and no frame of refquant."""
    (tmp_path / "test_kernel.py").write_text(
        "from refquant.testing import assert_golden\n\n\n"
        "def test_golden():\n    assert_golden(lambda case: {'y': case.inputs['values']}, 'rounding', operation='rounding.shift', cases='*s8*')\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path, "-c", "/dev/null", tmp_path],
                          capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 1
    assert "assertion.py" not in done.stdout.split("short test summary")[0]
    assert "    def test_golden():" in done.stdout and "E       " in done.stdout


def test_hypothesis_is_asked_for_by_name():
    script = ("import sys\nsys.modules['hypothesis'] = None\nimport refquant.golden.report\n"
              "try: import refquant.testing\nexcept ImportError as error: print(error)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "refquant.testing needs hypothesis: pip install 'refquant[testing]'\n", done.stderr
