"""torch's kernels as devices under test, chapters/kernels/torch_*.py, and the page that shows them."""
import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refquant.gemm import matmul
from refquant.golden import Case

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "chapters/kernels"))
torch_gemm, readme = map(importlib.import_module, ("torch_gemm", "readme"))
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU, or a torch without CUDA")
needs_engines = pytest.mark.skipif(not {"fbgemm", "onednn", "qnnpack"} <= set(torch.backends.quantized.supported_engines),
                                   reason="this torch has not all of fbgemm, onednn and qnnpack")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A copy of the kernels, with the page's suite."""
    return readme.prepared(tmp_path_factory.mktemp("kernels"))


def test_the_page(directory):
    assert list(readme.broken_promises("torch", directory)) == []


@needs_cuda
def test_the_page_with_cuda(directory, monkeypatch):
    monkeypatch.setenv("TORCH_DEVICE", "cuda")
    assert list(readme.broken_promises("torch", directory)) == []


@needs_engines
def test_which_rounding(directory):
    duts = [f"python:torch_linear:{name}" for name in ("fbgemm", "onednn", "qnnpack")]
    done = subprocess.run([sys.executable, "which_rounding.py", "suite", *duts], cwd=directory, stdout=subprocess.PIPE,
                          text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and set(lines) <= set(readme.TEXT.splitlines())
    for line, reading, cause in zip(lines[1:], ("fp32_rint ", "fp32_rint, zero point before ", "fp32_rint "),
                                    ("fp32_rint", "fp32_rint+zero_point_before", "fp32_rint"), strict=True):
        assert f"  {reading}" in line and line.endswith(f" tosa_double->{cause}")


def case(op, operands, zero_points, **inputs):
    attrs = {"accumulator_bits": 32, "accumulator_overflow": "wrap", "flavour": "none"}
    return Case(op, attrs | {f"{name}_zero_point": zero for name, zero in zip(operands, zero_points, strict=True)}, inputs, {}, "")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_products_of_either_sign_and_any_shape(device, compare, monkeypatch):
    """Every pair of signs, zero points at the ends, shapes on both sides of what CUDA asks for."""
    monkeypatch.setattr(torch_gemm, "DEVICE", device)
    rng = np.random.default_rng(1)
    for (m, k, n), left, right in itertools.product([(1, 1, 1), (16, 8, 8), (17, 9, 24), (33, 300, 7)], *[("int8", "uint8")] * 2):
        ends = np.iinfo(left), np.iinfo(right)
        a, b = (rng.integers(end.min, end.max + 1, shape).astype(end.dtype) for end, shape in zip(ends, ((m, k), (k, n)), strict=True))
        bias = rng.integers(-(2**31), 2**31, n).astype(np.int32)
        for za, zb in itertools.product((ends[0].min, ends[0].max), (ends[1].min, ends[1].max)):
            zeros = {"a_zero_point": za, "b_zero_point": zb}
            compare(torch_gemm.dut(case("gemm.forward", ("a", "b"), (za, zb), a=a, b=b, bias=bias))["y"], matmul(a, b, bias=bias, **zeros)[0])
            compare(torch_gemm.dut(case("gemm.dx", ("g", "w"), (za, zb), g=a, w=b.T))["y"], matmul(a, b, **zeros)[0])
            compare(torch_gemm.dut(case("gemm.dw", ("x", "g"), (za, zb), x=a.T, g=b))["y"], matmul(a, b, **zeros)[0])


def test_the_device_is_that_of_the_environment(directory):
    """A device that is not there is no answer, never a pass."""
    done = subprocess.run([sys.executable, "-c", "import torch_gemm; print(torch_gemm.DEVICE)"], cwd=directory, stdout=subprocess.PIPE,
                          text=True, check=True, env=os.environ | {"TORCH_DEVICE": "elsewhere"})
    assert done.stdout.strip() == "elsewhere"
