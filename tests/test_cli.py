"""The command line: help, wrong arguments, pipes, exit codes, and what it does not import."""
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest

VERBS = ("create", "list", "verify", "explain", "audit", "gen", "ver")
PROGRAM = f"{shlex.quote(sys.executable)} -m refquant"


def shell(command, **options):
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("arguments", [(), ("vectors",), *(("vectors", verb) for verb in VERBS)], ids=" ".join)
def test_help(refquant, arguments):
    done = refquant(*arguments, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: refquant{''.join(f' {word}' for word in arguments)}")
    if arguments[1:] in ((), ("verify",)):
        for code in ("0 all equal", "1 a mismatch", "2 bad usage", "3 a missing or corrupt", "130 interrupted"):
            assert code in done.stdout
    if arguments == ():
        assert all(f"\n    {command}" in done.stdout for command in ("vectors", "train", "compare"))
    if arguments == ("vectors",):
        assert all(f"\n    {verb}" in done.stdout for verb in VERBS)


def test_version(refquant):
    from refquant import __version__
    assert refquant("--version").stdout == f"refquant {__version__}\n"


@pytest.mark.parametrize("arguments, words", [
    ((), ["COMMAND"]), (("vector",), ["'vector'", "vectors"]), (("vectors",), ["VERB"]),
    (("vectors", "make"), ["'make'", *VERBS]),
    (("vectors", "create"), ["--out"]), (("vectors", "verify"), ["DIR"]),
    (("vectors", "verify", "DIR"), ["--dut", "--actual", "required"]),
    (("vectors", "verify", "DIR", "--dut", "exec:true", "--actual", "X"), ["--actual", "not allowed with", "--dut"]),
    (("vectors", "verify", "DIR", "--actual", "DIR", "--report", "pdf"), ["--report", "'pdf'", "text", "json", "junit"]),
    (("vectors", "verify", "DIR", "--actual", "DIR", "--timeout", "0"), ["--timeout", "0", "positive number"]),
    (("vectors", "verify", "DIR", "--actual", "DIR", "--timeout", "nan"), ["--timeout", "nan", "positive number"]),
    (("vectors", "verify", "DIR", "--actual", "DIR", "--timeout", "inf"), ["--timeout", "inf", "positive number"]),
    (("vectors", "verify", "DIR", "--actual", "DIR", "--timeout", "soon"), ["--timeout", "soon", "positive number"]),
    (("vectors", "verify", "DIR", "--dut", "moon"), ["'moon'", "python:MODULE:FUNCTION", "exec:COMMAND"]),
    (("vectors", "verify", "DIR", "--dut", "python:json"), ["'python:json'", "python:MODULE:FUNCTION"]),
    (("vectors", "verify", "DIR", "--dut", "exec:"), ["'exec:'", "exec:COMMAND"]),
    (("vectors", "verify", "DIR", "--dut", "exec:'a"), ["exec:'a", "quotation"]),
    (("vectors", "explain", "DIR", "x"), ["--at"]), (("vectors", "explain", "DIR"), ["CASE"]),
    (("vectors", "explain", "DIR", "x", "--at", "left"), ["--at", "left", "integers with commas between"]),
    (("vectors", "explain", "DIR", "x", "--at", "1,"), ["--at", "1,", "integers with commas between"]),
    (("vectors", "audit",), ["DIR"]), (("vectors", "gen",), ["DIR"]), (("vectors", "ver",), ["DIR"]),
    (("vectors", "list", "DIR", "more"), ["more"]), (("vectors", "audit", "DIR", "--fast"), ["--fast"]),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_wrong_arguments(refquant, tiny, arguments, words):
    done = refquant(*(tiny.root if word == "DIR" else word for word in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr
    assert "_positive" not in done.stderr  # a function's name means nothing to a user


@pytest.mark.parametrize("arguments, words", [
    (("gem",), ["group 'gem'", "rounding", "gemm"]), (("stochastic", "--level", "4"), ["--level", "4", "1, 2, 3"]),
    (("stochastic", "--level", "x"), ["--level", "'x'"]), (("stochastic", "--seed", "-1"), ["--seed", "-1", "0 to 2^64"]),
    (("stochastic", "--seed", str(2**64)), ["--seed", str(2**64), "0 to 2^64 - 1"]),
    (("stochastic", "--seed", "x"), ["--seed", "x", "0 to 2^64 - 1"]),
    (("stochastic", "--export", "hex"), ["'hex'", "mem, c, bin, npz, tv, onnx"]),
    (("stochastic", "--export", "mem,hex"), ["'hex'", "mem, c, bin, npz, tv, onnx"]),
    (("stochastic", "--export", "mem", "--word", "7"), ["--word", "7", "32, 64, 128"]),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_wrong_arguments_of_create_write_nothing(refquant, tmp_path, arguments, words):
    done = refquant("vectors", "create", *arguments, "--out", tmp_path / "suite")
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr
    assert "_seed" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_create_list_verify_audit(refquant, tmp_path):
    suite = tmp_path / "deep" / "suite"
    made = refquant("vectors", "create", "stochastic", "--out", suite, "--seed", "0x7", "--export", "tv,mem", "--word", "32")
    assert (made.returncode, made.stderr) == (0, "")
    ids = refquant("vectors", "list", suite).stdout.split()
    assert made.stdout.startswith(f"{suite}: {len(ids)} cases, ") and len(ids) > 30
    assert all(id.startswith("stochastic_") and "_s7" in id for id in ids)
    done = refquant("vectors", "verify", suite, "--actual", suite)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (f"PASS --actual {suite}: {len(ids)} cases: {len(ids)} equal, 0 different, 0 without an answer, "
                           "0 unsupported\n")
    audited = refquant("vectors", "audit", suite)
    assert audited.returncode == 0 and audited.stdout.splitlines()[-1].startswith("PASS: ")
    again = refquant("vectors", "create", "stochastic", "--out", suite)
    assert again.returncode == 2 and f"{suite} exists" in again.stderr


def test_list_without_a_suite_names_operations_and_mutants(refquant):
    lines = refquant("vectors", "list").stdout.splitlines()
    assert "stochastic.lfsr: random bits from a Galois LFSR" in lines
    assert "  fibonacci: a Fibonacci LFSR of the same polynomial" in lines


@pytest.mark.parametrize("parent", ["file", "long"])
def test_create_where_nothing_can_be_written(refquant, tmp_path, parent):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "suite" if parent == "file" else tmp_path / ("long" * 70)
    done = refquant("vectors", "create", "stochastic", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(out)[:-8] in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_cases_that_match_nothing(refquant, tiny):
    for verb in (("verify", tiny.root, "--actual", tiny.root), ("gen", tiny.root)):
        done = refquant("vectors", *verb, "--cases", "gemm_*")
        assert done.returncode == 3 and "PASS" not in done.stdout
        assert str(tiny.root) in done.stderr and "'gemm_*'" in done.stderr and "it has 4" in done.stderr


def test_some_cases(refquant, tiny):
    done = refquant("vectors", "verify", tiny.root, "--actual", tiny.root, "--cases", "*_steps?_*")
    assert done.returncode == 0 and ": 1 cases: 1 equal" in done.stdout


# Reports go where they are told

def test_output_into_a_file(refquant, tiny, tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    done = refquant("vectors", "verify", tiny.root, "--actual", tiny.root, "--report", "json", "--output", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(target.read_text())["counts"] == {"pass": 4, "fail": 0, "error": 0, "unsupported": 0}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("where", ["missing/report.json", "", "."])
def test_output_that_cannot_be_written(refquant, tiny, tmp_path, where):
    done = refquant("vectors", "verify", tiny.root, "--actual", tiny.root, "--output", where, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--output {where}" in done.stderr and "cannot be written" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_output_into_a_pipe_does_not_replace_it(refquant, tiny, tmp_path):
    """What is not a plain file, such as /dev/null, is written to, never renamed over."""
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    done = refquant("vectors", "verify", tiny.root, "--actual", tiny.root, "--output", pipe)
    assert done.returncode == 0
    assert pipe.is_fifo()
    reader.join(10)
    assert read[0].startswith("PASS")


# Pipes


@pytest.mark.parametrize("command", ["list DIR", "gen DIR", "list", "audit DIR", "--help",
                                     "verify DIR --actual DIR --report json"])
def test_a_reader_that_stops_early(tiny, command):
    """`| head -1`, and one that has gone before the first byte."""
    done = shell(f"set +o pipefail; {PROGRAM} vectors {command.replace('DIR', shlex.quote(str(tiny.root)))} | head -1")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("\n") == 1
    assert unread(*(str(tiny.root) if word == "DIR" else word for word in command.split())).stderr == ""


def unread(*arguments):
    """Run with nobody at the other end of standard output, which is buffered."""
    read, write = os.pipe()
    os.close(read)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-m", "refquant", "vectors", *arguments], stdout=write, stderr=subprocess.PIPE,
                          text=True, timeout=60, env=environment)
    os.close(write)
    return done


def test_a_mismatch_is_no_success_when_the_reader_has_gone(tiny, tmp_path):
    (tmp_path / "actual").mkdir()
    gone = unread("verify", str(tiny.root), "--actual", str(tmp_path / "actual"))
    assert gone.returncode != 0 and gone.stderr == ""


@pytest.fixture(scope="module")
def lines(tiny, refquant):
    """What `gen` prints."""
    done = refquant("vectors", "gen", tiny.root)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines(keepends=True)


def elements(lines):
    return [number for number, line in enumerate(lines) if not line.startswith("#")]


def test_generate_through_a_device_into_verify(tiny):
    """The shell's own pipe, with a device that changes nothing."""
    gen, ver = (f"{PROGRAM} vectors {verb} {shlex.quote(str(tiny.root))}" for verb in ("gen", "ver"))
    done = shell(f"{gen} | cat | {ver}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("PASS standard input: 4 cases: 4 equal, 0 different, 0 without an answer, "
                           "0 unsupported\n")


def test_one_digit_changed(refquant, tiny, lines):
    at = elements(lines)[-1]
    line = lines[at]
    place = line.index("= ") + 2
    digit = "0" if line[place] != "0" else "1"
    changed = [*lines[:at], line[:place] + digit + line[place + 1:], *lines[at + 1:]]
    done = refquant("vectors", "ver", tiny.root, "--report", "json", input="".join(changed))
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 1
    assert report["counts"] == {"pass": 3, "fail": 1, "error": 0, "unsupported": 0}
    (failed,) = [result for result in report["results"] if result["status"] == "fail"]
    assert [tensor["different"] for tensor in failed["tensors"] if tensor["different"]] == [1]


def test_damaged_streams(refquant, tiny, lines):
    at = elements(lines)
    middle = at[len(at) // 2]
    damages = {
        "lost": [*lines[:middle], *lines[middle + 1:]],
        "swapped": [*lines[:middle], lines[middle + 1], lines[middle], *lines[middle + 2:]],
        "repeated": [*lines[:middle], lines[middle], *lines[middle:]],
        "truncated": lines[:middle],
        "the last case lost": [*lines[:max(i for i, line in enumerate(lines) if "# case" in line)], lines[-1]],
        "cut between cases": lines[:max(i for i, line in enumerate(lines) if "# case" in line)],
        "truncated within a line": [*lines[:-1], lines[-1][:-3]],
        "no first line": lines[1:],
        "not hexadecimal": [*lines[:middle], lines[middle][:-2] + "g\n", *lines[middle + 1:]],
        "no fields": [line for line in lines if "# fields" not in line],
        "another suite's case": [line.replace("# case stochastic_", "# case other_") for line in lines],
        "a case twice": [*lines, *lines[1:]],
    }
    for name, damaged in damages.items():
        assert damaged != lines, name
        done = refquant("vectors", "ver", tiny.root, input="".join(damaged))
        assert (done.returncode, done.stdout) == (3, ""), name
        assert "line " in done.stderr, name


@pytest.mark.parametrize("sent", [b"", b"\n\n", b"# refquant tv 1\n", b"\xff\xfe\n", b"\0" * 100, b"# refquant tv 2\n"])
def test_no_lines_or_none_that_are_text(refquant, tiny, sent):
    for environment in (os.environ, os.environ | {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"},
                        os.environ | {"PYTHONIOENCODING": "utf-8:strict"})[:1 if sent[:1] != b"\xff" else 3]:
        done = refquant("vectors", "ver", tiny.root, input=sent, text=False, env=environment)
        assert (done.returncode, done.stdout) == (3, b"")
        assert b"line " in done.stderr and b"Traceback" not in done.stderr


def test_interrupted(tiny, tmp_path, interruptible):
    """Ctrl-C while a device hangs: 130, and the device is ended too."""
    started, command = tmp_path / "started", tmp_path / "hang.sh"
    command.write_text(f"echo $$ > {started}.part; mv {started}.part {started}; sleep 600")
    process = subprocess.Popen([*interruptible, "vectors", "verify", str(tiny.root), "--dut",
                                f"exec:sh {command}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "refquant: interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


# Imports


@pytest.mark.parametrize("statement, absent", [
    ("import refquant", ["numba", "numpy", "scipy", "refquant.golden", "refquant.integers"]),
    ("from refquant.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
     ["numba", "numpy", "scipy", "tqdm", "fastjsonschema", "refquant.golden"]),
    ("import refquant.golden", ["numba", "scipy", "tqdm", "onnx", "torch"]),
])
def test_what_is_not_imported(statement, absent):
    script = f"import sys\n{statement}\nprint([name for name in {absent} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"


def test_creating_stochastic_vectors_needs_no_kernel(tmp_path):
    script = ("import sys\nfrom refquant.cli import main\n"
              f"code = main(['vectors', 'create', 'stochastic', '--out', {str(tmp_path / 'suite')!r}])\n"
              "print(code, 'numba' in sys.modules, file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == "0 False\n"
