"""export_suite: where files go, that they are the same twice, what is refused."""
import importlib.util

import numpy as np
import pytest

from refquant.golden import vector
from refquant.golden.errors import CorruptError, GoldenError
from refquant.golden.export import FORMATS, check_request, export_suite
from refquant.golden.export.bin import parse_bin
from refquant.golden.export.mem import parse_mem
from refquant.golden.operations import OPERATIONS

PLAIN = tuple(name for name in FORMATS if name != "onnx")
IDS = ("one", "two.b-1")


@pytest.fixture(scope="module")
def cases():
    gemm = OPERATIONS["gemm.forward"]
    stimuli = {s.attrs["a_format"]: s for s in gemm.stimuli(1, 0)}
    return [vector.build(gemm, stimuli[name], 0, id) for name, id in zip(("s4", "s8"), IDS, strict=True)]


@pytest.fixture
def suite(cases, tmp_path):
    for case in cases:
        vector.save(case, tmp_path)
    return tmp_path, [{"id": case.id, "op": case.record["op"], "sha256": "0" * 64} for case in cases]


def tree(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / "export").rglob("*")
            if path.is_file()}


def test_every_format_beside_the_cases_path(suite):
    root, entries = suite
    export_suite(root, entries, PLAIN, None)
    found = tree(root)
    first = "export/gemm/forward/one/"
    names = {path.removeprefix(first) for path in found if path.startswith(first)}
    tensors = ("in_a", "in_b", "in_bias", "in_multiplier", "in_shift", "mid_acc", "out_y", "flags_y")
    packed = ("in_a", "in_b", "out_y")
    assert names == {"case.npz", "one.tv", "c/one.h", *(f"mem/{t}.mem" for t in tensors),
                     *(f"bin/{t}.bin" for t in tensors), *(f"bin/{t}.packed.bin" for t in packed)}
    second = "export/gemm/forward/two.b-1/"
    assert {path for path in found if not path.startswith((first, second))} == {"export/refquant_compare.h"}
    assert f"{second}c/two.b-1.h" in found and b"rq_two_b_1_out_y[" in found[f"{second}c/two.b-1.h"]


def test_the_same_bytes_again_over_the_old_ones(suite):
    root, entries = suite
    export_suite(root, entries, PLAIN, 64)
    before = tree(root)
    next((root / "export").rglob("*.tv")).write_text("half a file")
    export_suite(root, entries, PLAIN, 64)
    assert tree(root) == before


@pytest.mark.parametrize("word", [None, 32, 64, 128])
def test_files_give_the_cases_tensors_back(suite, cases, word):
    root, entries = suite
    export_suite(root, entries, ("mem", "bin", "npz"), word)
    for case in cases:
        directory = root / "export" / case.path
        with np.load(directory / "case.npz") as loaded:
            for name, array in case.tensors.items():
                format = case.format(name)
                back = [loaded[name], parse_mem((directory / f"mem/{name}.mem").read_text(), format, array.shape, word),
                        parse_bin((directory / f"bin/{name}.bin").read_bytes(), format, array.shape)]
                assert all(b.dtype == array.dtype and b.tolist() == array.tolist() for b in back)


def test_refused_cases_are_counted_and_listed(suite):
    pytest.importorskip("onnx")
    root, entries = suite
    export_suite(root, entries, ("onnx", "npz"), None)
    text = (root / "export/REFUSED.txt").read_text()
    assert text.startswith("onnx: 2 of 2 cases have none\n")
    assert "\n      1 a is s4: the operator takes s8, u8\n" in text
    assert "\none: a is s4: the operator takes s8, u8\n" in text
    assert "\ntwo.b-1: " in text and "npz" not in text


def test_nothing_refused_nothing_listed(suite):
    root, entries = suite
    export_suite(root, entries, ("npz",), None)
    assert set(tree(root)) == {f"export/gemm/forward/{id}/case.npz" for id in IDS}


def test_a_damaged_case_is_not_exported(suite):
    root, entries = suite
    (root / "cases/gemm/forward/one/in_a.npy").unlink()
    with pytest.raises(CorruptError, match=r"in_a\.npy: missing"):
        export_suite(root, entries, ("mem",), None)


@pytest.mark.parametrize("formats, word, words", [
    (("mem", "hex"), None, ["'hex'", "mem, c, bin, npz, tv, onnx"]), (("mem",), 16, ["word = 16", "32, 64 or 128"]),
    (("c",), 0, ["word = 0"]),
])
def test_unknown_formats_and_words(formats, word, words, suite):
    for call, given in ((check_request, ()), (export_suite, suite)):
        with pytest.raises(GoldenError) as error:
            call(*given, formats, word)
        assert all(text in str(error.value) for text in words) and error.value.exit_code == 2
    assert not (suite[0] / "export").exists()


def test_a_request_that_can_be_met():
    check_request(PLAIN if importlib.util.find_spec("onnx") is None else tuple(FORMATS), 128)
