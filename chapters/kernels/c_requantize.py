"""The engines of requantize.c as devices: ``refquant vectors verify SUITE --dut python:c_requantize:gemmlowp``.

They take requantize.requantize, and gemm.forward with the product computed here, whatever flavour the case names. The
shared library is requantize.so beside this file, or what the environment variable REQUANTIZE_LIBRARY names:

    cc -O2 -shared -fPIC -o requantize.so requantize.c -lm
"""
from ctypes import c_int
from functools import cache, partial

import engine_cases
import gemm_domain
import numpy as np
from c_gemm import library

from refquant.golden import Unsupported

ENGINES = ("gemmlowp", "tflite_single", "ruy_arm", "tflm_int16", "xnnpack_rndnu", "xnnpack_lrintf", "plain_lroundf")
FORMATS = ("s4", "s8", "s8n", "u8", "s16")


@cache
def kernel():
    """The C function; an OSError when there is no library."""
    function = library("REQUANTIZE_LIBRARY", "requantize.so").requantize
    array = np.ctypeslib.ndpointer
    function.argtypes = [c_int, c_int, c_int, *(array(dtype, flags="C") for dtype in ("i4", "i4", "i4", "f4")),
                         c_int, c_int, c_int, array("i4", flags="C,W")]
    function.restype = None
    return function


def answer(engine, case):
    """The codes that the engine of this name makes of a case."""
    acc = engine_cases.accumulators(case)
    engine_cases.check(case, FORMATS)
    rows, channels = acc.shape
    multiplier, shift = engine_cases.integer_scale(case)
    if shift.min() < 31:
        raise Unsupported("a scale of 1 or more: these engines are given smaller ones")
    scale = [np.ascontiguousarray(np.broadcast_to(array, channels))
             for array in (multiplier, shift, engine_cases.float32_scale(case))]
    codes = np.empty((rows, channels), np.int32)
    kernel()(ENGINES.index(engine), rows, channels, np.ascontiguousarray(acc), *scale, case.attrs["zero_point"],
             *gemm_domain.limits(case.attrs["format"]), codes)
    return {"y": codes.astype(case.outputs["y"][1])}


gemmlowp, tflite_single, ruy_arm, tflm_int16, xnnpack_rndnu, xnnpack_lrintf, plain_lroundf = (
    partial(answer, engine) for engine in ENGINES)
