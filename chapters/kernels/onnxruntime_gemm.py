"""ONNX Runtime's matrix products as devices: ``refquant vectors verify SUITE --dut python:onnxruntime_gemm:dut``.

    dut         MatMulInteger for accumulators, QLinearMatMul for flavour fp32_rint; gemm.forward, gemm.dx, gemm.dw
    mixed       MatMulInteger, with uint8 by int8 as it comes
    as_it_is    QLinearMatMul, whatever flavour a case names: for which_rounding.py

On x86 processors without VNNI, uint8 by int8 is wrong: the products of two neighbours along K are added in int16, which
saturates (255 * 127 twice is 64770 and becomes 32767). uint8 by uint8 and int8 by int8 are exact everywhere, so but for
`mixed` both operands are handed over as one type.
"""
import engine_cases
import numpy as np
from integer_product import only, operands, signed, unsigned
from onnx_session import run

from refquant.golden import Unsupported


def dut(case):
    """The answer to a case, exact on every processor."""
    left, right = operands(case)
    only(case, "none", "fp32_rint")
    if case.attrs["flavour"] == "fp32_rint":
        return as_it_is(case)
    return matmul_integer(case, left, (signed if left[0].dtype == np.int8 else unsigned)(*right))


def mixed(case):
    """The accumulators of a case, wrong where the processor's kernel saturates."""
    left, right = operands(case)
    only(case, "none")
    return matmul_integer(case, left, right)


def matmul_integer(case, left, right):
    """MatMulInteger's accumulators of two operands, each (codes, zero point)."""
    no_bias(case)
    codes, zero_points = zip(left, right, strict=True)
    zeros = (array.dtype.type(zero) for array, zero in zip(codes, zero_points, strict=True))
    return {"y": run("MatMulInteger", [*codes, *zeros], np.int32)}


def as_it_is(case):
    """QLinearMatMul's codes, by the scale a_scale * b_scale / y_scale, of which the first and last are 1."""
    both = operands(case)
    engine_cases.check(case)
    no_bias(case)
    dtype, one = np.dtype(case.outputs["y"][1]).type, np.float32(1)
    (a, za), (b, zb) = ((signed if dtype is np.int8 else unsigned)(*operand) for operand in both)
    scale = engine_cases.float32_scale(case)
    scale = scale if case.attrs["per_channel"] else scale[0]
    return {"y": run("QLinearMatMul", [a, one, dtype(za), b, scale, np.full(scale.shape, zb, dtype), one,
                                       dtype(case.attrs["zero_point"])], dtype)}


def no_bias(case):
    """Raise Unsupported for a case with a bias."""
    if "bias" in case.inputs:
        raise Unsupported("bias: these operators have none")
