"""What a step multiplies and moves, against numbers worked out by hand from the four layers of the model cnn.

Elements for 64 images, by layer: inputs x, weights w, outputs y. Multiply-adds: y times the terms of a sum.

             x       w       y    terms of a sum
    conv1   4096     144   65536      9
    conv2  16384    4608   32768    144
    fc1     8192    8192    4096    128
    fc2     4096     640     640     64
"""
import importlib
from pathlib import Path

import pytest

from refquant.integers import Fixed, IntFormat
from refquant.training.data import load

CHAPTERS = Path(__file__).parents[2] / "chapters"
CONV1, CONV2, FC1, FC2 = 65536 * 9, 32768 * 144, 4096 * 128, 640 * 64
REAL = 32 * 32

# bytes moved: forward, weight gradient, input gradient; KB of accumulators; product bits
BY_HAND = {
    "float": ((4 * 149392, 4 * 149392, 4 * 79616), 0, (3 * (CONV1 + CONV2 + FC1 + FC2) - CONV1) * REAL),
    # one byte each; logits and weight gradients are real
    "hindsight-8": ((148752 + 4 * 640, 135808 + 4 * 13584, 79616), 0, (3 * (CONV1 + CONV2 + FC1 + FC2) - CONV1) * 64),
    # dw reads 16 bits of g; dx writes 16 bits for conv1, which makes no dx, and 16 + 8 for the others
    "banner-8": ((148752 + 4 * 640, 2 * 103040 + 32768 + 4 * 13584, 37504 + 13440 + 2 * 16384 + 3 * (8192 + 4096)), 1024,
                 (CONV1 + 2 * (CONV2 + FC1 + FC2)) * 64 + (CONV1 + CONV2 + FC1 + FC2) * 128),
    # conv1 and fc2 real, half a byte each between; only the gradients of conv2 and fc1 wait for their range
    "int4-4": ((16960 + 32768 + 26880 + 8192 + 16384 + 21504, 279104 + 24576 + 18432 + 6144 + 32768 + 21504,
                18688 + 65536 + 6144 + 4096 + 5120 + 2048), 96,
               (2 * CONV1 + 3 * FC2) * REAL + 3 * (CONV2 + FC1) * 16),
    # 2 bits stored, 3 multiplied; weights of conv1 and fc2 have 8 and 9
    "sat-2": ((20624 + 13440 + 5120 + 4224, 4 * 103040 + 11264 + 4 * 13584, 4 * 37504 + 3840 + 4 * 28672), 0,
              (CONV1 + 2 * (CONV2 + FC1 + FC2)) * REAL + CONV1 * 72 + (CONV2 + FC1) * 6 + FC2 * 18),
}


@pytest.fixture(scope="module")
def costs():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(CHAPTERS))
        yield importlib.import_module("experiments.costs")


def step(costs, method):
    return list(costs.products(costs.layers_of(method, costs.trace(method, load("digits"))), 64))


@pytest.mark.parametrize("method", BY_HAND)
def test_a_step_costs_what_it_costs_by_hand(costs, method):
    moved, waiting, bits = BY_HAND[method]
    products = step(costs, method)
    assert {kind: sum(p.moved for p in products if p.kind == kind) for kind in ("forward", "dw", "dx")} == dict(
        zip(("forward", "dw", "dx"), (8 * size for size in moved), strict=True))
    assert sum(p.waiting for p in products) == 8 * 1024 * waiting
    assert sum(p.bits for p in products) == bits


def test_known_ranges_do_not_wait(costs):
    """Banner's with ranges in hindsight: no accumulators, and the rest as it was."""
    products = step(costs, "banner-8+hindsight")
    assert not any(p.dynamic for p in products)
    assert sum(p.moved for p in products) == 8 * sum(BY_HAND["banner-8"][0])


def test_only_odd_codes_need_a_bit_less(costs):
    for codes, stored in (([-3, -1, 1, 3], 2), ([-3, 0, 1, 3], 3)):
        found = costs.Operand.of(Fixed(codes, 1.0, IntFormat(3)))
        assert (found.bits, found.stored, found.real) == (3, stored, False)
