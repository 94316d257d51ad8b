"""`refquant bench`: wrong arguments, help, signals."""
import signal
import subprocess
import time
from pathlib import Path

import pytest

from refquant.bench import TOPICS


@pytest.mark.parametrize("arguments, words", [
    ((), ["TOPIC"]), (("speed",), ["'speed'", *TOPICS]), (("gemm", "--threads", "0"), ["--threads", "0", "1 or more"]),
    (("gemm", "--threads", "99999"), ["--threads 99999", "cores"]),
    (("gemm", "--rounds", "x"), ["--rounds", "x", "1 or more"]), (("gemm", "--level", "2"), ["--level"]),
    (("suite", "--level", "4"), ["--level", "4", "1, 2, 3"]), (("gemm", "more"), ["more"]),
    (("gemm", "--json", "."), ["--json .", "a file"]),
    (("gemm", "--json", "none/found.json"), ["--json none/found.json", "directory"]),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_wrong_arguments(refquant, arguments, words):
    done = refquant("bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("arguments", [(), *((topic,) for topic in TOPICS)], ids=" ".join)
def test_help(refquant, arguments):
    done = refquant("bench", *arguments, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(("usage: refquant bench", *arguments)))
    assert "130 interrupted" in done.stdout


@pytest.mark.parametrize("number, code, said", [(signal.SIGINT, 130, "refquant: interrupted\n"), (signal.SIGTERM, 143, "")])
def test_a_signal_ends_the_process_that_measures(interruptible, number, code, said):
    """Heard by the command alone, as from `kill`."""
    running = subprocess.Popen([*interruptible, "bench", "gemm"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    started, child = time.monotonic(), ""
    while children.exists() and not child and time.monotonic() < started + 30:
        time.sleep(0.1)
        child = children.read_text()
    time.sleep(0.5)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (code, "", said)
    assert not child or not Path("/proc", child.strip()).exists()
