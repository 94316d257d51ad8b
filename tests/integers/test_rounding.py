"""Rounding: the decimal module and floor identities as a second route, on all small values and at every edge."""
import decimal
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers import rounding
from refquant.integers.rounding import MODES, OTHER_NAMES, Frozen, as_reals, check_shift, named, split, translate
from refquant.scalar.rounding import round_shift

CONTEXT = decimal.Context(prec=1200, Emax=5000, Emin=-5000)  # every dyadic number met here is exact
HALF = Fraction(1, 2)


def by_decimal(how):
    def rounded(v):
        exact = CONTEXT.divide(decimal.Decimal(v.numerator), decimal.Decimal(v.denominator))
        return int(exact.to_integral_value(how, CONTEXT))
    return rounded


# The integer that each mode makes of a Fraction.
EXPECTED = {
    "half_even": by_decimal(decimal.ROUND_HALF_EVEN), "half_away": by_decimal(decimal.ROUND_HALF_UP),
    "half_zero": by_decimal(decimal.ROUND_HALF_DOWN), "floor": by_decimal(decimal.ROUND_FLOOR),
    "ceil": by_decimal(decimal.ROUND_CEILING), "trunc": by_decimal(decimal.ROUND_DOWN),
    "away": by_decimal(decimal.ROUND_UP), "half_up": lambda v: math.floor(v + HALF),
    "half_down": lambda v: math.ceil(v - HALF),
    "odd": lambda v: int(v) if v.denominator == 1 else 2 * math.floor(v / 2) + 1,
}
modes = pytest.mark.parametrize("mode", MODES)
INT64 = -(2**63), 2**63 - 1
EDGES = [0.0, -0.0, 0.49999999999999994, 0.5, 0.5000000000000001, 1 - 2.0**-53, 1 + 2.0**-52, 1.5, 2.5, 2.0**51 + 0.5,
         2.0**51 + 1.5, 2.0**52 - 0.5, 2.0**52 + 1, 2.0**53, 2.0**62, 5e-324, 2.0**-1022, 1.7976931348623157e308]
EDGES32 = [0.0, 0.49999997, 0.5, 0.50000006, 1 - 2.0**-24, 2.0**22 + 0.5, 2.0**22 + 1.5, 2.0**23 - 0.5, 2.0**23 + 1,
           2.0**24, 2.0**-149, 3.4028234663852886e38]


def test_every_mode_has_an_independent_route():
    assert set(EXPECTED) == set(MODES)
    assert all(mode.name == name and getattr(rounding, name) is mode for name, mode in MODES.items())


@modes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_multiples_of_one_eighth(mode, dtype):
    x = np.arange(-32, 33).astype(dtype) / dtype(8)
    got = MODES[mode](x)
    assert got.dtype == dtype
    assert got.tolist() == [EXPECTED[mode](Fraction(k, 8)) for k in range(-32, 33)]


@modes
def test_edges_of_the_reals(mode):
    for dtype, edges in ((np.float64, EDGES), (np.float32, EDGES32)):
        x = np.array(edges + [-e for e in edges], dtype)
        assert [Fraction(v) for v in MODES[mode](x).tolist()] == [EXPECTED[mode](Fraction(v)) for v in x.tolist()]


@modes
def test_below_a_half_is_no_tie_and_large_integers_stay(mode):
    just_below = np.array([0.49999999999999994, -0.49999999999999994])
    if mode.startswith("half"):
        assert MODES[mode](just_below).tolist() == [0, 0]
    assert MODES[mode](2.0**52 + 1) == 4503599627370497.0
    assert MODES[mode](np.float32(2**23 + 1)) == 8388609.0


@modes
def test_infinities_and_nan_stay(mode):
    for dtype in (np.float32, np.float64):
        got = MODES[mode](np.array([np.inf, -np.inf, np.nan], dtype))
        assert got[0] == np.inf and got[1] == -np.inf and np.isnan(got[2])


