"""`refquant train` and `refquant compare`: help, wrong arguments, files of data, tables, plots."""
import functools
import importlib.util
import json
import os
import re

import numpy as np
import pytest

from refquant.cli import main

ALONE = os.environ | {"NUMBA_NUM_THREADS": "1"}  # such small products are not worth two
MODELS = ("mlp", "cnn", "resnet20", "preresnet20", "mobilenet", "edsr")
SHORT = ("--model", "mlp", "--epochs", "1")
RNG = np.random.default_rng(8)
pytestmark = pytest.mark.usefixtures("one_thread")
has_matplotlib = importlib.util.find_spec("matplotlib") is not None


@pytest.fixture(scope="module")
def command(refquant):
    return functools.partial(refquant, env=ALONE)


def idx(*sizes):
    return b"\0\0\x08" + bytes([len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)


def some(*shape, high=256):
    return RNG.integers(0, high, shape).astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """24 images of 28 x 28 to train with, 4 to test with, in MNIST's files."""
    directory = tmp_path_factory.mktemp("mnist")
    for name, n in (("train", 24), ("t10k", 4)):
        (directory / f"{name}-images-idx3-ubyte").write_bytes(idx(n, 28, 28) + some(n, 28, 28))
        (directory / f"{name}-labels-idx1-ubyte").write_bytes(idx(n) + some(n, high=10))
    return directory


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """10 images of 3 x 32 x 32 to train with, 2 to test with, in the files of CIFAR-10's binary version."""
    directory = tmp_path_factory.mktemp("cifar")
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (directory / f"{name}.bin").write_bytes(b"".join(some(1, high=10) + some(3072) for _ in range(2)))
    return directory


# Help and wrong arguments


@pytest.mark.parametrize("name", ["train", "compare"])
def test_help(command, name):
    done = command(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: refquant {name} ") and all(model in done.stdout for model in MODELS)
    for code in ("2 bad usage", "3 a missing or corrupt", "130 interrupted"):
        assert code in done.stdout
    for option in ("--data", "--model", "--variant", "--epochs", "--batch", "--rate", "--schedule", "--warm-up", "--smoothing", "--pad",
                   "--flip", "--start", "--teacher", "--plot", "--out", *{"train": ("--seed", "--resume"), "compare": ("--seeds",)}[name]):
        assert f"\n  {option}" in done.stdout, option


def test_the_commands_lists_agree_with_what_there_is():
    """The command line names them without importing what is slow to import."""
    from refquant.commands import training
    from refquant.training import models, optimizers
    assert tuple(models.MODELS) == training.MODELS == MODELS
    assert optimizers.SCHEDULES == training.SCHEDULES


WRONG = [
    ((), ["METHOD"]), (("bann",), ["'bann'", "banner", "float"]), (("sat-9",), ["'sat-9'", "sat-8"]), (("sat-1",), ["'sat-1'", "sat-2"]),
    (("float-8",), ["'float-8'"]), (("sat-4+hindsight",), ["+hindsight", "banner"]), (("float", "--model", "vgg"), ["'vgg'", *MODELS]),
    (("float", "--epochs", "0"), ["--epochs", "0", "1 or more"]), (("float", "--epochs", "1.5"), ["--epochs", "1.5"]),
    (("float", "--epochs", "-1"), ["--epochs"]), (("float", "--batch", "1"), ["batch = 1", "2 or more"]),
    (("float", "--batch", "0"), ["--batch", "0", "1 or more"]), (("float", "--rate", "0"), ["--rate", "0", "positive"]),
    (("float", "--rate", "nan"), ["--rate", "nan", "positive"]), (("float", "--schedule", "exp"), ["'exp'", "cosine"]),
    (("float", "--variant", "mine"), ["'mine'", "paper", "authors"]), (("float", "--smoothing", "1.5", *SHORT), ["smoothing = 1.5", "0 to 1"]),
    (("float", "--smoothing", "-0.1", *SHORT), ["smoothing = -0.1", "0 to 1"]), (("float", "--smoothing", "nan", *SHORT), ["smoothing = nan"]),
    (("float", "--smoothing", "much"), ["--smoothing", "'much'"]), (("float", "--pad", "9", *SHORT), ["pad = 9", "8"]),
    (("float", "--plot", "curves.pdf"), ["--plot curves.pdf", ".svg or .png"]), (("float", "--plot", "none/a.svg"), ["--plot none/a.svg", "none"]),
]


@pytest.mark.parametrize("arguments, words", [
    *WRONG, (("float", "--seed", "-1"), ["--seed", "-1", "0 to 2^64 - 1"]), (("float", "--seed", str(2**64)), ["--seed", "0 to 2^64 - 1"]),
    (("float", "--seed", "x"), ["--seed", "x"]), (("float", "--resume"), ["--resume", "--out"]), (("float", "sat-4"), ["sat-4"]),
    (("float", "--seeds", "2"), ["--seeds"])], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_wrong_arguments_of_train(capsys, tmp_path, monkeypatch, arguments, words):
    refused(capsys, tmp_path, monkeypatch, ("train", *arguments), words)


@pytest.mark.parametrize("arguments, words", [
    *(pair for pair in WRONG if pair[0]), (("float", "--seeds", "0"), ["--seeds", "0", "1 or more"]), (("float", "--seed", "1"), ["--seed"]),
    (("float", "sat-4", "n2uq-1"), ["'n2uq-1'", "n2uq-2"])], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_wrong_arguments_of_compare(capsys, tmp_path, monkeypatch, arguments, words):
    refused(capsys, tmp_path, monkeypatch, ("compare", *arguments), words)


def refused(capsys, tmp_path, monkeypatch, arguments, words):
    """Exit code 2 and one line (after the usage), before any work."""
    monkeypatch.chdir(tmp_path)
    out = () if "--resume" in arguments else ("--out", "run")
    assert main([*arguments, *out]) == 2
    printed, said = capsys.readouterr()
    assert printed == "" and "Traceback" not in said
    assert said.startswith("usage: ") or said.count("\n") == 1, said
    last = said.splitlines()[-1]
    assert all(word in last for word in words), said
    assert list(tmp_path.iterdir()) == []


def test_none_may_be_written_out(capsys):
    """What is 0 unless given may be given as 0."""
    assert main(["train", "float", "--warm-up", "0", "--pad", "0", "--model", "mlp", "--epochs", "1"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["train", "compare"])
def test_no_data(capsys, tmp_path, name):
    for path, words in ((tmp_path / "missing", "not a directory"), (tmp_path, "holds no data set")):
        assert main([name, "float", "--data", str(path), *SHORT]) == 3
        printed, said = capsys.readouterr()
        assert printed == "" and said.startswith(f"refquant: {path}: {words}") and "idx" in said and "CIFAR-10" in said


@pytest.mark.parametrize("file, data", [
    ("train-images-idx3-ubyte", b""), ("train-images-idx3-ubyte", b"\0\0\x08\x03garbage"), ("t10k-labels-idx1-ubyte", idx(4) + b"\x0a\0\0\0"),
    ("t10k-images-idx3-ubyte", idx(4, 28, 28) + bytes(7)), ("train-labels-idx1-ubyte", idx(23) + bytes(23)), ("t10k-labels-idx1-ubyte", None)],
    ids=["empty", "garbage", "label 10", "cut short", "too few labels", "missing"])
def test_malformed_data(capsys, tmp_path, mnist, file, data):
    for path in mnist.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).unlink()
    if data is not None:
        (tmp_path / file).write_bytes(data)
    assert main(["train", "float", "--data", str(tmp_path), *SHORT, "--out", str(tmp_path / "run")]) == 3
    printed, said = capsys.readouterr()
    assert printed == "" and said.startswith("refquant: ") and str(tmp_path) in said and "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten(capsys, tmp_path):
    arguments = ["train", "float", *SHORT, "--batch", "700", "--out", str(tmp_path)]
    assert main(arguments) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert main(arguments) == 2
    printed, said = capsys.readouterr()
    assert printed == "" and said.count("\n") == 1 and str(tmp_path) in said and "--resume" in said
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.skipif(has_matplotlib, reason="matplotlib is there")
def test_no_matplotlib(capsys, tmp_path):
    assert main(["train", "float", *SHORT, "--plot", str(tmp_path / "a.svg")]) == 2
    assert "pip install 'refquant[book]'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train", "compare"])
def test_matplotlib_that_cannot_be_imported(refquant, tmp_path, name):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('none here')\n")
    done = refquant(name, "float", *SHORT, "--plot", "a.svg", cwd=tmp_path, env=ALONE | {"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "refquant: --plot needs matplotlib: pip install 'refquant[book]'\n"


@pytest.mark.skipif(not has_matplotlib, reason="needs matplotlib, of the extra `book`")
def test_plots(capsys, tmp_path):
    train, compare = tmp_path / "train.svg", tmp_path / "compare.png"
    assert main(["train", "float", *SHORT, "--batch", "700", "--plot", str(train)]) == 0
    assert main(["compare", "float", *SHORT, "--batch", "700", "--seeds", "1", "--plot", str(compare)]) == 0
    assert train.read_bytes().startswith(b"<?xml") and compare.read_bytes().startswith(b"\x89PNG")


# Training


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", ["mnist", "cifar"])
def test_every_model_on_files(capsys, request, tmp_path, model, data):
    directory = request.getfixturevalue(data)
    method = "int4-4" if model in ("mlp", "edsr") else "sat-4"
    assert main(["train", method, "--data", str(directory), "--model", model, "--epochs", "1", "--batch", "12", "--rate", "0.01",
                 "--pad", "2", "--flip", "--out", str(tmp_path / "run")]) == 0
    printed, said = capsys.readouterr()
    assert said == ""
    unit = "dB" if model == "edsr" else "%"
    epoch, last = printed.splitlines()
    assert re.fullmatch(rf"epoch   1  loss \d+\.\d{{4}}  test -?\d+\.\d\d {unit}", epoch)
    weights = re.fullmatch(rf"{method}: test -?\d+\.\d\d {unit}, weights ([0-9a-f]{{16}})", last)[1]
    settings, line = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    assert settings["model"] == model and settings["data"] == str(directory) and settings["flip"] is True
    assert line["weights"].startswith(weights) and line["unit"] == unit


def test_train_starts_and_learns_from_runs(capsys, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    few = ("--model", "mlp", "--epochs", "1", "--batch", "700")
    assert main(["train", "float", *few, "--out", str(first)]) == 0
    assert main(["train", "sat-4", *few, "--start", str(first), "--teacher", str(first), "--out", str(second)]) == 0
    weights = json.loads((first / "log.jsonl").read_text().splitlines()[-1])["weights"]
    settings = json.loads((second / "log.jsonl").read_text().splitlines()[0])
    assert settings["start"] == settings["teacher"] == weights
    capsys.readouterr()
    assert main(["train", "sat-4", *few, "--resume", "--out", str(second)]) == 3
    assert "start" in capsys.readouterr().err
    assert main(["train", "sat-4", *few[2:], "--model", "cnn", "--start", str(first)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_that_diverges_is_one_line(command, tmp_path):
    done = command("train", "float", *SHORT, "--rate", "1e300", "--out", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"refquant: the loss is (nan|inf) at step \d+: expected a finite number; a lower rate may help\n", done.stderr)
    assert list((tmp_path / "run").iterdir()) == []


# The table


def test_compare(capsys, tmp_path):
    arguments = ["compare", "sat-4", "float", "--model", "mlp", "--epochs", "1", "--batch", "300", "--seeds", "2", "--out", str(tmp_path)]
    assert main(arguments) == 0
    printed, said = capsys.readouterr()
    assert said == ""
    lines = printed.splitlines()
    assert re.fullmatch(r"sat-4: \d+\.\d\d", lines[0]) and re.fullmatch(r"float: \d+\.\d\d", lines[1])
    assert lines[2].split("  ")[0] == "method" and len(lines) == 5
    rows = {line.split()[0]: line.split() for line in lines[3:]}
    assert rows["float"][3] == "+0.00"
    found = json.loads((tmp_path / "compare.json").read_text())
    assert [row["method"] for row in found["rows"]] == ["sat-4", "float"] == list(rows)
    for row in found["rows"]:
        scores = [json.loads((tmp_path / f"{row['method']}-seed{seed}" / "log.jsonl").read_text().splitlines()[-1])["score"] for seed in (0, 1)]
        assert row["scores"] == scores and rows[row["method"]][4:] == [f"{score:.2f}" for score in scores]
    difference = found["rows"][0]["mean"] - found["rows"][1]["mean"]
    assert rows["sat-4"][3] == f"{difference:+.2f}"
    starts = {line.index(word) for line, word in zip(lines[2:], ("each seed", " ".join(rows["sat-4"][4:]), " ".join(rows["float"][4:])), strict=True)}
    assert len(starts) == 1

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*seed*/*")}
    assert len(before) == 8
    assert main([*arguments, "--rate", "1.0"]) == 0  # the same settings: every run is reused
    assert capsys.readouterr().out == printed
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*seed*/*")}
    gone = tmp_path / "float-seed1" / "checkpoint.npz"
    gone.unlink()
    assert main(arguments) == 0
    assert capsys.readouterr().out == printed
    changed = {path for path in before if path.stat().st_mtime_ns != before[path]}
    assert changed == {gone, gone.with_name("log.jsonl")}
    assert main([*arguments, "--epochs", "2"]) == 3  # other settings: nothing is thrown away
    assert "epochs = 1, not 2" in capsys.readouterr().err


def test_compare_without_a_directory_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "n2uq-2", "n2uq-2", *SHORT, "--batch", "700", "--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].split()[0] == "n2uq-2" and len(lines[2].split()) == 4  # once, and no float to compare with
    assert list(tmp_path.iterdir()) == []
