"""A suite made on a Dask cluster of three worker processes, one of them killed midway: the bytes of one made here."""
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from refquant.cli import main
from refquant.golden import GoldenError, create

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask and what it uses
GROUPS = ("sat", "pact")


def digest(suite):
    return hashlib.sha256((suite.root / "SHA256SUMS").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return create(tmp_path_factory.mktemp("dask") / "here", GROUPS)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None,
                                  host="127.0.0.1") as started:
        yield started


def test_the_same_bytes_though_a_worker_is_killed(cluster, here, tmp_path):
    killed = []

    def kill(operation, count):
        if not count and not killed:
            killed.append(next(iter(cluster.workers.values())).pid)
            os.kill(killed[0], signal.SIGKILL)

    suite = create(tmp_path / "suite", GROUPS, progress=kill, scheduler=cluster.scheduler_address)
    assert killed and digest(suite) == digest(here)
    assert suite.check_hashes() == here.check_hashes()


class Interrupted:
    """A Ctrl-C after nine cases."""

    def __init__(self):
        self.cases = 0

    def __call__(self, operation, count):
        self.cases += not count
        if self.cases == 9:
            raise KeyboardInterrupt


@pytest.mark.parametrize("first", ["there", "here"])
def test_an_interrupted_create_goes_on_here_or_there(first, cluster, here, tmp_path):
    makers = [{"scheduler": cluster.scheduler_address}, {}]
    if first == "here":
        makers.reverse()
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "suite", GROUPS, progress=Interrupted(), **makers[0])
    partial = tmp_path / "suite.partial"
    made = {path.relative_to(partial): path.stat().st_mtime_ns for path in partial.rglob("case.json")}
    assert len(made) >= 9
    suite = create(tmp_path / "suite", GROUPS, **makers[1])
    assert digest(suite) == digest(here)
    assert all((suite.root / path).stat().st_mtime_ns == when for path, when in made.items())


def test_workers_of_several_threads(here, tmp_path):
    """Cases are made one at a time in a process: what compiled kernels and memories share is not made for two."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=4, processes=True, dashboard_address=None,
                                  host="127.0.0.1") as cluster:
        done = subprocess.run([sys.executable, "-m", "refquant", "vectors", "create", *GROUPS, "--out", tmp_path / "suite",
                               "--scheduler", cluster.scheduler_address], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "suite/SHA256SUMS").read_bytes() == (here.root / "SHA256SUMS").read_bytes()


def test_what_goes_wrong_on_a_worker_arrives(cluster, tmp_path):
    from refquant.golden.cluster import Cluster

    with Cluster(cluster.scheduler_address) as workers:
        assert sorted(workers.each(abs, [-1, -2])) == [(0, 1), (1, 2)]
        with pytest.raises(ValueError, match="invalid literal"):
            list(workers.each(int, ["1", "x"]))
        assert list(workers.each(abs, [])) == []


@pytest.mark.parametrize("address", ["nonsense", "foo://127.0.0.1:1"])
def test_no_address(address, tmp_path, capsys):
    assert main(["vectors", "create", "sat", "--out", str(tmp_path / "suite"), "--scheduler", address]) == 2
    assert capsys.readouterr().err.startswith(f"refquant: --scheduler {address}: cannot be reached: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["closed", "something else"])
def test_an_address_where_no_scheduler_is(kind, tmp_path, monkeypatch):
    from refquant.golden import cluster

    monkeypatch.setattr(cluster, "SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        if kind == "closed":
            server.close()
        else:
            threading.Thread(target=lambda: server.accept()[0].send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), daemon=True).start()
        with pytest.raises(GoldenError, match=f"--scheduler {address}: cannot be reached: "):
            create(tmp_path / "suite", ("sat",), scheduler=address)
    assert list(tmp_path.iterdir()) == []


def test_a_scheduler_without_workers(tmp_path, monkeypatch):
    from refquant.golden import cluster as module

    monkeypatch.setattr(module, "SECONDS", 1.0)
    with distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None, host="127.0.0.1") as empty, \
            pytest.raises(GoldenError, match="has no worker within 1 s"):
        create(tmp_path / "suite", ("sat",), scheduler=empty.scheduler_address)
    assert list(tmp_path.iterdir()) == []
