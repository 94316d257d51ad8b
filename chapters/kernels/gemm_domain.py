"""The cases of gemm.forward that the example kernels of this directory compute; they decline the others."""
FLAVOURS = ("tosa_single", "tosa_double", "ruy_double")
EIGHT_BITS = {"int8": (-128, 127), "uint8": (0, 255)}
SUPPORTED = {"accumulator_bits": (32,), "accumulator_overflow": ("wrap",), "flavour": ("none", *FLAVOURS),
             "zero_point_at": ("after",), "overflow": ("saturate",)}


def check(case):
    """Raise Unsupported, naming what, for a case outside the domain."""
    from refquant.golden import Unsupported  # here, so that gemm_program.py starts without NumPy, once a case

    dtypes = {name: str(array.dtype) for name, array in case.inputs.items()}
    reason = refusal(case.op, case.attrs, dtypes | {name: dtype for name, (_, dtype) in case.outputs.items()})
    if reason:
        raise Unsupported(reason)


def refusal(op, attrs, dtypes):
    """Why a case is outside the domain, or nothing; ``dtypes`` by name of its tensors: a, b, y."""
    if op != "gemm.forward":
        return f"operation {op}"
    for key, values in SUPPORTED.items():
        if attrs[key] not in values:
            return f"{key} {attrs[key]!r}: this kernel has {', '.join(map(repr, values))}"
    for name in ("a", "b"):
        zero_point = attrs[f"{name}_zero_point"]
        low, high = EIGHT_BITS.get(dtypes[name], (1, 0))
        if not low <= zero_point <= high:
            return f"{name} of {dtypes[name]} with zero point {zero_point}: this kernel has int8 and uint8"
    if dtypes["y"] not in (*EIGHT_BITS, "int32"):
        return f"y of {dtypes['y']}: this kernel has int8, uint8 and int32 accumulators"
    return ""


def limits(format):
    """(qmin, qmax) of a format by its name: "s8", "u8", "s4", "s8n" (narrow)."""
    bits = int(format[1:].rstrip("n"))
    if format[0] == "u":
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)) + format.endswith("n"), 2 ** (bits - 1) - 1
