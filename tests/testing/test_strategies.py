"""The strategies: all that they draw is legal, all that they promise is drawn, and ties are halfway."""
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from refquant.golden.stimuli import SETS as FILLS
from refquant.integers import Fixed, IntFormat, flags
from refquant.integers.requantize import FLAVOURS, requantize_codes
from refquant.integers.rounding import MODES
from refquant.testing import SETS, Requantization, accumulators, codes, fixed, formats, operands, requantizations, ties
from refquant.testing.parameters import last_at_most
from refquant.testing.tensors import shapes

quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
S8 = IntFormat(8)


def sought(strategy, condition, *phases):
    """One that meets the condition, with Phase.shrink as small as can be; an error when none is found."""
    return find(strategy, condition, settings=settings(max_examples=3000, deadline=None, database=None, phases=[Phase.generate, *phases]))


@quick
@given(formats(), formats(3, 5, signed=True), formats(signed=False), formats(narrow=True), formats(narrow=False))
def test_formats(any_, few, unsigned, narrow, full):
    assert 2 <= any_.bits <= 16 and 3 <= few.bits <= 5 and few.signed
    assert not unsigned.signed and narrow.narrow and narrow.signed and not full.narrow


def test_formats_are_drawn_in_every_kind():
    for kind in ("s16", "u2", "s4n", "u16"):
        assert sought(formats(), lambda format, kind=kind: str(format) == kind)
    assert str(sought(formats(), lambda format: True, Phase.shrink)) == "u2"


@quick
@given(st.data(), formats(2, 64))
def test_codes_are_codes(data, format):
    array = data.draw(codes(format))
    assert array.dtype == format.dtype and format.contains(array)
    assert data.draw(codes(format, (2, 3))).shape == (2, 3)
    assert data.draw(codes(format, shapes(2, 2, 4))).ndim == 2


@pytest.mark.parametrize("format", ["s2", "u2", "s2n", "s8", "s8n", "u16", "s64"])
def test_codes_reach_both_ends(format):
    format = IntFormat.parse(format)
    array = sought(codes(format, (2,)), lambda a: a[0] == format.qmin and a[1] == format.qmax, Phase.shrink)
    assert array.tolist() == [format.qmin, format.qmax]
    assert sought(codes(format, (1,)), lambda a: True, Phase.shrink).tolist() == [0]


@pytest.mark.parametrize("name", FILLS)
def test_each_named_set_is_that_of_the_golden_vectors(name):
    @quick
    @given(operands(S8, (3, 4), sets=(name,)))
    def check(array):
        np.testing.assert_array_equal(array, FILLS[name](S8, (3, 4)))
        assert array.dtype == np.int8
    check()


def test_all_sets_are_drawn_unless_said_otherwise():
    assert set(SETS) == {"zeros", "all_max", "all_min", "max_then_minus_ones", "single_bit", "alternating", "ramp", "random"}
    for fill in FILLS.values():
        assert sought(operands(S8, (3, 4)), lambda array, fill=fill: np.array_equal(array, fill(S8, (3, 4)))) is not None
    known = [fill(S8, (3, 4)).tolist() for fill in FILLS.values()]
    assert sought(operands(S8, (3, 4)), lambda array: array.tolist() not in known) is not None


@pytest.mark.parametrize("sets", [(), ("zeroes",), ("zeros", "")])
def test_sets_that_are_not_there(sets):
    with pytest.raises(ValueError, match=r"sets = .*max_then_minus_ones"):
        sought(operands(S8, (2,), sets=sets), lambda array: True)


@quick
@given(st.data(), formats(2, 40))
def test_fixed(data, format):
    drawn = data.draw(fixed(format))
    assert isinstance(drawn, Fixed) and drawn.format == format and format.contains(drawn.codes)
    assert drawn.value.shape == drawn.shape
    each = data.draw(fixed(format, (2, 3, 4), per_channel=True))
    assert each.axis is not None and each.scale.shape == each.zero_point.shape == ((2, 3, 4)[each.axis],)
    one = data.draw(fixed(format, (2, 3), per_channel=False, zero_points=False))
    assert one.axis is None and one.zero_point == 0 and np.ndim(one.scale) == 0
    assert data.draw(fixed(format, (), per_channel=True)).axis is None


