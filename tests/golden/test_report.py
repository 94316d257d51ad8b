"""Reports: the text's wording, JSON that adds up, XML that is well-formed."""
import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from refquant.golden import vector
from refquant.golden.device import Answered
from refquant.golden.files import npy
from refquant.golden.operations import OPERATIONS
from refquant.golden.report import FORMATS
from refquant.golden.verify import CaseResult, Difference, Report, TensorResult, verify
from refquant.golden.wording import tensor_line, value

WORST = "\x00\x01\x1b[31m\x7f\x85\ud800\ufffe\uffff ]]> <a b='\"'> & é\n\tend"
BEHIND = {"accumulator": -35985, "multiplier": 1520068183, "shift": 39}


def test_the_line_of_a_failure():
    """Word for word as the documentation shows it."""
    tensor = TensorResult("out_y", 640, 3, 1, (Difference((2, 7), -100, -99, BEHIND),))
    assert tensor_line(tensor) == (
        "out_y: 3 of 640 differ (0.47 %), largest 1, first at (2, 7): got -100 (0x9c), expected -99 (0x9d); "
        "accumulator -35985, multiplier 1520068183, shift 39")


@pytest.mark.parametrize("number, text", [
    (0, "0 (0x00)"), (-1, "-1 (0xff)"), (-128, "-128 (0x80)"), (255, "255 (0xff)"), (-129, "-129 (0xff7f)"), (256, "256 (0x0100)"),
    (-(2**31), "-2147483648 (0x80000000)"), (2**32 - 1, "4294967295 (0xffffffff)"), (-(2**63), f"{-2**63} (0x8000000000000000)"),
    (2**64 - 1, f"{2**64 - 1} (0x{'f' * 16})"), (0.5, "0.5 (0x1.0000000000000p-1)"), (-0.0, "-0.0 (-0x0.0p+0)"),
    (math.nan, "nan (nan)"), (-math.inf, "-inf (-inf)"),
])
def test_values(number, text):
    assert value(number) == text


@pytest.fixture(scope="module")
def report():
    """Two failing cases, one of them of floats; one passing; one without an answer, one unsupported."""
    class Device:
        def answer(self, case):
            from refquant.golden import Unsupported
            from refquant.golden.device import NoAnswer
            if case.id == "silent":
                raise NoAnswer(WORST)
            if case.id == "other":
                raise Unsupported(WORST)
            answer = dict(case.expected)
            if case.id == "wrong":
                out = answer["out_y"] = answer["out_y"].copy()
                out[1, 2], out[3, 4], out[5, 5] = out[1, 2] ^ 1, out[3, 4] ^ 1, ~out[5, 5]
            if case.id == "floats":
                answer["out_y"] = np.full_like(answer["out_y"], np.nan)
                answer["out_y"].flat[1] = np.inf
            return answer
    cases = [built("gemm.db", id) for id in ("right", "silent", "other")]
    return verify([built("gemm.forward", "wrong"), built("quantize.dequantize", "floats"), *cases], Device(), f"dut {WORST}")


def built(op, id):
    operation = OPERATIONS[op]
    stimuli = [s for s in operation.stimuli(1, 0) if op != "gemm.forward" or s.attrs["format"] == "s8"]
    return vector.build(operation, min(stimuli, key=lambda s: sum(a.size for a in s.inputs.values())), 0, id)


def test_text(report):
    lines = FORMATS["text"](report).splitlines()
    case = built("gemm.forward", "wrong")
    y = case.tensors["out_y"]
    assert y.dtype == np.int8
    first = int(y[1, 2])
    start = f"FAIL wrong, out_y: 3 of {y.size} differ ({300 / y.size:.2f} %), largest "
    assert lines[0].startswith(start)
    assert f"first at (1, 2): got {first ^ 1} (0x{(first ^ 1) & 0xff:02x}), expected {first} (0x{first & 0xff:02x})" in lines[0]
    assert lines[1].startswith(f"     also at (3, 4): got {int(y[3, 4]) ^ 1} (")
    assert lines[2].startswith(f"     also at (5, 5): got {~int(y[5, 5])} (")
    assert lines[3].startswith("     differences: ")
    gaps = sorted([(first ^ 1) - first, (int(y[3, 4]) ^ 1) - int(y[3, 4]), ~int(y[5, 5]) - int(y[5, 5])])
    assert f"largest {max(map(abs, gaps))}," in lines[0]
    assert all(f"{gap:+} x {gaps.count(gap)}" in lines[3] for gap in gaps)
    assert "ERROR silent: " in "\n".join(lines)
    assert any("gemm.db" in line for line in lines)
    assert lines[-1].startswith("FAIL dut ")
    assert lines[-1].endswith("5 cases: 1 equal, 2 different, 1 without an answer, 1 unsupported")


def test_text_is_safe_to_print(report):
    """No control characters for a terminal, nothing that UTF-8 cannot hold, an error on one line."""
    text = FORMATS["text"](report)
    text.encode()
    assert all(c.isprintable() or c == "\n" for c in text)
    (error,) = [line for line in text.splitlines() if line.startswith("ERROR")]
    assert "end" in error


