"""What a thread of this machine could do at most: its clock, and its multiply-add instruction.

    clock   additions that each need the one before, one a cycle                    additions / second
    peak    multiply-add instructions on registers, none needing another's result   instructions * products / second

Both are the best of many bursts of about 0.1 ms, since noise only makes them slower. The instruction is the widest of
those that Numba compiles for; its peak counts products of 8-bit integers, or of 16-bit ones where there is no
instruction for 8 bits that cannot saturate. Measured on x86-64 alone.
"""
from __future__ import annotations

import time
from collections.abc import Callable

from llvmlite import binding, ir
from numba import njit, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

BURSTS, PASSES, UNROLLED = 300, 1000, 96
TOLD = ("sse2", "sse4.1", "avx", "avx2", "fma", "avxvnni", "avxvnniint8", "avx512f", "avx512bw", "avx512vnni", "neon",
        "dotprod", "i8mm")
MULTIPLY_ADDS = (  # feature, instruction, how it is written, registers that it may fill, products
    ("avx512vnni", "vpdpbusd on 512 bits", "vpdpbusd %zmm31, %zmm30, %zmm{}", 24, 64),
    ("avxvnni", "vpdpbusd on 256 bits", "{{vex}} vpdpbusd %ymm15, %ymm14, %ymm{}", 12, 32),
    ("avx512bw", "vpmaddwd on 512 bits", "vpmaddwd %zmm31, %zmm30, %zmm{}", 24, 32),
    ("avx2", "vpmaddwd on 256 bits", "vpmaddwd %ymm15, %ymm14, %ymm{}", 12, 16),
    ("sse2", "pmaddwd on 128 bits", "pmaddwd %xmm15, %xmm{}", 12, 8))


def compiled_for() -> tuple[str, list[str]]:
    """``(processor, instruction sets)`` that Numba compiles for, which need not be the ones that the processor has."""
    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    has = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    return name, [feature for feature in TOLD if feature in has]


def peak() -> dict[str, object] | None:
    """The clock in GHz, the instruction, and its peak in GMAC/s for one thread; None where this cannot be measured."""
    _, features = compiled_for()
    fitting = [row for row in MULTIPLY_ADDS if row[0] in features]
    if "x86_64" not in binding.get_process_triple() or not fitting:
        return None
    binding.initialize_native_asmparser()
    _, instruction, written, registers, products = fitting[0]
    adds = _best("\n".join(["addq %rcx, %rax"] * UNROLLED), "~{rax},~{rcx}")
    filled = ",".join(f"~{{xmm{i}}}" for i in range(16 if registers < 16 else 32))
    multiplies = _best("\n".join(written.format(i % registers) for i in range(UNROLLED)), filled)
    return {"clock_ghz": adds / 1e9, "instruction": instruction, "gmac_per_second": multiplies * products / 1e9}


def _best(instructions: str, fills: str) -> float:
    """The most of these ``instructions`` that were done in a second."""
    burst = _burst(instructions, fills)
    burst(1)
    seconds = []
    for _ in range(BURSTS):
        start = time.perf_counter()
        burst(PASSES)
        seconds.append(time.perf_counter() - start)
    return PASSES * UNROLLED / min(seconds)


def _burst(instructions: str, fills: str) -> Callable[[int], int]:
    """A compiled function that runs the instructions as often as it is told."""
    @intrinsic
    def passes(context, times):
        def generate(target, builder, signature, arguments):
            long = ir.IntType(64)
            loop = f"1:\n{instructions}\nsubq $$1, $0\njne 1b\n"
            return builder.asm(ir.FunctionType(long, [long]), loop, f"=r,0,{fills},~{{flags}}", arguments, True)
        return types.int64(types.int64), generate

    @njit
    def burst(times):
        return passes(times)  # type: ignore[call-arg]
    return burst
