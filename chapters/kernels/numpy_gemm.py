"""The domain of gemm_s8.c with NumPy alone: ``refquant vectors verify SUITE --dut python:numpy_gemm:dut``."""
import gemm_domain
import numpy as np


def dut(case):
    """The answer to a case of gemm.forward."""
    gemm_domain.check(case)
    acc = accumulate(case.attrs, **{name: case.inputs.get(name) for name in ("a", "b", "bias")})
    if case.attrs["flavour"] == "none":
        return {"y": acc}
    return {"y": requantize(acc, case.attrs, case.inputs["multiplier"], case.inputs["shift"])}


def accumulate(attrs, a, b, bias):
    """int32 accumulators [M, N], wrapped: int64 holds every sum of 8-bit products exactly, and the cast drops bits."""
    acc = (a.astype(np.int64) - attrs["a_zero_point"]) @ (b.astype(np.int64) - attrs["b_zero_point"])
    return (acc + (0 if bias is None else bias)).astype(np.int32)


def requantize(acc, attrs, multiplier, shift):
    """Codes [M, N]; multiplier and shift are [N] or [1]."""
    product = acc.astype(np.int64) * multiplier
    shift = shift.astype(np.int64)
    single = half_up(product, shift)
    if attrs["flavour"] == "tosa_single":
        codes = single
    else:
        second = half_away if attrs["flavour"] == "tosa_double" else half_up
        left = np.maximum(shift - 31, 1)
        codes = np.where(shift > 31, second(half_up(product, 31), left), single)
    low, high = gemm_domain.limits(attrs["format"])
    return np.clip(codes + attrs["zero_point"], low, high).astype(np.uint8 if attrs["format"][0] == "u" else np.int8)


def half_up(v, shift):
    return (v + (np.int64(1) << (shift - 1))) >> shift


def half_away(v, shift):
    return np.sign(v) * half_up(np.abs(v), shift)
