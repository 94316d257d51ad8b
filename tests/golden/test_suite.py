"""Suites on disk: their layout, that they repeat, that nothing is left half-written."""
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import fastjsonschema
import numpy as np
import pytest

from refquant.golden import GoldenError, create, open_suite, vector
from refquant.golden.audit import audit, text


def digest(suite):
    return hashlib.sha256((suite.root / "SHA256SUMS").read_bytes()).hexdigest()


def test_a_suite_of_one_operation_has_its_cases_of_the_group(tmp_path, small):
    suite = create(tmp_path / "one", groups=("stochastic.shift", "stochastic.lfsr"))
    kept = [entry for entry in small.manifest["cases"] if entry["op"] in ("stochastic.shift", "stochastic.lfsr")]
    assert suite.manifest["cases"] == kept and suite.manifest["groups"] == ["stochastic"] and kept


def test_level_1_is_small_and_whole(level_1):
    for group in (level_1.root / "cases").iterdir():
        assert sum(path.stat().st_size for path in group.rglob("*") if path.is_file()) < 5_000_000, group.name
    assert level_1.check_hashes() == sum(path.is_file() for path in level_1.root.rglob("*")) - 1


def test_audit_finds_nothing_wrong_and_no_survivor(level_1):
    found = audit(level_1)
    assert (found.wrong, found.survivors, found.exit_code) == ([], [], 0)
    assert found.cases == len(level_1.manifest["cases"])
    assert "SURVIVES" not in text(found)


def test_audit_notices_a_case_that_no_longer_detects(small, monkeypatch):
    """Without the cases that kill it, a mutant survives, and the audit fails."""
    import dataclasses
    operation = next(iter(small.vectors())).operation
    blunt = dataclasses.replace(operation.mutants[0], name="blunt", run=lambda reference, attrs, inputs: reference(attrs, inputs))
    monkeypatch.setitem(vector.OPERATIONS, operation.name, dataclasses.replace(operation, mutants=(*operation.mutants, blunt)))
    found = audit(small)
    assert found.survivors == [f"{operation.name}: blunt"]
    assert found.exit_code == 1


def test_the_system_agrees_with_the_hashes(small):
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=small.root, check=True)


def test_creating_again_gives_the_same_bytes(small, tmp_path):
    assert digest(create(tmp_path / "again", groups=("stochastic",))) == digest(small)


def test_another_seed_gives_other_vectors(small, tmp_path):
    assert digest(create(tmp_path / "other", groups=("stochastic",), seed=1)) != digest(small)


def test_every_case_validates_against_the_schema_in_the_suite(level_1):
    validate = fastjsonschema.compile(json.loads((level_1.root / "schema/case-1.schema.json").read_text()))
    manifest = fastjsonschema.compile(json.loads((level_1.root / "schema/suite-1.schema.json").read_text()))
    manifest(level_1.manifest)
    for path in level_1.root.rglob("case.json"):
        validate(json.loads(path.read_text()))


def test_tensors_are_canonical(small):
    for path in small.root.rglob("*.npy"):
        data = path.read_bytes()
        assert data[:8] == b"\x93NUMPY\x01\x00"
        array = np.load(path, allow_pickle=False)
        assert array.flags.c_contiguous
        assert array.dtype.str[0] in "<|"


def test_an_existing_directory_is_left_alone(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(GoldenError, match="exists"):
        create(tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_an_unknown_group_is_named(tmp_path):
    with pytest.raises(GoldenError, match="group 'gem': expected some of rounding, quantize"):
        create(tmp_path / "suite", groups=("gem",))
    with pytest.raises(GoldenError, match=r"group 'gemm.dz': expected some of .* or operations of them: gemm\.forward"):
        create(tmp_path / "suite", groups=("rounding", "gemm.dz"))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_create_goes_on_and_gives_the_same_bytes(small, tmp_path):
    def interrupt(operation, count, state={"cases": 0}):  # noqa: B006
        state["cases"] += not count
        if state["cases"] == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "suite", groups=("stochastic",), progress=interrupt)
    assert not (tmp_path / "suite").exists()
    first = next((tmp_path / "suite.partial").rglob("case.json"))
    before = first.stat().st_mtime_ns
    damaged = next(path for path in (tmp_path / "suite.partial").rglob("out_*.npy") if path.parent != first.parent)
    damaged.write_bytes(damaged.read_bytes()[:-1])  # as a crash would leave it

    suite = create(tmp_path / "suite", groups=("stochastic",))
    assert digest(suite) == digest(small)
    assert (suite.root / first.relative_to(tmp_path / "suite.partial")).stat().st_mtime_ns == before  # was not made again
    assert not (tmp_path / "suite.partial").exists()


def test_going_on_with_other_arguments_is_refused(tmp_path):
    def interrupt(operation, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "suite", groups=("rounding",), progress=interrupt)
    with pytest.raises(GoldenError, match="was left by a create with"):
        create(tmp_path / "suite", groups=("rounding",), seed=3)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_from_outside_halfway(small, tmp_path, how):
    command = [sys.executable, "-m", "refquant", "vectors", "create", "stochastic", "--out", str(tmp_path / "suite")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    partial = tmp_path / "suite.partial"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(partial.rglob("case.json"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(how)
    process.communicate()
    if process.returncode == 0:
        pytest.skip("it was done before it could be killed")
    assert not (tmp_path / "suite").exists()
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    subprocess.run(command, check=True, capture_output=True)
    assert digest(open_suite(tmp_path / "suite")) == digest(small)


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path, monkeypatch, small):
    """The tenth write fails; afterwards the same command goes on."""
    from refquant.golden import files
    real, calls = files.write, []

    def write(path, data):
        calls.append(path)
        if len(calls) == 10:
            raise OSError(28, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(files, "write", write)
    with pytest.raises(GoldenError, match="No space left on device"):
        create(tmp_path / "suite", groups=("stochastic",))
    assert not (tmp_path / "suite").exists()
    assert digest(create(tmp_path / "suite", groups=("stochastic",))) == digest(small)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_report_that_cannot_be_written(small):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "refquant", "vectors", "list", str(small.root)], stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
