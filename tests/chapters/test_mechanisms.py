"""The experiments of chapters/experiments/mechanisms.py: each runs on a tiny budget; what they found is not tested."""
import importlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest

from refquant.autodiff import Tensor
from refquant.training import Settings, digest, train
from refquant.training.methods import banner, int4, sat
from refquant.training.run import Run

CHAPTERS = Path(__file__).parents[2] / "chapters"
EXPERIMENTS = CHAPTERS / "experiments"
ROWS = {"stochastic": 18, "bifurcation": 10, "range-bn": 8, "sat": 6, "cg-pact": 10, "n2uq": 8, "hindsight": 12, "int4": 10}
CLAIMS = {"stochastic": 9, "bifurcation": 5, "range-bn": 4, "sat": 4, "cg-pact": 5, "n2uq": 10, "hindsight": 9, "int4": 32}
COLUMNS = {"sat": ("n_L VAR", "surest"), "cg-pact": ("alphas",), "int4": ("E(G) conv2", "E(G_L) conv3")}


@pytest.fixture(scope="module")
def modules():
    """The script and its helpers, which lie outside the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXPERIMENTS))
        names = ("mechanisms", "claims.trials", "claims.findings", "claims.banner", "claims.sat", "claims.int4")
        yield {name.rpartition(".")[2]: importlib.import_module(name) for name in names}


@pytest.fixture
def threads():
    """The script uses one thread; other tests may use more."""
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


def test_the_names_are_these(modules):
    assert list(modules["mechanisms"].EXPERIMENTS) == list(ROWS)


def results(name, whole):
    """(what the chapters show of an experiment, the epochs and seeds that the command they give has)."""
    yield json.loads((CHAPTERS / "results" / "mechanisms.json").read_text())[name], whole.epochs, whole.seeds
    if name == "sat":
        yield json.loads((CHAPTERS / "results" / "sat_long.json").read_text())[name], 60, 3


@pytest.mark.parametrize("name", ROWS)
def test_an_experiment_gives_its_numbers(modules, monkeypatch, name):
    """On 32 images and one epoch; and the results that the chapters show were found by the same trials, in full."""
    done, met, trials = [], set(), modules["trials"]
    small = trials.Budget(epochs=1, seeds=1, images=32, done=lambda: done.append(1))
    trained = trials.trained
    trained.cache_clear()
    monkeypatch.setattr(trials, "trained", lambda setting, budget, *rest, **how: trained(setting, small, *rest, **how))
    report = modules["mechanisms"].EXPERIMENTS[name](trials.Budget(seeds=1, met=met.add))

    whole = trials.Budget()
    for kept, epochs, seeds in results(name, whole):
        described = {line.replace(f"epochs {n}", f"epochs {n * epochs // whole.epochs}") for line in met
                     for n in [int(re.search(r"epochs (\d+)", line)[1])]}
        assert kept["configuration"] == {"epochs": epochs, "seeds": seeds, "images": None, "trials": sorted(described)}
        assert [row["name"] for row in kept["rows"]] == [row.name for row in report.rows]
        assert [claim["text"] for claim in kept["claims"]] == [claim.text for claim in report.claims]

    assert len(report.rows) == len({(row.setting, row.name) for row in report.rows}) == len(done) == ROWS[name]
    for row in report.rows:
        assert len(row.scores) == len(row.losses) == 1
        assert 0 <= row.scores[0] <= 100 and np.isfinite(row.losses[0])
        for column in COLUMNS.get(name, ()):
            assert all(float(part) > 0 for part in row.more[column].split(", "))
    assert len(report.claims) == len({claim.text for claim in report.claims}) == CLAIMS[name]
    for claim in report.claims:  # one seed says nothing of chance
        assert np.isfinite(claim.difference) and (claim.half_width, claim.word) == (np.inf, modules["findings"].UNSEEN)
    printed = modules["mechanisms"].text(report)
    assert all(part in printed for part in (report.title, *(row.name for row in report.rows), *report.notes,
                                            *(claim.text for claim in report.claims)))


def test_a_kept_result_is_found_again(modules):
    """One trial of the smallest network, to the last bit."""
    trials = modules["trials"]
    kept = json.loads((CHAPTERS / "results" / "mechanisms.json").read_text())["cg-pact"]
    (row,) = [row for row in kept["rows"] if row["name"] == "2 bits, alpha from 2, PACT"]
    found = trials.trial(trials.HARD, trials.Budget(), 1, sat.recipe, bits=2, calibrated=False, alpha=2.0)
    assert (found.score, found.losses[-1]) == (row["scores"][1], row["losses"][1])


def test_a_trial_is_the_run_that_training_makes(modules):
    trials = modules["trials"]
    found = trials.trial(trials.EASY, trials.Budget(4, 1, 96), 3,  # EASY takes half the epochs
                         banner.recipe, gradient_bits=4)
    settings = Settings("banner-4", epochs=2, batch=64, seed=3)
    expected = train(settings, trials.fewer(trials.digits(), 96))
    assert digest(found.training.parameters) == expected.history[-1]["weights"]
    assert found.score == expected.history[-1]["score"]
    assert found.losses == tuple(line["loss"] for line in expected.history)


def test_a_run_that_diverges_ends_there(modules, monkeypatch):
    trials = modules["trials"]
    steps = []

    def step(trainer, training, x, y):
        steps.append(len(x))
        if len(steps) == 3:  # the first of the second epoch
            raise FloatingPointError("the loss is nan")
        return actual(trainer, training, x, y)

    actual = trials.Trainer.step
    monkeypatch.setattr(trials.Trainer, "step", step)
    found = trials.trial(trials.EASY, trials.Budget(18, 1, 96), 0, sat.recipe)
    assert steps == [64, 32, 64]
    assert len(found.losses) == 2 and np.isfinite(found.losses[0]) and found.losses[1] == np.inf
    assert found.training.step == 2 and 0 <= found.score <= 100


def test_watching_the_gradients_changes_nothing(modules):
    trials, watched = modules["trials"], modules["int4"]
    setting = trials.Setting("small", trials.wide_maps, trials.digits())
    budget = trials.Budget(2, 1, 96)
    found, errors = watched.watched_trial(setting, budget, 0, 4, None)
    plain = trials.trial(setting, budget, 0, int4.recipe, bits=4)
    assert digest(found.training.parameters) == digest(plain.training.parameters)
    assert {name: len(each) for name, each in errors.items()} == {"conv2": 1, "conv3": 1}  # step 0 of 4
    for every, large in (each[0] for each in errors.values()):  # stochastic, at gamma 1: at most a step, max / 7
        assert 0 < every < large < 1 / 7


def test_the_errors_are_those_of_the_codes_in_use(modules):
    """A gradient of which every element but the largest lies halfway: rounded up or down, it errs by half a step."""
    inner = int4.Gradient(4, clip_factor=1.0)
    watched = modules["int4"].Watched(inner)
    g = np.full(2000, 0.5)
    g[0] = 7.0
    run = Run({}, {}, {}, training=True, step=14)
    watched.see(g, run, "conv2.input_gradient")
    watched.see(g, Run({}, {}, {}, training=True, step=16), "conv2.input_gradient")  # not looked at
    ((every, large),) = watched.errors["conv2"]
    assert every == pytest.approx(0.5 / 7 * 1999 / 2000, rel=1e-12)
    assert large == pytest.approx(0.5 / 7 / 2, rel=1e-12)  # the two largest: the maximum, exact, and one other


def test_last_third(modules):
    assert modules["int4"].last_third([(9.0, 9.0)] * 4 + [(1.0, 2.0), (3.0, 6.0)]) == (2.0, 4.0)


@pytest.mark.parametrize("arm, factor", [(1.0, 1.0), (0.6, 0.6), (None, None)])
def test_the_arms_of_int4_hold_their_clip_factor(modules, arm, factor):
    made = modules["int4"].watched_recipe(3, arm)
    assert made.inner.input_gradient.inner == int4.Gradient(3, clip_factor=factor)
    assert made.inner.weight_gradient is made.inner.input_gradient
    assert replace(made.inner, input_gradient=None, weight_gradient=None) == replace(
        int4.recipe(3).inner, input_gradient=None, weight_gradient=None)


def test_real_range_bn(modules):
    """Training: (x - mean) / (range / sqrt(2 ln n)); evaluation: by what training left, at first that of its batch."""
    layer = modules["banner"].RealRangeBN("bn", 1, eps=0.0)
    x = np.array([[0.0], [1.0], [2.0], [5.0]])
    run = Run({}, {}, {}, training=True)
    expected = (x - 2) / (5 / np.sqrt(2 * np.log(4)))
    np.testing.assert_allclose(layer(Tensor(x), run).value, expected, rtol=1e-14)
    later = Run(run.parameters, run.state, run.kinds, training=False)
    np.testing.assert_allclose(layer(Tensor(x[:2]), later).value, expected[:2], rtol=1e-14)


def test_shifted_digits(modules):
    module = modules["sat"]
    data, plain = module.shifted(50, 25), modules["trials"].digits()
    assert data.classes == 250 and len(data.train_x) == 100 and len(data.test_x) == 50
    assert len(np.unique(data.train_y % 25)) == 25
    for i, (x, label) in enumerate(zip(data.test_x, data.test_y, strict=True)):
        rows, columns = divmod(label % 25, 5)
        np.testing.assert_array_equal(np.roll(x[0], (2 - rows, 2 - columns), (0, 1)), plain.test_x[i % 25, 0])
        assert label // 25 == plain.test_y[i % 25]
    assert (data.test_y[:25] != data.test_y[25:]).all()  # no image comes twice in one shift


def test_the_head_at_first(modules):
    """SAT's constant makes n_out VAR = 1, so n_L VAR is 64 / 1000 exactly; with no rescaling it is far more."""
    trials = modules["trials"]
    setting = trials.Setting("many", trials.MODELS["cnn"], trials.digits(classes=1000))
    ratio, surest = modules["sat"].head_at_first(setting, trials.Budget(1, 1, 32), "constant")
    assert ratio == pytest.approx(0.064, rel=1e-12) and 1 / 1000 < surest < 1 / 100
    unscaled = modules["sat"].head_at_first(setting, trials.Budget(1, 1, 32), None)
    assert unscaled[0] > 1 and unscaled[1] > surest


