"""The one entry point of the integer matrix product, and the one place where a kernel is chosen."""
from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike

from refquant.gemm.reference import reference_matmul
from refquant.integers.accumulator import Accumulator, least_safe_bits
from refquant.integers.formats import as_int64, as_integers

INT32_WRAP = Accumulator(32, "wrap")

ZeroPoint = int | np.ndarray
NARROW = frozenset(np.dtype(t) for t in (np.int8, np.uint8, np.int16, np.uint16))


def matmul(a: ArrayLike, b: ArrayLike, *, a_zero_point: ArrayLike = 0, b_zero_point: ArrayLike = 0,
           bias: ArrayLike | None = None, accumulator: Accumulator = INT32_WRAP) -> tuple[np.ndarray, np.ndarray]:
    """``(a - a_zero_point) @ (b - b_zero_point) + bias`` in ``accumulator``.

    a, b : integers of at most 16 bits, [M, K] and [K, N].
    a_zero_point : one integer of at most 16 bits, or one for each row of ``a`` [M].
    b_zero_point : likewise, or one for each column of ``b`` [N].
    bias : integers within int32 [N], in the accumulator before the first product.
    accumulator : signed, 8 to 64 bits; the products are added in the order of k.

    Returns
    -------
    acc : [M, N] in the accumulator's dtype.
    overflowed : booleans [M, N], as the accumulator's policy defines them (`Accumulator`).

    Raises
    ------
    TypeError
        For operands, zero points or a bias that are not integers.
    ValueError
        For shapes that do not fit, operands or zero points wider than 16 bits, a bias outside int32, or a zero point
        along the contraction, which does not factor out of the sum.
    OverflowError
        Under the policy "error".

    Source: ONNX MatMulInteger, its zero points one a row of a or a column of b; bias and policies are refquant's own.
    """
    checked = _checked(a, b, a_zero_point, b_zero_point, bias)
    return multiply(*checked, accumulator)


def path(a: ArrayLike, b: ArrayLike, *, a_zero_point: ArrayLike = 0, b_zero_point: ArrayLike = 0,
         bias: ArrayLike | None = None, accumulator: Accumulator = INT32_WRAP) -> str:
    """One line of text: the kernel that `matmul` takes, and the bound on every partial sum that makes it exact.

    a, b : integers [M, K] and [K, N].
    a_zero_point, b_zero_point, bias, accumulator : as for `matmul`.

    Raises the TypeError and ValueError of `matmul`; nothing is multiplied, so nothing overflows.

    Source: refquant's own (`refquant.gemm.choice`).
    """
    return str(_kernel(*_checked(a, b, a_zero_point, b_zero_point, bias), accumulator)[1])


def _checked(a, b, a_zero_point, b_zero_point,
             bias) -> tuple[np.ndarray, np.ndarray, ZeroPoint, ZeroPoint, np.ndarray | None]:
    """The arguments of `multiply`, from those of `matmul`."""
    a, b = check_operand(a, "a"), check_operand(b, "b")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"a has shape {a.shape} and b has shape {b.shape}: expected [M, K] and [K, N]")
    m, n = a.shape[0], b.shape[1]
    za = check_zero_points(a_zero_point, "a_zero_point", m, a.shape[1])
    zb = check_zero_points(b_zero_point, "b_zero_point", n, b.shape[0])
    return a, b, za if isinstance(za, int) else za.reshape(-1, 1), zb, check_bias(bias, n)


def accumulator_bits(a: ArrayLike, b: ArrayLike, *, a_zero_point: ArrayLike = 0, b_zero_point: ArrayLike = 0,
                     bias: ArrayLike | None = None) -> int:
    """The fewest bits of a signed accumulator that holds every partial sum of `matmul` of these operands.

    a, b : integers [M, K] and [K, N].
    a_zero_point, b_zero_point, bias : as for `matmul`.

    Returns one number for the whole product; 1 where it has no elements.

    Raises the TypeError and ValueError of `matmul`.

    Source: refquant's own, `least_safe_bits` of each row.
    """
    a, b, za, zb, bias = _checked(a, b, a_zero_point, b_zero_point, bias)
    a, b = a.astype(np.int64) - za, b.astype(np.int64) - zb
    bias = np.zeros(b.shape[1], np.int64) if bias is None else bias
    return max((least_safe_bits((row[:, None] * b).T, bias) for row in a), default=1)


