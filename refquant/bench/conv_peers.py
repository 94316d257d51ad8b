# mypy: disable-error-code="import-not-found"
"""Who convolves: ours in integers, torch in float32 in both memory layouts, ONNX Runtime in integers forward alone.

All kernels are 3 x 3, of stride 1 and padding 1. Torch is asked for its convolution and the backward function behind
its automatic differentiation, whose own bookkeeping is so left out. Its sums of these integers are exact in float32.
"""
from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from refquant.bench import conv
from refquant.bench.measure import Peer, nothing, whole
from refquant.bench.rows import Case
from refquant.gemm import Geometry, conv_input_gradient, conv_weight_gradient
from refquant.gemm import conv as convolution


def operands(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x [B, C, H, W], w [O, C/groups, 3, 3], and the output gradient [B, O, H, W], int8."""
    images, inputs, outputs, size, groups = case.given["layer"]
    draw = np.random.default_rng(zlib.crc32(repr(case.given["layer"]).encode()))
    shapes = (images, inputs, size, size), (outputs, inputs // groups, 3, 3), (images, outputs, size, size)
    x, w, g = (draw.integers(-128, 128, shape).astype(np.int8) for shape in shapes)
    return x, w, g


def together(answers: Any) -> np.ndarray:
    """Output and gradients as one array."""
    return np.concatenate([np.asarray(answer).reshape(-1) for answer in answers])


def refquant_peers(case: Case, threads: int) -> list[Peer]:
    x, w, g = operands(case)
    geometry, size = Geometry(padding=1, groups=case.given["layer"][-1]), (x.shape[2], x.shape[3])

    def forward() -> Any:
        return convolution(x, w, geometry)[0],

    def all_three() -> Any:
        return (convolution(x, w, geometry)[0], conv_input_gradient(g, w, size, geometry)[0],
                conv_weight_gradient(x, g, (3, 3), geometry)[0])
    return [Peer(conv.OURS, "", lambda: all_three if case.given["whole"] else forward, together)]


def torch_peers(case: Case, threads: int) -> list[Peer]:
    import torch

    torch.set_num_threads(threads)
    groups = case.given["layer"][-1]

    def peer(layout: str) -> Peer:
        def prepare() -> Callable[[], Any]:
            memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
            x, w, g = (torch.from_numpy(array).float().contiguous(memory_format=memory) for array in operands(case))

            @torch.no_grad()
            def forward() -> Any:
                return torch.nn.functional.conv2d(x, w, padding=1, groups=groups),

            @torch.no_grad()
            def all_three() -> Any:
                return (*forward(), *torch.ops.aten.convolution_backward(
                    g, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], groups, [True, True, False])[:2])
            return all_three if case.given["whole"] else forward
        return Peer(conv.TORCH[layout], conv.OURS, prepare,
                    lambda answers: whole(together(answer.contiguous() for answer in answers)))
    return [peer(layout) for layout in conv.LAYOUTS]


def onnxruntime_peers(case: Case, threads: int) -> list[Peer]:
    from refquant.bench.onnx_model import session

    if case.given["whole"]:
        return []
    x, w, _ = operands(case)

    def peer(name: str, x: np.ndarray, w: np.ndarray, integers: Callable[[Any], np.ndarray | None]) -> Peer:
        def prepare() -> Callable[[], Any]:
            run = session("ConvInteger", {"x": x, "w": w}, ("w",), threads, pads=[1, 1, 1, 1],
                          group=case.given["layer"][-1]).run
            return lambda: run(None, {"x": x})
        return Peer(name, conv.OURS, prepare, integers)
    return [peer(conv.RUNTIME_S8, x, w, together),
            peer(conv.RUNTIME_U8, x.view(np.uint8), w.view(np.uint8), nothing)]  # other operands, other answers


PEERS = {"refquant": refquant_peers, "torch": torch_peers, "onnxruntime": onnxruntime_peers}
