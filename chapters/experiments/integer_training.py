"""Training in integers from start to end: what the whole-step vectors are cut from, and how far it gets.

    python chapters/experiments/integer_training.py [METHOD...] [--steps 400] [--batch 16] [--seeds 1]

Each step is `refquant.hardware.step`: codes, accumulators, scales, momenta and master weights are all integers. Tested
on the digits that training never draws, in batches of 64; Range BN takes the statistics of the test batch.
"""
from __future__ import annotations

import argparse
import sys

import numpy as np

from refquant.data import digits
from refquant.hardware.step import training
from refquant.hardware.step.method import Method
from refquant.hardware.step.network import LAST
from refquant.hardware.step.progress import Arrays, Progress
from refquant.hardware.step.run import forward
from refquant.progress import Progress as Bar

RATE = 200  # 0.05 in 2^-12
TEST_BATCH = 64


def accuracy(method: Method, state: Arrays) -> float:
    """Per cent of the test digits that get the right label."""
    x, y = digits()
    x, y = (x[training.TRAINED_ON:, None] * training.GRAY).astype(np.uint8), y[training.TRAINED_ON:]
    count, right = len(x) // TEST_BATCH * TEST_BATCH, 0
    for first in range(0, count, TEST_BATCH):
        part = slice(first, first + TEST_BATCH)
        progress = Progress(0, 0, training.constants(method, TEST_BATCH), {}, dict(state))
        forward(method, progress, x[part])
        right += int((progress.tensors[f"{LAST}_acc"].argmax(1) == y[part]).sum())
    return 100 * right / count


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the five methods in integers; print their test accuracy.")
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=", ".join(training.METHODS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=16, help="images a step")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    unknown = sorted(set(options.methods) - set(training.METHODS))
    if unknown:
        parser.error(f"method {unknown[0]!r}: expected some of {', '.join(training.METHODS)}")
    if options.steps < 1 or options.seeds < 1 or options.batch < 2:
        parser.error("expected 1 or more steps and seeds, and batches of at least 2 images")
    print(f"{'method':10} {'accuracy':>8}  of {options.steps} steps of {options.batch} images, a seed each")
    with Bar("step") as bar:
        names = options.methods or list(training.METHODS)
        bar.total(len(names) * options.seeds * options.steps)
        for name in names:
            method, found = training.METHODS[name], []
            for seed in range(options.seeds):
                state = training.train(method, training.first_state(method, seed), batch=options.batch, seed=seed,
                                       start=0, count=options.steps, rate=RATE, learned_rate=method.learned_rate,
                                       done=bar.step)
                found.append(accuracy(method, state))
            bar.say(f"{name:10} {np.mean(found):7.2f} %  " + " ".join(f"{score:.2f}" for score in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
