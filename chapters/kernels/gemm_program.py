"""gemm_main.c as a program under test: ``refquant vectors verify SUITE --dut 'exec:python gemm_program.py'``.

Called as ``gemm_program.py CASE_DIR OUT_DIR``, it compiles gemm_main.c with the header exported of that case, as one
does for a processor without files, and runs it; the program compares, and writes OUT_DIR/out_y.bin for the verifier to
judge. The suite must have been created with ``--export c``; a C compiler is CC, or cc; KERNEL names another source of
the kernel. Exit status 4: the case is outside the kernel's domain.
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import gemm_domain

HERE = Path(__file__).resolve().parent
UNSUPPORTED = 4


def main(case_directory, out_directory):
    case = json.loads((case_directory / "case.json").read_text())
    dtypes = {re.sub("^(in|out)_", "", tensor["name"]): tensor["container"] for tensor in case["tensors"]}
    reason = gemm_domain.refusal(case["op"], case["attrs"], dtypes)
    if reason:
        print(f"{case['id']}: {reason}", file=sys.stderr)
        return UNSUPPORTED
    cases = case_directory.parents[2]
    header = cases.parent / "export" / case_directory.relative_to(cases) / f"c/{case['id']}.h"
    if not header.exists():
        sys.exit(f"no {header}: create the suite with --export c")
    program = out_directory / "gemm"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-std=c11", "-O1", "-include", header, "-I", cases.parent / "export", *macros(case),
                    HERE / "gemm_main.c", "-o", program], check=True)
    compared = subprocess.run([program, out_directory / "out_y.bin"], stdout=subprocess.PIPE, text=True)
    print(f"{case['id']}: {compared.stdout}", end="", file=sys.stderr)
    return 0 if compared.returncode in (0, 1) else 2  # a mismatch is the verifier's to judge


def macros(case):
    """The words of the case, and the kernel's source, as gemm_main.c takes them."""
    attrs = case["attrs"]
    yield f"-DCASE={re.sub('[.-]', '_', case['id'])}"
    if attrs["bias"]:
        yield "-DBIAS"
    if attrs["flavour"] != "none":
        low, high = gemm_domain.limits(attrs["format"])
        yield from (f"-DFLAVOUR={attrs['flavour'].upper()}", f"-DQMIN={low}", f"-DQMAX={high}")
    if "KERNEL" in os.environ:
        yield f'-DKERNEL="{Path(os.environ["KERNEL"]).resolve()}"'


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
