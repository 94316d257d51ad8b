"""Devices that fail in every way: none stops the run, none passes, and the cases after it are judged as ever."""
import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from refquant.golden import GoldenError
from refquant.golden.files import npy
from refquant.golden.processes import ExecDevice, PythonDevice
from refquant.golden.verify import verify

DUTS = '''
import ctypes, json, os, signal, subprocess, sys, time
import numpy as np
from refquant.golden import Unsupported
from refquant.golden.operations import OPERATIONS

def right(case):
    operation = OPERATIONS[case.op]
    given = {name: case.inputs[name[3:] if name.startswith("in_") else name] for name in operation.given(case.attrs)}
    results = operation.reference(case.attrs, given)
    return {name.removeprefix("out_"): array for name, array in results.items() if name.startswith(("out_", "state1_"))}

def only(case):
    return next(iter(right(case)))

def changed(case, change):
    return {name: change(array) for name, array in right(case).items()}

def spin(*_):
    while True:
        time.sleep(60)

def ignores_terminate(case):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spin()

def child(case):
    process = subprocess.Popen(["sleep", "600"])
    with open(os.environ["DUT_PLAN"] + ".child.%d" % process.pid, "w"):
        pass
    return right(case)

def waits_for_child(case):
    child(case)
    spin()

def prints(case):
    print("{ not JSON")
    sys.stdout.flush()
    os.write(1, b"more\\n")
    os.system("echo still more")
    return right(case)

def reads_stdin(case):
    assert sys.stdin.read() == "" and os.read(0, 10) == b""
    return right(case)

def changes_directory(case):
    os.chdir("/")
    return right(case)

def changes_inputs(case):
    answer = right(case)
    for array in case.inputs.values():
        array[...] = 0
    case.attrs.clear()
    return answer

def raises(error):
    raise error

PLAN = {
    "raises": lambda case: raises(ValueError("no such shift")),
    "exits": lambda case: sys.exit(7),
    "ends at once": lambda case: os._exit(9),
    "crashes": lambda case: ctypes.string_at(0),
    "kills itself": lambda case: os.kill(os.getpid(), signal.SIGKILL),
    "hangs": spin,
    "ignores terminate": ignores_terminate,
    "waits for child": waits_for_child,
    "unsupported": lambda case: raises(Unsupported("only eight bits")),
    "wrong shape": lambda case: changed(case, lambda a: a[:-1]),
    "another dimension": lambda case: changed(case, lambda a: a[None]),
    "wrong dtype": lambda case: changed(case, lambda a: a.astype(np.float32)),
    "NaN": lambda case: changed(case, lambda a: np.full(a.shape, np.nan)),
    "list": lambda case: changed(case, lambda a: a.tolist()),
    "objects": lambda case: changed(case, lambda a: a.astype(object)),
    "text": lambda case: changed(case, lambda a: a.astype(str)),
    "complex": lambda case: changed(case, lambda a: a.astype(complex)),
    "None in it": lambda case: changed(case, lambda a: None),
    "ragged": lambda case: changed(case, lambda a: [[1], [2, 3]]),
    "unknown name": lambda case: right(case) | {"surprise": np.zeros(1)},
    "number as name": lambda case: {7: np.zeros(1)},
    "empty": lambda case: {},
    "no dict": lambda case: list(right(case).values()),
    "None": lambda case: None,
    "odd text": lambda case: raises(ValueError("\\x00\\x1b[31m\\ud800 \\u00e9 & <b>")),
    "right": right, "prints": prints, "reads stdin": reads_stdin, "changes directory": changes_directory,
    "changes inputs": changes_inputs, "leaves a child": child,
    "one wrong": lambda case: changed(case, lambda a: np.concatenate([a[:5], a[5:6] ^ 1, a[6:]])),
    "full names": lambda case: {"out_" + name: array for name, array in right(case).items()},
}

def planned(case):
    with open(os.environ["DUT_PLAN"]) as file:
        return PLAN[json.load(file)[case.id]](case)

value = 3
'''

