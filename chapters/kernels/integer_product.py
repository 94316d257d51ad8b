"""The cases of products of 8-bit codes, and the matrix products among them as the one product they are.

    gemm.forward   a @ b        gemm.dx   g @ w^T        gemm.dw   x^T @ g

A uint8 code is the int8 code 128 below it with a zero point 128 lower, and so the other way: `signed` and `unsigned`.
"""
import numpy as np

from refquant.golden import Unsupported

MATRICES = {"gemm.forward": ("a", "b"), "gemm.dx": ("g", "w"), "gemm.dw": ("x", "g")}
TRANSPOSED = {("gemm.dx", "w"), ("gemm.dw", "x")}


def operands(case, names=MATRICES):
    """((codes, zero point), (codes, zero point)) of a product in 32 bits that wrap; matrices are [M, K] and [K, N].

    names : the operands of each operation that is supported.
    """
    if case.op not in names:
        raise Unsupported(f"operation {case.op}")
    for key, value in (("accumulator_bits", 32), ("accumulator_overflow", "wrap")):
        if case.attrs[key] != value:
            raise Unsupported(f"{key} {case.attrs[key]!r}: this engine has {value!r}")
    return [operand(case, name) for name in names[case.op]]


def operand(case, name):
    """(codes, zero point) of one operand, transposed where the product takes it so."""
    codes = case.inputs[name]
    if codes.dtype not in (np.int8, np.uint8):
        raise Unsupported(f"{name} of {codes.dtype}: this engine has int8 and uint8")
    codes = np.ascontiguousarray(codes.T) if (case.op, name) in TRANSPOSED else codes
    return codes, case.attrs[f"{name}_zero_point"]


def only(case, *flavours):
    """Raise Unsupported for a case of another flavour."""
    if case.attrs["flavour"] not in flavours:
        raise Unsupported(f"flavour {case.attrs['flavour']!r}: this engine has {', '.join(map(repr, flavours))}")


def signed(codes, zero_point):
    """The same values as int8 codes."""
    return (codes, zero_point) if codes.dtype == np.int8 else ((codes ^ 0x80).view(np.int8), zero_point - 128)


def unsigned(codes, zero_point):
    """The same values as uint8 codes."""
    return (codes, zero_point) if codes.dtype == np.uint8 else (codes.view(np.uint8) ^ 0x80, zero_point + 128)
