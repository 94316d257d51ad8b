"""Products of 8-bit integers: shapes [M, K] x [K, N], and what is drawn from their times.

The fifteen: cubes from 64 to 2048, a ResNet's convolutions as products, and the linear layers of a small network.
Besides them a small cube, a batch of one, and 16-bit by 8-bit codes into exact 64-bit sums.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refquant.bench.plan import Plan
from refquant.bench.rows import FASTER, Case, Figure, Table
from refquant.bench.timing import geometric_mean

LIBRARIES = ("refquant", "torch", "onnxruntime", "numpy")

CUBES = {f"{n} x {n} x {n}": (n, n, n) for n in (64, 128, 256, 512, 1024, 2048)}
FIFTEEN = CUBES | {
    "conv 1x1 64->64, 56x56": (64, 64, 3136), "conv 3x3 64->64, 56x56": (64, 576, 3136),
    "conv 3x3 128->128, 28x28": (128, 1152, 784), "conv 3x3 256->256, 14x14": (256, 2304, 196),
    "conv 3x3 512->512, 7x7": (512, 4608, 49), "conv 7x7 3->64, 112x112": (64, 147, 12544),
    "linear 784->256, batch 128": (128, 784, 256), "linear 256->10, batch 128": (128, 256, 10),
    "its weight gradient, 784 x 128 x 256": (784, 128, 256)}
SMALL, ONE = "32 x 32 x 32", "linear 784->256, batch 1"
OTHERS = {SMALL: (32, 32, 32), ONE: (1, 784, 256)}
WIDE = "512 x 512 x 512, int16 x int8 to int64"
QUICK = ("64 x 64 x 64", "256 x 256 x 256")

S8, U8, S16 = "refquant s8*s8", "refquant u8*s8", "refquant s16*s8"
TORCH, RUNTIME_S8 = "torch._int_mm s8*s8", "onnxruntime s8*s8"
RUNTIME_U8, RUNTIME_CONSTANT = "onnxruntime u8*s8", "onnxruntime u8*s8, constant B"
FLOAT64, INT32, TORCH_FLOAT32 = "NumPy float64 and conversions", "NumPy int32", "torch float32"


def cases(quick: bool) -> list[Case]:
    chosen = {name: FIFTEEN[name] for name in QUICK} if quick else OTHERS | FIFTEEN
    found = [_case(name, shape, 8) for name, shape in chosen.items()]
    return found if quick else [*found, _case(WIDE, (512, 512, 512), 16)]


def _case(name: str, shape: tuple[int, int, int], bits: int) -> Case:
    m, k, n = shape
    return Case(name, m * k * n / 1e9, "GMAC/s", {"shape": shape, "bits": bits})


def figures(table: Table, machine: dict[str, Any], plan: Plan) -> Iterator[Figure]:
    section = FASTER
    against_torch = table.ratios(FIFTEEN, S8, TORCH)
    if against_torch:
        yield Figure(section, f"s8*s8 / torch._int_mm, worst of {len(against_torch)} shapes", min(against_torch))
    for case in (*CUBES, ONE):
        ratio = table.ratio(case, S8, TORCH)
        if ratio is not None:
            yield Figure(section, f"s8*s8 / torch._int_mm, {case}", ratio)
    for ours, peer, what in ((S8, TORCH, "s8*s8 / torch._int_mm"), (U8, RUNTIME_U8, "u8*s8 / onnxruntime, dynamic B"),
                             (U8, RUNTIME_CONSTANT, "u8*s8 / onnxruntime, constant B"),
                             (S8, RUNTIME_S8, "s8*s8 / onnxruntime"), (S8, FLOAT64, "s8*s8 / float64 product")):
        ratios = table.ratios(FIFTEEN, ours, peer)
        if ratios:
            yield Figure(section, f"{what}, geometric mean of {len(ratios)} shapes", geometric_mean(ratios))
    for case, ours in (("1024 x 1024 x 1024", S8), (WIDE, S16)):
        ratio = table.ratio(case, ours, FLOAT64)
        if ratio is not None:
            yield Figure(section, f"{ours.removeprefix('refquant ')} / float64 product, {case}", ratio)
    yield from _shares_of_peak(table, machine, plan.threads)


def _shares_of_peak(table: Table, machine: dict[str, Any], threads: int) -> Iterator[Figure]:
    """A share may exceed 100 % where a kernel has a better instruction than the one whose peak was measured."""
    if not machine["peak"]:
        return
    section = f"share of the peak of {machine['peak']['instruction']}, {threads} thread(s)"
    for case, (m, k, n) in FIFTEEN.items():
        row = table.row(case, S8)
        if row is not None and m * k * n >= 512**3:
            yield Figure(section, case, 100 * row.rate / (threads * machine["peak"]["gmac_per_second"]), "%")