def test_fixed_is_drawn_in_every_kind():
    assert sought(fixed(), lambda x: x.axis is not None and np.any(x.zero_point != 0) and len(set(np.atleast_1d(x.scale))) > 1)
    for axis in range(3):
        assert sought(fixed(shape=(2, 2, 2)), lambda x, axis=axis: x.axis == axis)
    assert sought(fixed(S8), lambda x: x.axis is None and x.zero_point == -128)


@quick
@given(accumulators(), accumulators(8, 9, ("error",)))
def test_accumulators(any_, odd):
    assert 16 <= any_.bits <= 48 and any_.overflow != "error"
    assert odd.bits in (8, 9) and odd.overflow == "error"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_requantizations_are_legal(flavour):
    """All that is drawn is accepted, for accumulators at both ends of their range too; nothing that is asked for is missing."""
    seen = []

    @quick
    @given(requantizations((flavour,)), requantizations((flavour,), channels=3, format=S8))
    def check(one, each):
        ends = np.array([-(2**31), 2**31 - 1, 0], np.int64)
        assert (one(ends).dtype == one.format.dtype and one.format.contains(one(ends))) or one.overflow == "wrap"
        assert each(np.stack([ends, ends])).shape == (2, 3) and each.format == S8
        seen.extend([one, each])
    check()
    assert {r.flavour for r in seen} == {flavour} and {r.overflow for r in seen} == {"saturate", "wrap"}
    assert {r.zero_point_at for r in seen} == {"before", "after"} and any(r.zero_point for r in seen)
    assert len({r.rounding for r in seen}) > (5 if flavour == "shift" else 0)


def test_requantizations_as_asked():
    assert sought(requantizations(("shift",), roundings=("odd",), overflows=("wrap",), zero_point_at=("before",)),
                  lambda r: (r.rounding, r.overflow, r.zero_point_at) == ("odd", "wrap", "before"))
    with pytest.raises(ValueError, match="flavours = 'nearest'"):
        sought(requantizations(("nearest",)), lambda r: True)
    with pytest.raises(ValueError, match="format = s32: expected at most 16 bits"):
        sought(requantizations(format=IntFormat(32)), lambda r: True)


def steps_by_trial(requantization, low, high):
    """{k: the largest accumulator in low..high whose code is at most k}, by trying every one, in 32 bits."""
    how = {key: getattr(requantization, key) for key in ("flavour", "multiplier", "shift", "scale", "rounding", "zero_point", "zero_point_at")}
    all_codes = requantize_codes(np.arange(low, high + 1), **how, format=IntFormat(32))[0]
    assert (np.diff(all_codes.astype(np.int64)) >= 0).all()
    return {int(code): int(low + np.flatnonzero(all_codes <= code)[-1]) for code in range(int(all_codes[0]), int(all_codes[-1]) + 1)}


@pytest.mark.parametrize("flavour, rounding", [(name, None) for name in FLAVOURS if name != "shift"] + [("shift", mode) for mode in MODES])
def test_the_steps_are_those_that_trial_of_all_accumulators_finds(flavour, rounding):
    scale = {"fp32_rint": {"scale": np.float32(0.0371)}, "fp32_round": {"scale": np.float32(2**-5)}, "shift": {"shift": 5, "rounding": rounding},
             "mul16": {"multiplier": 1 << 30, "shift": 35}, "rndnu": {"multiplier": 1 << 23, "shift": 28}}.get(flavour, {"multiplier": 1518500250, "shift": 36})
    format, narrow = IntFormat(8), IntFormat(12)
    for point, at in ((0, "after"), (-7, "after"), (5, "before")):
        one = Requantization(flavour, **scale, zero_point=point, zero_point_at=at, format=format)
        expected = steps_by_trial(one, narrow.qmin, narrow.qmax)
        found = last_at_most(np.array(list(expected)), one, narrow)
        assert found.tolist() == list(expected.values())
    outside = last_at_most(np.array([-(2**30), 2**30]), one, narrow)
    assert outside.tolist() == [narrow.qmin, narrow.qmax]


