"""The units of chapters/hardware in both simulators: right on every case they take, and their broken twins named."""
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refquant.golden import create
from refquant.golden.device import ActualDevice
from refquant.golden.operations import OPERATIONS
from refquant.golden.verify import verify

ROOT = Path(__file__).parents[2]
HARDWARE = ROOT / "chapters" / "hardware"
UNITS = {"mac_array": "gemm.forward", "range_tracker": "hindsight.trajectory",
         "stochastic_rounder": "stochastic.lfsr_shift", "threshold_unit": "n2uq.forward"}
ANSWERED = {"mac_array": 11}  # of more cases; the other units take every one
CAUSES = {"mac_array": "tosa_double->ruy_double", "range_tracker": "update_rounded_down",
          "stochastic_rounder": "bits_at_wrong_end", "threshold_unit": "at_or_above->above"}


def needs(program, name=None):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{name or program} is not installed")


needs_icarus = needs("iverilog", "Icarus Verilog (iverilog)")
needs_verilator = needs("verilator", "Verilator")
needs_cocotb = pytest.mark.skipif(importlib.util.find_spec("cocotb") is None,
                                  reason="cocotb is not installed: pip install 'refquant[hardware]'")
SIMULATORS = [pytest.param("icarus", marks=needs_icarus), pytest.param("verilator", marks=needs_verilator)]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Level 1 of the four operations, with .mem files."""
    with pytest.MonkeyPatch.context() as patch:
        chosen = [OPERATIONS[name] for name in UNITS.values()]
        patch.setattr("refquant.golden.creation._operations", lambda groups: chosen)
        return create(tmp_path_factory.mktemp("hardware") / "suite", exports=("mem",))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A directory with a copy of chapters/hardware in it, so that what is compiled lies beside that."""
    directory = tmp_path_factory.mktemp("hardware")
    shutil.copytree(HARDWARE, directory / "chapters" / "hardware", ignore=shutil.ignore_patterns("__pycache__"))
    return directory


@pytest.fixture(scope="module")
def run(copy):
    """Runs a command line in the copy's directory; ``refquant`` and ``python`` are those of this test."""
    def run(line, **environment):
        words = [word.replace("exec:python", f"exec:{shlex.quote(sys.executable)}") for word in shlex.split(line)]
        words[:1] = {"python": [sys.executable], "refquant": [sys.executable, "-m", "refquant"]}[words[0]]
        environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])} | environment
        done = subprocess.run(words, cwd=copy, env=os.environ | environment, capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stderr, done.stderr
        return done
    return run


@pytest.fixture
def report(run, suite, tmp_path):
    """(unit, simulator, *more) -> verify's report on the cases that the unit answered."""
    def report(unit, simulator, *more):
        line = ["python", "chapters/hardware/simulate.py", unit, suite.root, tmp_path, "--simulator", simulator, *more]
        done = run(shlex.join(map(str, line)))
        answered = [vector for vector in suite.vectors() if (tmp_path / vector.path).is_dir()]
        entries = [entry for entry in suite.manifest["cases"] if entry["op"] == UNITS[unit]]
        assert len(answered) == ANSWERED.get(unit, len(entries)), done.stderr
        assert f"{len(answered)} of {len(entries)} cases of {UNITS[unit]} answered" in done.stdout
        assert done.returncode == (0 if len(answered) == len(entries) else 4)
        return verify(answered, ActualDevice(tmp_path), unit)
    return report


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_right(report, unit, simulator):
    found = report(unit, simulator)
    assert found.exit_code == 0
    assert found.count("pass") == len(found.results) > 0


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("unit", UNITS)
def test_a_broken_twin_is_named(report, unit, simulator):
    found = report(unit, simulator, "--broken")
    assert found.count("fail") > 0 and found.count("error") == 0
    assert [(cause.mutant, cause.contradicted) for cause in found.causes] == [(CAUSES[unit], 0)]


@needs_icarus
@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 5)])
def test_an_array_of_another_size_gives_the_same(run, suite, tmp_path, rows, columns):
    pattern = "gemm_forward_8x10-10x6_u8x*"
    done = run(f"python chapters/hardware/simulate.py mac_array {suite.root} {tmp_path} --cases '{pattern}' "
               f"--parameter ROWS={rows} --parameter COLUMNS={columns}")
    answered = [vector for vector in suite.vectors(pattern) if (tmp_path / vector.path).is_dir()]
    assert f"{len(answered)} of 5 cases" in done.stdout
    found = verify(answered, ActualDevice(tmp_path), "mac_array")
    assert (found.exit_code, found.count("pass")) == (0, 3)


