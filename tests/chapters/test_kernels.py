"""The kernels of chapters/kernels that need no more than a C compiler: the page's commands, and what they rest on.

torch's and ONNX Runtime's are in tests/external.
"""
import importlib
import itertools
import shutil
import subprocess
import sys
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from refquant.golden import Case, GoldenError, Unsupported, open_suite
from refquant.golden.device import NoAnswer

KERNELS = Path(__file__).parents[2] / "chapters/kernels"
sys.path.insert(0, str(KERNELS))
readme, engine_cases, which_rounding = map(importlib.import_module, ("readme", "engine_cases", "which_rounding"))
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler cc")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A copy of the kernels, with the page's suite."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash for the page's commands")
    return readme.prepared(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="module")
def multiplied(directory):
    """The cases that which_rounding.py takes."""
    return [vector for pattern in ("gemm_forward_*", "requantize_requantize_*")
            for vector in open_suite(directory / "suite").vectors(pattern)
            if vector.attrs["flavour"] in which_rounding.FLAVOURS]


@needs_compiler
@pytest.mark.parametrize("title", ["C", "Which rounding"])
def test_the_page(title, directory):
    assert list(readme.broken_promises(title, directory)) == []


def test_the_page_can_break(directory, monkeypatch):
    """A promise not kept, and a line that the text beside the commands does not have."""
    for commands, text, count in (("echo one\n# one\n", "", 0), ("echo one\n# two\n", "", 1), ("echo 2; echo 1\n# 1\n# 2\n", "", 1),
                                  ("echo one", "one\nmore\n", 0), ("echo on", "one\n", 1)):
        monkeypatch.setattr(readme, "sections", lambda block=(commands, text): {"section": [block]})
        assert len(list(readme.broken_promises("section", directory))) == count, commands


def program(directory, case, out, **environment):
    case = directory / "suite/cases/gemm/forward" / case
    return subprocess.run([sys.executable, directory / "gemm_program.py", case, out], capture_output=True, text=True,
                          env=environment or None)


@pytest.mark.parametrize("words, reason", [
    ("rq-fp32-rint_s8_pc", "flavour 'fp32_rint'"), ("acc18w", "accumulator_bits 18"), ("_s16xs16_acc32w", "a of int16"),
    ("zpm5b", "zero_point_at 'before'"), ("s8_wrap", "overflow 'wrap'")])
def test_the_program_declines_with_a_reason(words, reason, directory, tmp_path):
    case, *_ = (path.name for path in (directory / "suite/cases/gemm/forward").glob(f"*{words}*"))
    done = program(directory, case, tmp_path)
    assert done.returncode == 4 and reason in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_program_needs_the_headers(directory, tmp_path):
    shutil.copytree(directory / "suite/cases", tmp_path / "suite/cases")
    (tmp_path / "gemm_program.py").symlink_to(directory / "gemm_program.py")
    case = next((tmp_path / "suite/cases/gemm/forward").glob("*tosa-double_s8_pc_zp3*"))
    done = subprocess.run([sys.executable, directory / "gemm_program.py", case, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "create the suite with --export c" in done.stderr


def test_the_cases_tell_every_two_flavours_apart(multiplied):
    """But for rndnu given a multiplier of 24 bits, which is tosa_single; others it takes as a float32."""
    told = set()
    for vector in multiplied:
        codes = which_rounding.readings(vector)
        told |= {(a, b) for a, b in itertools.permutations(which_rounding.FLAVOURS, 2)
                 if (a, "after") in codes and (b, "after") in codes and not np.array_equal(codes[a, "after"], codes[b, "after"])}
    assert told == set(itertools.permutations(which_rounding.FLAVOURS, 2))


def test_a_case_read_by_its_own_flavour_is_its_answer(multiplied):
    for vector in multiplied:
        at = vector.attrs["zero_point_at"]
        assert np.array_equal(which_rounding.readings(vector)[vector.attrs["flavour"], at], vector.tensors["out_y"])


def test_scales_are_converted_exactly(multiplied):
    """By fractions: a float32 in both integer forms, and an integer scale by its 31 bits."""
    def fractions(multiplier, shift):
        return [Fraction(int(m), 2 ** int(s)) for m, s in zip(multiplier, shift, strict=True)]

    for vector in multiplied:
        case = Case.of(vector)
        given = fractions(case.inputs["multiplier"], case.inputs["shift"]) if "multiplier" in case.inputs else [
            Fraction(float(scale)) for scale in case.inputs["scale"]]
        multiplier, shift = engine_cases.integer_scale(case)
        assert fractions(multiplier, shift) == given and (multiplier >= 2**30).all()
        scale = engine_cases.float32_scale(case)
        assert all(abs(Fraction(float(f)) - g) <= g / 2**24 for f, g in zip(scale, given, strict=True))
        multiplier, shift = engine_cases.parts(scale, 24)
        assert fractions(multiplier, shift) == [Fraction(float(f)) for f in scale] and (multiplier < 2**24).all()


def rounds_once(case, half=1):
    acc = engine_cases.accumulators(case).astype(object)
    engine_cases.check(case, ("s8", "u8", "s16"))
    multiplier, shift = (array.astype(object) for array in engine_cases.integer_scale(case))
    codes = (acc * multiplier + half * 2 ** (shift - 1)) // 2**shift + case.attrs["zero_point"]
    limits = np.iinfo(case.outputs["y"][1])
    return {"y": np.clip(codes, limits.min, limits.max).astype(limits.dtype)}


def declines(case):
    raise Unsupported("everything")


def does_not_answer(case):
    raise NoAnswer("no such case")


@pytest.mark.parametrize("function, flavour, report", [
    (rounds_once, "tosa_single", "tosa_double->tosa_single"), (partial(rounds_once, half=0), "none", "no_rounding"),
    (declines, "none", "no difference"), (does_not_answer, None, "no such case"), (lambda case: {}, None, "no answer")])
def test_which_rounding_of_ones_own_kernel(function, flavour, report, multiplied, monkeypatch):
    """In plain Python integers; that of no flavour; none at all."""
    def answer(vector):
        return {f"out_{name}": array for name, array in function(Case.of(vector)).items()}

    monkeypatch.setattr(which_rounding, "device", lambda *arguments: nullcontext(SimpleNamespace(answer=answer)))
    cases = [(vector, which_rounding.readings(vector)) for vector in multiplied]
    if flavour is None:
        with pytest.raises(GoldenError, match=report):
            which_rounding.row("python:mine:dut", None, cases)
        return
    found = which_rounding.row("python:mine:dut", None, cases).split()
    assert found[0] == "mine:dut" and found[5] == flavour and " ".join(found[6:]) == report
