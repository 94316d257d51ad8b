"""Who multiplies matrices of integers. All are given the same operands, codes drawn evenly over their formats.

Where operands are unsigned by signed, ONNX Runtime adds pairs of products that saturate at 16 bits, on x86 processors
without VNNI: its answers then differ. Torch has no kernel for 8 bits there; its plain loop, like NumPy's for integers,
is asked for small products alone. NumPy's float64 product includes converting operands and result; it is exact.
"""
# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from refquant.bench import gemm
from refquant.bench.measure import Peer
from refquant.bench.rows import Case
from refquant.bench.timing import shot
from refquant.gemm import matmul, path
from refquant.integers import Accumulator

SLOW = 256**3  # multiplications above which those who have no fast kernel are not asked


def operands(case: Case) -> dict[str, np.ndarray]:
    m, k, n = case.given["shape"]
    draw = np.random.default_rng(zlib.crc32(case.name.encode()))
    a, b = draw.integers(-128, 128, (m, k)).astype(np.int8), draw.integers(-128, 128, (k, n)).astype(np.int8)
    return {"s8": a, "u8": a.view(np.uint8), "s16": draw.integers(-(1 << 15), 1 << 15, (m, k)).astype(np.int16), "b": b}


def refquant_peers(case: Case, threads: int) -> list[Peer]:
    given = operands(case)

    def peer(name: str, kind: str, accumulator: Accumulator) -> Peer:
        a, b = given[kind], given["b"]
        return Peer(name, "", lambda: lambda: matmul(a, b, accumulator=accumulator), lambda answer: answer[0],
                    lambda: path(a, b, accumulator=accumulator))

    if case.given["bits"] == 16:
        return [peer(gemm.S16, "s16", Accumulator(64))]
    return [peer(gemm.S8, "s8", Accumulator(32)), peer(gemm.U8, "u8", Accumulator(32))]


def torch_peers(case: Case, threads: int) -> list[Peer]:
    import torch

    if case.given["bits"] == 16:
        return []
    torch.set_num_threads(threads)
    given = {name: torch.from_numpy(array) for name, array in operands(case).items()}
    s8, b = given["s8"], given["b"]

    def in_reals() -> Callable[[], Any]:
        x, y = s8.float(), b.float()
        return lambda: torch.mm(x, y)

    found = [Peer(gemm.TORCH_FLOAT32, gemm.S8, in_reals)]
    if s8.numel() * b.shape[1] <= SLOW or torch_has_a_kernel():
        found.insert(0, Peer(gemm.TORCH, gemm.S8, lambda: lambda: torch._int_mm(s8, b), lambda answer: answer.numpy()))
    return found


@functools.cache
def torch_has_a_kernel() -> bool:
    """Whether its product of 128 x 128 x 128 takes less than 0.5 ms, as no plain loop does."""
    import torch

    x = torch.ones((128, 128), dtype=torch.int8)
    torch._int_mm(x, x)
    return min(shot(lambda: torch._int_mm(x, x), 1) for _ in range(5)) < 5e-4


def onnxruntime_peers(case: Case, threads: int) -> list[Peer]:
    from refquant.bench.onnx_model import session

    if case.given["bits"] == 16:
        return []
    given = operands(case)

    def peer(name: str, against: str, kind: str, constant: bool) -> Peer:
        def prepare() -> Callable[[], Any]:
            run = session("MatMulInteger", {"a": given[kind], "b": given["b"]}, ("b",) if constant else (), threads).run
            feed = {"a": given[kind]} if constant else {"a": given[kind], "b": given["b"]}
            return lambda: run(None, feed)
        return Peer(name, against, prepare, lambda answer: answer[0])

    return [peer(gemm.RUNTIME_U8, gemm.U8, "u8", False), peer(gemm.RUNTIME_CONSTANT, gemm.U8, "u8", True),
            peer(gemm.RUNTIME_S8, gemm.S8, "s8", False)]


def numpy_peers(case: Case, threads: int) -> list[Peer]:
    given = operands(case)
    wide = case.given["bits"] == 16
    a, b, out = given["s16" if wide else "s8"], given["b"], np.int64 if wide else np.int32
    found = [Peer(gemm.FLOAT64, gemm.S16 if wide else gemm.S8,
                  lambda: lambda: (a.astype(np.float64) @ b.astype(np.float64)).astype(out), lambda answer: answer)]
    if not wide and a.size * b.shape[1] <= SLOW:
        found.append(Peer(gemm.INT32, gemm.S8, lambda: lambda: a.astype(np.int32) @ b.astype(np.int32),
                          lambda answer: answer))
    return found


PEERS = {"refquant": refquant_peers, "torch": torch_peers, "onnxruntime": onnxruntime_peers, "numpy": numpy_peers}