@needs_verilator
@pytest.mark.parametrize("unit", UNITS)
def test_the_linter_has_nothing_to_say(unit):
    lint = ["verilator", "--lint-only", "-Wall", "-y", str(HARDWARE)]
    design = [*lint, "--default-language", "1364-2005", str(HARDWARE / f"{unit}.v")]
    bench = [*lint, f"-I{HARDWARE}", "--timing", str(HARDWARE / "benches.vlt"), str(HARDWARE / f"tb_{unit}.v")]
    for command in (design, bench):
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@needs_icarus
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_plain_verilog_2005(unit):
    command = ["iverilog", "-g2005", "-Wall", "-t", "null", "-y", str(HARDWARE), str(HARDWARE / f"{unit}.v")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@needs_icarus
def test_a_case_that_a_unit_does_not_take_is_declined(run, suite, tmp_path):
    declined = suite.vector(next(entry["id"] for entry in suite.entries("gemm_forward_*fp32-rint*")))
    case = suite.root / "cases" / declined.path
    done = run(f"python chapters/hardware/simulate.py mac_array {case} {tmp_path}")
    assert (done.returncode, done.stderr) == (4, "declined: flavour fp32_rint\n")
    done = run(f"python chapters/hardware/simulate.py range_tracker {case} {tmp_path}")
    assert (done.returncode, done.stderr) == (4, "declined: operation gemm.forward\n")
    assert not any(tmp_path.iterdir())


@needs_icarus
def test_what_cannot_be_read_is_an_error(run, suite, tmp_path):
    simulate = "python chapters/hardware/simulate.py threshold_unit"
    done = run(f"{simulate} {tmp_path} {tmp_path}")
    assert done.returncode == 3 and "neither MANIFEST.json nor case.json" in done.stderr
    done = run(f"{simulate} {suite.root} {tmp_path} --cases gemm_*")
    assert done.returncode == 3 and "no case of n2uq.forward whose id matches gemm_*" in done.stderr
    done = run(f"{simulate} {suite.root} {tmp_path}", PATH="/nowhere")
    assert done.returncode == 3 and "is not installed" in done.stderr

    vector = next(iter(suite.vectors("n2uq_forward_*")))
    for name in ("MANIFEST.json", f"cases/{vector.path}/case.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(suite.root / name, tmp_path / name)
    done = run(f"{simulate} {tmp_path / 'cases' / vector.path} {tmp_path / 'out'}")
    assert done.returncode == 3 and "create the suite with --export mem" in done.stderr
    shutil.copytree(suite.root / "export" / vector.path, tmp_path / "export" / vector.path)
    packed = tmp_path / "export" / vector.path / "mem" / "in_acc.mem"
    packed.write_text(packed.read_text().replace("\n", "", 1))
    done = run(f"{simulate} {tmp_path / 'cases' / vector.path} {tmp_path / 'out'}")
    assert done.returncode == 3 and "create the suite without --word" in done.stderr


@needs_icarus
@needs_cocotb
def test_the_readme_does_as_it_says(run, copy, suite):
    """Every command, on the four operations instead of all; the text that is shown is among what they print."""
    if not (copy / "suite").exists():
        (copy / "suite").symlink_to(suite.root)
    readme = (HARDWARE / "README.md").read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```", readme, re.DOTALL)
    create, *lines = [line for language, block in blocks if language == "sh" for line in block.splitlines()]
    assert create == "refquant vectors create --out suite --export mem"
    assert f"answers {ANSWERED['mac_array']} of the {len(suite.entries('gemm_*'))} cases" in readme
    printed, codes = "", []
    for line in lines:
        done = run(line)
        printed += done.stdout
        codes.append(done.returncode)
    assert codes == [0, 0, 4, 1, 0, 1]
    assert all(block in printed for language, block in blocks if language == "text")
    assert "stochastic_rounder.v: 5 cases: 5 equal" in printed
    assert printed.count("stochastic.lfsr_shift: bits_at_wrong_end") == 1
