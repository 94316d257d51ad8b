"""stochastic_rounder.v under cocotb and Icarus Verilog: the bench is Python, and asks refquant itself what is right.

    python chapters/hardware/cocotb_rounder.py SUITE [--broken] [--cases PATTERN]

Values come with gaps of random length between them, on which no answer may depend. Inputs change at the falling edge,
halfway between the clocks that the unit sees. Prints verify's report; exit code 0
when all is equal. Needs refquant and cocotb (pip install 'refquant[hardware]'), and no exported files.
"""
import argparse
import os
import random
import sys
import tempfile
import warnings
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from refquant.golden.device import Answered
from refquant.golden.report import FORMATS
from refquant.golden.suite import open_suite
from refquant.golden.verify import verify
from refquant.integers.randombits import taps

HERE = Path(__file__).resolve().parent
OPERATION = "stochastic.lfsr_shift"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", metavar="SUITE", type=Path)
    parser.add_argument("--broken", action="store_true", help="the unit's broken twin")
    parser.add_argument("--cases", metavar="PATTERN", default="stochastic_lfsr_shift_*")
    options = parser.parse_args()
    with warnings.catch_warnings(action="ignore"):  # it says of itself that it may change
        from cocotb.runner import get_results, get_runner
    runner = get_runner("icarus")
    with tempfile.TemporaryDirectory() as build:
        runner.build(verilog_sources=[HERE / "stochastic_rounder.v", HERE / "round_shift.v"], build_dir=build,
                     hdl_toplevel="stochastic_rounder", timescale=("1ns", "1ns"),
                     defines={"BROKEN": 1} if options.broken else {})
        results = runner.test(test_module="cocotb_rounder", hdl_toplevel="stochastic_rounder", test_dir=build,
                              extra_env={"SUITE": str(options.suite.resolve()), "CASES": options.cases})
        tests, failed = get_results(results)
    return 0 if tests and not failed else 1


@cocotb.test()
async def rounder(dut):
    """Every case, one after another, without a reset between them."""
    suite, answers = open_suite(os.environ["SUITE"]), {}
    vectors = [vector for vector in suite.vectors(os.environ["CASES"]) if vector.record["op"] == OPERATION]
    gaps = random.Random(0)
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    dut.reset.value, dut.v_valid.value, dut.set_lfsr.value = 1, 0, 0
    await FallingEdge(dut.clk)
    dut.reset.value = 0
    for vector in vectors:
        await configure(dut, vector)
        feeding = cocotb.start_soon(feed(dut, vector.tensors["in_v"].tolist(), gaps))
        found = await collect(dut, len(vector.tensors["in_v"]))
        await feeding
        y, r = (np.array(column, np.int64) for column in zip(*found, strict=True))
        answers[vector.id] = {"out_y": vector.format("out_y").wrap(y), "mid_r": vector.format("mid_r").wrap(r),
                              "state1_lfsr": np.array([int(dut.lfsr.value)], np.uint32)}
    report = verify(vectors, Answered(answers), "stochastic_rounder.v")
    print(FORMATS["text"](report))
    if report.exit_code:
        raise AssertionError(f"{report.count('pass')} of {len(vectors)} cases are equal")


async def configure(dut, vector):
    """The settings of a case, and the register's state before it."""
    attrs, format = vector.attrs, vector.format("out_y")
    dut.taps.value, dut.steps.value = taps(attrs["width"]), attrs["steps"]
    dut.n.value, dut.shift.value = attrs["n"], attrs["shift"]
    dut.qmin.value, dut.qmax.value = format.qmin, format.qmax
    dut.new_lfsr.value, dut.set_lfsr.value = int(vector.tensors["state0_lfsr"][0]), 1
    await FallingEdge(dut.clk)
    dut.set_lfsr.value = 0


async def feed(dut, values, gaps):
    """A value whenever the unit takes one, now and then a few clocks late."""
    for value in values:
        for _ in range(gaps.choice((0, 0, 0, 1, 5))):
            await FallingEdge(dut.clk)
        dut.v.value, dut.v_valid.value = value, 1
        while not dut.v_ready.value:
            await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        dut.v_valid.value = 0


async def collect(dut, count):
    """The next ``count`` pairs (y, r)."""
    found = []
    while len(found) < count:
        await FallingEdge(dut.clk)
        if dut.y_valid.value == 1:
            found.append((int(dut.y.value), int(dut.r.value)))
    return found


if __name__ == "__main__":
    sys.exit(main())
