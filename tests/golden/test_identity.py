"""The same bytes everywhere: without the compiler, without wide vector units, with one thread or two, on any NumPy.

The digests below are of level 1 with seed 0. They change only when vectors are added; a vector that changes is an error
in this version or an erratum of the last.
"""
import hashlib
import os
import subprocess
import sys

import pytest

LEVEL_1 = "b3b616c83804f23d2dbc407f8200afd3f69fe6e983be76a8860032dde91dd5df"
TENSORS = "324a62b39897d8c26cd5f54378e0b18774ca7e1ab7c5b5c5a2c84c400794fdae"

SCRIPT = """
import hashlib
from refquant.golden.operations import OPERATIONS

digest = hashlib.sha256()
for operation in OPERATIONS.values():
    for stimulus in operation.stimuli(1, 0):
        tensors = stimulus.inputs | operation.reference(stimulus.attrs, stimulus.inputs)
        for name in operation.tensors(stimulus.attrs):
            digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode() + tensors[name].tobytes())
print(digest.hexdigest())
"""
SETTINGS = {
    "as it is": {},
    "without the compiler": {"NUMBA_DISABLE_JIT": "1"},
    "without AVX-512 and AVX2": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
                                 "NUMBA_CPU_NAME": "generic"},
    "one thread": {"NUMBA_NUM_THREADS": "1"},
    "two threads": {"NUMBA_NUM_THREADS": "2"},
}


def test_level_1_has_the_same_bytes(level_1):
    assert hashlib.sha256((level_1.root / "SHA256SUMS").read_bytes()).hexdigest() == LEVEL_1


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_tensor_has_the_same_bytes(setting):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], env=os.environ | SETTINGS[setting],
                          capture_output=True, text=True, check=True)
    assert done.stdout.strip() == TENSORS
