"""What several tests share: suites created once, a small one to damage, and the command line."""
import hashlib
import json
import shutil
import subprocess
import sys
import time

import hypothesis
import numba
import pytest

from refquant.golden import create, open_suite

hypothesis.settings.register_profile("shared", deadline=None)  # a first call compiles, a machine has other work
hypothesis.settings.load_profile("shared")


@pytest.fixture(scope="session")
def level_1(tmp_path_factory, worker_id):
    """The whole level-1 suite, created once for all workers of a run. Tests that change files copy it first."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "level-1"
    try:
        (root.parent / f"{root.name}.begun").mkdir()
    except FileExistsError:  # another worker creates it; it is there whole, or not at all
        until = time.monotonic() + 300
        while not root.exists() and time.monotonic() < until:
            time.sleep(0.2)
        return open_suite(root)
    return create(root)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A suite of one group, for tests that change it."""
    return create(tmp_path_factory.mktemp("suites") / "small", groups=("stochastic",))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The shortest case of each of four operations, with one export. Tests that change files take `copied`."""
    suite = create(tmp_path_factory.mktemp("suites") / "tiny", groups=("stochastic",), exports=("mem",))
    sizes = {}
    for case in suite.vectors():
        sizes.setdefault(case.record["op"], []).append((sum(a.size for a in case.tensors.values()), case.id, case.path))
    kept = {min(sizes[f"stochastic.{name}"])[1] for name in ("shift", "quantize", "philox", "lfsr")}
    for _, id, path in (case for cases in sizes.values() for case in cases):
        if id not in kept:
            shutil.rmtree(suite.root / "cases" / path)
            shutil.rmtree(suite.root / "export" / path)
    manifest = json.loads((suite.root / "MANIFEST.json").read_text())
    manifest["cases"] = [entry for entry in manifest["cases"] if entry["id"] in kept]
    (suite.root / "MANIFEST.json").write_text(json.dumps(manifest))
    sealed(suite.root)
    return open_suite(suite.root)


@pytest.fixture
def copied(tiny, tmp_path):
    """The directory of a copy of `tiny`."""
    shutil.copytree(tiny.root, tmp_path / "copied")
    return tmp_path / "copied"


@pytest.fixture
def seal():
    """Makes all hashes of a changed suite right again, as someone would who means to change it."""
    return sealed


def sealed(root):
    """Hashes of tensors into case.json, of case.json into the manifest, of all files into SHA256SUMS."""
    def digest(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    manifest = json.loads((root / "MANIFEST.json").read_text())
    for entry in manifest["cases"]:
        path = root / "cases" / entry["op"].replace(".", "/") / entry["id"] / "case.json"
        if path.is_file():
            record = json.loads(path.read_text())
            for tensor in record["tensors"]:
                if (path.parent / tensor["file"]).is_file():
                    tensor["sha256"] = digest(path.parent / tensor["file"])
            path.write_text(json.dumps(record))
            entry["sha256"] = digest(path)
    (root / "MANIFEST.json").write_text(json.dumps(manifest))
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*")
                   if path.is_file() and path.name != "SHA256SUMS")
    (root / "SHA256SUMS").write_text("".join(f"{digest(root / name)}  {name}\n" for name in names))


@pytest.fixture(scope="module")
def one_thread():
    """Products so small that they are not worth two threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.fixture(scope="session")
def interruptible():
    """The command line as a process that hears Ctrl-C, which a shell's background job and its children do not."""
    return [sys.executable, "-c", "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
                                  "from refquant.cli import main; sys.exit(main(sys.argv[1:]))"]


@pytest.fixture(scope="session")
def refquant():
    """Runs the command line in a process of its own; whatever happens, there must be no traceback."""
    def run(*arguments, timeout=60, **options):
        options = {"capture_output": True, "text": True, "timeout": timeout, "stdin": subprocess.DEVNULL} | options
        if "input" in options:
            del options["stdin"]
        done = subprocess.run([sys.executable, "-m", "refquant", *map(str, arguments)], **options)
        assert "Traceback" not in (done.stderr if isinstance(done.stderr, str) else "")
        return done
    return run
