"""The C kernel of chapters/kernels with one text changed, and whole programs: the report must name the mistake."""
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[2] / "chapters/kernels"
sys.path.insert(0, str(KERNELS))
c_gemm = importlib.import_module("c_gemm")
first_look = importlib.import_module("first_look")
SOURCE = (KERNELS / "gemm_s8.c").read_text()
COMPILER = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), "")
needs_compiler = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")

TIE_UP = first_look.C_LINE
LAST_TERM = ("min(KC, k - p0)", "min(KC, k - 1 - p0)")
FIRST_CHANNEL = ("rq->per_channel ? column : 0", "rq->per_channel ? 0 * column : 0")
SINGLE = ("rq->flavour == TOSA_SINGLE || shift <= 31", "1")
NO_ZERO_POINT = ("code += rq->zero_point;", "")
SATURATING = ("acc[i][j] += (uint32_t)(wide_a[i][p] * wide_b[p][j]);", """{
    int64_t sum = (int64_t)(int32_t)acc[i][j] + wide_a[i][p] * wide_b[p][j];
    acc[i][j] = (uint32_t)(sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum);
}""")

FLOOR = ("code = half_up(product, shift);", "code = shift_down(product, shift);")
DIVISION = ("code = half_up(product, shift);",
            "code = (product + (INT64_C(1) << (shift - 1))) / (INT64_C(1) << shift);")
SECOND_DIVISION = [
    (f"code = {second}(half_up(product, 31), shift - 31);",
     "code = (half_up(product, 31) + (INT64_C(1) << (shift - 32))) / (INT64_C(1) << (shift - 31));")
    for second in ("half_up", "half_away")]
CLAMPED_BELOW = ("if (code < rq->qmin)\n        code = rq->qmin;\n", "")
CLAMPED_ABOVE = ("if (code > rq->qmax)\n        code = rq->qmax;\n", "")
TO_CONTAINER = [("if (code < rq->qmin)\n        code = rq->qmin;",
                 "if (code < -(128 * (rq->qmin < 0)))\n        code = -128;"),
                ("if (code > rq->qmax)\n        code = rq->qmax;", "if (rq->qmin == 0 && code < 0)\n        code = 0;\n"
                 "    if (code > (rq->qmin < 0 ? 127 : 255))\n        code = rq->qmin < 0 ? 127 : 255;")]
ZERO_POINT_LAST = ("return (int32_t)code;", "return (int32_t)code + rq->zero_point;")
SHORT_PRODUCTS = ("(uint32_t)(wide_a[i][p] * wide_b[p][j])", "(uint32_t)(int16_t)(wide_a[i][p] * wide_b[p][j])")
FROM_1 = ("p = 0; p < terms; p++)\n                for", "p = p0 == 0; p < terms; p++)\n                for")
SIGNED = ("(from->is_signed ? s8[i] : u8[i])", "s8[i]")
COLUMNS_AGAIN = ("(p0 + p) * n + j0", "(p0 + p) * n")
TERMS_AGAIN = [("* k + p0", "* k"), ("(int64_t)(p0 + p) * n", "(int64_t)p * n")]


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """(changes) -> the device function of the kernel compiled with these texts changed."""
    def compiled(*changes):
        text = SOURCE
        for right, wrong in changes:
            assert text.count(right) == 1, right
            text = text.replace(right, wrong)
        (tmp_path / "kernel.c").write_text(text)
        library = tmp_path / "kernel.so"
        subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", "-o", library, tmp_path / "kernel.c"], check=True)
        monkeypatch.setenv("GEMM_LIBRARY", str(library))
        c_gemm.kernel.cache_clear()
        return c_gemm.dut
    yield compiled
    c_gemm.kernel.cache_clear()


@needs_compiler
def test_the_right_kernel_passes(report_on, broken):
    report = report_on("gemm_forward_*", broken())
    assert report.count("pass") >= 9 and report.count("fail") == report.count("error") == 0


@needs_compiler
@pytest.mark.parametrize("changes, expected", [
    ([TIE_UP], {"tosa_double->ruy_double"}),
    ([SINGLE], {"tosa_double->tosa_single", "ruy_double->tosa_single"}),
    ([LAST_TERM], {"last_term_dropped"}),
    ([FIRST_CHANNEL], {"first_channel_for_all"}),
    ([NO_ZERO_POINT], {"zero_point_omitted"}),
    ([SATURATING], {"wrap->saturate_running"}),
    ([("bias ? (uint32_t)bias[j0 + j] : 0", "0 * (bias != 0)")], {"bias_omitted"}),
    ([("bias[j0 + j]", "bias[0]")], {"first_bias_for_all"}),
    ([SINGLE, FLOOR], {"no_rounding"}),
    ([DIVISION], {"division_truncates"}),
    (SECOND_DIVISION, {"second_division_truncates"}),
    ([CLAMPED_BELOW], {"not_clamped_below"}),
    ([CLAMPED_ABOVE], {"not_clamped_above"}),
    (TO_CONTAINER, {"saturates_to_container"}),
    ([NO_ZERO_POINT, ZERO_POINT_LAST], {"zero_point_after_saturation"}),
    ([SHORT_PRODUCTS], {"products_cut_to_16_bits"}),
    ([FROM_1], {"first_term_dropped"}),
    ([COLUMNS_AGAIN], {"second_tile_of_columns_repeats_first"}),
    (TERMS_AGAIN, {"second_tile_of_terms_repeats_first"}),
    # two at once
    ([SHORT_PRODUCTS, FIRST_CHANNEL], {"products_cut_to_16_bits", "first_channel_for_all"}),
    ([("- from->zero_point", "+ from->zero_point")], {"a_zero_point_added", "b_zero_point_added"}),
    ([TIE_UP, FIRST_CHANNEL], {"tosa_double->ruy_double", "first_channel_for_all"}),
], ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else "")
def test_the_mistake_is_named(named, broken, changes, expected):
    assert named("gemm_forward_*", broken(*changes)) == expected


