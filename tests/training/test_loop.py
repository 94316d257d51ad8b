"""The loop: steps are pure, epochs are of batches, every method learns; starts, teachers, errors."""
import math
from dataclasses import replace

import numpy as np
import pytest

from refquant.quantizers.n2uq import distillation_loss
from refquant.training import Settings, Trainer, Training, digest, recipe, train
from refquant.training.data import Dataset, batches, crop_and_flip, load
from refquant.training.methods import COMPARED

pytestmark = pytest.mark.usefixtures("one_thread")
WHOLE = load("digits")
AUTHORS = ("banner-8", "sat-4", "n2uq-2", "int4-4")


def digits(train_images, test_images):
    return Dataset("few", WHOLE.train_x[:train_images], WHOLE.train_y[:train_images], WHOLE.test_x[:test_images],
                   WHOLE.test_y[:test_images], 10, 16)


FEW, SOME = digits(20, 6), digits(300, 100)
MLP = Settings("float", model="mlp", batch=8, epochs=2)


def trainer_of(settings=MLP, data=FEW, teacher=None):
    return Trainer(settings, recipe(settings.method, settings.variant), data, teacher)


def copied(training):
    return {part: {name: value.copy() for name, value in getattr(training, part).items()}
            for part in ("parameters", "state", "memories")}


def same(one, other):
    return all(one[part].keys() == other[part].keys() and all(np.array_equal(value, other[part][name]) for name, value in one[part].items())
               for part in one)


@pytest.mark.parametrize("method, variant", [*((name, "paper") for name in COMPARED), *((name, "authors") for name in AUTHORS)])
def test_every_method_learns(method, variant):
    """Chance is a loss of ln 10 = 2.30 and 10 %; the slowest, SAT in 2 bits, comes to 1.5 and 58 %."""
    run = train(Settings(method, variant, epochs=2, batch=25), SOME)
    first, last = run.history
    assert last["loss"] < 1.6 and last["loss"] < first["loss"]
    assert last["score"] > 40


def test_super_resolution_learns():
    """Better than its first epoch by more than a decibel."""
    run = train(Settings("int4-4", model="edsr", epochs=5, batch=8), digits(160, 16))
    assert run.history[-1]["unit"] == "dB" and run.history[-1]["score"] > run.history[0]["score"] + 1


@pytest.mark.parametrize("method", ["banner-8", "int4-4", "n2uq-2", "hindsight-8"])
def test_a_step_is_a_function(method):
    """It changes nothing it is given, and gives the same again."""
    trainer = trainer_of(replace(MLP, method=method))
    first, _ = trainer.step(Training(trainer.settings), FEW.train_x[:8], FEW.train_y[:8])
    before, kinds = copied(first), dict(first.kinds)
    second, loss = trainer.step(first, FEW.train_x[8:16], FEW.train_y[8:16])
    assert same(copied(first), before) and first.kinds == kinds and first.step == 1
    again, loss_again = trainer.step(first, FEW.train_x[8:16], FEW.train_y[8:16])
    assert same(copied(second), copied(again)) and loss == loss_again and second.step == 2
    assert not same(copied(first), copied(second))


def test_the_loss_is_before_the_step():
    trainer = trainer_of(replace(MLP, rate=1e-300))
    _, loss = trainer.step(Training(trainer.settings), FEW.train_x[:8], FEW.train_y[:8])
    assert math.isclose(trainer.step(Training(MLP), FEW.train_x[:8], FEW.train_y[:8])[1], loss, rel_tol=1e-12)


def test_epochs_are_of_batches():
    steps, runs = [], []
    trainer = trainer_of()
    for run in trainer.epochs(Training(MLP), steps.append):
        runs.append((run.epoch, run.step, len(steps)))
    assert runs == [(1, 3, 3), (2, 6, 6)]  # 20 images in eights
    line = run.history[0]
    assert set(line) == {"epoch", "loss", "score", "unit", "weights"} and math.isclose(line["loss"], sum(steps[:3]) / 3, rel_tol=1e-12)
    assert run.history[1]["weights"] == digest(run.parameters) != line["weights"]
    by_hand = Training(MLP)
    for epoch in range(2):
        for chosen in batches(20, 8, 0, epoch):
            by_hand, _ = trainer.step(by_hand, FEW.train_x[chosen], FEW.train_y[chosen])
    assert same(copied(by_hand), copied(run))
    assert list(trainer.epochs(run)) == []


def test_the_score_is_over_all_images():
    """More than a batch of evaluation, and no multiple of it."""
    trainer = trainer_of(data=WHOLE)
    run, _ = trainer.step(Training(MLP), WHOLE.train_x[:32], WHOLE.train_y[:32])
    right = trainer.answer(run, WHOLE.test_x).argmax(1) == WHOLE.test_y
    assert len(right) == 360 and math.isclose(trainer.score(run, WHOLE.test_x, WHOLE.test_y), 100 * right.mean(), rel_tol=1e-12)


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 9}, {"rate": 2.0}, {"schedule": "linear"}, {"warm_up": 2}, {"smoothing": 0.1},
                                    {"pad": 1}, {"flip": True}, {"epochs": 3}], ids=str)
def test_every_setting_matters(change):
    assert train(replace(MLP, **change), FEW).history[1]["weights"] != train(MLP, FEW).history[1]["weights"]


