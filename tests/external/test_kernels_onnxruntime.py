"""ONNX Runtime's kernels as devices under test, chapters/kernels/onnxruntime_*.py, and the page that shows them."""
import importlib
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refquant.gemm import Geometry, conv
from refquant.golden import Case, open_suite

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).parents[2] / "chapters/kernels"))
onnx_session, onnxruntime_conv, onnxruntime_gemm, readme = map(
    importlib.import_module, ("onnx_session", "onnxruntime_conv", "onnxruntime_gemm", "readme"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A copy of the kernels, with the page's suites."""
    copy = readme.prepared(tmp_path_factory.mktemp("kernels"))
    assert list(readme.broken_promises("ONNX Runtime", copy)) == []  # which is what the page says
    return copy


def answered(suite, pattern, dut):
    """(op, flavour, whether it is right) of the cases that a device takes."""
    for vector in suite.vectors(pattern):
        try:
            y = dut(Case.of(vector))["y"]
        except onnxruntime_gemm.Unsupported:
            continue
        assert y.dtype == vector.tensors["out_y"].dtype
        yield vector.record["op"], vector.attrs["flavour"], bool((y == vector.tensors["out_y"]).all())


def test_which_rounding(directory):
    done = subprocess.run([sys.executable, "which_rounding.py", "suite", "python:onnxruntime_gemm:as_it_is"], cwd=directory,
                          stdout=subprocess.PIPE, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and set(lines) <= set(readme.TEXT.splitlines())
    assert "  fp32_rint  " in lines[1] and lines[1].endswith(" tosa_double->fp32_rint")


def test_every_product_and_both_flavours_are_answered(directory):
    found = set(answered(open_suite(directory / "suite"), "gemm_*", onnxruntime_gemm.dut))
    assert found == {(op, flavour, True) for op in ("gemm.forward", "gemm.dx", "gemm.dw") for flavour in ("none", "fp32_rint")}
    found = set(answered(open_suite(directory / "convolutions"), "conv_forward_*", onnxruntime_conv.dut))
    assert found == {("conv.forward", flavour, True) for flavour in ("none", "fp32_rint")}


def test_padding_of_four_kinds(compare):
    """Which is padded by the zero point."""
    rng = np.random.default_rng(1)
    x, w = rng.integers(0, 256, (2, 3, 7, 6)).astype(np.uint8), rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    attrs = {"accumulator_bits": 32, "accumulator_overflow": "wrap", "flavour": "none", "stride": [1, 1], "dilation": [1, 1],
             "groups": 1, "x_zero_point": 130, "w_zero_point": -3}
    for padding in itertools.permutations(range(4)):
        answer = onnxruntime_conv.dut(Case("conv.forward", attrs | {"padding": padding}, {"x": x, "w": w}, {}, ""))["y"]
        compare(answer, conv(x, w, Geometry(padding=padding), x_zero_point=130, w_zero_point=-3)[0], padding)


def test_mixed_signs_are_right_or_caught(directory):
    """Where the processor's kernel saturates, the vectors say so; elsewhere nothing differs."""
    codes = np.full((1, 2), 255, np.uint8), np.full((2, 1), 127, np.int8)
    saturates = onnx_session.run("MatMulInteger", codes, np.int32).item() != 2 * 255 * 127
    found = [right for *_, right in answered(open_suite(directory / "suite"), "gemm_*", onnxruntime_gemm.mixed)]
    assert (found.count(False), found.count(True)) == ((4, 1) if saturates else (0, 5))
