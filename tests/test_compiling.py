"""Compilation: Numba stays out until it is needed, and a cache that cannot be written is one warning."""
import os
import subprocess
import sys
import types
import warnings

import numba
import pytest

from refquant import compiling


def run(code, **environment):
    return subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True,
                          check=False)


def test_importing_the_package_does_not_import_numba():
    done = run("import sys, refquant.integers, refquant.gemm; print(*sys.modules)")
    assert "refquant.gemm.product" in done.stdout.split(), done.stderr
    assert "numba" not in done.stdout.split()


def test_a_small_product_does_not_import_numba():
    done = run("import sys; from refquant.gemm import matmul; print(matmul([[2]], [[3]])[0], 'numba' in sys.modules)")
    assert done.stdout.split() == ["[[6]]", "False"], done.stderr


def doubled(x):
    return 2 * x


def tripled(x):
    return 3 * x


class Compiler:
    """Stands for Numba's njit: `cache=True` fails when it decorates, or when the kernel is called, or not at all."""

    def __init__(self, fails):
        self.fails, self.options, self.calls = fails, [], []

    def __call__(self, function, **options):
        self.options.append(options)
        cached = options.get("cache", False)
        if cached and self.fails == "decorating":
            raise RuntimeError("cannot cache function: no locator available")

        def kernel(*arguments):
            self.calls.append(cached)
            if cached and self.fails == "calling":
                raise OSError("No space left on device")
            return function(*arguments)
        kernel.stats = types.SimpleNamespace(cache_path=None)
        return kernel


@pytest.fixture
def compiler(monkeypatch):
    def use(fails):
        compiler = Compiler(fails)
        monkeypatch.setattr(compiling, "njit", compiler)
        monkeypatch.setattr(compiling, "_warned", [])
        return compiler
    return use


@pytest.mark.parametrize("fails, reason",
                         [("decorating", "no locator available"), ("calling", "No space left on device")])
def test_a_cache_that_cannot_be_written_is_one_warning(compiler, fails, reason):
    used = compiler(fails)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kernels = [compiling.compiled(doubled), compiling.compiled(tripled)]
        results = [kernel(x) for kernel in kernels for x in (1, 2, 3)]
    assert results == [2, 4, 6, 3, 6, 9]
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert all(word in str(caught[0].message) for word in ("cannot be cached", reason, "NUMBA_CACHE_DIR"))
    # each kernel tries its cache once at most, and runs without it from then on
    assert used.calls == ([False] * 6 if fails == "decorating" else [True, False, False, False] * 2)


def test_a_cache_that_can_be_written_is_used(compiler):
    used = compiler("never")
    assert compiling.compiled(doubled)(4) == 8 and compiling.compiled(tripled)(4) == 12
    assert used.calls == [True, True]
    assert all(options["nogil"] for options in used.options)


def test_other_errors_of_a_kernel_are_its_own(compiler):
    compiler("never")

    def broken(x):
        raise ValueError("of the kernel")
    with pytest.raises(ValueError, match="of the kernel"):
        compiling.compiled(broken)(1)


def test_where_nothing_is_compiled_a_function_is_itself():
    code = "from refquant.compiling import compiled; twice = lambda x: 2 * x; print(compiled(twice) is twice, twice(21))"
    assert run(code, NUMBA_DISABLE_JIT="1").stdout.split() == ["True", "42"]


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_numba_without_a_place_for_its_cache_still_compiles(tmp_path):
    """The code comes from a string, for which Numba has no cache file: once by Numba's own error."""
    code = """
import warnings
from refquant.compiling import compiled
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    kernels = [compiled(lambda x: x + 1), compiled(lambda x: x + 2)]
    print([kernel(40) for kernel in kernels], [str(w.category.__name__) for w in caught])
"""
    done = run(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip() == "[41, 42] ['RuntimeWarning']", done.stderr


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_numba_caches_on_disk(tmp_path):
    (tmp_path / "one_kernel.py").write_text("from refquant.compiling import compiled\n\n\n"
                                            "@compiled\ndef twice(x):\n    return 2 * x\n")
    code = "import one_kernel; print(one_kernel.twice(21))"
    for _ in range(2):
        done = run(code, PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR=str(tmp_path / "cache"),
                   PYTHONWARNINGS="error::RuntimeWarning")
        assert done.stdout.strip() == "42", done.stderr
    assert [path.suffix for path in (tmp_path / "cache").rglob("*.nb?")].count(".nbi") == 1


def test_machine_code_that_other_sources_made_is_thrown_away(tmp_path):
    """Numba would load it: it asks only for the time and size of the kernel's own file."""
    compiling.of_these_sources.cache_clear()
    place = tmp_path / "cache"
    compiling.of_these_sources(str(place))  # nothing there yet
    kept = [place / name for name in ("kernel.nbi", "kernel.1.nbc", "notes.txt")]
    for path in kept:
        path.write_text("code")
    compiling.of_these_sources.cache_clear()
    compiling.of_these_sources(str(place))
    assert all(path.exists() for path in kept)
    (place / "sources").write_text("of another version")
    compiling.of_these_sources.cache_clear()
    compiling.of_these_sources(str(place))
    assert [path.name for path in sorted(place.iterdir())] == ["notes.txt", "sources"]
    assert (place / "sources").read_text() == compiling.hash_of_sources()


def test_the_hash_is_of_what_kernels_are_made_of(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "PACKAGE", tmp_path)
    hashes = []
    for text in ("a = 1", "a = 2"):
        (tmp_path / "gemm").mkdir(exist_ok=True)
        (tmp_path / "gemm" / "tile.py").write_text(text)
        compiling.hash_of_sources.cache_clear()
        hashes.append(compiling.hash_of_sources())
    compiling.hash_of_sources.cache_clear()
    assert len(set(hashes)) == 2
