"""How long a training step takes here, and the same network's in torch with its fake quantization.

    python chapters/experiments/step_speed.py [--size 28] [--batch 64] [--threads 1] [--rounds 5]

The network is the model `cnn`; the images are random. Every peer runs in a process of its own, the peers in turns, and
the ratios are of medians over all rounds. Peers:

    refquant hindsight-8   weights, activations and gradients in 8 bits, integer products, float64 between them
    refquant float         the same network in float64, with the products that are the same on every machine
    torch W8 A8 G8         float32; fake_quantize_per_tensor_affine for weights and activations, gradients rounded
                           stochastically, all on their current ranges
    torch W8 A8            weights and activations only
    torch float32          no quantization

Needs torch (the extra `bench`). Last, where a refquant step spends its time, by the profiler.
"""
from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np

PEERS = ("refquant hindsight-8", "refquant float", "torch W8 A8 G8", "torch W8 A8", "torch float32")
STEPS, WARM_UP = 12, 3


def main() -> None:
    options = arguments()
    if options.peer:
        step = refquant_step(options) if options.peer.startswith("refquant") else torch_step(options)
        print(" ".join(f"{seconds:.6f}" for seconds in timed(step)))
        return
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for peer in PEERS:
            times[peer] += in_its_own_process(peer, options)
    fastest = statistics.median(times[PEERS[0]])
    print(f"cnn, {options.batch} images of {options.size} x {options.size}, {options.threads} thread(s), "
          f"{options.rounds} rounds of {STEPS} steps")
    print(f"{'peer':22} {'median ms':>10} {'best ms':>9}  its median / that of {PEERS[0]}")
    for peer, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{peer:22} {1e3 * median:10.2f} {1e3 * min(seconds):9.2f}  {median / fastest:.2f}")
    print(f"\nwhere a step of {PEERS[0]} goes, by the profiler (which slows small calls down)")
    options.peer = PEERS[0]
    for place, share in where(refquant_step(options)):
        print(f"{100 * share:5.1f} %  {place}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A training step here and in torch.")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_its_own_process(peer: str, options: argparse.Namespace) -> list[float]:
    """The seconds of each step of ``peer``."""
    import os

    threads = str(options.threads)
    environment = os.environ | {"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    command = [sys.executable, __file__, "--peer", peer, "--size", str(options.size), "--batch", str(options.batch),
               "--threads", threads]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(part) for part in done.stdout.split()]


def timed(step: Callable[[], object]) -> list[float]:
    for _ in range(WARM_UP):
        step()
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


def images(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return (draw.integers(0, 256, (options.batch, 1, options.size, options.size)).astype(np.uint8),
            draw.integers(0, 10, options.batch))


def refquant_step(options: argparse.Namespace) -> Callable[[], object]:
    from refquant.training import Settings, Trainer, Training, recipe
    from refquant.training.data import Dataset

    x, y = images(options)
    settings = Settings(options.peer.split()[1], batch=options.batch)
    trainer = Trainer(settings, recipe(settings.method), Dataset("random", x, y, x, y, 10, 255))
    training = Training(settings)

    def step() -> None:
        nonlocal training
        training, _ = trainer.step(training, x, y)
    return step


def torch_step(options: argparse.Namespace) -> Callable[[], object]:
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    activations, gradients = "A8" in options.peer, "G8" in options.peer

    def fake(x, signed: bool):
        """On the current range: symmetric for weights, holding 0 for activations."""
        if signed:
            scale = x.detach().abs().max() / 127
            return torch.fake_quantize_per_tensor_affine(x, scale, torch.zeros((), dtype=torch.int32), -128, 127)
        low, high = x.detach().min().clamp(max=0), x.detach().max().clamp(min=0)
        scale = (high - low) / 255
        return torch.fake_quantize_per_tensor_affine(x, scale, (-low / scale).round().to(torch.int32), 0, 255)

    class Rounded(torch.autograd.Function):
        """Itself; its gradient on 8 bits, rounded stochastically."""

        @staticmethod
        def forward(context, x):
            return x.view_as(x)

        @staticmethod
        def backward(context, g):
            low, high = g.min().clamp(max=0), g.max().clamp(min=0)
            scale = (high - low).clamp(min=1e-30) / 255
            zero = (-low / scale).round()
            codes = torch.clamp(torch.floor(g / scale + zero + torch.rand_like(g)), 0, 255)
            return (codes - zero) * scale

    def product(layer, x):
        if not activations:
            return layer(x)
        w, x = fake(layer.weight, True), fake(x, False)
        y = (functional.conv2d(x, w, layer.bias, padding=1) if isinstance(layer, nn.Conv2d)
             else functional.linear(x, w, layer.bias))
        return Rounded.apply(y) if gradients else y

    left = options.size // 4
    conv1, conv2 = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.Conv2d(16, 32, 3, padding=1, bias=False)
    fc1, fc2 = nn.Linear(32 * left * left, 64, bias=False), nn.Linear(64, 10)
    bn1, bn2, bn3 = nn.BatchNorm2d(16), nn.BatchNorm2d(32), nn.BatchNorm1d(64)
    layers = nn.ModuleList([conv1, conv2, fc1, fc2, bn1, bn2, bn3]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    pixels, labels = images(options)
    x = torch.from_numpy(pixels.astype(np.float32) / 255).to(memory_format=torch.channels_last)
    y = torch.from_numpy(labels)

    def step() -> None:
        inner = functional.max_pool2d(functional.relu(bn1(product(conv1, x))), 2)
        inner = functional.max_pool2d(functional.relu(bn2(product(conv2, inner))), 2).flatten(1)
        inner = functional.relu(bn3(product(fc1, inner)))
        loss = functional.cross_entropy(product(fc2, inner), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        float(loss)
    return step


PLACES = (  # the first part of a file's path that fits names what its own lines do
    ("refquant/gemm/kernels", "integer products (Numba)"), ("refquant/gemm", "gathering windows, checking operands"),
    ("refquant/reals/kernels", "float64 products (Numba)"), ("refquant/reals", "sums in a fixed order, exp and log"),
    ("refquant/integers/randombits", "random bits (Philox)"), ("refquant/integers/stochastic", "stochastic rounding"),
    ("refquant/integers", "rounding, Fixed tensors"), ("refquant/quantizers", "quantizers"),
    ("refquant/autodiff", "other ops: norm, pooling, ReLU, loss"), ("refquant/training", "layers, optimizer, loop"))


def where(step: Callable[[], object]) -> list[tuple[str, float]]:
    """Shares of a step's time, largest first; NumPy's own functions count for the file that calls them."""
    for _ in range(WARM_UP):
        step()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(STEPS):
        step()
    profiler.disable()
    spent: dict[str, float] = defaultdict(float)
    for function, (_, _, own, _, callers) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        if place(function[0]):
            spent[place(function[0])] += own
        else:
            for caller, (_, _, share, _) in callers.items():
                spent[place(caller[0]) or "NumPy and Python, called by each other"] += share
    whole = sum(spent.values())
    return sorted(((name, seconds / whole) for name, seconds in spent.items()), key=lambda part: -part[1])


def place(path: str) -> str:
    return next((says for part, says in PLACES if part in path.replace("\\", "/")), "")


if __name__ == "__main__":
    main()
