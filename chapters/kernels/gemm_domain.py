"""The cases of gemm.forward that the two example kernels compute; both decline the others."""
from refquant.golden import Unsupported

FLAVOURS = ("tosa_single", "tosa_double", "ruy_double")
EIGHT_BITS = {"int8": (-128, 127), "uint8": (0, 255)}
SUPPORTED = {"accumulator_bits": (32,), "accumulator_overflow": ("wrap",), "flavour": ("none", *FLAVOURS),
             "zero_point_at": ("after",), "overflow": ("saturate",)}


def check(case):
    """Raise Unsupported, naming what, for a case outside the domain."""
    if case.op != "gemm.forward":
        raise Unsupported(f"operation {case.op}")
    for key, values in SUPPORTED.items():
        if case.attrs[key] not in values:
            raise Unsupported(f"{key} {case.attrs[key]!r}: this kernel has {', '.join(map(repr, values))}")
    for name in ("a", "b"):
        dtype, zero_point = str(case.inputs[name].dtype), case.attrs[f"{name}_zero_point"]
        low, high = EIGHT_BITS.get(dtype, (1, 0))
        if not low <= zero_point <= high:
            raise Unsupported(f"{name} of {dtype} with zero point {zero_point}: this kernel has int8 and uint8")
    out = case.outputs["y"][1]
    if out not in (*EIGHT_BITS, "int32"):
        raise Unsupported(f"y of {out}: this kernel has int8, uint8 and int32 accumulators")


def limits(format):
    """(qmin, qmax) of a format by its name: "s8", "u8", "s4", "s8n" (narrow)."""
    bits = int(format[1:].rstrip("n"))
    if format[0] == "u":
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)) + format.endswith("n"), 2 ** (bits - 1) - 1
