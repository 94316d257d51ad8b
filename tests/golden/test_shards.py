"""Suites made in shards: the same bytes by any number of workers, with one of them killed, and after an interruption."""
import functools
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refquant.cli import main
from refquant.golden import GoldenError, create, open_suite, shards
from refquant.golden.crew import Alone, Crew
from refquant.golden.operations import OPERATIONS
from refquant.golden.shards import Shard, Source, cut
from refquant.golden.suite import named_stimuli

GROUPS = ("sat",)


def digest(suite):
    return hashlib.sha256((suite.root / "SHA256SUMS").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The suite as this process makes it."""
    return create(tmp_path_factory.mktemp("shards") / "alone", GROUPS)


@pytest.fixture
def crew(monkeypatch):
    """The crews that suites are made by, of a size, as they are made."""
    made = []
    monkeypatch.setattr("refquant.golden.creation.Crew", lambda size: made.append(Crew(size)) or made[-1])
    return made


@pytest.mark.parametrize("workers", [3])  # 2: by the command line, below
def test_the_same_bytes_by_any_number_of_workers(workers, alone, tmp_path):
    ticks = []
    suite = create(tmp_path / "suite", GROUPS, progress=lambda *tick: ticks.append(tick), workers=workers)
    assert digest(suite) == digest(alone)
    cases = {}
    for entry in alone.entries():
        cases[entry["op"]] = cases.get(entry["op"], 0) + 1
    assert {name: count for name, count in ticks if count} == cases
    assert {name: ticks.count((name, 0)) for name in cases} == cases


def test_workers_killed_midway(alone, tmp_path, crew):
    def kill(operation, count, killed=[]):  # noqa: B006
        if not count and not killed:
            killed.append(True)
            for worker in crew[0].workers:
                os.kill(worker.process.pid, signal.SIGKILL)

    assert digest(create(tmp_path / "suite", GROUPS, progress=kill, workers=2)) == digest(alone)


def state(pid):
    """What the system says of a process: R, S, Z, ...; nothing when it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_all_killed_midway_and_gone_on_with(how, alone, tmp_path, interruptible):
    """Ctrl-C: 130 at once, nothing said but that, no worker left; and after a kill the workers end by themselves."""
    command = [*interruptible, "vectors", "create", *GROUPS, "--workers", "2", "--out", str(tmp_path / "suite")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    partial = tmp_path / "suite.partial"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(partial.rglob("case.json"))) < 5 and process.poll() is None:
        time.sleep(0.01)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    if process.returncode == 0:
        pytest.skip("it was done before it could be stopped")
    assert len(workers) == 2
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    assert said == ("refquant: interrupted\n" if how == signal.SIGINT else "")
    while time.monotonic() < deadline and any(state(pid) not in ("", "Z") for pid in workers):
        time.sleep(0.01)
    assert all(state(pid) in ("", "Z") for pid in workers)
    assert not (tmp_path / "suite").exists()
    made = {path: path.stat().st_mtime_ns for path in partial.rglob("case.json")}
    suite = create(tmp_path / "suite", GROUPS, workers=3)
    assert digest(suite) == digest(alone)
    assert all((suite.root / path.relative_to(partial)).stat().st_mtime_ns == when for path, when in made.items())


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_worker_cannot_write_is_named_as_ever(workers, tmp_path):
    (tmp_path / "suite.partial").mkdir()
    (tmp_path / "suite.partial/cases").write_text("a file")
    with pytest.raises(GoldenError, match=r"^cannot write .*suite\.partial/cases.*: Not a directory; what is done is kept in .*"
                                          r"suite\.partial, and the same command goes on from there$"):
        create(tmp_path / "suite", GROUPS, workers=workers)


def sources(*operations):
    return [Source(operation, 1, 0) for operation in operations]


FEW = sources("sat.weight", "pact.backward", "sat.weight", "quantize.pack", "quantize.unpack")


def test_a_crew_answers_every_question_once():
    expected = sorted(Alone().names(FEW))
    with Crew(2) as crew:
        assert sorted(crew.names(FEW)) == expected
        assert len(crew.workers) == 2
        assert list(crew.names([])) == []
        first = [worker.process.pid for worker in crew.workers]
        assert sorted(crew.names(FEW[:2])) == expected[:2]
        assert [worker.process.pid for worker in crew.workers] == first  # which live as long as the crew
    assert all(worker.process.returncode is not None for worker in crew.workers)


def test_what_a_worker_raises_arrives(tmp_path):
    with Crew(1) as crew:
        with pytest.raises(GoldenError, match="cases no_such_case are others in a worker process") as error:
            list(crew.made(tmp_path, [Shard(FEW[0], 0, ("no_such_case",))]))
        assert "in a worker process" in error.value.__notes__[0] and "Traceback" in error.value.__notes__[0]
        (tmp_path / "file").touch()
        shard = next(cut(FEW[0], dict(Alone().names(FEW))[0]))
        with pytest.raises(NotADirectoryError) as error:
            list(crew.made(tmp_path / "file", [shard]))
        assert error.value.filename.startswith(str(tmp_path / "file"))
        with pytest.raises(RuntimeError, match=r"KeyError: 'no\.such\.operation'"):
            list(crew.names(sources("no.such.operation")))
        assert len(crew.workers) == 1


def test_answers_that_nobody_waits_for_are_not_taken_for_others():
    with Crew(2) as crew:
        for _ in crew.names(FEW):
            break
        assert list(crew.names(FEW[1:2])) == [(0, dict(Alone().names(FEW))[1])]


def test_a_question_that_ends_every_worker(monkeypatch):
    ends = "import sys; sys.stdin.readline(); print('half a reply', end='', flush=True); sys.exit(7)"
    monkeypatch.setattr("refquant.golden.crew.COMMAND", [sys.executable, "-c", ends])
    with Crew(2) as crew, pytest.raises(GoldenError, match=r"3 worker processes ended \(exit status 7\) over the same cases, .*sat\.weight"):
        list(crew.names(FEW[:1]))


# What a shard is

SOURCE = Source("gemm.db", 1, 5)


@pytest.fixture(scope="module")
def listed():
    return dict(named_stimuli(OPERATIONS[SOURCE.operation], SOURCE.level, SOURCE.seed))


def test_shards_have_every_case_once_in_order(listed):
    for count in range(len(listed) + 1):
        parts = list(cut(SOURCE, list(listed)[:count]))
        assert [id for shard in parts for id in shard.ids] == list(listed)[:count]
        assert [shard.first for shard in parts] == list(range(0, count, shards.SIZE))
        assert all(0 < len(shard.ids) <= shards.SIZE for shard in parts)


@pytest.mark.parametrize("room", [0, 1 << 26], ids=["drawn anew", "kept"])
@pytest.mark.parametrize("order", ["forward", "backward", "mixed"])
def test_stimuli_are_the_same_in_any_order(room, order, listed, monkeypatch):
    monkeypatch.setattr(shards, "ROOM", room)
    place = shards._Place()
    assert place.names(SOURCE) == list(listed)
    assert bool(place.kept) == (room > 0)
    parts = list(cut(SOURCE, list(listed)))
    parts = {"forward": parts, "backward": parts[::-1], "mixed": random.Random(0).sample(parts, len(parts))}[order]
    for shard in parts:
        for id, stimulus in place.drawn(shard):
            assert stimulus.attrs == listed[id].attrs
            assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in stimulus.inputs.items()} == {
                name: (a.dtype, a.shape, a.tobytes()) for name, a in listed[id].inputs.items()}


