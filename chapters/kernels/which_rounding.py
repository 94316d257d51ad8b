"""Which rounding an engine uses, whatever a case asks for: the flavour of refquant's that explains all its answers.

    python which_rounding.py SUITE [DEVICE ...]

DEVICE is what ``refquant vectors verify --dut`` takes: python:MODULE:FUNCTION or exec:COMMAND. It is given the cases
of every flavour and runs as it is, the scale converted to what it takes (engine_cases.py); without one, those engines
of this directory are asked that are installed. A flavour explains an answer that equals its own in every element, the
zero point added after the rounding or, where that will not do, before it. The last column is what the verifier's
report says of the cases of tosa_double, as it would to someone who took the engine to round so.
"""
import argparse
import contextlib
import importlib.util
import itertools
import os
import sys
from pathlib import Path

import engine_cases

from refquant.golden import Case, GoldenError, Unsupported, open_suite
from refquant.golden.device import NoAnswer
from refquant.golden.processes import device
from refquant.golden.vector import equal
from refquant.golden.verify import verify
from refquant.integers import IntFormat, requantize

HERE = Path(__file__).resolve().parent
SECONDS = 30.0  # a case
FLAVOURS = ("tosa_single", "tosa_double", "ruy_double", "mul16", "rndnu", "fp32_rint", "fp32_round")
C_ENGINES = ("gemmlowp", "tflite_single", "ruy_arm", "tflm_int16", "xnnpack_rndnu", "xnnpack_lrintf", "plain_lroundf")
ROW = "{:<28} {:>5} {:>5} {:>9} {:>8}  {:<28} {}"


def main():
    parser = argparse.ArgumentParser(description="Find the requantization flavour of engines.")
    parser.add_argument("suite", type=Path)
    parser.add_argument("devices", nargs="*", metavar="DEVICE", help="python:MODULE:FUNCTION or exec:COMMAND")
    arguments = parser.parse_args()
    # where the processes that run the devices look for modules, besides the current directory
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    cases = [(vector, readings(vector)) for pattern in ("gemm_forward_*", "requantize_requantize_*")
             for vector in open_suite(arguments.suite).vectors(pattern) if vector.attrs["flavour"] in FLAVOURS]
    print(ROW.format("engine", "cases", "equal", "different", "declined", "flavour of every answer",
                     "the report on tosa_double"))
    for dut in arguments.devices or installed():
        print(row(dut, arguments.suite, cases), flush=True)


def installed():
    """The engines of this directory whose software is here."""
    if "REQUANTIZE_LIBRARY" in os.environ or (HERE / "requantize.so").exists():
        yield from (f"python:c_requantize:{name}" for name in C_ENGINES)
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        yield "python:onnxruntime_gemm:as_it_is"
    if importlib.util.find_spec("torch"):
        yield from (f"python:torch_linear:{name}" for name in ("fbgemm", "onednn", "qnnpack"))


def readings(vector):
    """{reading: codes} of a case: every flavour that can read it, the zero point after the rounding and before it."""
    attrs, case = vector.attrs, Case.of(vector)
    acc = vector.tensors["mid_acc"] if "mid_acc" in vector.tensors else vector.tensors["in_acc"]
    codes = {}
    for flavour, at in itertools.product(FLAVOURS, ("after", "before")):
        with contextlib.suppress(ValueError):  # accumulators or a scale that this flavour does not take
            codes[flavour, at] = requantize(
                acc, **engine_cases.scale(case, flavour), flavour=flavour, axis=1 if attrs["per_channel"] else None,
                zero_point=attrs["zero_point"], zero_point_at=at, format=IntFormat.parse(attrs["format"]),
                overflow=attrs["overflow"])
    return codes


def row(dut, suite, cases):
    """The table's line of one engine."""
    counts = {"equal": 0, "different": 0, "declined": 0}
    left = set(itertools.product(FLAVOURS, ("after", "before")))
    with device(dut, None, suite, SECONDS) as engine:
        for vector, readings in cases:
            try:
                answer = engine.answer(vector)["out_y"]
            except Unsupported:
                counts["declined"] += 1
                continue
            except (NoAnswer, KeyError) as error:
                raise GoldenError(f"{dut}: {vector.id}: no answer: {error}") from None
            counts["equal" if equal(answer, vector.tensors["out_y"]) else "different"] += 1
            left &= {reading for reading, codes in readings.items() if equal(codes, answer)}
        report = verify([vector for vector, _ in cases if vector.attrs["flavour"] == "tosa_double"], engine, dut)
    if counts["declined"] == len(cases):
        left.clear()
    found = sorted(flavour for flavour, at in left if at == "after") or sorted(
        f"{flavour}, zero point before" for flavour, _ in left) or ["none"]
    told = dict.fromkeys(cause.mutant or cause.says for cause in report.causes) or ["no difference"]
    return ROW.format(dut.removeprefix("python:"), len(cases), *counts.values(), " or ".join(found), "; ".join(told))


if __name__ == "__main__":
    try:
        main()
    except GoldenError as error:
        sys.exit(f"which_rounding.py: {error}")
