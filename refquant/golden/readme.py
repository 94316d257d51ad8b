"""The page that lies in every suite."""

SUITE_README = """\
# Golden vectors for quantized training

Each directory under `cases/<group>/<op>/` is one case: `case.json` is its contract (it validates against
`schema/case-1.schema.json`), `in_*.npy`, `rbits_*.npy` and `state0_*.npy` are what a device is given, `out_*.npy` and
`state1_*.npy` what it must answer, `mid_*.npy` and `flags_*.npy` what happened on the way. Comparison is by equality.

    sha256sum --check --quiet SHA256SUMS                      every file is what it was
    refquant vectors verify DIR --dut python:MODULE:FUNCTION  or  --dut exec:COMMAND  or  --actual DIR
    refquant vectors explain DIR CASE --at 2,7                one element, step by step
    refquant vectors audit DIR                                hashes, both implementations, what each case detects

Tensors are .npy version 1.0, C order, little-endian. Codes of 2 to 7 bits lie in 8-bit containers, their width is in
`case.json`. `kills` in `case.json` names the wrong semantics (mutants) that the case detects. Flags are a bit mask:
1 inexact, 2 tie, 4 saturated low, 8 saturated high, 16 accumulator overflow, 32 rounded up by chance.

`export/`, where there is one, holds the same tensors in other files, below the same paths: `mem/` for $readmemh, `bin/`
raw, `c/` headers to be used with `refquant_compare.h`, `case.npz`, `.tv` lines for pipes, `onnx/` models.
`REFUSED.txt` tells which cases a format cannot express, and why.

A suite is never changed: a corrected case has a new id, names the old one under `supersedes`, and stands in ERRATA.md.
"""
