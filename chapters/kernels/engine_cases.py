"""What is put to an engine that rounds by a rule of its own: accumulators, or the product they are of, and the scale.

The flavour that a case names is not looked at: the engine runs as it is, its scale converted to the form it takes, and
the verifier's report then says which flavour that is. Each conversion is exact, or what a user of the engine gets: a
float32 has 24 bits, so its multiplier of 31 is exact; of a multiplier of 31 bits a float32 keeps the first 24.
"""
import numpy as np
import numpy_gemm
from integer_product import operands

from refquant.golden import Unsupported

FIXED = {"zero_point_at": "after", "overflow": "saturate"}  # what all of these engines do


def check(case, formats=("s8", "u8")):
    """Raise Unsupported for a case that asks for more than another flavour; ``formats``: of the codes."""
    if case.attrs["flavour"] in ("none", "shift"):
        raise Unsupported(f"flavour {case.attrs['flavour']!r}: nothing is multiplied")
    for key, value in FIXED.items():
        if case.attrs[key] != value:
            raise Unsupported(f"{key} {case.attrs[key]!r}: this engine has {value!r}")
    if case.attrs["format"] not in formats:
        raise Unsupported(f"codes of {case.attrs['format']}: this engine has {', '.join(formats)}")


def accumulators(case):
    """The int32 accumulators [rows, channels] of a case."""
    if case.op == "requantize.requantize":
        if case.inputs["acc"].dtype != np.int32:
            raise Unsupported(f"accumulators of {case.attrs['acc_bits']} bits: this engine has 32")
        return case.inputs["acc"]
    operands(case, {"gemm.forward": ("a", "b")})  # which declines what is no such product
    return numpy_gemm.accumulate(case.attrs, **{name: case.inputs.get(name) for name in ("a", "b", "bias")})


def float32_scale(case):
    """float32 [channels] or [1]."""
    if "scale" in case.inputs:
        return case.inputs["scale"]
    scale = np.ldexp(case.inputs["multiplier"].astype(np.float64), -case.inputs["shift"].astype(np.int64))
    return scale.astype(np.float32)


def integer_scale(case):
    """(multiplier of 31 bits, shift), int32 [channels] or [1]; the scale is multiplier * 2^-shift."""
    if "scale" in case.inputs:
        return parts(case.inputs["scale"], 31)
    left = 7 if case.attrs["flavour"] == "rndnu" else 0  # whose multipliers have 24 bits
    return case.inputs["multiplier"] << left, case.inputs["shift"].astype(np.int32) + left


def parts(scale, bits):
    """A float32 as (multiplier of so many bits, at least 24, shift)."""
    fraction, exponent = np.frexp(scale.astype(np.float64))
    return np.ldexp(fraction, bits).astype(np.int32), bits - exponent


def scale(case, flavour):
    """The case's scale as the arguments that `refquant.integers.requantize` takes for a flavour."""
    if flavour.startswith("fp32"):
        arguments = {"scale": float32_scale(case)}
    else:
        multiplier, shift = parts(float32_scale(case), 24) if flavour == "rndnu" else integer_scale(case)
        arguments = {"multiplier": multiplier, "shift": shift}
    return arguments if case.attrs["per_channel"] else {name: array[0] for name, array in arguments.items()}
