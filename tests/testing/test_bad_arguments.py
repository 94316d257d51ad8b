"""Wrong arguments are refused where a strategy is made or `assert_golden` is called, by name; nothing is drawn for it."""
import re
from types import SimpleNamespace

import pytest
from hypothesis import find
from hypothesis import strategies as st

from refquant.golden import GoldenError
from refquant.golden.explain import explain
from refquant.integers import IntFormat
from refquant.testing import (
    Requantization,
    accumulators,
    assert_golden,
    codes,
    fixed,
    formats,
    operands,
    requantizations,
    shapes,
    ties,
)

S8 = IntFormat(8)
SCALE = Requantization("tosa_single", 1 << 30, 33)


@pytest.mark.parametrize("strategy, arguments, message", [
    (requantizations, {"flavours": "tosa_double"}, "flavours = 'tosa_double': expected a tuple of some of tosa_single, "),
    (requantizations, {"flavours": ()}, "flavours = (): expected a tuple"),
    (requantizations, {"flavours": None}, "flavours = None: expected a tuple"),
    (requantizations, {"flavours": ("shift", "nearest")}, "flavours = 'nearest': expected one of tosa_single, "),
    (requantizations, {"roundings": ("nearest",)}, "roundings = 'nearest': expected one of half_even, "),
    (requantizations, {"roundings": "floor"}, "roundings = 'floor': expected a tuple of some of half_even, "),
    (requantizations, {"zero_point_at": ("x",)}, "zero_point_at = 'x': expected one of after, before"),
    (requantizations, {"overflows": ("x",)}, "overflows = 'x': expected one of saturate, wrap"),
    (requantizations, {"overflows": "wrap"}, "overflows = 'wrap': expected a tuple of some of saturate, wrap"),
    (requantizations, {"channels": 0}, "channels = 0: expected 1 to 2^31"),
    (requantizations, {"channels": 2.0}, "channels = 2.0: expected an integer"),
    (requantizations, {"format": "s8"}, "format = 's8': expected an IntFormat"),
    (requantizations, {"format": IntFormat(17)}, "format = s17: expected at most 16 bits"),
    (accumulators, {"overflows": ("x",)}, "overflows = 'x': expected one of wrap, saturate_running, saturate_final, error"),
    (accumulators, {"overflows": "wrap"}, "overflows = 'wrap': expected a tuple"),
    (accumulators, {"least": 7}, "least = 7: expected 8 to 48"),
    (accumulators, {"most": 65}, "most = 65: expected 8 to 64"),
    (accumulators, {"least": 20, "most": 16}, "least = 20: expected 8 to 16"),
    (formats, {"least": 1}, "least = 1: expected 2 to 16"),
    (formats, {"most": 65}, "most = 65: expected 2 to 64"),
    (shapes, {"least": 4}, "least = 4: expected 0 to 3"),
    (shapes, {"side": 0}, "side = 0: expected 1 to 2^31"),
    (codes, {"format": "s8"}, "format = 's8': expected an IntFormat"),
    (operands, {"format": "s8"}, "format = 's8': expected an IntFormat"),
    (operands, {"format": S8, "sets": "zeros"}, "sets = 'zeros': expected a tuple of some of zeros, "),
    (operands, {"format": S8, "sets": ("zeroes",)}, "sets = 'zeroes': expected one of zeros, "),
    (fixed, {"format": "s8"}, "format = 's8': expected an IntFormat"),
    (fixed, {"sets": ("zeroes",)}, "sets = 'zeroes': expected one of zeros, "),
    (ties, {"requantization": "shift"}, "requantization = 'shift': expected a Requantization"),
    (ties, {"requantization": SCALE, "accumulator": "s32"}, "accumulator = 's32': expected an IntFormat"),
    (ties, {"requantization": SCALE, "accumulator": IntFormat(48)}, "accumulator = s48: expected a signed format of at most 32 bits"),
])
def test_a_strategy_is_not_made(strategy, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        strategy(**arguments)


def test_a_format_that_is_drawn_is_refused_then():
    with pytest.raises(ValueError, match="format = s17: expected at most 16 bits"):
        find(requantizations(format=st.just(IntFormat(17))), lambda drawn: True)


@pytest.mark.parametrize("arguments, message", [
    ({"function": 3}, "function = 3: expected a function of a case"),
    ({"function": "right"}, "function = 'right': expected a function of a case"),
    ({"level": True}, "level = True: expected 1, 2 or 3"),
    ({"seed": "a"}, "seed = 'a': expected an integer, 0 to 2^64 - 1"),
    ({"seed": 1 << 64}, "seed = 18446744073709551616: expected 0 to 2^64 - 1"),
    ({"seed": 0.0}, "seed = 0.0: expected an integer"),
    ({"cases": None}, "cases = None: expected a glob of case ids, a string"),
])
def test_assert_golden_asks_nothing(arguments, message):
    asked = []
    with pytest.raises(ValueError, match=re.escape(message)):
        assert_golden(**{"function": asked.append, "group": "rounding"} | arguments)
    assert not asked


COMPUTED = [f"mid_{step}_{layer}_{what}" for step in range(5) for layer in ("conv1", "conv2", "fc") for what in ("acc", "y", "g")]


@pytest.mark.parametrize("tensor, said, named", [
    ("mid_3_fc_acd", "--tensor 'mid_3_fc_acd': case computes ", ["mid_3_fc_acc"]),
    ("rbits_g", "--tensor 'rbits_g' is given, not computed: case computes ", []),
    ("state0_w", "--tensor 'state0_w' is given, not computed: ", COMPUTED[:10]),
    ("q", "--tensor 'q': case computes ", COMPUTED[:10]),
])
def test_explain_names_ten_tensors_that_are_like_it(tensor, said, named):
    """Not all 45 of a step."""
    case = SimpleNamespace(id="case", expected=dict.fromkeys(COMPUTED), tensors=dict.fromkeys(["rbits_g", "state0_w", "in_x", *COMPUTED]))
    with pytest.raises(GoldenError) as error:
        explain(case, (0,), tensor)
    message = str(error.value)
    listed = [name for name in message.split("computes ")[1].split(", ") if name in COMPUTED]
    assert message.startswith(said) and message.endswith(", ... (45 tensors)")
    assert 1 <= len(listed) <= 10
    assert listed[:len(named)] == named