@given(st.sampled_from(list(MODES)), st.floats(allow_nan=False, allow_infinity=False),
       st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_any_real(mode, x, y):
    assert int(MODES[mode](x)) == EXPECTED[mode](Fraction(x))
    assert int(MODES[mode](np.float32(y))) == EXPECTED[mode](Fraction(y))


@modes
def test_shifts_of_all_9_bit_integers(mode):
    values, shifts = np.arange(-256, 256)[:, None], np.arange(10)
    got = MODES[mode].shift(values, shifts)
    assert got.dtype == np.int64
    assert got.tolist() == [[EXPECTED[mode](Fraction(v, 2**s)) for s in range(10)] for v in range(-256, 256)]


@modes
def test_shifts_at_the_ends_of_int64(mode):
    values = [*INT64, INT64[0] + 1, INT64[1] - 1, -(2**62), 2**62, -(2**62) - 1, 2**62 + 1, -(2**62) + 1, 2**62 - 1, -1,
              0, 1]
    got = MODES[mode].shift(np.array(values)[:, None], np.arange(64))
    assert got.tolist() == [[EXPECTED[mode](Fraction(v, 2**s)) for s in range(64)] for v in values]


def test_shift_63_of_the_ends():
    # -1 exactly, a little under 1, a tie below 0, a tie above 0, just beside the ties
    values = np.array([-(2**63), 2**63 - 1, -(2**62), 2**62, -(2**62) - 1, 2**62 - 1])
    assert MODES["half_even"].shift(values, 63).tolist() == [-1, 1, 0, 0, -1, 0]
    assert MODES["half_away"].shift(values, 63).tolist() == [-1, 1, -1, 1, -1, 0]
    assert MODES["half_up"].shift(values, 63).tolist() == [-1, 1, 0, 1, -1, 0]
    assert MODES["odd"].shift(values, 63).tolist() == [-1, 1, -1, 1, -1, 1]


@modes
def test_plus_joins_before_the_rounding(mode):
    values, shifts, plus = np.ogrid[-20:21, 0:5, -3:4]
    got = MODES[mode].shift(values, shifts, plus)
    assert got.tolist() == [[[EXPECTED[mode](Fraction(v, 2**s) + p) for p in range(-3, 4)] for s in range(5)]
                            for v in range(-20, 21)]


@given(st.sampled_from(list(MODES)), st.integers(*INT64), st.integers(0, 63), st.integers(-(2**31), 2**31 - 1))
def test_any_shift(mode, value, shift, plus):
    expected = EXPECTED[mode](Fraction(value, 2**shift))
    assert MODES[mode].shift(value, shift) == expected == round_shift(value, shift, mode)
    if shift > 0:
        assert MODES[mode].shift(value, shift, plus) == EXPECTED[mode](Fraction(value, 2**shift) + plus)


@modes
def test_reals_and_shifts_agree(mode):
    values = np.arange(-300, 301)
    assert (MODES[mode](values / 16) == MODES[mode].shift(values, 4)).all()


@modes
def test_modes_that_mirror_each_other(mode):
    mirror = {"half_up": "half_down", "half_down": "half_up", "floor": "ceil", "ceil": "floor"}.get(mode, mode)
    x = np.arange(-64, 65) / 8
    assert (MODES[mode](-x) == -MODES[mirror](x)).all()


def r_vxrm(increment):
    """RISC-V "V" 1.0, section 3.8: (v >> d) + r, the increment r from v's bits."""
    def rounded(v):
        d = v.denominator.bit_length() - 1
        bit = [v.numerator >> k & 1 for k in range(d + 1)]
        return (v.numerator >> d) + (increment(bit, d) if d else 0)
    return rounded


def gemmlowp_high_mul(v):
    """gemmlowp, fixedpoint.h, SaturatingRoundingDoublingHighMul, where v * 2^31 is the product of its operands."""
    nudge = 2**30 if v >= 0 else 1 - 2**30
    return math.trunc((v * 2**31 + nudge) / 2**31)


def gemmlowp_pot(v):
    """gemmlowp, fixedpoint.h, RoundingDivideByPOT(x, exponent)."""
    x, mask = v.numerator, v.denominator - 1
    threshold = (mask >> 1) + (x < 0)
    return math.floor(v) + ((x & mask) > threshold)


def by_magnitude(rule):
    return lambda v: (v > 0) * rule(abs(v)) - (v < 0) * rule(abs(v))


# What each system's own documentation says, on Fractions.
THEIRS = {
    ("TOSA", "SINGLE_ROUND"): lambda v: (v.numerator * 2 + v.denominator) // (2 * v.denominator),
    ("TFLite", "SaturatingRoundingDoublingHighMul"): gemmlowp_high_mul,
    ("TFLite", "RoundingDivideByPOT"): gemmlowp_pot,
    ("TFLite", "TfLiteRound"): by_magnitude(lambda m: math.floor(m + HALF)),
    ("XNNPACK", "fp32 (lrintf)"): round,
    ("XNNPACK", "rndna"): by_magnitude(lambda m: math.floor(m + HALF)),
    ("XNNPACK", "rndnu"): lambda v: math.floor(v + HALF),
    ("ONNX", "QuantizeLinear"): round,
    ("ONNX", "Round"): round,
    ("ap_fixed", "AP_RND"): lambda v: math.floor(v + HALF),
    ("ap_fixed", "AP_RND_ZERO"): by_magnitude(lambda m: math.ceil(m - HALF)),
    ("ap_fixed", "AP_RND_MIN_INF"): lambda v: math.ceil(v - HALF),
    ("ap_fixed", "AP_RND_INF"): by_magnitude(lambda m: math.floor(m + HALF)),
    ("ap_fixed", "AP_RND_CONV"): round,
    ("ap_fixed", "AP_TRN"): math.floor,
    ("ap_fixed", "AP_TRN_ZERO"): math.trunc,
    ("QONNX", "ROUND"): round,
    ("QONNX", "HALF_EVEN"): round,
    ("QONNX", "HALF_UP"): by_magnitude(lambda m: math.floor(m + HALF)),
    ("QONNX", "HALF_DOWN"): by_magnitude(lambda m: math.ceil(m - HALF)),
    ("QONNX", "CEIL"): math.ceil,
    ("QONNX", "FLOOR"): math.floor,
    ("QONNX", "UP"): by_magnitude(math.ceil),
    ("QONNX", "DOWN"): by_magnitude(math.floor),
    ("RISC-V vxrm", "rnu"): r_vxrm(lambda v, d: v[d - 1]),
    ("RISC-V vxrm", "rne"): r_vxrm(lambda v, d: v[d - 1] and (any(v[:d - 1]) or v[d])),
    ("RISC-V vxrm", "rdn"): r_vxrm(lambda v, d: 0),
    ("RISC-V vxrm", "rod"): r_vxrm(lambda v, d: not v[d] and any(v[:d])),
    ("APyTypes", "TO_NEG"): math.floor,
    ("APyTypes", "TO_POS"): math.ceil,
    ("APyTypes", "TO_ZERO"): math.trunc,
    ("APyTypes", "TO_AWAY"): by_magnitude(math.ceil),
    ("APyTypes", "TIES_EVEN"): round,
    ("APyTypes", "TIES_AWAY"): by_magnitude(lambda m: math.floor(m + HALF)),
    ("APyTypes", "TIES_ZERO"): by_magnitude(lambda m: math.ceil(m - HALF)),
    ("APyTypes", "TIES_POS"): lambda v: math.floor(v + HALF),
    ("APyTypes", "TIES_NEG"): lambda v: math.ceil(v - HALF),
    ("APyTypes", "JAM_UNBIASED"): lambda v: math.floor(v) | (v.denominator > 1),
}


@pytest.mark.parametrize("system, name", THEIRS)
def test_translation_does_what_the_system_does(system, name):
    ours = MODES[translate(system, name)]
    for k in range(-40, 41):
        assert ours(k / 8) == THEIRS[system, name](Fraction(k, 8))


def test_every_translation_is_tested():
    assert set(THEIRS) == {(system, name) for system, names in OTHER_NAMES.items() for name in names}


@pytest.mark.parametrize("call, words", [
    (lambda: translate("C99", "x"), ["system = 'C99'", "TOSA", "RISC-V vxrm", "APyTypes"]),
    (lambda: translate("ONNX", "x"), ["name = 'x'", "ONNX has QuantizeLinear, Round"]),
    (lambda: named("nearest"), ["rounding = 'nearest'", *MODES, "Stochastic(rbits, n)"]),
    (lambda: named(3), ["rounding = 3", "half_even"]),
    (lambda: check_shift(64), ["shift = 64", "0 to 63"]),
    (lambda: check_shift([0, -1]), ["shift = -1", "0 to 63"]),
    (lambda: check_shift([[17, 63]], 17, 62), ["shift = 63", "17 to 62"]),
    (lambda: MODES["floor"].shift(1, 64), ["shift = 64", "0 to 63"]),
    (lambda: MODES["floor"].shift(np.uint64(2**63), 1), ["values", str(2**63), "below 2^63"]),
])
def test_errors_name_argument_value_and_what_is_allowed(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("call, words", [
    (lambda: as_reals(np.array([1j])), ["x has dtype complex128", "float32 or float64"]),
    (lambda: as_reals(["a"]), ["x has dtype <U1", "float32 or float64"]),
    (lambda: MODES["floor"].shift([0.5], 1), ["values has dtype float64", "integers"]),
    (lambda: MODES["floor"].shift([1], 0.5), ["shift has dtype float64", "integers"]),
])
def test_wrong_types_are_named(call, words):
    with pytest.raises(TypeError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_named_takes_names_and_what_rounds():
    assert named("odd") is MODES["odd"] and named(MODES["odd"]) is MODES["odd"] and named(np.rint) is np.rint
    assert repr(named("odd")) == "<rounding odd>"


def test_reals_keep_their_precision_and_integers_become_float64():
    assert as_reals(np.float32(1)).dtype == np.float32
    for x in (1.0, 1, True, np.float16(1), np.uint8(1), []):
        assert as_reals(x).dtype == np.float64


def test_split_puts_a_value_together_again():
    values, shift, remainder, half = np.broadcast_arrays(*split(np.arange(-40, 40)[:, None], np.arange(6)))
    assert ((values >> shift) * 2**shift + remainder.astype(np.int64) == values).all()
    assert (half[:, 0] == 0).all() and (2 * half[:, 1:] == 2 ** np.arange(1, 6).astype(np.uint64)).all()


def test_frozen_rounding_has_the_slope_of_the_straight_through_estimator():
    frozen, x = Frozen("half_even"), np.array([0.375, 1.75, -2.5])
    assert frozen(x).tolist() == [0, 2, -2]
    assert frozen(x + 0.25).tolist() == [0.25, 2.25, -1.75]


@pytest.mark.parametrize("mode", [mode for mode in rounding.MODES.values() if mode.on_floats is not None], ids=lambda m: m.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ieee_function_is_the_rule(mode, dtype):
    draw = np.random.default_rng(0)
    bits = draw.integers(0, 2**63, 200_000).astype(np.uint64).view(np.float64)
    with np.errstate(all="ignore"):
        x = np.concatenate([np.arange(-4001, 4002) / 8, draw.normal(0, 100, 50_000), bits, -bits, [0.0, -0.0, np.inf, -np.inf],
                            [0.49999999999999994, -0.49999999999999994, 2.0**52 + 1, 5e-324, -5e-324]]).astype(dtype)
    x = x[~np.isnan(x)]
    by_rule = rounding.Rounding(mode.name, mode.goes_up)(x)
    found = mode(x)
    assert found.dtype == by_rule.dtype == dtype
    assert found.tobytes() == by_rule.tobytes()  # the signs of zeros as well
    assert np.isnan(mode(dtype("nan")))