# what it does -> (status, texts in its message)
EXPECTED = {
    "raises": ("error", ["ValueError", "no such shift"]), "exits": ("error", ["7"]),
    "ends at once": ("error", ["exit status 9"]), "crashes": ("error", ["SIGSEGV"]), "kills itself": ("error", ["SIGKILL"]),
    "hangs": ("error", ["no answer within 2 s"]), "ignores terminate": ("error", ["no answer within 2 s"]),
    "waits for child": ("error", ["no answer within 2 s"]), "unsupported": ("unsupported", ["only eight bits"]),
    "wrong shape": ("error", ["expected"]), "another dimension": ("error", ["(1, ", "expected"]),
    "wrong dtype": ("error", ["float32", "expected"]), "NaN": ("error", ["float64", "expected"]),
    "list": ("error", ["int64", "expected"]), "objects": ("error", ["object", "expected integers or floats"]),
    "text": ("error", ["<U", "expected"]), "complex": ("error", ["complex128", "expected"]),
    "None in it": ("error", ["object"]), "ragged": ("error", ["ValueError"]),
    "unknown name": ("error", ["'surprise'", "expected"]), "number as name": ("error", ["7", "expected"]),
    "empty": ("error", ["no "]), "no dict": ("error", ["list", "dict of arrays"]), "None": ("error", ["NoneType", "dict"]),
    "odd text": ("error", ["ValueError"]),
    "right": ("pass", []), "prints": ("pass", []), "reads stdin": ("pass", []), "changes directory": ("pass", []),
    "changes inputs": ("pass", []), "leaves a child": ("pass", []), "one wrong": ("fail", []), "full names": ("pass", []),
}


def alive(pid):
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def gone(pid):
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory, refquant):
    """Every kind of device on a case of its own, in two runs of the command line; the suite's path is relative."""
    ids = [entry["id"] for entry in small.manifest["cases"]]
    kinds, found, outcomes = list(EXPECTED), {}, []
    for part in (kinds[::2], kinds[1::2]):
        home = tmp_path_factory.mktemp("devices")
        shutil.copytree(small.root, home / "suite")
        (home / "duts.py").write_text(DUTS)
        plan = dict(zip(ids, part, strict=False))
        (home / "plan.json").write_text(json.dumps({id: plan.get(id, "right") for id in ids}))
        done = refquant("vectors", "verify", "suite", "--dut", "python:duts:planned", "--timeout", "2", "--report", "json",
                        cwd=home, env=os.environ | {"DUT_PLAN": str(home / "plan.json")})
        report = json.loads(done.stdout)
        outcomes.append((home, done, report, len(part)))
        for result in report["results"]:
            found.setdefault(plan.get(result["id"], "the others"), []).append(result)
    return found, outcomes


@pytest.mark.parametrize("kind", EXPECTED)
def test_device(runs, kind):
    status, words = EXPECTED[kind]
    (result,) = runs[0][kind]
    assert result["status"] == status, result["message"]
    assert all(word in result["message"] for word in words), result["message"]
    if kind == "one wrong":
        assert [(t["different"], t["first"][0]["index"]) for t in result["tensors"]] == [(1, [5])]


def test_the_cases_after_them_pass(runs):
    assert runs[0]["the others"] and all(result["status"] == "pass" for result in runs[0]["the others"])


def test_the_run_as_a_whole(runs, small):
    """The report on standard output is JSON whatever a device prints, and agrees with the exit code."""
    for _, done, report, _ in runs[1]:
        counts = {status: sum(r["status"] == status for r in report["results"]) for status in report["counts"]}
        assert report["counts"] == counts and sum(counts.values()) == len(small.manifest["cases"])
        assert done.returncode == report["exit_code"] == (1 if counts["fail"] else 3)
        assert report["device"] == "python:duts:planned"
    assert any("{ not JSON" in done.stderr and "still more" in done.stderr for _, done, _, _ in runs[1])


def test_nothing_goes_on_running(runs):
    pids = [int(path.suffix[1:]) for home, *_ in runs[1] for path in home.glob("*.child.*")]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_the_suite_is_as_it_was(runs, small):
    for home, *_ in runs[1]:
        for path in small.root.rglob("*"):
            if path.is_file():
                assert (home / "suite" / path.relative_to(small.root)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["text", "junit"])
def test_a_message_that_the_terminal_cannot_show(tiny, tmp_path, refquant, kind):
    (tmp_path / "duts.py").write_text(DUTS)
    ids = [entry["id"] for entry in tiny.manifest["cases"]]
    (tmp_path / "plan.json").write_text(json.dumps(dict.fromkeys(ids, "odd text")))
    for encoding in ("utf-8", "ascii"):
        done = refquant("vectors", "verify", tiny.root, "--dut", "python:duts:planned", "--report", kind, "--cases", "*lfsr*",
                        cwd=tmp_path, text=False,
                        env=os.environ | {"DUT_PLAN": str(tmp_path / "plan.json"), "PYTHONIOENCODING": encoding})
        assert done.returncode == 3 and b"Traceback" not in done.stderr, done.stderr[-300:]
        assert b"ValueError" in done.stdout and b"\x1b" not in done.stdout and b"\0" not in done.stdout


