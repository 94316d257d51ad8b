"""All that a kernel needs to be tested to the bit: one golden test, one property."""
import kernel
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.golden import Unsupported
from refquant.integers import IntFormat
from refquant.testing import assert_golden, requantizations, ties

EIGHT_BITS = ("s8", "u8")
CLAIMED = {"a_format": EIGHT_BITS, "b_format": EIGHT_BITS, "accumulator_bits": (32,), "accumulator_overflow": ("wrap",),
           "flavour": ("none", "tosa_double"), "format": (*EIGHT_BITS, "s32"), "zero_point_at": ("after",),
           "overflow": ("saturate",)}


def answer(case):
    """The kernel's answer to a golden case; what it does not claim to do, it declines."""
    attrs, inputs = case.attrs, case.inputs
    for name, claimed in CLAIMED.items():
        if attrs[name] not in claimed:
            raise Unsupported(f"{name} {attrs[name]}")
    acc = kernel.accumulate(inputs["a"], inputs["b"], inputs.get("bias"), attrs["a_zero_point"], attrs["b_zero_point"])
    if attrs["flavour"] == "none":
        return {"y": acc}
    dtype = np.uint8 if attrs["format"] == "u8" else np.int8
    return {"y": kernel.requantize(acc, inputs["multiplier"], inputs["shift"], attrs["zero_point"], dtype)}


def test_golden():
    report = assert_golden(answer, "gemm", level=1, operation="gemm.forward")
    assert report.count("pass") >= 5  # so that nothing is declined that once was answered


@settings(deadline=None)
@given(st.data())
def test_ties(data):
    """Whatever the scale, accumulators at the steps between codes, where roundings differ, give the right code."""
    scale = data.draw(requantizations(("tosa_double",), format=IntFormat(8), zero_point_at=("after",),
                                      overflows=("saturate",)))
    acc = data.draw(ties(scale, (8,)))
    np.testing.assert_array_equal(kernel.requantize(acc, scale.multiplier, scale.shift, scale.zero_point), scale(acc))
