"""The operations of the suite, one file each. A new one is a new file here, and its name in this list."""
from importlib import import_module

NAMES = (
    "gemm_forward", "gemm_dx", "gemm_dw", "gemm_db",
    "conv_forward", "conv_dx", "conv_dw", "conv_db",
)

OPERATIONS = {op.name: op for op in (import_module(f"{__name__}.{name}").OPERATION for name in NAMES)}
GROUPS = tuple(dict.fromkeys(op.group for op in OPERATIONS.values()))
