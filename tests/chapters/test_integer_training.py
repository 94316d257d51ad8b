"""The script that trains in integers: a table, and errors that say what is allowed."""
import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "chapters" / "experiments" / "integer_training.py"


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120)


def test_a_short_run_learns():
    done = run("banner", "--steps", "30", "--batch", "16")
    assert (done.returncode, done.stderr) == (0, "")
    (score,) = re.findall(r"^banner +([0-9.]+) %", done.stdout, re.MULTILINE)
    assert float(score) > 60


def test_wrong_arguments():
    for arguments, said in ((("nosuch",), "expected some of banner, sat, n2uq, hindsight, int4"),
                            (("--batch", "1"), "at least 2"), (("--steps", "0"), "1 or more steps")):
        done = run(*arguments)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