def test_json(report):
    read = json.loads(FORMATS["json"](report), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["exit_code"] == report.exit_code == 1
    assert read["counts"] == {"pass": 1, "fail": 2, "error": 1, "unsupported": 1}
    by_id = {result["id"]: result for result in read["results"]}
    assert [by_id[id]["status"] for id in ("wrong", "floats", "right", "silent", "other")] == [
        "fail", "fail", "pass", "error", "unsupported"]
    (tensor,) = [tensor for tensor in by_id["wrong"]["tensors"] if tensor["different"]]
    assert (tensor["different"], tensor["first"][0]["index"]) == (3, [1, 2])
    assert sum(tensor["histogram"].values()) == 3
    floats = by_id["floats"]["tensors"][0]
    assert floats["different"] == floats["elements"]
    assert [d["got"] for d in floats["first"][:2]] == ["nan", "inf"]
    assert by_id["silent"]["message"] == WORST
    FORMATS["json"](report).encode()


def test_junit(report):
    text = FORMATS["junit"](report)
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuite"
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "2", "errors": "1", "skipped": "1"}
    assert [(case.get("classname"), case.get("name"), [child.tag for child in case]) for case in root] == [
        ("gemm.forward", "wrong", ["failure"]), ("quantize.dequantize", "floats", ["failure"]), ("gemm.db", "right", []),
        ("gemm.db", "silent", ["error"]), ("gemm.db", "other", ["skipped"])]
    failure = root[0][0]
    assert failure.get("message").startswith("FAIL wrong, out_y: 3 of ") and "also at (3, 4)" in failure.text
    assert "<a b='\"'>" in root[3][0].get("message")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_ends_its_last_line(report, name):
    assert FORMATS[name](report).endswith("\n") and not FORMATS[name](report).endswith("\n\n")


def test_many_failures_are_cut_short():
    results = [CaseResult(f"case_{n:02}", "gemm.dw", "error", "nothing") for n in range(25)]
    lines = FORMATS["text"](Report("dut", results, [])).splitlines()
    assert sum(line.startswith("ERROR") for line in lines) == 20
    assert "... and 5 more cases; --report json has them all" in lines
    assert len(json.loads(FORMATS["json"](Report("dut", results, [])))["results"]) == 25


@pytest.mark.parametrize("statuses, code", [
    ("pass", 0), ("fail", 1), ("error", 3), ("unsupported", 4), ("pass unsupported", 4), ("unsupported error", 3),
    ("error fail", 1), ("pass fail unsupported error", 1),
])
def test_exit_codes(statuses, code):
    report = Report("dut", [CaseResult(str(n), "gemm.dw", status) for n, status in enumerate(statuses.split())], [])
    assert report.exit_code == code
    last = FORMATS["text"](report).splitlines()[-1]
    assert last.startswith("PASS dut: ") == (code == 0) and last.startswith("FAIL") == (code in (1, 3))


def test_the_cause_is_named():
    """A device that is a mutant is recognized, in all formats."""
    case = built("requantize.requantize", "one")
    mutant = next(m for m in case.operation.mutants if m.name in case.record["kills"])
    wrong = mutant(case.operation.reference, case.attrs, case.given)
    report = verify([case], Answered({"one": {"out_y": wrong["out_y"]}}), "a mutant")
    size = case.tensors["out_y"].size
    text = FORMATS["text"](report)
    assert "Likely causes:" in text and f"all {size} equal " in text
    (cause,) = report.causes
    named = next(m for m in case.operation.mutants if m.name == cause.mutant)
    assert np.array_equal(named(case.operation.reference, case.attrs, case.given)["out_y"], wrong["out_y"])
    assert cause.mutant in text and cause.says in text
    assert json.loads(FORMATS["json"](report))["causes"][0]["mutant"] == cause.mutant
    assert cause.mutant in ElementTree.fromstring(FORMATS["junit"](report).encode())[0][0].text


def test_reports_from_outside(tiny, copied, refquant, tmp_path):
    """One value of one case is wrong: the three formats tell the same."""
    path = next((copied / "cases/stochastic/philox").rglob("out_r.npy"))
    right = np.load(path)
    wrong = right.copy()
    wrong[9] ^= 1
    path.write_bytes(npy(wrong))
    id = path.parent.name
    done = {name: refquant("vectors", "verify", tiny.root, "--actual", copied, "--report", name) for name in FORMATS}
    assert all((run.returncode, run.stderr) == (1, "") for run in done.values())
    got, expected = (value(a[9].item()) for a in (wrong, right))
    assert done["text"].stdout.startswith(
        f"FAIL {id}, out_r: 1 of {right.size} differ ({100 / right.size:.2f} %), largest 1, first at (9,): "
        f"got {got}, expected {expected}")
    read = json.loads(done["json"].stdout)
    assert (read["exit_code"], read["counts"]["fail"]) == (1, 1)
    root = ElementTree.fromstring(done["junit"].stdout)
    assert [case.get("name") for case in root if len(case)] == [id]
