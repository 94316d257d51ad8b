"""explain: one element's steps, equal to the vector, and which mistakes give a device's answer."""
import dataclasses
import itertools

import numpy as np
import pytest

from refquant.golden import GoldenError, vector
from refquant.golden.explain import explain
from refquant.golden.operations import OPERATIONS


@pytest.fixture(scope="module")
def cases():
    """A small case of every operation, but none of so few elements that it tells nothing."""
    def size(stimulus):
        elements = sum(array.size for array in stimulus.inputs.values())
        return stimulus.set == "zeros" or elements < 32, elements

    def build(op):
        stimulus = min(op.stimuli(1, 0), key=size)
        alone = dataclasses.replace(op, mutants=())  # what the case kills is not asked here
        return vector.build(alone, stimulus, 0, op.name.replace(".", "_"))
    return {op.name: build(op) for op in OPERATIONS.values()}


def some(shape):
    """The first and last element, and a few between."""
    indices = list(itertools.islice(np.ndindex(shape), 0, None, max(1, int(np.prod(shape)) // 5)))
    return [*indices, tuple(n - 1 for n in shape)]


@pytest.mark.parametrize("op", OPERATIONS)
def test_the_steps_end_at_the_vectors_value(cases, op):
    case = cases[op]
    names = list(case.expected)
    for name in names[::max(1, len(names) // 20)]:  # a whole step has hundreds
        expected = case.expected[name]
        for index in some(expected.shape):
            lines = explain(case, index, name).splitlines()
            assert lines[0] == case.id and lines[1].startswith(f"{op}: ") and lines[2] == f"{name} at {index}:"
            (at,) = [number for number, line in enumerate(lines) if line.startswith("  = ")]
            told, number = lines[at].removeprefix("  = ").split(" ", 1)[0], expected[index].item()
            assert (float(told) if expected.dtype.kind == "f" else int(told)) == number
            assert at > 3, "no step was told"
            assert not any("but the vector holds" in line for line in lines)


@pytest.mark.parametrize("op", [f"{group}.{product}" for group in ("gemm", "conv") for product in ("forward", "dx", "dw", "db")])
def test_the_accumulator_is_among_the_steps(cases, op):
    case = cases[op]
    for name, array in case.expected.items():
        if name.startswith("mid_"):
            for index in some(array.shape):
                assert str(array[index]) in explain(case, index, "out_y")


def test_flags_are_told(cases):
    case = cases["rounding.real"]
    flags = case.tensors["flags_y"]
    index = tuple(int(i) for i in np.argwhere(flags != 0)[0])
    assert "\n  flags: " in explain(case, index)
    clear = np.argwhere(flags == 0)
    assert "\n  flags: " not in explain(case, tuple(int(i) for i in clear[0]))


def test_a_vector_of_another_version_is_noticed(cases):
    case = cases["gemm.forward"]
    y = case.tensors["out_y"].copy()
    y[1, 1] ^= 1
    other = dataclasses.replace(case, tensors=case.tensors | {"out_y": y})
    assert f"but the vector holds {y[1, 1]} (" in explain(other, (1, 1))
    assert "but the vector holds" not in explain(other, (1, 2))


@pytest.mark.parametrize("op", [op.name for op in OPERATIONS.values() if op.mutants])
def test_got_names_the_mutants_that_give_it(cases, op):
    """The mutants that answer so, all of them, and no other."""
    case = cases[op]
    assert any(_tried(case, name) for name in case.expected if name.startswith(("out_", "state1_")))


def _tried(case, name):
    """How many elements of tensor ``name`` were asked about, at most one a mutant."""
    expected = case.tensors[name]
    wrong = {m.name: w[name].astype(expected.dtype) for m in case.operation.mutants
             if (w := m(case.operation.reference, case.attrs, case.given)) is not None and name in w
             and w[name].shape == expected.shape}
    tried = 0
    for array in wrong.values():
        for at in np.argwhere(~(array == expected))[:1]:
            index = tuple(int(i) for i in at)
            if not np.isfinite(array[index]):
                continue
            told = explain(case, index, name, str(array[index].item())).split("is what comes of:\n")[1]
            named = {line.strip().split(": ")[0] for line in told.splitlines()}
            assert named == {other for other, values in wrong.items() if values[index] == array[index]}
            tried += 1
            if tried == 4 and len(case.expected) > 32:  # every question runs all mutants of a whole step
                return tried
    return tried


def test_got_in_hexadecimal_is_twos_complement(cases):
    """The report prints -100 as 0x9c; what it prints can be asked for."""
    case = cases["stochastic.shift"]
    y = case.tensors["out_y"]
    assert y.dtype == np.int8
    index = tuple(int(i) for i in np.argwhere(y < 0)[0])
    number = int(y[index])
    assert f"{number} (0x{number & 0xff:02x}) is right" in explain(case, index, got=str(number))
    assert f"{number} (0x{number & 0xff:02x}) is right" in explain(case, index, got=hex(number & 0xff))


def test_got_as_a_hexadecimal_float(cases):
    case = cases["quantize.dequantize"]
    number = case.tensors["out_y"][3, 3].item()
    assert "is right" in explain(case, (3, 3), got=repr(number))
    assert "is right" in explain(case, (3, 3), got=number.hex())
    for odd in ("nan", "inf", "-inf"):
        assert "no mutant of this operation" in explain(case, (3, 3), got=odd)


def test_got_that_no_mutant_gives(cases):
    case = cases["stochastic.lfsr"]
    for number in ("77777", "-1", "123456789012345678901234567890", "-123456789012345678901234567890"):
        assert f"{number}" in explain(case, (0,), got=number)
        assert "no mutant of this operation" in explain(case, (0,), got=number)


@pytest.mark.parametrize("arguments, words", [
    ({"index": (6, 0)}, ["--at 6,0", "(6, 6)"]), ({"index": (-1, 0)}, ["--at -1,0", "(6, 6)"]),
    ({"index": (1,)}, ["--at 1", "(6, 6)"]), ({"index": (1, 1, 1)}, ["--at 1,1,1", "(6, 6)"]), ({"index": ()}, ["(6, 6)"]),
    ({"index": (10**30, 0)}, ["(6, 6)"]), ({"index": (0, 0), "tensor": "z"}, ["--tensor 'z'", "out_y", "flags_y"]),
    ({"index": (0, 0), "tensor": "in_a"}, ["--tensor 'in_a'", "out_y"]), ({"index": (0, 0), "tensor": ""}, ["--tensor ''"]),
    ({"index": (0, 0), "got": "many"}, ["--got 'many'", "number"]), ({"index": (0, 0), "got": ""}, ["--got ''"]),
    ({"index": (0, 0), "got": "1.5"}, ["--got '1.5'"]), ({"index": (0, 0), "got": "nan"}, ["--got 'nan'"]),
])
def test_wrong_questions(cases, arguments, words):
    with pytest.raises(GoldenError) as error:
        explain(cases["gemm.forward"], **arguments)
    assert error.value.exit_code == 2
    assert all(word in str(error.value) for word in words), str(error.value)


def test_from_outside(tiny, refquant):
    case = next(tiny.vectors("*quantize*"))
    number = int(case.tensors["out_y"][17])
    done = refquant("vectors", "explain", tiny.root, case.id, "--at", "17", "--tensor", "y", "--got", str(number))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  = {number} (" in done.stdout and done.stdout.endswith(" is right\n")
    for arguments, words in [
        (["--at", "9999"], ["--at 9999", "(1024,)" if case.tensors["out_y"].shape == (1024,) else "shape"]),
        (["--at", "1,2"], ["--at 1,2"]), (["--at", "0", "--tensor", "w"], ["--tensor 'w'", "out_y"]),
        (["--at", "0", "--got", "many"], ["--got 'many'"]),
    ]:
        done = refquant("vectors", "explain", tiny.root, case.id, *arguments)
        assert (done.returncode, done.stdout) == (2, "") and all(word in done.stderr for word in words)


def test_an_unknown_case_is_hinted_at(tiny, refquant):
    ids = [entry["id"] for entry in tiny.manifest["cases"]]
    part = next(id for id in ids if "lfsr" in id)
    done = refquant("vectors", "explain", tiny.root, "lfsr", "--at", "0")
    assert done.returncode == 2 and "'lfsr'" in done.stderr and f"did you mean {part}?" in done.stderr
    done = refquant("vectors", "explain", tiny.root, "nonsense", "--at", "0")
    assert done.returncode == 2 and "'nonsense'" in done.stderr and "refquant vectors list" in done.stderr
