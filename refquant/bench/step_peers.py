# mypy: disable-error-code="import-not-found"
"""Who trains: each peer goes on with its own network, step after step, on one batch of random images."""
from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from refquant.bench import step
from refquant.bench.measure import Peer
from refquant.bench.rows import Case


def images(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [B, C, size, size] in 8 bits, and labels: one channel for the cnn, three for resnet20."""
    draw, given = np.random.default_rng(0), case.given
    channels = 1 if given["model"] == "cnn" else 3
    return (draw.integers(0, 256, (given["batch"], channels, given["size"], given["size"])).astype(np.uint8),
            draw.integers(0, 10, given["batch"]))


def refquant_peers(case: Case, threads: int) -> list[Peer]:
    return [Peer(step.OURS, "", lambda: refquant_step(case))]


def refquant_step(case: Case) -> Callable[[], object]:
    from refquant.training import Settings, Trainer, Training, recipe
    from refquant.training.data import Dataset

    x, y = images(case)
    settings = Settings(case.given["method"], model=case.given["model"], batch=case.given["batch"])
    trainer = Trainer(settings, recipe(settings.method), Dataset("random", x, y, x, y, 10, 255))
    training = Training(settings)

    def call() -> None:
        nonlocal training
        training, _ = trainer.step(training, x, y)
    return call


def torch_peers(case: Case, threads: int) -> list[Peer]:
    return [Peer(step.torch_peer(kind, layout), step.OURS, functools.partial(torch_step, case, kind, layout, threads))
            for kind in step.KINDS for layout in step.LAYOUTS]


def torch_step(case: Case, kind: str, layout: str, threads: int) -> Callable[[], object]:
    import torch

    from refquant.bench.torch_methods import METHODS, Real
    from refquant.bench.torch_networks import network

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    pixels, labels = images(case)
    x = torch.from_numpy(pixels.astype(np.float32) / 255).contiguous(memory_format=memory)
    y = torch.from_numpy(labels)
    method = Real() if kind == "float32" else METHODS[case.given["method"]](kind == "quantized")
    model = network(case.given["model"], case.given["size"], method).to(memory_format=memory)
    model(x)  # learned clips are there from the first pass on
    weights = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    clips = torch.optim.Adam(method.clips, lr=1e-5) if method.clips else None

    def call() -> float:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        weights.zero_grad()
        if clips is not None:
            clips.zero_grad()
        loss.backward()
        weights.step()
        if clips is not None:
            clips.step()
        return float(loss)
    return call


PEERS = {"refquant": refquant_peers, "torch": torch_peers}
