"""The example project passes its own tests, and each of them fails when a line of the kernel is wrong."""
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "chapters" / "kernel_project"


@pytest.fixture
def project(tmp_path):
    """Runs the tests of a copy of the project, one text of kernel.py in place of another."""
    def run(right="", wrong="", *arguments):
        copy = tmp_path / "project"
        shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        kernel = (copy / "kernel.py").read_text()
        assert not right or kernel.count(right) == 1
        (copy / "kernel.py").write_text(kernel.replace(right, wrong) if right else kernel)
        return subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], cwd=copy, capture_output=True, text=True, timeout=300)
    return run


def test_it_passes(project):
    done = project()
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


HALF_AWAY = ("    return np.sign(values) * half_up(np.abs(values), shift)", "    return half_up(values, shift)")


def test_the_bug_of_the_readme(project):
    """The report is the one that the README shows, and both tests see it."""
    readme = (PROJECT / "README.md").read_text()
    assert HALF_AWAY[1] in readme
    done = project(*HALF_AWAY)
    assert done.returncode == 1 and "2 failed" in done.stdout
    shown = readme.split("```text\n")[1].split("```")[0].replace("\n     largest", " largest").replace("\n     ...", "")
    printed = " ".join(line.removeprefix("E").strip() for line in done.stdout.splitlines())
    for line in shown.splitlines():
        assert " ".join(line.split()) in printed, line
    assert "exact tie" in printed and "is what comes of: tosa_double->tosa_single" in printed


@pytest.mark.parametrize("right, wrong, cause", [
    ("else acc + bias", "else acc", "bias_omitted"),
    ("b.astype(np.int32) - b_zero_point)", "b.astype(np.int32))", "b_zero_point_omitted"),
])
def test_other_bugs(project, right, wrong, cause):
    """The golden test alone, which names the mistake; no line of refquant's own is shown."""
    done = project(right, wrong, "-k", "golden")
    assert done.returncode == 1 and "FAILED test_kernel.py::test_golden" in done.stdout
    causes = done.stdout.split("Likely causes:")[1].split("Declined")[0]
    assert f"gemm.forward: {cause}: " in causes
    assert "assertion.py" not in done.stdout.split("short test summary")[0]