def test_augmentation_is_of_seed_and_step():
    settings = replace(MLP, pad=2, flip=True, seed=3)
    plain = trainer_of(replace(MLP, seed=3))
    augmented = trainer_of(settings)
    x, y = FEW.train_x[:8], FEW.train_y[:8]
    first, _ = augmented.step(Training(settings), x, y)
    assert same(copied(first), copied(plain.step(Training(MLP), crop_and_flip(x, 2, True, 3, 0), y)[0]))
    second, _ = augmented.step(first, x, y)
    assert same(copied(second), copied(plain.step(first, crop_and_flip(x, 2, True, 3, 1), y)[0]))
    assert np.array_equal(augmented.answer(first, x), plain.answer(first, x))  # evaluation sees the images as they are


# Where runs come from


def test_starting_from_another_run():
    first = train(MLP, FEW)
    settings = replace(MLP, method="sat-4", rate=1e-300)
    run = train(settings, FEW, start=first)
    assert run.settings.start == digest(first.parameters) and run.settings.teacher == ""
    for name, value in first.parameters.items():
        assert np.allclose(run.parameters[name], value, rtol=0, atol=1e-200), name
    assert {name for name in run.parameters if name not in first.parameters} == {"fc2.x.alpha", "fc3.x.alpha"}
    assert run.step == 6 and run.epoch == 2


def test_learning_from_a_teacher():
    teacher = train(MLP, FEW)
    settings = replace(MLP, method="n2uq-2", seed=4)
    run = train(settings, FEW, teacher=teacher)
    assert run.settings.teacher == digest(teacher.parameters)
    wrong_labels = replace(FEW, train_y=(FEW.train_y + 1) % 10)
    assert train(settings, wrong_labels, teacher=teacher).history[1]["weights"] == run.history[1]["weights"]
    assert train(settings, wrong_labels).history[1]["weights"] != run.history[1]["weights"]
    logits = trainer_of().answer(teacher, FEW.train_x[:8])
    trainer = trainer_of(settings, teacher=lambda x: logits)
    student, loss = trainer.step(Training(settings), FEW.train_x[:8], FEW.train_y[:8])
    plain = trainer_of(settings)
    assert loss != plain.step(Training(settings), FEW.train_x[:8], FEW.train_y[:8])[1]
    assert np.isfinite(float(distillation_loss(plain.answer(student, FEW.train_x[:8]), logits)))


@pytest.mark.parametrize("role", ["start", "teacher"])
def test_runs_of_another_model(role):
    other = train(replace(MLP, model="cnn", epochs=1), FEW)
    if role == "start":
        with pytest.raises(ValueError, match="start is a run of the model cnn: expected mlp"):
            train(MLP, FEW, start=other)
    else:
        assert train(MLP, FEW, teacher=other).epoch == 2


def test_a_start_with_other_images():
    wider = replace(FEW, train_x=np.pad(FEW.train_x, ((0, 0), (0, 0), (0, 2), (0, 2))),
                    test_x=np.pad(FEW.test_x, ((0, 0), (0, 0), (0, 2), (0, 2))))
    with pytest.raises(ValueError, match=r"fc1.w has shape \(128, 64\): expected \(128, 100\)"):
        train(MLP, wider, start=train(replace(MLP, epochs=1), FEW))


# Errors


@pytest.mark.parametrize("change, words", [
    ({"epochs": 0}, "epochs = 0: expected 1"), ({"batch": 1}, "batch = 1: expected 2"), ({"warm_up": -1}, "warm_up = -1: expected 0"),
    ({"pad": -1}, "pad = -1: expected 0"), ({"seed": -1}, "seed = -1: expected 0"), ({"rate": 0.0}, "rate = 0.0"),
    ({"rate": float("nan")}, "rate = nan"), ({"rate": float("inf")}, "rate = inf")], ids=str)
def test_wrong_settings(change, words):
    with pytest.raises(ValueError, match=words):
        replace(MLP, **change)


@pytest.mark.parametrize("change, words", [
    ({"model": "vgg"}, "'vgg'"), ({"schedule": "cos"}, "'cos'"), ({"smoothing": 1.5}, "smoothing = 1.5"),
    ({"smoothing": float("nan")}, "smoothing = nan"), ({"pad": 9}, "pad = 9"), ({"method": "sat-1"}, "sat-1")], ids=str)
def test_settings_that_do_not_fit(change, words):
    with pytest.raises(ValueError, match=words):
        train(replace(MLP, **change), FEW)


@pytest.mark.parametrize("shape", [(4, 1, 8, 9), (4, 1, 3, 3)])
def test_images_that_are_no_squares_or_too_small(shape):
    x, y = np.ones(shape, np.uint8), np.zeros(4, np.int64)
    with pytest.raises(ValueError, match=f"{shape[2]} x {shape[3]}"):
        trainer_of(data=Dataset("odd", x, y, x, y, 10, 16))


def test_a_loss_that_is_not_finite():
    trainer = trainer_of(replace(MLP, rate=1e300))
    run = Training(trainer.settings)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 1: expected a finite number; a lower rate may help"):
        for _ in range(10):
            run, _ = trainer.step(run, FEW.train_x[:8], FEW.train_y[:8])
    assert run.step == 1


# Digests


def test_digest():
    a = {"w": np.array([1.0, 2.0]), "b": np.array([[3.0]])}
    assert digest(a) == digest(dict(reversed(a.items())))
    assert len({digest(a), digest({"w": a["w"]}), digest(a | {"b": np.array([[3.0000000000000004]])}), digest({"v": a["w"], "b": a["b"]}),
                digest({}), digest(a | {"b": np.array([[-0.0]])}), digest(a | {"b": np.array([[0.0]])})}) == 7
