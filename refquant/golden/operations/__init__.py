"""The operations of the suite, one file each. A new one is a new file here, and its name in this list."""
from importlib import import_module

NAMES = (
    "rounding_real", "rounding_shift",
    "quantize_quantize", "quantize_fake", "quantize_dequantize", "quantize_ste", "quantize_pack", "quantize_unpack",
    "requantize_requantize", "requantize_multiplier",
    "stochastic_shift", "stochastic_quantize", "stochastic_philox", "stochastic_lfsr", "stochastic_philox_shift",
    "stochastic_lfsr_shift",
    "gemm_forward", "gemm_dx", "gemm_dw", "gemm_db", "gemm_bifurcated",
    "conv_forward", "conv_dx", "conv_dw", "conv_db", "conv_bifurcated",
    "rangebn_forward", "rangebn_backward",
    "pact_forward", "pact_backward",
    "sat_weight", "sat_backward",
    "n2uq_forward", "n2uq_backward", "n2uq_weight",
    "hindsight_trajectory",
    "int4_trajectory",
    "update_sgd",
    "step_banner", "step_sat", "step_n2uq", "step_hindsight", "step_int4",
)

OPERATIONS = {op.name: op for op in (import_module(f"{__name__}.{name}").OPERATION for name in NAMES)}
GROUPS = tuple(dict.fromkeys(op.group for op in OPERATIONS.values()))
