"""`refquant train` and `refquant compare`."""
from __future__ import annotations

import argparse
from pathlib import Path

from refquant.commands.arguments import EXIT_CODES, count, count_or_none, positive, seed
from refquant.progress import Progress

MODELS = ("mlp", "cnn", "resnet20", "preresnet20", "mobilenet", "edsr")
SCHEDULES = ("constant", "step", "cosine", "linear")
SHARED = ("variant", "data", "model", "epochs", "batch", "rate", "schedule", "warm_up", "smoothing", "pad", "flip")


def add(commands) -> None:
    """Add both commands to the parser's ``commands``."""
    raw = argparse.RawDescriptionHelpFormatter
    train = commands.add_parser(
        "train", help="train a network by one method", epilog=EXIT_CODES, formatter_class=raw,
        description="METHOD: float, banner-8, banner-4 (4-bit gradients), sat-8 to sat-2, n2uq-8 to n2uq-2,\n"
                    "hindsight-8, int4-4, int4-5; without bits, the paper's usual ones. banner, hindsight\n"
                    "and int4 take +hindsight, +running or +current for how they find ranges: banner-8+hindsight.")
    train.add_argument("method", metavar="METHOD")
    _shared(train)
    train.add_argument("--seed", type=seed, default=0, metavar="N", help="of weights, order and rounding (default 0)")
    train.add_argument("--out", metavar="DIR", help="where the log and a checkpoint an epoch are kept")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, if there is one")
    train.set_defaults(run=_train)

    compare = commands.add_parser(
        "compare", help="one table: full precision and every method", epilog=EXIT_CODES, formatter_class=raw,
        allow_abbrev=False,  # or --seed would be --seeds
        description="Train each METHOD (all of them when none is named) with several seeds; print their test scores.")
    compare.add_argument("methods", nargs="*", metavar="METHOD")
    _shared(compare)
    compare.add_argument("--seeds", type=count, default=3, metavar="N", help="seeds 0 to N - 1 (default 3)")
    compare.add_argument("--out", metavar="DIR", help="where runs and the table are kept; those done are reused")
    compare.set_defaults(run=_compare)


def _shared(command: argparse.ArgumentParser) -> None:
    """What one run and a comparison of many are told alike."""
    command.add_argument("--data", default="digits", metavar="digits|PATH",
                         help="the embedded digits, or a directory of MNIST (idx) or CIFAR-10 files")
    command.add_argument("--model", choices=MODELS, default="cnn", help="(default cnn)")
    command.add_argument("--variant", choices=("paper", "authors"), default="paper",
                         help="as in the paper, or as in its authors' code")
    command.add_argument("--epochs", type=count, default=30, metavar="N", help="(default 30)")
    command.add_argument("--batch", type=count, default=64, metavar="N", help="images a step (default 64)")
    command.add_argument("--rate", type=positive, default=1.0, metavar="X", help="times the method's learning rates")
    command.add_argument("--schedule", choices=SCHEDULES, default="cosine", help="of rates (default cosine)")
    command.add_argument("--warm-up", type=count_or_none, default=0, metavar="STEPS", help="steps of rising rate")
    command.add_argument("--smoothing", type=float, default=0.0, metavar="X", help="of labels, 0 to 1")
    command.add_argument("--pad", type=count_or_none, default=0, metavar="N", help="random crops of images padded by N")
    command.add_argument("--flip", action="store_true", help="mirror images at random")
    command.add_argument("--start", metavar="DIR", help="begin with the weights of the run in DIR")
    command.add_argument("--teacher", metavar="DIR", help="learn what the run in DIR answers, in place of the labels")
    command.add_argument("--plot", metavar="FILE", help="a plot, .svg or .png (needs the extra `book`)")


def _train(options: argparse.Namespace) -> int:
    from refquant.errors import RefquantError
    from refquant.memory import keep_memory
    from refquant.training import checkpoints, plots
    from refquant.training.compare import train

    keep_memory()
    if options.plot:
        plots.check(options.plot)
    settings, data = _settings(options, options.method, options.seed), _data(options)
    directory = None if options.out is None else Path(options.out)
    if options.resume and directory is None:
        raise RefquantError("--resume: expected --out DIR, where the checkpoint is")
    if directory is not None and not options.resume and (directory / checkpoints.CHECKPOINT).exists():
        raise RefquantError(f"--out {directory}: holds a run already: --resume goes on with it, or name another")
    with Progress("step") as progress:
        progress.total(_steps(settings, data))

        def epoch(training) -> None:
            line = training.history[-1]
            progress.scored(line["score"], line["unit"])
            progress.say(f"epoch {line['epoch']:3}  loss {line['loss']:.4f}  test {line['score']:.2f} {line['unit']}")

        training = _mendable(lambda: train(settings, data, directory, options.resume, **_origins(options),
                                           step=progress.loss, epoch=epoch))
    last = training.history[-1]
    print(f"{settings.method}: test {last['score']:.2f} {last['unit']}, weights {last['weights'][:16]}")
    if options.plot:
        plots.curves({settings.method: training.history}, options.plot)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from refquant.memory import keep_memory
    from refquant.training import plots
    from refquant.training.compare import Row, save, table, train
    from refquant.training.methods import COMPARED

    keep_memory()
    if options.plot:
        plots.check(options.plot)
    data, origins = _data(options), _origins(options)
    runs = [[_settings(options, method, number) for number in range(options.seeds)]
            for method in dict.fromkeys(options.methods or COMPARED)]
    root, rows, unit = None if options.out is None else Path(options.out), [], ""
    with Progress("step") as progress:
        def scored(training) -> None:
            progress.scored(training.history[-1]["score"], training.history[-1]["unit"])

        progress.total(sum(_steps(settings, data) for seeds in runs for settings in seeds))
        for seeds in runs:
            done = []
            for settings in seeds:
                directory = None if root is None else root / f"{settings.method}-seed{settings.seed}"
                done.append(_mendable(lambda s=settings, d=directory: train(s, data, d, True, **origins,
                                                                            step=progress.loss, epoch=scored)))
            rows.append(Row(seeds[0].method, tuple(training.history[-1]["score"] for training in done)))
            unit = done[0].history[-1]["unit"]
            progress.say(f"{rows[-1].method}: {rows[-1].mean:.2f}")
    print(table(rows, unit), end="")
    if root is not None:
        save(rows, asdict(runs[0][0]), root / "compare.json")
    if options.plot:
        plots.bars({row.method: row.scores for row in rows}, unit, options.plot)
    return 0


def _settings(options: argparse.Namespace, method: str, number: int):
    """The settings of a run; wrong ones are an error before any work is done."""
    from refquant.training.loop import Settings
    from refquant.training.methods import recipe

    shared = {name: getattr(options, name) for name in SHARED}
    return _mendable(lambda: Settings(recipe(method, options.variant).name, seed=number, **shared))


def _data(options: argparse.Namespace):
    from refquant.training.data import load

    return load(options.data)


def _origins(options: argparse.Namespace) -> dict:
    """The runs to start from and to learn from."""
    from refquant.training import checkpoints

    return {name: checkpoints.read(Path(path)) for name in ("start", "teacher") if (path := getattr(options, name))}


def _steps(settings, data) -> int:
    from refquant.training.data import steps

    return settings.epochs * steps(len(data.train_x), settings.batch)


def _mendable(work):
    """``work()``; what a user can mend about it is an error of one line."""
    from refquant.errors import RefquantError

    try:
        return work()
    except (ValueError, FloatingPointError) as error:
        if isinstance(error, RefquantError):
            raise
        raise RefquantError(str(error)) from None
