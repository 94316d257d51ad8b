"""Damaged suites and damaged answers: each is refused by name, with the right exit code, and nothing is run or taken."""
import json
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from refquant.cli import main
from refquant.golden import GoldenError, create, open_suite, vector
from refquant.golden.audit import audit
from refquant.golden.device import ActualDevice, Answered
from refquant.golden.errors import CorruptError
from refquant.golden.files import npy, parse_npy
from refquant.golden.operations import OPERATIONS
from refquant.golden.verify import compare, verify


def corrupt(call, *words):
    """``call`` must raise a CorruptError whose text has all of ``words``."""
    with pytest.raises(CorruptError) as error:
        call()
    assert error.value.exit_code == 3
    assert all(str(word) in str(error.value) for word in words), str(error.value)


def opened(root):
    """All that verify reads: the manifest, the hashes, every vector."""
    suite = open_suite(root)
    suite.check_hashes()
    return list(suite.vectors())


def edit(path, change):
    """Change a JSON file."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def case_file(root, op="lfsr"):
    return next((root / "cases/stochastic" / op).rglob("case.json"))


# Directories that are no suite

@pytest.mark.parametrize("verb", ["list", "verify", "explain", "audit", "gen", "ver"])
@pytest.mark.parametrize("kind", ["missing", "empty", "file", "long name", "other"])
def test_no_suite(verb, kind, tmp_path, refquant, capsys):
    root = tmp_path / ("x" * 300 if kind == "long name" else "suite")
    if kind in ("empty", "other"):
        root.mkdir()
    if kind == "other":
        (root / "MANIFEST.json").mkdir()
    if kind == "file":
        root.write_text("a file")
    rest = {"verify": ["--actual", str(tmp_path)], "explain": ["x", "--at", "0"]}.get(verb, [])
    if kind in ("missing", "long name"):  # the others in this process, which is faster
        done = refquant("vectors", verb, root, *rest)
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        code = main(["vectors", verb, str(root), *rest])
        out, err = capsys.readouterr()
    assert (code, out) == (3, "") and str(root) in err
    if kind == "empty":
        assert "not a suite" in err and "MANIFEST.json" in err
    if kind in ("missing", "file"):
        assert "no such directory" in err
    assert not any(path.name.endswith(".partial") for path in tmp_path.iterdir())


# One changed byte

KINDS = ("MANIFEST.json", "SHA256SUMS", "README.md", "schema/suite-1.schema.json", "schema/case-1.schema.json",
         "case.json", "in_x.npy", "rbits_y.npy", "out_y.npy", "flags_y.npy", "out_y.mem", "REFUSED.txt")


def of_kind(root, kind):
    if "/" in kind or (root / kind).exists():
        return root / kind
    return next(root.rglob(kind), None)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_one_byte_changed(copied, tiny, kind, place, capsys):
    path = of_kind(copied, kind)
    data = bytearray(path.read_bytes())
    data[{"first": 0, "middle": len(data) // 2, "last": -1}[place]] ^= 1
    path.write_bytes(data)
    for arguments in (["verify", str(copied), "--actual", str(tiny.root)], ["audit", str(copied)]):
        assert main(["vectors", *arguments]) == 3
        out, err = capsys.readouterr()
        assert out == "" and path.name in err and err.startswith("refquant: ")


@pytest.mark.parametrize("kind", ["case.json", "out_y.npy", "SHA256SUMS"])
def test_one_byte_changed_from_outside(copied, tiny, kind, refquant):
    path = of_kind(copied, kind)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    for arguments in (["verify", copied, "--actual", tiny.root], ["audit", copied]):
        done = refquant("vectors", *arguments)
        assert (done.returncode, done.stdout) == (3, "") and path.name in done.stderr


def test_every_bit_of_a_manifest_matters(copied):
    """No single flipped bit of MANIFEST.json or SHA256SUMS goes unnoticed or raises anything else."""
    for name in ("MANIFEST.json", "SHA256SUMS"):
        data = (copied / name).read_bytes()
        for place in range(0, len(data), 7):
            (copied / name).write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1:])
            corrupt(lambda: opened(copied))
        (copied / name).write_bytes(data)
    opened(copied)


@pytest.mark.parametrize("kind", [*KINDS[:-1]])
def test_a_missing_file(copied, kind):
    path = of_kind(copied, kind)
    path.unlink()
    corrupt(lambda: opened(copied), path.name)


def test_case_json_is_held_against_the_manifest(copied, seal):
    """`explain` and `gen` do not read SHA256SUMS, but they must not take another case.json for the one it lists."""
    path = case_file(copied, "quantize")
    edit(path, lambda record: record["attrs"].update(zero_point=record["attrs"]["zero_point"] + 1))
    suite = open_suite(copied)
    corrupt(lambda: suite.vector(path.parent.name), path, "MANIFEST.json")
    corrupt(lambda: list(suite.vectors()), path, "MANIFEST.json")


def test_the_same_byte_changed_in_all_hashes_is_found_by_audit(copied, tiny, seal, refquant):
    """Whoever changes an answer and every hash gets past verify, never past the two implementations."""
    path = of_kind(copied, "out_y.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    seal(copied)
    opened(copied)
    found = audit(open_suite(copied))
    assert found.exit_code == 1
    assert set(found.wrong) >= {f"{path.parent.name}: out_y differs from the {by}" for by in ("reference", "scalar model")}
    done = refquant("vectors", "audit", copied)
    assert done.returncode == 1 and f"WRONG {path.parent.name}: out_y differs" in done.stdout
    compared = refquant("vectors", "verify", copied, "--actual", tiny.root)
    assert compared.returncode == 1 and "1 different" in compared.stdout


# SHA256SUMS

@pytest.mark.parametrize("change, words", [
    (lambda line: line.replace("  ", "  /"), ["/"]), (lambda line: line.replace("  ", "  ../"), [".."]),
    (lambda line: line.replace("  ", "  cases/../../copied/"), [".."]),
    (lambda line: line.replace("  ", " "), ["line 1", "two spaces"]), (lambda line: line[1:], ["line 1", "SHA-256"]),
    (lambda line: line[:64].upper() + line[64:], ["SHA256SUMS"]), (lambda line: line + "\0", ["SHA256SUMS"]),
    (lambda line: "", ["SHA256SUMS"]), (lambda line: "z" * 64 + line[64:], ["SHA-256"]),
    (lambda line: line[:66] + "cases", ["cases"]), (lambda line: line[:66] + "x" * 5000, ["xxx"]),
], ids=["absolute", "dotted", "dotted inside", "one space", "short digest", "upper case", "null", "empty", "not a digest",
        "a directory", "long"])
def test_sha256sums_of_another_form(copied, change, words):
    lines = (copied / "SHA256SUMS").read_text().splitlines()
    (copied / "SHA256SUMS").write_text("\n".join([change(lines[0]), *lines[1:]]) + "\n")
    corrupt(lambda: open_suite(copied).check_hashes(), *words)


def test_sha256sums_that_leave_out_a_file(copied):
    lines = (copied / "SHA256SUMS").read_text().splitlines(keepends=True)
    left_out = next(line for line in lines if "out_y.npy" in line)
    (copied / "SHA256SUMS").write_text("".join(line for line in lines if line != left_out))
    corrupt(lambda: open_suite(copied).check_hashes(), "out_y.npy", "SHA256SUMS")


def test_a_file_that_sha256sums_does_not_list(copied):
    (copied / "cases/extra.npy").write_bytes(b"x")
    corrupt(lambda: open_suite(copied).check_hashes(), "extra.npy", "SHA256SUMS")


# Manifests and case records

@pytest.mark.parametrize("change, words", [
    (lambda m: m["cases"][0].update(id="../../etc"), ["id", "../../etc"]),
    (lambda m: m["cases"][0].update(id="/etc/passwd"), ["id", "/etc/passwd"]),
    (lambda m: m["cases"][0].update(id=".."), ["id", "'..'"]), (lambda m: m["cases"][0].update(id="."), ["id", "'.'"]),
    (lambda m: m["cases"][0].update(id="UPPER"), ["id", "UPPER"]), (lambda m: m["cases"][0].update(id="a" * 121), ["id"]),
    (lambda m: m["cases"][0].update(id="a\n"), ["id"]), (lambda m: m["cases"][0].update(id=""), ["id"]),
    (lambda m: m["cases"][0].update(id=7), ["id", "string"]),
    (lambda m: m["cases"][0].update(op="gemm.fly"), ["gemm.fly", "gemm.forward"]),
    (lambda m: m["cases"][0].update(op="../etc"), ["op"]), (lambda m: m["cases"][0].update(op="gemm"), ["op"]),
    (lambda m: m["cases"][0].update(sha256="0" * 63), ["sha256"]),
    (lambda m: m["cases"].append(m["cases"][0]), ["twice"]), (lambda m: m.update(cases={}), ["cases", "array"]),
    (lambda m: m.pop("cases"), ["cases"]), (lambda m: m.update(schema="suite-2"), ["schema", "suite-1"]),
    (lambda m: m.update(level=4), ["level", "3"]), (lambda m: m.update(seed=-1), ["seed", "0"]),
    (lambda m: m.update(surprise=1), ["surprise"]),
])
def test_manifests(copied, seal, change, words):
    manifest = json.loads((copied / "MANIFEST.json").read_text())
    seal(copied)
    change(manifest)
    (copied / "MANIFEST.json").write_text(json.dumps(manifest))
    corrupt(lambda: open_suite(copied), copied / "MANIFEST.json", *words)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "\ufeff{}", "[" * 100000, '{"cases": NaN}', "9" * 5000,
                                  "\x00", '"\\ud800"'], ids=lambda text: repr(text[:8]))
def test_manifests_that_are_no_record(copied, text, tmp_path):
    (copied / "MANIFEST.json").write_text(text, errors="surrogatepass")
    corrupt(lambda: open_suite(copied), "MANIFEST.json")


def test_a_manifest_in_no_encoding(copied):
    (copied / "MANIFEST.json").write_bytes(b"\xff\xfe\x00\x80")
    corrupt(lambda: open_suite(copied), "MANIFEST.json", "not JSON")


def test_a_suite_of_no_cases(copied, seal, refquant):
    """Nothing verified is no success."""
    edit(copied / "MANIFEST.json", lambda manifest: manifest.update(cases=[]))
    shutil.rmtree(copied / "cases")
    seal(copied)
    for arguments in (["verify", copied, "--actual", copied], ["audit", copied], ["gen", copied]):
        done = refquant("vectors", *arguments)
        assert done.returncode == 3 and "PASS" not in done.stdout and str(copied) in done.stderr
    with pytest.raises(CorruptError, match="nothing was verified"):
        verify([], Answered({}), "nobody")


@pytest.mark.parametrize("change, words", [
    (lambda c: c["tensors"][0].update(name="../in_seed"), ["name"]),
    (lambda c: c["tensors"][0].update(file="../in_seed.npy"), ["file"]),
    (lambda c: c["tensors"][0].update(file="/etc/passwd"), ["file"]),
    (lambda c: c["tensors"][0].update(file="in_other.npy"), ["file", "in_other"]),
    (lambda c: c["tensors"][0].update(name="in_other"), ["in_other", "in_seed"]),
    (lambda c: c["tensors"].pop(), ["tensors"]), (lambda c: c["tensors"].append(c["tensors"][0]), ["tensors", "in_seed"]),
    (lambda c: c["tensors"][1].update(shape=[7]), ["out_r.npy", "(7,)"]),
    (lambda c: c["tensors"][1].update(shape=[-1]), ["shape"]),
    (lambda c: c.update(op="stochastic.dice"), ["op"]), (lambda c: c.update(op="stochastic.shift"), ["case.json"]),
    (lambda c: c.update(id="another"), ["another"]), (lambda c: c.update(schema="case-9"), ["schema", "case-1"]),
    (lambda c: c["attrs"].update(width=7), ["width"]), (lambda c: c["attrs"].pop("n"), ["n"]),
    (lambda c: c["attrs"].update(n="8"), ["n", "integer"]), (lambda c: c["attrs"].update(extra=1), ["extra"]),
    (lambda c: c["attrs"].update(count=2**50), ["count"]), (lambda c: c.pop("kills"), ["kills"]),
])
def test_case_records(copied, seal, change, words):
    """With all hashes right: the record itself is wrong."""
    path = case_file(copied)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    seal(copied)
    corrupt(lambda: opened(copied), *words)


@pytest.mark.parametrize("name", ["MANIFEST.json", "SHA256SUMS", "cases", "case.json", "out_r.npy"])
def test_symbolic_links_out_of_the_suite(copied, tmp_path, name):
    path = copied / name if (copied / name).exists() else next(copied.rglob(name))
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    corrupt(lambda: opened(copied), "leads out of")


def test_symbolic_links_in_a_circle(copied):
    path = next(copied.rglob("out_r.npy"))
    path.unlink()
    path.symlink_to(path.name)
    corrupt(lambda: opened(copied), "out_r.npy")


def test_an_empty_file_is_not_a_vector(copied, seal):
    path = next(copied.rglob("out_r.npy"))
    path.write_bytes(b"")
    seal(copied)
    corrupt(lambda: opened(copied), path, "not a .npy file")


# .npy files

def header(text, version=(1, 0), size=None):
    """A .npy file that claims ``text``, and holds 8 bytes."""
    body = text.encode("utf-8" if version[0] == 3 else "latin1") + b"\n"
    length = (len(body) if size is None else size).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + body + bytes(8)


def claim(shape, descr="'<i8'", fortran=False):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}"


class Harm:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("data, words", [
    (b"", []), (b"\x93NUM", []), (b"PK\x03\x04" + bytes(60), []), (np.int64([1]).tobytes(), []),
    (npy(np.arange(9))[:-1], ["(9,)", "72", "71"]), (npy(np.arange(9)) + b"\0", ["(9,)", "72", "73"]),
    (npy(np.arange(9))[:60], []), (npy(np.arange(9))[:9], []),
    (header(claim((2**60,))), [str(2**60), "it holds 8"]), (header(claim((2**60, 2**60))), ["it holds 8"]),
    (header(claim((2**62, 4, 0)))[:-8], []), (header(claim((0, 2**70)))[:-8], []), (header(claim((-1,))), ["(-1,)"]),
    (header(claim((-1, -1))), ["(-1, -1)"]), (header(claim((1,) * 65)), []), (header(claim((1, 2.0))), []),
    (header(claim(("1",))), []), (header(claim(1)), []), (header(claim("(1,", )), []), (header("{}"), []),
    (header("__import__('os').system('true')"), []), (header("(" * 300), []), (header(claim((1,), "'|O'")), ["object"]),
    (header(claim((1,), "[('a', '<i4'), ('b', '<i4')]")), []), (header(claim((1,), "'<M8[s]'")), ["datetime"]),
    (header(claim((1,), "'<U2'")), ["<U2"]), (header(claim((1,), "'<c8'")), ["complex"]), (header(claim((1,), "'V8'")), []),
    (header(claim((1,), "'nonsense'")), []), (header(claim((1,)), (3, 0)), ["version", "3"]),
    (header(claim((1,)), (9, 9)), ["version", "9"]), (header(claim((1,)), (2, 0), 2**32 - 1), []),
    (header(claim((1,)) + " " * 20000), []),
], ids=lambda value: "_".join(value) if isinstance(value, list) else "npy")
def test_npy_files_that_are_refused(data, words, tmp_path):
    tracemalloc.start()
    corrupt(lambda: parse_npy(data, "the/file.npy"), "the/file.npy: ", *words)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_pickles_are_never_loaded(tmp_path):
    array = np.empty(1, object)
    array[0] = Harm(tmp_path / "harm")
    np.save(tmp_path / "out_r.npy", array, allow_pickle=True)
    corrupt(lambda: parse_npy((tmp_path / "out_r.npy").read_bytes(), "out_r.npy"), "out_r.npy", "object", "never loaded")
    corrupt(lambda: parse_npy(pickle.dumps(Harm(tmp_path / "harm")), "out_r.npy"), "out_r.npy")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("how", ["fortran", "big endian", "version 2", "big endian fortran version 2"])
def test_npy_files_of_another_layout_have_the_same_values(how, tmp_path):
    array = np.arange(-6, 6, dtype=np.int32).reshape(3, 4)
    told = array.astype(">i4") if "big" in how else array
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, np.asfortranarray(told) if "fortran" in how else told,
                                  version=(2, 0) if "version 2" in how else (1, 0))
    back = parse_npy((tmp_path / "x.npy").read_bytes(), "x.npy")
    assert back.dtype == np.int32 and back.dtype.isnative and back.tolist() == array.tolist()


# Answers

@pytest.fixture(scope="module")
def product():
    """A small product: out_y of int8 [6, 6]."""
    operation = OPERATIONS["gemm.forward"]
    return vector.build(operation, next(s for s in operation.stimuli(1, 0) if s.inputs["in_a"].shape == (6, 6)), 0, "gemm")


@pytest.fixture(scope="module")
def reals():
    """A case that answers float32."""
    operation = OPERATIONS["quantize.dequantize"]
    return vector.build(operation, next(iter(operation.stimuli(1, 0))), 0, "floats")


@pytest.fixture
def answer(product, tmp_path):
    """Verifies the product with these files as the answer, by their names."""
    def ask(**files):
        directory = tmp_path / "actual" / product.path
        directory.mkdir(parents=True)
        for name, data in files.items():
            path = directory / (f"{name}.npy" if "__" not in name else name.replace("__", "."))
            path.write_bytes(npy(data) if isinstance(data, np.ndarray) else data)
        return verify([product], ActualDevice(tmp_path / "actual"), "files")
    return ask


def text(array):
    return "".join(f"{value & 0xff:02x}\n" for value in array.reshape(-1).tolist()).encode()


@pytest.mark.parametrize("kind", ["npy", "mem", "bin", "npy with flags", "big endian", "fortran"])
def test_right_answers(kind, answer, product, tmp_path):
    y = product.tensors["out_y"]
    assert y.shape == (6, 6) and y.dtype == np.int8
    files = {"npy": {"out_y": y}, "mem": {"out_y__mem": text(y)}, "bin": {"out_y__bin": y.tobytes()},
             "npy with flags": {"out_y": y, "flags_y": product.tensors["flags_y"]}}
    if kind in files:
        report = answer(**files[kind])
    else:
        np.save(tmp_path / "y.npy", np.asfortranarray(y) if kind == "fortran" else y.astype(">i1"))
        report = answer(out_y=(tmp_path / "y.npy").read_bytes())
    assert report.exit_code == 0 and report.count("pass") == 1


def test_one_wrong_value_in_every_format(product, tmp_path):
    y = product.tensors["out_y"].copy()
    y[2, 3] = np.int8(int(y[2, 3]) ^ 1)
    for ending, data in (("npy", npy(y)), ("mem", text(y)), ("bin", y.tobytes())):
        directory = tmp_path / ending / "cases" / product.path
        directory.mkdir(parents=True)
        (directory / f"out_y.{ending}").write_bytes(data)
        got = ActualDevice(tmp_path / ending).answer(product)["out_y"]
        tensor = compare(product, "out_y", got, product.tensors["out_y"])
        assert (tensor.different, tensor.first[0].index) == (1, (2, 3))


@pytest.mark.parametrize("files, words", [
    (lambda y: {}, ["out_y", "missing"]), (lambda y: {"y": y}, ["out_y", "missing"]),
    (lambda y: {"flags_y": y.astype(np.uint8)}, ["out_y", "missing"]),
    (lambda y: {"out_y": y[:5]}, ["(5, 6)", "(6, 6)"]), (lambda y: {"out_y": y.reshape(-1)}, ["(36,)", "(6, 6)"]),
    (lambda y: {"out_y": y[..., None]}, ["(6, 6, 1)", "(6, 6)"]), (lambda y: {"out_y": y[:0]}, ["(0, 6)", "(6, 6)"]),
    (lambda y: {"out_y": np.int8(1)}, ["out_y"]), (lambda y: {"out_y": y.astype(np.int16)}, ["int16", "int8"]),
    (lambda y: {"out_y": y.view(np.uint8)}, ["uint8", "int8"]), (lambda y: {"out_y": y == y}, ["bool", "int8"]),
    (lambda y: {"out_y": y.astype(np.float32)}, ["float32", "int8"]),
    (lambda y: {"out_y": np.full(y.shape, np.nan)}, ["float64", "int8"]), (lambda y: {"out_y": b""}, ["out_y.npy"]),
    (lambda y: {"out_y": npy(y)[:-1]}, ["out_y.npy", "36", "35"]), (lambda y: {"out_y": b"garbage" * 9}, ["out_y.npy"]),
    (lambda y: {"out_y": header(claim((2**60,)))}, ["out_y.npy", str(2**60)]),
    (lambda y: {"out_y": header(claim((1,) * 65))}, ["out_y.npy"]),
    (lambda y: {"out_y__mem": b""}, ["out_y.mem", "expected 36"]), (lambda y: {"out_y__mem": text(y)[:-3]}, ["out_y.mem"]),
    (lambda y: {"out_y__mem": text(y) + b"00\n"}, ["out_y.mem", "36"]), (lambda y: {"out_y__mem": b"xx\n" * 36}, ["undefined"]),
    (lambda y: {"out_y__mem": b"\xff\xfe" * 36}, ["out_y.mem", "line 1"]),
    (lambda y: {"out_y__mem": b"100\n" * 36}, ["line 1", "9 bits", "8"]), (lambda y: {"out_y__mem": b"@-1 00"}, ["-1", "hexadecimal address"]),
    (lambda y: {"out_y__mem": b"@ffffffffffffffffffff 00"}, ["out_y.mem", "beyond"]),
    (lambda y: {"out_y__bin": b""}, ["out_y.bin", "0 bytes", "36"]), (lambda y: {"out_y__bin": y.tobytes()[1:]}, ["35", "36"]),
    (lambda y: {"out_y__bin": y.astype(np.int16).tobytes()}, ["72", "36"]),
    (lambda y: {"out_y": y, "flags_y": y}, ["flags_y", "int8", "uint8"]),
    (lambda y: {"out_y": b"garbage", "out_y__mem": text(y)}, ["out_y.npy"]),
])
def test_answers_that_cannot_be_compared(answer, product, files, words):
    report = answer(**files(product.tensors["out_y"]))
    (result,) = report.results
    assert (result.status, report.exit_code) == ("error", 3)
    assert all(word in result.message for word in words), result.message


def test_answers_that_are_no_files(product, tmp_path):
    """A directory, a link to nothing, a link elsewhere, a pipe: none is read, none is waited for."""
    directory = tmp_path / "actual" / product.path
    directory.mkdir(parents=True)
    path, outside = directory / "out_y.npy", tmp_path / "outside.npy"
    outside.write_bytes(npy(product.tensors["out_y"]))

    def result():
        return verify([product], ActualDevice(tmp_path / "actual"), "files").results[0]

    path.mkdir()
    assert result().status == "error" and "out_y.npy" in result().message
    path.rmdir()
    path.symlink_to(tmp_path / "nothing")
    assert result().status == "error" and "out_y" in result().message
    path.unlink()
    path.symlink_to(outside)
    assert result().status == "error" and "leads out of" in result().message


def test_a_pipe_is_not_waited_for(tmp_path):
    """An answer that is a named pipe is refused; nobody will ever write to it."""
    script = ("import sys\nfrom pathlib import Path\nfrom refquant.golden import files\nfrom refquant.golden.errors "
              "import CorruptError\npath = Path(sys.argv[1])\n"
              "try:\n    files.read(path, path.parent)\nexcept CorruptError as error:\n    print(error)")
    os.mkfifo(tmp_path / "out_y.npy")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "out_y.npy")], capture_output=True, text=True,
                          timeout=10)
    assert "out_y.npy" in done.stdout and done.returncode == 0


def test_a_file_far_larger_than_the_answer_is_not_loaded(product, tmp_path):
    """A sparse file of 1 TiB claims nothing that could be an answer."""
    directory = tmp_path / "actual" / product.path
    directory.mkdir(parents=True)
    with open(directory / "out_y.npy", "wb") as file:
        file.write(npy(product.tensors["out_y"]))
        file.truncate(1 << 40)
    report = verify([product], ActualDevice(tmp_path / "actual"), "files")
    assert report.exit_code == 3 and "out_y.npy" in report.results[0].message


def test_nan_equals_nothing(reals):
    out = reals.tensors["out_y"]
    report = verify([reals], Answered({"floats": {"out_y": np.full_like(out, np.nan)}}), "nan")
    (tensor,) = report.results[0].tensors
    assert (report.exit_code, tensor.different) == (1, out.size)
    one = out.copy()
    one.flat[3] = np.inf
    report = verify([reals], Answered({"floats": {"out_y": one}}), "infinity")
    assert (report.exit_code, report.results[0].tensors[0].different) == (1, 1)


def test_nan_equals_nothing_even_where_it_is_expected(reals):
    nan = np.full_like(reals.tensors["out_y"], np.nan)
    expecting = vector.Vector(reals.record, reals.tensors | {"out_y": nan})
    assert verify([expecting], Answered({"floats": {"out_y": nan}}), "nan").exit_code == 1


def test_part_of_the_answers(tiny, copied, refquant):
    """What is not there is an error, what is there is compared."""
    first, second = sorted(path.parent for path in (copied / "cases").rglob("case.json"))[:2]
    shutil.rmtree(first)
    (second / "out_r.npy").unlink()
    done = refquant("vectors", "verify", tiny.root, "--actual", copied, "--report", "json")
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 3
    assert report["counts"] == {"pass": 2, "fail": 0, "error": 2, "unsupported": 0}
    messages = {result["id"]: result["message"] for result in report["results"]}
    assert first.name in messages[first.name] and "no directory" in messages[first.name]
    assert messages[second.name] == "out_r: missing"


def test_a_mismatch_outranks_a_missing_answer(tiny, copied, refquant):
    first, second = sorted(path.parent for path in (copied / "cases").rglob("case.json"))[:2]
    shutil.rmtree(first)
    (second / "out_r.npy").write_bytes(npy(np.load(second / "out_r.npy") ^ 1))
    done = refquant("vectors", "verify", tiny.root, "--actual", copied)
    assert done.returncode == 1 and "1 different, 1 without an answer" in done.stdout
    assert f"ERROR {first.name}: " in done.stdout and f"FAIL {second.name}, out_r: " in done.stdout


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_actual_is_no_directory(tiny, tmp_path, refquant, kind):
    (tmp_path / "file").write_text("")
    done = refquant("vectors", "verify", tiny.root, "--actual", tmp_path / kind)
    assert (done.returncode, done.stdout) == (3, "")
    assert str(tmp_path / kind) in done.stderr and "no such directory" in done.stderr


# The library

@pytest.mark.parametrize("arguments, words", [
    ({"groups": ("gem",)}, ["'gem'", "gemm"]), ({"level": 4}, ["level", "4", "1, 2"]), ({"level": 0}, ["level", "0"]),
    ({"seed": -1}, ["seed", "-1"]), ({"seed": 2**64}, ["seed", str(2**64)]), ({"exports": ("hex",)}, ["'hex'", "mem"]),
    ({"word": 7, "exports": ("mem",)}, ["7", "32"]),
])
def test_create_with_wrong_arguments_writes_nothing(tmp_path, arguments, words, monkeypatch):
    monkeypatch.setattr(vector, "build", lambda *_: pytest.fail("it went to work"))  # level 3 takes hours
    with pytest.raises(GoldenError) as error:
        create(tmp_path / "suite", **({"groups": ("stochastic",)} | arguments))
    assert all(word in str(error.value) for word in words), str(error.value)
    assert list(tmp_path.iterdir()) == []
