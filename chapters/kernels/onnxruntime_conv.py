"""ONNX Runtime's convolutions as a device: ``refquant vectors verify SUITE --dut python:onnxruntime_conv:dut``.

ConvInteger for accumulators, QLinearConv for flavour fp32_rint. Both operands are handed over as one type, as those of
onnxruntime_gemm.py are, and for the same reason.
"""
import engine_cases
import numpy as np
from integer_product import only, operands, signed, unsigned
from onnx_session import run

from refquant.golden import Unsupported


def dut(case):
    """The answer to a case of conv.forward."""
    (x, zx), (w, zw) = operands(case, {"conv.forward": ("x", "w")})
    only(case, "none", "fp32_rint")
    top, bottom, left, right = case.attrs["padding"]
    geometry = {"strides": case.attrs["stride"], "pads": (top, left, bottom, right),
                "dilations": case.attrs["dilation"], "group": case.attrs["groups"]}
    bias = case.inputs.get("bias")
    if case.attrs["flavour"] == "none":
        if bias is not None:
            raise Unsupported("bias: ConvInteger has none")
        w, zw = (signed if x.dtype == np.int8 else unsigned)(w, zw)
        return {"y": run("ConvInteger", [x, w, x.dtype.type(zx), w.dtype.type(zw)], np.int32, **geometry)}
    engine_cases.check(case)
    dtype, one = np.dtype(case.outputs["y"][1]).type, np.float32(1)
    (x, zx), (w, zw) = ((signed if dtype is np.int8 else unsigned)(*operand) for operand in ((x, zx), (w, zw)))
    scale = engine_cases.float32_scale(case)
    scale = scale if case.attrs["per_channel"] else scale[0]
    return {"y": run("QLinearConv", [x, one, dtype(zx), w, scale, np.full(scale.shape, zw, dtype), one,
                                     dtype(case.attrs["zero_point"]), bias], dtype, **geometry)}
