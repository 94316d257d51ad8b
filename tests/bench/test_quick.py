"""`refquant bench`: every topic, cut short, from the command line to the document."""
import json

import pytest

from refquant.bench import TOPICS, document, machine

ROWS = {  # some case of the quick run, and our peer in it
    "gemm": ("64 x 64 x 64", "refquant s8*s8"), "elementwise": ("quantize, 32 K", "refquant"),
    "conv": ("8 x 16->32, 14x14, forward", "refquant s8*s8"), "step": ("cnn 8x8, batch 8, hindsight-8", "refquant"),
    "suite": ("stochastic, level 1", "refquant verify"), "start": ("product, cold", "the first call")}


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != "step"])  # which is among the external tests
def test_quick(refquant, tmp_path, topic):
    path = tmp_path / "found.json"
    done = refquant("bench", topic, "--quick", "--rounds", "1", "--json", path, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(path.read_text())
    assert (found["schema"], found["topic"], found["threads"], found["quick"]) == (document.SCHEMA, topic, 1, True)
    case, peer = ROWS[topic]
    (ours,) = [row for row in found["rows"] if (row["case"], row["peer"]) == (case, peer)]
    assert ours["library"] == "refquant" and min(ours["seconds"]) == ours["best"] > 0
    assert f"\n{case}\n" in done.stdout and f"\n  {peer} " in done.stdout
    assert {row["answer"] for row in found["rows"] if row["library"] == "numpy"} <= {"equal", ""}
    for library, packages in found["missing"].items():
        assert not all(map(machine.installed, packages))
        assert f"without {library}, which needs: {', '.join(packages)}" in done.stdout
        assert library not in {row["library"] for row in found["rows"]}
    assert found["versions"]["numba"] in done.stdout and found["machine"]["compiled_for"] in done.stdout
    assert all(figure["value"] > 0 for figure in found["figures"] if figure["unit"] == "x")


@pytest.mark.skipif(machine.cores() < 2, reason="one core")
def test_two_threads_are_several_processes(refquant, tmp_path):
    path = tmp_path / "found.json"
    done = refquant("bench", "gemm", "--quick", "--threads", "2", "--rounds", "2", "--json", path, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(path.read_text())
    libraries = {row["library"] for row in found["rows"]}
    assert found["how"].startswith(f"{2 * len(libraries)} processes") and found["threads"] == 2
    assert {len(row["seconds"]) for row in found["rows"]} == {2}
    assert "equal" in {row["answer"] for row in found["rows"] if row["library"] == "numpy"}
