"""Runs that are killed, interrupted, resumed; checkpoints that are damaged, foreign, or cannot be written."""
import functools
import io
import json
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from refquant.training import Settings, Training, checkpoints, train
from refquant.training.checkpoints import CHECKPOINT, LOG, CheckpointError, load, read, save, sealed
from refquant.training.data import Dataset
from refquant.training.data import load as load_data

EPOCHS = 6
ALONE = os.environ | {"NUMBA_NUM_THREADS": "1"}
FULL = Settings("int4-4", model="mlp", batch=40, epochs=EPOCHS)
SHORT = Settings("int4-4", model="mlp", batch=16, epochs=3)


@pytest.fixture(scope="module")
def command(refquant):
    """The command line on one thread: such small products are not worth two."""
    return functools.partial(refquant, env=ALONE)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Of a run on 160 digits, written as a data set of their own."""
    directory, digits = tmp_path_factory.mktemp("data"), load_data("digits")
    for name, x, y in (("train", digits.train_x[:160], digits.train_y[:160]), ("t10k", digits.test_x[:40], digits.test_y[:40])):
        shape = b"".join(size.to_bytes(4, "big") for size in (len(x), 8, 8))
        (directory / f"{name}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + shape + (15 * x).tobytes())
        (directory / f"{name}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + shape[:4] + y.astype(np.uint8).tobytes())
    return "train", "int4-4", "--model", "mlp", "--batch", "40", "--epochs", str(EPOCHS), "--data", str(directory)


@pytest.fixture(scope="module")
def whole(command, arguments, tmp_path_factory):
    """The directory of a run that nothing interrupts."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    done = command(*arguments, "--out", directory)
    assert (done.returncode, done.stderr) == (0, "")
    return directory


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def started(arguments, directory, program=(sys.executable, "-m", "refquant")):
    return subprocess.Popen([*program, *arguments, "--out", str(directory)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ALONE)


def resumed(arguments, directory):
    """What is in ``directory`` once its run is done, but for files that a kill left behind."""
    train(replace(FULL, data=arguments[-1]), load_data(arguments[-1]), directory, resume=True)
    return {name: data for name, data in files(directory).items() if not name.startswith(".")}


def wait_for(process, epoch):
    for line in process.stdout:
        if line.startswith(f"epoch {epoch:3}"):
            return
    pytest.fail(f"ended before epoch {epoch}: {process.stderr.read()}")


def test_a_normal_run_leaves_two_files(whole, arguments):
    assert sorted(files(whole)) == [CHECKPOINT, LOG]
    settings, *epochs = map(json.loads, (whole / LOG).read_text().splitlines())
    assert Settings(**settings) == replace(FULL, data=arguments[-1])
    assert [line["epoch"] for line in epochs] == list(range(1, EPOCHS + 1))
    assert tuple(epochs) == read(whole).history


@pytest.mark.parametrize("epoch, delay", [(1, 0.0), (2, 0.06)])
def test_killed_and_resumed(command, arguments, whole, tmp_path, epoch, delay):
    process = started(arguments, tmp_path / "run")
    wait_for(process, epoch)
    time.sleep(delay)
    process.kill()
    process.communicate()
    assert epoch <= read(tmp_path / "run").epoch <= EPOCHS
    done = command(*arguments, "--out", tmp_path / "run", "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    found = files(tmp_path / "run")
    assert found[CHECKPOINT] == files(whole)[CHECKPOINT] and found[LOG] == files(whole)[LOG]


KILLER = """
import os, signal, sys
replace, left = os.replace, [int(sys.argv[1])]
def dying(*names):
    left[0] -= 1
    if left[0] == 0 and sys.argv[2] == "before": os.kill(os.getpid(), signal.SIGKILL)
    replace(*names)
    if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)
os.replace = dying
from refquant.cli import main
main(sys.argv[3:])
"""


@pytest.mark.parametrize("rename, moment", [(1, "before"), (3, "after"), (4, "before")])
def test_killed_while_it_writes(command, arguments, whole, tmp_path, rename, moment):
    """The log and the checkpoint of each epoch are renamed in turn: rename 3 is of the second epoch's log."""
    killed = subprocess.run([sys.executable, "-c", KILLER, str(rename), moment, *arguments, "--out", str(tmp_path / "run")],
                            capture_output=True, timeout=60, env=ALONE)
    assert killed.returncode == -signal.SIGKILL
    if rename > 2:
        assert read(tmp_path / "run").epoch == 1
    assert resumed(arguments, tmp_path / "run") == files(whole)


def test_interrupted(arguments, whole, tmp_path, interruptible):
    """Ctrl-C: 130, one line, and the checkpoint of the last epoch."""
    process = started(arguments, tmp_path / "run", interruptible)
    wait_for(process, 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "refquant: interrupted\n")
    assert set(files(tmp_path / "run")) == {CHECKPOINT, LOG}
    here, there = read(tmp_path / "run"), read(whole)
    assert here.history == there.history[:here.epoch] and here.epoch >= 2
    assert resumed(arguments, tmp_path / "run") == files(whole)


def test_resuming_what_is_done_changes_nothing(command, arguments, whole):
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
    done = command(*arguments, "--out", whole, "--resume")
    assert done.returncode == 0 and done.stdout.count("\n") == 1
    assert before == {path: path.stat().st_mtime_ns for path in whole.iterdir()}


# Damage, in this process: a run of a few images


@pytest.fixture(scope="module")
def few():
    digits = load_data("digits")
    return Dataset("few", digits.train_x[:48], digits.train_y[:48], digits.test_x[:8], digits.test_y[:8], 10, 16)


@pytest.fixture(scope="module")
def short(few, tmp_path_factory):
    """``(directory, the run in it)``."""
    directory = tmp_path_factory.mktemp("runs") / "short"
    return directory, train(SHORT, few, directory)


@pytest.fixture
def copy(short, tmp_path):
    """A directory with a checkpoint made of these bytes."""
    def put(data):
        (tmp_path / CHECKPOINT).write_bytes(data)
        return tmp_path
    return put


def test_what_is_read_is_what_was_saved(short):
    directory, run = short
    for found in (read(directory), load(directory, SHORT)):
        assert (found.settings, found.step, found.kinds, found.history) == (run.settings, run.step, run.kinds, run.history)
        for part in checkpoints.PARTS:
            assert list(getattr(found, part)) == list(getattr(run, part)), part
            for name, value in getattr(run, part).items():
                assert np.array_equal(getattr(found, part)[name], value), name
    assert run.step == 9 and run.epoch == 3 and run.memories and run.state


def test_other_tools_can_read_it(short):
    with np.load(short[0] / CHECKPOINT, allow_pickle=False) as file:
        assert json.loads(file["run"].tobytes())["settings"]["method"] == "int4-4"
        assert file["parameters/fc1.w"].shape == (128, 64)


@pytest.mark.parametrize("epochs", [1, 2])
def test_resumed_after_any_epoch(few, short, tmp_path, epochs):
    """The same bytes again, from what `train` saved after fewer epochs."""
    class Stop(Exception):
        pass

    def stop(training):
        if training.epoch == epochs:
            raise Stop

    with pytest.raises(Stop):
        train(SHORT, few, tmp_path, epoch=stop)
    train(SHORT, few, tmp_path, resume=True)
    assert files(tmp_path) == files(short[0])


def corrupted(good):
    """(name, bytes): what may happen to a file."""
    yield "empty", b""
    yield "truncated", good[:len(good) // 2]
    yield "one byte short", good[:-1]
    yield "one byte more", good + b"\0"
    yield "text", b"not a checkpoint\n" * 10
    yield "zeros", bytes(len(good))
    yield "garbage", np.random.default_rng(0).bytes(1000)
    yield "the middle gone", good[:1000] + good[2000:]
    yield "a pickle", pickle.dumps({"run": 1})
    rng = np.random.default_rng(1)
    for at in [0, 4, 8, 26, 40, 130, len(good) - 100, len(good) - 70, len(good) - 1, *rng.integers(0, len(good), 150)]:
        for bit in (0, 7) if at < 200 else (int(rng.integers(8)),):
            flipped = bytearray(good)
            flipped[at] ^= 1 << bit
            yield f"bit {bit} of byte {at}", bytes(flipped)


def test_damaged_checkpoints(short, copy):
    good = (short[0] / CHECKPOINT).read_bytes()
    for name, bad in corrupted(good):
        with pytest.raises(CheckpointError) as caught:
            read(copy(bad))
        said = str(caught.value)
        assert "\n" not in said and CHECKPOINT in said and "remove it" in said, name
        assert caught.value.exit_code == 3


class Bomb:
    def __reduce__(self):
        return os._exit, (99,)


def archive(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def contents(short):
    with np.load(short[0] / CHECKPOINT) as file:
        return {name: file[name] for name in file.files}


def head(**changes):
    def change(arrays):
        run = json.loads(arrays["run"].tobytes())
        run = {key: value for key, value in (run | changes).items() if value is not None}
        return arrays | {"run": np.frombuffer(json.dumps(run).encode(), np.uint8)}
    return change


@pytest.mark.parametrize("change", [
    lambda arrays: arrays | {"state/fc1.x": np.array([Bomb()], object)},
    lambda arrays: arrays | {"run": np.array(Bomb(), object)},
    lambda arrays: {name: value for name, value in arrays.items() if name != "run"},
    lambda arrays: arrays | {"run": np.frombuffer(b"{", np.uint8)},
    lambda arrays: arrays | {"run": np.frombuffer(b"[1]", np.uint8)},
    lambda arrays: arrays | {"parameters/fc1.w": arrays["parameters/fc1.w"] + 1},
    head(history=[]), head(history=None), head(step=None), head(settings={"method": "int4-4", "colour": 1}),
    head(settings={"method": "int4-4", "epochs": 0}), head(settings={}),
], ids=["a pickle inside", "a pickle for a head", "no head", "cut JSON", "a list", "other weights", "no epoch", "no history",
        "no step", "an unknown setting", "a wrong setting", "no setting"])
def test_files_made_by_hand(short, copy, change):
    """Whole, sealed, and yet no checkpoint. A pickle that was loaded would end this process."""
    with pytest.raises(CheckpointError, match=re.escape(CHECKPOINT)) as caught:
        read(copy(sealed(archive(**change(contents(short))))))
    assert "\n" not in str(caught.value)
    assert read(copy(sealed(archive(**contents(short))))).step == 9  # unchanged, it is one


@pytest.mark.parametrize("change", [
    {"method": "int4-5"}, {"variant": "authors"}, {"data": "./digits"}, {"model": "cnn"}, {"epochs": 4}, {"batch": 17},
    {"seed": 1}, {"rate": 2.0}, {"schedule": "linear"}, {"warm_up": 1}, {"smoothing": 0.1}, {"pad": 1}, {"flip": True},
    {"start": "0" * 64}, {"teacher": "0" * 64}], ids=str)
def test_a_checkpoint_of_another_run(short, change):
    (name, value), = change.items()
    with pytest.raises(CheckpointError) as caught:
        load(short[0], replace(SHORT, **change))
    assert all(word in str(caught.value) for word in (name, repr(value), repr(getattr(SHORT, name))))


def test_none_at_all(tmp_path):
    with pytest.raises(CheckpointError, match="missing"):
        read(tmp_path)


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps(Bomb())], ids=["empty", "garbage", "a pickle"])
def test_the_command_says_it_in_one_line(command, arguments, tmp_path, data):
    (tmp_path / CHECKPOINT).write_bytes(data)
    for options in (("--out", tmp_path, "--resume"), ("--start", tmp_path), ("--teacher", tmp_path)):
        done = command(*arguments, *options)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.count("\n") == 1 and str(tmp_path / CHECKPOINT) in done.stderr
    assert files(tmp_path) == {CHECKPOINT: data}


def test_the_command_with_another_runs_checkpoint(command, arguments, whole):
    before = files(whole)
    done = command(*arguments, "--out", whole, "--resume", "--seed", "7")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "seed = 0, not 7" in done.stderr
    assert files(whole) == before


# No room


@pytest.mark.parametrize("old", [False, True])
def test_a_full_disk(arguments, tmp_path, old):
    """A limit on the size of files stands for it: the log fits, the checkpoint does not."""
    run = tmp_path / "run"
    if old:
        run.mkdir()
        (run / LOG).write_text("old\n")
    done = subprocess.run([sys.executable, "-m", "refquant", *arguments, "--out", str(run)], capture_output=True, text=True,
                          timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
                          env=ALONE)
    assert done.returncode == 2
    assert done.stderr == f"refquant: {run / CHECKPOINT}: File too large\n"
    assert [path.name for path in run.iterdir()] == [LOG]


@pytest.mark.parametrize("where", ["file/run", "run"])
def test_a_directory_that_cannot_be_written(command, tmp_path, where):
    (tmp_path / "file").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOG).mkdir()  # in the way of the log
    done = command("train", "float", "--model", "mlp", "--epochs", "1", "--batch", "700", "--out", tmp_path / where)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert str(tmp_path / where) in done.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOG]


def test_a_failed_write_leaves_the_old(short, tmp_path, monkeypatch):
    run = replace(short[1], history=short[1].history[:2])
    save(run, tmp_path)
    before = files(tmp_path)

    def refuse(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left") as caught:
        save(short[1], tmp_path)
    assert caught.value.filename == str(tmp_path / LOG)
    assert files(tmp_path) == before


def test_a_run_without_epochs_is_none(tmp_path):
    save(Training(SHORT), tmp_path)
    with pytest.raises(CheckpointError):
        read(tmp_path)