@pytest.mark.parametrize("flavour", ["tosa_single", "tosa_double", "ruy_double", "mul16", "rndnu", "fp32_rint", "fp32_round", "shift"])
def test_ties_are_exactly_halfway_where_that_can_be(flavour):
    """A scale of 1/8 has ties: about half of what is drawn is one, the rest beside it. Of 8 a + 3, 8 a + 4 the double
    roundings make the same first result, so both are halfway in the second."""
    halves = (3, 4) if "double" in flavour else (4,)
    scale = {"fp32_rint": {"scale": np.float32(0.125)}, "fp32_round": {"scale": np.float32(0.125)}, "shift": {"shift": 3, "rounding": "half_even"},
             "rndnu": {"multiplier": 1 << 23, "shift": 26}}.get(flavour, {"multiplier": 1 << 30, "shift": 33})
    requantization = Requantization(flavour, **scale, format=S8)
    drawn = []

    @quick
    @given(ties(requantization, (5,)))
    def check(acc):
        assert acc.dtype == np.int32
        drawn.extend(acc.tolist())
    check()
    assert all(a % 8 in (halves[0] - 1, *halves, 5) for a in drawn)
    tie = [requantize_codes(np.array([a]), **scale, flavour=flavour)[1][0] & flags.TIE for a in drawn]
    assert [bool(t) for t in tie] == [a % 8 in halves for a in drawn]
    assert 0.2 < np.mean(list(map(bool, tie))) < 0.9
    assert min(drawn) < -128.3 * 8 and max(drawn) > 127.3 * 8, "both saturations are tried"


@quick
@given(st.data(), requantizations(("tosa_single",), zero_point_at=("after",)))
def test_ties_are_next_to_halfway_where_none_is_exact(data, requantization):
    """By fractions: no accumulator lies between what is drawn and the half that it is near to."""
    scale = Fraction(int(requantization.multiplier), 1 << int(requantization.shift))
    for acc in data.draw(ties(requantization, (4,))).tolist():
        real = acc * scale
        half = round(real - Fraction(1, 2)) + Fraction(1, 2)
        assert abs(real - half) <= scale


@pytest.mark.parametrize("one, other", [("tosa_double", "ruy_double"), ("tosa_double", "tosa_single"), ("fp32_rint", "fp32_round"), ("half_even", "half_up"),
                                        ("half_away", "half_down"), ("floor", "trunc"), ("odd", "half_even")])
def test_ties_tell_roundings_apart(one, other):
    """As hypothesis would in a kernel's test: it finds accumulators for which the two differ, for some scale."""
    flavour = one if one in FLAVOURS else "shift"
    parts = requantizations((flavour,), roundings=(one,), format=S8)
    both = parts.flatmap(lambda r: ties(r, (8,)).map(lambda acc: (r, acc)))

    def differ(drawn):
        requantization, acc = drawn
        changed = {"rounding": other} if flavour == "shift" else {"flavour": other}
        return (requantization(acc) != Requantization(**{**vars(requantization), **changed})(acc)).any()
    assert sought(both, differ)


@settings(quick, max_examples=15)
@given(st.data())
def test_shapes_and_formats_of_ties(data):
    each = data.draw(requantizations(channels=3))
    drawn = data.draw(ties(each))
    assert drawn.shape[-1] == 3 and each(drawn).shape == drawn.shape
    one = data.draw(requantizations())
    assert one(data.draw(ties(one, shapes(2, 2), IntFormat(20)))).ndim == 2
    assert IntFormat(12).contains(data.draw(ties(one, (9,), IntFormat(12))))
    with pytest.raises(ValueError, match="accumulator = s48: expected a signed format of at most 32 bits for tosa_single"):
        data.draw(ties(Requantization("tosa_single", 1 << 30, 33), (2,), IntFormat(48)))
    with pytest.raises(ValueError, match=r"shape = None: .*axis 0"):
        data.draw(ties(Requantization("tosa_single", np.full(2, 1 << 30), np.full(2, 33), axis=0)))
