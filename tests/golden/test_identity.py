"""The same bytes everywhere: without the compiler, without wide vector units, with one thread or two, on any NumPy.

The digest below is of level 1 with seed 0. It changes only when vectors are added; a vector that changes is an error in
this version or an erratum of the last.
"""
import hashlib
import os
import subprocess
import sys

import pytest

LEVEL_1 = "1473fbc8d6eca913dc1b0caaf922cecf091f9407f79ff699400a3de80a564adb"

SETTINGS = {
    "as it is": {},
    "without the compiler": {"NUMBA_DISABLE_JIT": "1"},
    "without AVX-512 and AVX2": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
                                 "NUMBA_CPU_NAME": "generic"},
    "one thread": {"NUMBA_NUM_THREADS": "1"},
    "two threads": {"NUMBA_NUM_THREADS": "2"},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_level_1_has_the_same_bytes(setting, tmp_path):
    subprocess.run([sys.executable, "-W", "ignore", "-m", "refquant", "vectors", "create", "--out", str(tmp_path / "suite")],
                   env=os.environ | SETTINGS[setting], check=True, capture_output=True)
    assert hashlib.sha256((tmp_path / "suite/SHA256SUMS").read_bytes()).hexdigest() == LEVEL_1
