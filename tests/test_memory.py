"""Memory that is given back stays: the next array of its size costs no page faults."""
import subprocess
import sys

import pytest

FAULTS = """
import resource, numpy as np
from refquant.memory import keep_memory
{first}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [np.ones(2_000_000) for _ in range(4)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_memory_is_kept():
    def run(first):
        return int(subprocess.run([sys.executable, "-c", FAULTS.format(first=first)], capture_output=True, text=True,
                                  check=True, env={}).stdout)
    assert run("keep_memory()") < 100 < run("")