def multiply(a: np.ndarray, b: np.ndarray, za: ZeroPoint, zb: ZeroPoint, bias: np.ndarray | None,
             accumulator: Accumulator) -> tuple[np.ndarray, np.ndarray]:
    """`matmul` of operands that have been checked: integers of at most 16 bits, za an int or [M, 1], zb an int or [N],
    bias int64 [N] or None."""
    kernel, chosen = _kernel(a, b, za, zb, bias, accumulator)
    return kernel(a, b, za, zb, bias, accumulator, chosen)


def _kernel(a, b, za, zb, bias, accumulator: Accumulator):
    """``(kernel, why)``. Small products take the plain reference, whose code is at hand; others what `choice` finds.

    The reference takes a row at a time, so one of many rows is not small.
    """
    if a.shape[0] <= 64 and a.shape[0] * b.size < 1 << 15:
        return _plain, "reference: the product is small"
    choice, kernels = _compiled()
    if kernels.NOT_COMPILED:
        return _plain, "reference: nothing is compiled"
    chosen = choice.choice(a, b, za, zb, bias, accumulator)
    if chosen.kernel == "running" and accumulator.overflow == "error":
        return _plain, f"reference: partial sums may reach {chosen.bound}, each is looked at"
    return kernels.multiply, chosen


@functools.cache
def _compiled():
    """What chooses a compiled kernel, and the kernels: they import Numba."""
    from refquant.gemm import choice, kernels

    return choice, kernels


def _plain(a, b, za, zb, bias, accumulator, chosen):
    bias = np.zeros(b.shape[1], np.int64) if bias is None else bias
    return reference_matmul(a.astype(np.int64), b.astype(np.int64), za, zb, bias, accumulator)


def check_operand(values: ArrayLike, name: str) -> np.ndarray:
    """``values`` as integers of at most 16 bits, in a container of at most 16, or an error."""
    array = values if type(values) is np.ndarray and values.dtype in NARROW else as_integers(values, name)
    if array.dtype.itemsize > 2:
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if low < -(1 << 15) or high >= 1 << 16 or (low < 0 and high >= 1 << 15):
            raise ValueError(f"{name} runs from {low} to {high}: expected operands of at most 16 bits")
        array = array.astype(np.int16 if high < 1 << 15 else np.uint16)
    return array


def check_zero_points(values: ArrayLike, name: str, outer: int, contraction: int) -> ZeroPoint:
    """One zero point for all, or [outer] in int64; an error tells when they seem to run along the contraction."""
    if type(values) is int and -(1 << 15) <= values < 1 << 16:
        return values
    array = as_int64(values, name)
    if array.size and (int(array.min()) < -(1 << 15) or int(array.max()) >= 1 << 16):
        raise ValueError(f"{name} runs from {array.min()} to {array.max()}: expected at most 16 bits")
    if array.ndim > 1 or array.size not in (1, outer):
        along = " (it seems to run along the contraction, where it does not factor out of the sum)"
        raise ValueError(f"{name} has shape {array.shape}: expected one integer or [{outer}]"
                         f"{along if array.shape == (contraction,) else ''}")
    return int(array.reshape(-1)[0]) if array.size == 1 else array


def check_bias(bias: ArrayLike | None, n: int) -> np.ndarray | None:
    """The bias [n] in int64, None for none, or an error."""
    if bias is None:
        return None
    array = as_int64(bias, "bias")
    if array.shape != (n,):
        raise ValueError(f"bias has shape {array.shape}: expected [{n}], one for each column of b or output channel")
    if array.size and not -(1 << 31) <= int(array.min()) <= int(array.max()) < 1 << 31:
        raise ValueError(f"bias runs from {array.min()} to {array.max()}: expected values within int32")
    return array
