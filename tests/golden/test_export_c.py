"""c: compiled without a warning as C99 and C++, the arrays read back from the program, the comparer on every type."""
import shutil
import subprocess

import numpy as np
import pytest

from refquant.golden.export import c
from refquant.golden.export.bin import raw_bytes
from refquant.golden.operations import OPERATIONS
from refquant.golden.vector import Vector
from refquant.integers.formats import IntFormat

COMPILERS = {"c": ["gcc", "-std=c99"], "cpp": ["g++", "-std=c++17"]}
compiler = pytest.mark.parametrize("language", [
    pytest.param(language, marks=pytest.mark.skipif(shutil.which(command[0]) is None, reason=f"needs {command[0]}"))
    for language, command in COMPILERS.items()])

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FLOATS = [0.0, -0.0, 1.0, 0.1, -1e-3, 1e-38, np.inf, -np.inf]


def integers(dtype):
    info = np.iinfo(dtype)
    return np.array([info.min, info.max, 0, 1, info.min + 1, info.max // 3, *range(40)], dtype)


def floats(dtype):
    info = np.finfo(dtype)
    return np.array([*FLOATS, info.max, -info.max, info.tiny, info.smallest_subnormal], dtype)


TENSORS = {**{f"in_{dtype}": integers(dtype) for dtype in DTYPES},
           "in_f32": floats(np.float32), "in_f64": floats(np.float64),
           "mid_empty": np.zeros((0, 3), np.int16), "out_matrix": np.arange(6, dtype=np.int8).reshape(2, 3),
           "out_scalar": np.array(-7, np.int32)}


def vector(tensors=TENSORS, id="a-case_s8.m1", **attrs):
    return Vector({"id": id, "op": "gemm.forward", "summary": "every type", "attrs": attrs}, tensors)


@pytest.fixture(autouse=True)
def any_tensor_has_a_format(monkeypatch):
    monkeypatch.setattr(Vector, "format", lambda self, name: IntFormat(8))


def run(directory, language, source, *headers):
    """What a program of this source prints, its headers and the comparer beside it."""
    for name, data in [*c.shared().items(), *headers]:
        (directory / name).write_bytes(data)
    (directory / f"main.{language}").write_text(source)
    done = subprocess.run([*COMPILERS[language], "-Wall", "-Wextra", "-Werror", "-pedantic", f"main.{language}", "-o",
                           "main"], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return subprocess.run(["./main"], cwd=directory, capture_output=True, check=True).stdout


def header_file(case):
    (path, data), = c.export(case, None).items()
    return path.removeprefix("c/"), data


@compiler
def test_every_element_of_every_type_is_in_the_program(language, tmp_path):
    case = vector()
    written = "".join(f"fwrite(rq_a_case_s8_m1_{name}, sizeof rq_a_case_s8_m1_{name}[0], "
                      f"rq_a_case_s8_m1_{name}_size, stdout);\n" for name in TENSORS)
    name, data = header_file(case)
    out = run(tmp_path, language, f'#include "{name}"\n#include <stdio.h>\nint main(void) {{\n{written}return 0; }}\n',
              (name, data))
    assert out == b"".join(raw_bytes(array) for array in TENSORS.values())  # bits: -0.0 is not 0.0


@compiler
def test_numbers_are_constants_by_token_pasting(language, tmp_path):
    case = vector(x_zero_point=-128, stride=[2, 3], bias=True, rounding=None, flavour="none", seed=2**40)
    wanted = {"out_matrix_size": 6, "out_matrix_dim0": 2, "out_matrix_dim1": 3, "mid_empty_size": 0,
              "mid_empty_dim0": 0, "out_scalar_size": 1, "x_zero_point": -128, "stride_0": 2, "stride_1": 3, "bias": 1}
    prints = "".join(f'printf("%d\\n", (int)NAME(CASE, {name}));\n' for name in wanted)
    name, data = header_file(case)
    out = run(tmp_path, language, f"""#include "{name}"
#include <stdio.h>
#define CASE a_case_s8_m1
#define PASTE(c, what) rq_##c##_##what
#define NAME(c, what) PASTE(c, what)
int main(void) {{ {prints} return 0; }}
""", (name, data))
    assert [int(line) for line in out.split()] == list(wanted.values())
    text = data.decode()
    assert "// stride = [2, 3]\n" in text and "// rounding = null\n" in text and '// flavour = "none"\n' in text
    assert "// seed = 1099511627776\n" in text and "_seed =" not in text  # no int


def test_the_text_of_a_small_case():
    text = c.header(vector({"in_a": np.array([[-128, 127]], np.int8)}, "t", zero_point=3))
    assert text == """#pragma once
#include <stdint.h>

// case t
// operation gemm.forward: every type
// zero_point = 3

enum {
    rq_t_in_a_size = 2,
    rq_t_in_a_dim0 = 1,
    rq_t_in_a_dim1 = 2,
    rq_t_zero_point = 3
};

// in_a: s8 [1, 2]
static const int8_t rq_t_in_a[2] = {
    -128, 127,
};
"""


@pytest.mark.parametrize("dtype, literals", [
    ("int8", "-128, 127"), ("uint8", "0, 255"), ("int32", "(-2147483647 - 1), 2147483647"),
    ("uint32", "0U, 4294967295U"), ("int64", "(-9223372036854775807LL - 1), 9223372036854775807LL"),
    ("uint64", "0ULL, 18446744073709551615ULL"),
])
def test_literals_have_the_type_of_their_array_on_every_machine(dtype, literals):
    info = np.iinfo(dtype)
    assert f"    {literals},\n" in c.header(vector({"in_a": np.array([info.min, info.max], dtype)}))


def test_infinities_alone_need_math_h():
    assert "math.h" in c.header(vector())
    assert "math.h" not in c.header(vector({"in_a": np.array([1.5, 3e38], np.float32)}))


COMPARED = [  # type, (actual, expected) pairs, what is printed
    ("int8", [(-1, -1), (-100, -99), (0, 1)], "2 of 3 differ, first at 1: got -100 (0x9c), expected -99 (0x9d)"),
    ("uint8", [(255, 0)], "1 of 1 differ, first at 0: got 255 (0xff), expected 0 (0x00)"),
    ("int16", [(-1, 1)], "1 of 1 differ, first at 0: got -1 (0xffff), expected 1 (0x0001)"),
    ("uint16", [(1, 65535)], "1 of 1 differ, first at 0: got 1 (0x0001), expected 65535 (0xffff)"),
    ("int32", [(-2, 7)], "1 of 1 differ, first at 0: got -2 (0xfffffffe), expected 7 (0x00000007)"),
    ("uint32", [(4294967295, 7)], "got 4294967295 (0xffffffff), expected 7 (0x00000007)"),
    ("int64", [(-2, 7)], "got -2 (0xfffffffffffffffe), expected 7 (0x0000000000000007)"),
    ("uint64", [(18446744073709551615, 7)], "got 18446744073709551615 (0xffffffffffffffff), expected 7"),
    ("float", [(1.5, 1.5), (-2.0, 0.25)],
     "1 of 2 differ, first at 1: got -2 (0xc0000000), expected 0.25 (0x3e800000)"),
    ("double", [(1.0, -0.5)], "got 1 (0x3ff0000000000000), expected -0.5 (0xbfe0000000000000)"),
]


@compiler
@pytest.mark.parametrize("kind, pairs, printed", COMPARED, ids=[row[0] for row in COMPARED])
def test_the_comparer_counts_and_shows_the_first(kind, pairs, printed, language, tmp_path):
    out = compare(tmp_path, language, kind, *zip(*pairs, strict=True)).decode()
    assert out.startswith("FAIL y: ") and printed in out
    assert out.endswith(f"\n{sum(a != b for a, b in pairs)}\n")
    assert out.count("\n") == 2


@compiler
@pytest.mark.parametrize("kind", [row[0] for row in COMPARED])
def test_the_comparer_is_silent_when_all_are_equal(kind, language, tmp_path):
    assert compare(tmp_path, language, kind, [1, 0, 7], [1, 0, 7]) == b"0\n"


@compiler
def test_nan_differs_from_everything_and_zeros_are_equal(language, tmp_path):
    out = compare(tmp_path, language, "float", ["-0.0f", "NAN"], ["0.0f", "NAN"]).decode()
    assert out.startswith("FAIL y: 1 of 2 differ, first at 1: got ") and out.endswith("\n1\n")


def compare(directory, language, kind, actual, expected):
    ctype = kind if kind in ("float", "double") else f"{kind}_t"
    return run(directory, language, f"""#include "refquant_compare.h"
#include <math.h>
static const {ctype} actual[] = {{{', '.join(map(_literal, actual))}}};
static const {ctype} expected[] = {{{', '.join(map(_literal, expected))}}};
int main(void) {{
    size_t wrong = rq_compare_{kind}("y", actual, expected, {len(actual)});
    printf("%lu\\n", (unsigned long)wrong);
    return 0;
}}
""")


def _literal(value):
    return f"{value}u" if isinstance(value, int) and value >= 2**31 else str(value)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_the_headers_of_a_group_of_cases_compile_together(tmp_path, monkeypatch):
    monkeypatch.undo()
    operation = OPERATIONS["gemm.forward"]
    cases = []
    for k, stimulus in enumerate(operation.stimuli(1, 0)):
        tensors = stimulus.inputs | operation.reference(stimulus.attrs, stimulus.inputs)
        cases.append(vector(tensors, f"gemm_forward_{stimulus.label}_{k}", **stimulus.attrs))
    headers = [header_file(case) for case in cases]
    checks = "".join(f'wrong += rq_compare_{array.dtype}("{name}", {(own := f"rq_{c.identifier(case.id)}_{name}")}, '
                     f"{own}, {own}_size);\n" for case in cases for name, array in case.tensors.items()
                     if array.dtype.kind != "f")
    includes = "".join(f'#include "{name}"\n' for name, _ in headers)
    out = run(tmp_path, "c", f'#include "refquant_compare.h"\n{includes}int main(void) {{ size_t wrong = 0;\n{checks}'
              'printf("%lu\\n", (unsigned long)wrong); return 0; }\n', *headers)
    assert out == b"0\n" and len(headers) > 20
