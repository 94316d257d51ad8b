"""The same bytes everywhere: without the compiler, without wide vector units, with one thread or two, on any NumPy.

The digests below are of level 1 with seed 0. They change only when vectors are added; a vector that changes is an error
in this version or an erratum of the last.
"""
import hashlib
import os
import subprocess
import sys

import pytest

LEVEL_1 = "055392f82f91b3c931f46b2b2ad49cffe348b15a7fb8f2cf869623e716560247"
TENSORS = "41accdb22e29e3a080ba4e31a103853d6894ef49fc9c925d442b75953707dd36"

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