@needs_compiler
def test_sign_extension_is_named(named, broken):
    """Of 8-bit codes: narrower ones lie in bytes, which this kernel extends from bit 7, the mutant from their own."""
    assert named("gemm_forward_*_u8xs8_*", broken(SIGNED)) == {"a_sign_extended"}


@needs_compiler
def test_an_unknown_mistake_is_not_given_a_name(named, broken):
    """Half of each bias is added, which no mutant does."""
    assert named("gemm_forward_*", broken(("bias[j0 + j]", "(bias[j0 + j] / 2)")), seconds=5) == set()


# Whole programs, through the command line.

PACK_C = r"""
/* quantize.pack of 4-bit codes, their halves swapped: CASE_DIR/in_codes.npy to OUT_DIR/out_bytes.npy. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static unsigned char npy[1 << 16];
    char path[4096], header[118] = "";
    FILE *file;
    size_t size, start, count;

    if (argc != 3)
        return 2;
    if (!strstr(argv[1], "_s4_") && !strstr(argv[1], "_u4_"))
        return 4; /* 2-bit codes: not supported */
    snprintf(path, sizeof path, "%s/in_codes.npy", argv[1]);
    if (!(file = fopen(path, "rb")))
        return 2;
    size = fread(npy, 1, sizeof npy, file);
    fclose(file);
    start = 10 + npy[8] + 256 * npy[9]; /* magic, version, the length of the header, the header */
    count = size - start;
    snprintf(path, sizeof path, "%s/out_bytes.npy", argv[2]);
    if (!(file = fopen(path, "wb")))
        return 2;
    snprintf(header, sizeof header, "{'descr': '|u1', 'fortran_order': False, 'shape': (%zu,), }", (count + 1) / 2);
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fprintf(file, "%-117s\n", header);
    for (size_t i = 0; i < count; i += 2) {
        unsigned second = i + 1 < count ? npy[start + i + 1] & 15u : 0;

        fputc((int)((npy[start + i] & 15u) << 4 | second), file);
    }
    return fclose(file) ? 2 : 0;
}
"""

SHIFT_PY = """
# stochastic.shift, the random bits aligned to the wrong end: rbits_y.npy is added as it is
import json, pathlib, sys
import numpy as np

case, out = map(pathlib.Path, sys.argv[1:])
attrs = json.loads((case / "case.json").read_text())["attrs"]
v, r = (np.load(case / f"{name}.npy").astype(np.int64) for name in ("in_v", "rbits_y"))
drop = max(attrs["n"] - attrs["shift"], 0)
ends = {"s4": (-8, 7), "s8": (-128, 127), "s16": (-32768, 32767)}[attrs["format"]]
y = np.clip((v + (r >> drop)) >> attrs["shift"], *ends)
np.save(out / "out_y.npy", y.astype(np.int16 if attrs["format"] == "s16" else np.int8))
"""


def verified(suite, cases, program, tmp_path):
    """The exit code and the JSON report of ``refquant vectors verify --dut exec:PROGRAM``."""
    report = tmp_path / "report.json"
    done = subprocess.run([sys.executable, "-m", "refquant", "vectors", "verify", suite.root, "--cases", cases, "--dut",
                           f"exec:{shlex.join(program)}", "--report", "json", "--output", report], check=False)
    return done.returncode, json.loads(report.read_text())


@needs_compiler
def test_a_c_program_that_swaps_nibbles(level_1, tmp_path):
    (tmp_path / "pack.c").write_text(PACK_C)
    program = str(tmp_path / "pack")
    subprocess.run([COMPILER, "-o", program, tmp_path / "pack.c"], check=True)
    status, report = verified(level_1, "quantize_pack_*", [program], tmp_path)
    assert status == 1
    assert report["counts"] == {"pass": 0, "fail": 4, "error": 0, "unsupported": 4}
    assert [cause["mutant"] for cause in report["causes"]] == ["halves_swapped"]


def test_a_python_program_that_misaligns_random_bits(level_1, tmp_path):
    (tmp_path / "shift.py").write_text(SHIFT_PY)
    status, report = verified(level_1, "stochastic_shift_*", [sys.executable, str(tmp_path / "shift.py")], tmp_path)
    assert status == 1
    assert report["counts"] == {"pass": 3, "fail": 4, "error": 0, "unsupported": 0}
    assert [cause["mutant"] for cause in report["causes"]] == ["bits_at_wrong_end"]


def test_first_look_without_a_compiler(tmp_path, monkeypatch):
    """The tour of the chapter, which with a C compiler is the README's first command."""
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run([sys.executable, KERNELS / "first_look.py", "--keep", tmp_path / "kept"],
                          stdout=subprocess.PIPE, text=True, check=True)
    assert re.search(r"Likely causes:\n  gemm\.forward: tosa_double->ruy_double: ", done.stdout)
    assert "There is no C compiler" in done.stdout
    assert (tmp_path / "kept/suite/MANIFEST.json").exists()
