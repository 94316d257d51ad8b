"""The operations of the suite, one file each. A new one is a new file here, and its name in this list."""
from importlib import import_module

NAMES = (
    "rounding_real", "rounding_shift",
    "quantize_quantize", "quantize_fake", "quantize_dequantize", "quantize_ste", "quantize_pack", "quantize_unpack",
    "requantize_requantize", "requantize_multiplier",
    "stochastic_shift", "stochastic_quantize", "stochastic_philox", "stochastic_lfsr",
    "gemm_forward", "gemm_dx", "gemm_dw", "gemm_db",
    "conv_forward", "conv_dx", "conv_dw", "conv_db",
)

OPERATIONS = {op.name: op for op in (import_module(f"{__name__}.{name}").OPERATION for name in NAMES)}
GROUPS = tuple(dict.fromkeys(op.group for op in OPERATIONS.values()))
