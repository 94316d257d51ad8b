"""A first look: create vectors, verify a good kernel, then one with a single wrong line, and see what is said of it.

    python chapters/kernels/first_look.py [--keep DIR]

Needs refquant and, to be the real thing, a C compiler (cc, gcc or clang); without one the kernel is the NumPy one.
"""
import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import refquant

HERE = Path(__file__).resolve().parent
PACKAGE = Path(refquant.__file__).resolve().parents[1]
MISMATCH, UNSUPPORTED = 1, 4  # exit codes of verify

# One line of each kernel, and a common mistake in its place: ties of the second rounding go up, not away from zero.
C_LINE = ("code = half_away(half_up(product, 31), shift - 31);", "code = half_up(half_up(product, 31), shift - 31);")
NUMPY_LINE = ('second = half_away if attrs["flavour"] == "tosa_double" else half_up', "second = half_up")


def main():
    parser = argparse.ArgumentParser(description="Verify an 8-bit matrix product, and one with a wrong line.")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="work in DIR, a new directory, and leave it there")
    keep = parser.parse_args().keep
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="first-look-") as directory:
            return first_look(Path(directory))
    if keep.exists():
        parser.error(f"--keep {keep}: it exists; name a new directory")
    keep.mkdir(parents=True)
    return first_look(keep.resolve())


def first_look(work):
    """The whole tour, in the directory ``work``; 0 when the good kernel passed and the broken one did not."""
    for source in ("gemm_s8.c", "c_gemm.py", "numpy_gemm.py", "gemm_domain.py"):
        shutil.copy(HERE / source, work)
    print(f"The level-1 vectors of matrix products, in {work}.")
    run(work, "refquant vectors create gemm --level 1 --out suite")

    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        print("There is no C compiler here (cc, gcc or clang): the NumPy kernel stands in for the one in C.")
    good = verify(work, compiler, "gemm_s8.c" if compiler else "numpy_gemm.py")
    print("Nothing differs. The kernel declined the cases whose semantics it does not have, hence exit code 4.\n"
          "Now with one line changed, to the tie rule of another engine:\n")
    broken = break_line(work, *(("gemm_s8.c", *C_LINE) if compiler else ("numpy_gemm.py", *NUMPY_LINE)))
    bad = verify(work, compiler, broken)
    found = re.search(r"FAIL (\S+), out_y: .*? first at \(([\d, ]+)\): got (-?\d+)", bad.stdout)
    if found:
        case, index, got = found.groups()
        print("The first differing element, from its accumulator on (without `tail`, every product too):")
        run(work, f"refquant vectors explain suite {case} --at {index.replace(', ', ',')} --got {got} | tail -15")
    passed = good.returncode in (0, UNSUPPORTED)
    print(f"The kernel {'passed' if passed else 'FAILED'}; the broken one was {'caught' if found else 'NOT caught'}.")
    return 0 if passed and found and bad.returncode == MISMATCH else 1


def verify(work, compiler, source):
    """Verify the kernel of this source file, compiled if it is C."""
    module, environment = Path(source).stem, ""
    if source.endswith(".c"):
        run(work, f"{compiler} -O2 -shared -fPIC -o {module}.so {source}")
        environment, module = f"GEMM_LIBRARY={module}.so ", "c_gemm"
    return run(work, f"{environment}refquant vectors verify suite --cases 'gemm_forward_*' --dut python:{module}:dut")


def break_line(work, source, right, wrong):
    """A copy of ``source`` with one text in place of another; the name of the copy."""
    text = (work / source).read_text()
    assert text.count(right) == 1, f"{source} has {text.count(right)} of {right!r}"
    broken = f"broken_{source}"
    (work / broken).write_text(text.replace(right, wrong))
    print(f"{broken}:\n- {right}\n+ {wrong}")
    return broken


def run(work, line):
    """Print a command as one would type it, run it in ``work``, print what it says, or the end of it."""
    print(f"$ {line}", flush=True)
    command, _, tail = line.partition(" | tail -")
    words = shlex.split(command)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    if words[0] == "refquant":
        words[:1] = [sys.executable, "-m", "refquant"]
    done = subprocess.run(words, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print("\n".join(done.stdout.splitlines()[-int(tail or 0):]) + "\n" * bool(done.stdout))
    if done.returncode not in (0, MISMATCH, UNSUPPORTED):
        sys.exit(f"that ended with exit code {done.returncode}")
    return done


if __name__ == "__main__":
    sys.exit(main())