# Python devices that cannot be loaded

@pytest.mark.parametrize("target, words", [
    ("nowhere:f", ["nowhere", "No module named"]), ("duts:nothing", ["nothing"]), ("duts:value", ["value", "int", "function"]),
    (":f", []), ("duts:", []), ("broken:f", ["SyntaxError"]), ("raising:f", ["RuntimeError", "at home"]),
    ("leaving:f", ["5"]), ("crashing:f", ["SIGSEGV"]), ("sleeping:f", ["within 3 s"]),
])
def test_a_device_that_cannot_be_loaded(tiny, tmp_path, monkeypatch, target, words):
    modules = {"duts": DUTS, "broken": "def f(:", "raising": "raise RuntimeError('at home')", "leaving": "import sys; sys.exit(5)",
               "crashing": "import ctypes; ctypes.string_at(0)", "sleeping": "import time; time.sleep(600)"}
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("refquant.golden.processes.LOADING", 3.0)
    with pytest.raises(GoldenError) as error, PythonDevice(target, tiny.root, 2.0):
        pass
    assert error.value.exit_code == 2
    assert all(word in str(error.value) for word in [f"--dut python:{target}", *words]), str(error.value)


@pytest.mark.parametrize("dut, words", [
    ("python:nowhere:f", ["--dut python:nowhere:f", "No module named"]), ("python:json:codecs", ["module", "function"]),
    ("exec:/no/such/program", ["--dut exec:/no/such/program", "No such file"]),
    ("exec:./plain", ["--dut exec:./plain", "Permission denied"]), ("exec:./binary", ["--dut exec:./binary", "Exec format"]),
    ("exec:.", ["--dut exec:.", "Permission denied"]),
])
def test_a_device_that_is_none_from_outside(tiny, tmp_path, refquant, dut, words):
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "binary").write_bytes(b"\x7fNOT")
    (tmp_path / "binary").chmod(0o755)
    done = refquant("vectors", "verify", tiny.root, "--dut", dut, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr


# Programs

@pytest.fixture
def program(tiny, tmp_path):
    """Verifies one case with a shell script; `$1` and `$2` are its arguments, `$RIGHT` is right, in three formats."""
    def run(script, timeout=30.0, files=None):
        case = next(tiny.vectors("*lfsr*"))
        right = tmp_path / "right"
        right.mkdir()
        r = case.tensors["out_r"]
        for name, data in {"out_r.npy": npy(r), "out_r.bin": r.tobytes(), "out_r.mem": b"".join(b"%x\n" % v for v in r.tolist()),
                           "wrong.npy": npy(r ^ 1), **(files or {})}.items():
            (right / name).write_bytes(data)
        (tmp_path / "dut.sh").write_text(f"RIGHT={shlex.quote(str(right))}\ncd {shlex.quote(str(tmp_path))}\n{script}\n")
        with ExecDevice(f"sh {shlex.quote(str(tmp_path / 'dut.sh'))}", tiny.root, timeout) as device:
            report = verify([case], device, "a program")
        return report, report.results[0]
    return run


@pytest.mark.parametrize("script, status, words", [
    ("cp $RIGHT/out_r.npy $2", "pass", []), ("cp $RIGHT/out_r.bin $2", "pass", []), ("cp $RIGHT/out_r.mem $2", "pass", []),
    ("cp $1/out_r.npy $2", "pass", []), ("echo noise; cp $RIGHT/out_r.npy $2; rm -r nothing 2>/dev/null; true", "pass", []),
    ("test -f $1/case.json && test -f $1/in_seed.npy && test -d $2 && test -z \"$(ls $2)\" && cp $RIGHT/out_r.npy $2",
     "pass", []),
    ("read line && exit 3; cp $RIGHT/out_r.npy $2", "pass", []), ("mkdir $2/more; cp $RIGHT/out_r.npy $2", "pass", []),
    ("cp $RIGHT/wrong.npy $2/out_r.npy", "fail", []), ("true", "error", ["out_r", "missing"]),
    ("cp $RIGHT/out_r.npy $2/r.npy", "error", ["out_r", "missing"]), ("mkdir $2/out_r.npy", "error", ["out_r.npy"]),
    ("exit 1", "error", ["exit status 1"]), ("cp $RIGHT/out_r.npy $2; exit 1", "error", ["exit status 1"]),
    ("exit 4", "unsupported", ["exit status 4"]), ("kill -SEGV $$", "error", ["SIGSEGV"]), ("kill -9 $$", "error", ["SIGKILL"]),
    ("echo garbage > $2/out_r.npy", "error", ["out_r.npy", "not a .npy"]), (": > $2/out_r.npy", "error", ["out_r.npy"]),
    ("head -c 150 $RIGHT/out_r.npy > $2/out_r.npy", "error", ["out_r.npy", "claims"]),
    ("echo garbage > $2/out_r.mem", "error", ["out_r.mem", "line 1"]), ("echo garbage > $2/out_r.bin", "error", ["8 bytes"]),
    ("ln -s $RIGHT/out_r.npy $2/out_r.npy", "error", ["leads out of"]), ("ln -s out_r.npy $2/out_r.npy", "error", ["out_r"]),
    ("rm -r $2", "error", ["out_r"]), ("chmod 0 $2", "error", ["out_r"]),
])
def test_programs(program, script, status, words):
    report, result = program(script)
    assert result.status == status, result.message
    assert report.exit_code == {"pass": 0, "fail": 1, "error": 3, "unsupported": 4}[status]
    assert all(word in result.message for word in words), result.message


@pytest.mark.parametrize("script", ["sleep 600", "trap '' TERM INT HUP; sleep 600", "sleep 600 & echo $! > child; wait",
                                    "sleep 600 & echo $! > child; sleep 600"])
def test_programs_that_hang(program, script, tmp_path):
    start = time.monotonic()
    report, result = program(script, timeout=0.5)
    assert time.monotonic() - start < 5
    assert (result.status, result.message, report.exit_code) == ("error", "no answer within 0.5 s", 3)
    if (tmp_path / "child").exists():
        assert gone(int((tmp_path / "child").read_text()))


def test_what_a_program_leaves_running_is_ended(program, tmp_path):
    _, result = program("sleep 600 & echo $! > child; cp $RIGHT/out_r.npy $2")
    assert result.status == "pass" and gone(int((tmp_path / "child").read_text()))


def test_a_program_that_leaves_a_named_pipe(tiny, tmp_path, refquant):
    """An answer that would have to be waited for is none."""
    (tmp_path / "dut.sh").write_text("mkfifo $2/out_r.npy")
    done = refquant("vectors", "verify", tiny.root, "--dut", "exec:sh dut.sh", "--cases", "*lfsr*", cwd=tmp_path, timeout=10)
    assert done.returncode == 3 and "out_r.npy" in done.stdout


def test_programs_from_outside(tiny, tmp_path, refquant):
    """A program with an argument that has a space, a relative suite, its output not in ours, temporary files removed."""
    shutil.copytree(tiny.root, tmp_path / "suite")
    (tmp_path / "a dut.sh").write_text("echo noise\ncp $2/out_*.npy $3\ntest \"$1\" = 'a b'\n")
    (tmp_path / "temporary").mkdir()
    done = refquant("vectors", "verify", "suite", "--dut", "exec:sh 'a dut.sh' 'a b'", "--report", "json", cwd=tmp_path,
                    env=os.environ | {"TMPDIR": str(tmp_path / "temporary")})
    assert (done.returncode, json.loads(done.stdout)["counts"]["pass"]) == (0, 4)
    assert done.stderr == "noise\n" * 4
    assert list((tmp_path / "temporary").iterdir()) == []


def test_everything_unsupported_is_exit_code_4(tiny, refquant):
    done = refquant("vectors", "verify", tiny.root, "--dut", f"exec:{shlex.quote(sys.executable)} -c 'raise SystemExit(4)'")
    assert done.returncode == 4
    assert "stochastic.lfsr" in done.stdout and "exit status 4" in done.stdout
    assert "PASS" not in done.stdout and done.stdout.splitlines()[-1].endswith(" 0 equal, 0 different, 0 without an answer, "
                                                                               "4 unsupported")


def test_inputs_can_be_written_and_are_the_devices_own(tiny):
    """Frameworks refuse read-only arrays, or warn; what a device writes there is never seen again."""
    from refquant.golden import Case
    for case in tiny.vectors():
        before = {name: array.copy() for name, array in case.tensors.items()}
        for array in Case.of(case).inputs.values():
            array[...] = 0
        assert all(np.array_equal(before[name], array, equal_nan=array.dtype.kind == "f") for name, array in case.tensors.items())