@pytest.mark.parametrize("here, better, on_par", [
    ([-2.0, 0.0, 3.0], "not seen at this size", "not seen at this size"),
    ([2.0, 3.0, 3.0], "true", "true"), ([-2.0, -3.0, -3.0], "false", "false"),
    ([-0.5, -0.5, -0.6], "false", "true"), ([-1.0, -1.1, -1.2], "false", "not seen at this size")])
def test_words(modules, here, better, on_par):
    there = [50.0, 70.0, 90.0]
    here = [a + b for a, b in zip(here, there, strict=True)]
    assert modules["findings"].better("a", here, there).word == better
    assert modules["findings"].on_par("a", here, there).word == on_par


def test_interval(modules):
    """t(2, 97.5 %) = 4.30265; the deviation of 1, 2, 3 is 1."""
    middle, half = modules["findings"].interval([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    assert (middle, half) == (2.0, pytest.approx(4.302652729911275 / np.sqrt(3), rel=1e-9))
    assert modules["findings"].interval([5.0, 5.0], [4.0, 4.0]) == (1.0, np.inf)


def test_the_script_prints_and_keeps(modules, capsys, threads, tmp_path):
    """What is kept stands beside what the file had already, with its configuration."""
    path = tmp_path / "new" / "found.json"
    modules["mechanisms"].keep(path, {"sat": {"title": "old"}})
    modules["mechanisms"].main(["n2uq", "--quick", "--out", str(path)])
    out = capsys.readouterr().out
    assert out.startswith("n2uq: ") and "+ thresholds" in out and "of 10: 0 true, 0 false, 10 not seen" in out
    assert "cnn, 1437 images: 1 epoch of batch 64" in out and "300 images: 4 epochs of batch 32" in out
    assert "(2 seeds, " in out
    kept = json.loads(path.read_text())
    assert list(kept) == ["sat", "n2uq"] and kept["sat"] == {"title": "old"}
    assert kept["n2uq"]["configuration"]["images"] == 96 and len(kept["n2uq"]["rows"]) == ROWS["n2uq"]
    assert len(kept["n2uq"]["configuration"]["trials"]) == 8


@pytest.mark.parametrize("given, said", [(["stochastik"], "'stochastik'"), (["--seeds", "0"], "'0'")])
def test_wrong_arguments(modules, capsys, given, said):
    with pytest.raises(SystemExit) as stop:
        modules["mechanisms"].main(given)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