@pytest.mark.parametrize("room", [0, 1 << 26])
def test_a_worker_that_draws_others(room, listed, monkeypatch):
    monkeypatch.setattr(shards, "ROOM", room)
    place = shards._Place()
    place.names(SOURCE)
    with pytest.raises(GoldenError, match="another version of refquant"):
        place.drawn(Shard(SOURCE, 0, ("gemm_db_of_tomorrow",)))


def test_cases_for_another_disk(tmp_path, alone):
    """Packed, sent and written, they are the bytes of those made in place; what is there is not asked for again."""
    source = Source("sat.weight", 1, 0)
    shard = list(cut(source, shards.names(source)))[1]
    entries = {entry["id"]: entry["sha256"] for entry in alone.entries()}
    assert shards.missing(tmp_path, shard) == (shard, frozenset(shard.ids))
    first = frozenset(shard.ids[:1])
    packed = shards.pack((shard, first))
    assert set(packed) == first
    for id, contents in packed.items():
        shards.vector.write(tmp_path, source.operation, id, contents)
    assert shards.missing(tmp_path, shard) == (shard, frozenset(shard.ids) - first)
    digests = shards.unpack(tmp_path, shard, shards.pack(shards.missing(tmp_path, shard)))
    assert digests == [entries[id] for id in shard.ids] == shards.make(tmp_path, shard)
    for path in tmp_path.rglob("*.npy"):
        assert path.read_bytes() == (alone.root / path.relative_to(tmp_path)).read_bytes()
    assert shards.pack((shard, frozenset())) == {}


# As many cases as are wanted

def test_more_seeds_are_the_suites_of_each(tmp_path):
    several = create(tmp_path / "several", GROUPS, seed=3, seeds=2, workers=2)
    one = functools.reduce(lambda found, seed: found | {
        entry["id"]: entry for entry in create(tmp_path / str(seed), GROUPS, seed=seed).entries()}, (3, 4), {})
    assert {entry["id"]: entry for entry in several.entries()} == one
    assert several.check_hashes() and [entry["op"] for entry in several.entries()] == sorted(
        (entry["op"] for entry in several.entries()), key=list(OPERATIONS).index)
    assert {vector.record["stimulus"]["seed"] for vector in several.vectors()} == {3, 4}


@pytest.mark.parametrize("changed, words", [
    ({"seeds": 0}, "seeds 0: expected 1 or more"), ({"seed": 2**64 - 1, "seeds": 2}, "below 2.64"),
    ({"workers": 0}, "workers 0: expected 1 or more"),
])
def test_numbers_that_are_refused(changed, words, tmp_path):
    with pytest.raises(GoldenError, match=words):
        create(tmp_path / "suite", GROUPS, **changed)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(alone, tmp_path, refquant):
    for wrong in (["--workers", "0"], ["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], ["--seeds", "x"]):
        assert refquant("vectors", "create", *GROUPS, "--out", tmp_path / "suite", *wrong).returncode == 2
    assert refquant("vectors", "create", *GROUPS, "--out", tmp_path / "suite", "--workers", "2").returncode == 0
    assert digest(open_suite(tmp_path / "suite")) == digest(alone)


def test_without_dask(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["vectors", "create", "sat", "--out", str(tmp_path / "suite"), "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert capsys.readouterr().err == "refquant: --scheduler needs Dask: pip install 'refquant[cluster]'\n"
    assert list(tmp_path.iterdir()) == []
