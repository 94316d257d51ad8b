"""gemm_s8.c as a device under test: ``refquant vectors verify SUITE --dut python:c_gemm:dut``.

The shared library is gemm_s8.so beside this file, or what the environment variable GEMM_LIBRARY names:

    cc -O2 -shared -fPIC -o gemm_s8.so gemm_s8.c
"""
import ctypes
import os
from ctypes import POINTER, Structure, byref, c_int, c_int32, c_void_p
from functools import cache
from pathlib import Path

import gemm_domain
import numpy as np


class Operand(Structure):
    _fields_ = (("codes", c_void_p), ("is_signed", c_int32), ("zero_point", c_int32))


class Requantization(Structure):
    _fields_ = (("flavour", c_int32), ("per_channel", c_int32), ("multiplier", c_void_p), ("shift", c_void_p),
                ("zero_point", c_int32), ("qmin", c_int32), ("qmax", c_int32))


def library(variable, name):
    """The shared library that an environment variable names, else ``name`` beside this file; an OSError without."""
    path = os.environ.get(variable) or Path(__file__).with_name(name)
    return ctypes.CDLL(str(Path(path).resolve()))


@cache
def kernel():
    """The C function; an OSError when there is no library."""
    function = library("GEMM_LIBRARY", "gemm_s8.so").gemm_s8
    function.argtypes = [c_int, c_int, c_int, POINTER(Operand), POINTER(Operand), c_void_p, POINTER(Requantization),
                         c_void_p]
    function.restype = None
    return function


def dut(case):
    """The kernel's answer to a case of gemm.forward."""
    gemm_domain.check(case)
    attrs = case.attrs
    # the arrays whose addresses are passed: named here, so that they outlive the call
    given = {name: np.ascontiguousarray(array) for name, array in case.inputs.items()}
    shape, dtype = case.outputs["y"]
    y = np.empty(shape, dtype)
    a, b = (Operand(given[name].ctypes.data, given[name].dtype == np.int8, attrs[f"{name}_zero_point"])
            for name in ("a", "b"))
    bias = given["bias"].ctypes.data if "bias" in given else None
    requantization = None
    if attrs["flavour"] != "none":
        requantization = byref(Requantization(
            gemm_domain.FLAVOURS.index(attrs["flavour"]), attrs["per_channel"], given["multiplier"].ctypes.data,
            given["shift"].ctypes.data, attrs["zero_point"], *gemm_domain.limits(attrs["format"])))
    m, k = given["a"].shape
    kernel()(m, shape[1], k, byref(a), byref(b), bias, requantization, y.ctypes.data)
    return {"y": y}
