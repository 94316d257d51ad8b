"""What the quantizers of all papers share: the grid, their gradients, and stochastic rounding.

A straight-through rule is the derivative of the forward whose rounding error is held constant (`Frozen`); where more is
constant than that, ``of`` is the function whose derivative the rule is, written out here.
"""
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refquant.autodiff import OPS, gradient_errors
from refquant.integers import Fixed, IntFormat, Stochastic
from refquant.integers.rounding import MODES, Frozen, half_even
from refquant.quantizers import banner, hindsight, int4, n2uq, sat
from refquant.quantizers.grid import (
    Dithered,
    Units,
    check_finite,
    check_no_nan,
    check_variant,
    finite_highest,
    highest,
    inside,
    on_grid,
)

# Off every kink (0, the clips 1 and 1.3, thresholds) by more than the differences' width, beyond both ends too
X = np.array([[-2.1, -1.24, -0.77, -0.31, -0.049], [0.021, 0.137, 0.442, 0.81, 1.7]])
W = np.array([[0.31, -1.07, 0.52, -0.083], [0.94, 0.066, -0.45, 0.78], [-0.21, 0.63, -0.88, 0.17]])
A = np.array([0.31, 0.0005, 0.44, 0.27, 0.62, 0.18, 0.9])  # the second at most eps: no gradient
LEVEL = np.array(1.3)


def frozen():
    return {"rounding": Frozen(half_even)}


def clipped(low, high):
    return lambda x: np.minimum(np.maximum(x, low), high)


def sat_of(rescale, variant, bits=3, scheme="original"):
    """tanh W / T times s, s constant always, T in the paper's variant."""
    used = sat.sat_weight.forward(W, bits=bits, scheme=scheme).value
    outputs = len(W)
    s = {None: 1.0, "constant": 1 / np.sqrt(outputs * np.var(used, ddof=1)),
         "stddev": np.std(W, ddof=1) / np.std(used, ddof=1)}[rescale]
    constant = np.abs(np.tanh(W)).max()
    return lambda w: s * np.tanh(w) / (constant if variant == "paper" else np.abs(np.tanh(w)).max())


def clamp_of(rescale, variant):
    clamped = np.tanh(W) / np.abs(np.tanh(W)).max()
    s = {None: 1.0, "constant": 1 / np.sqrt(len(W) * np.var(clamped, ddof=1)),
         "stddev": np.std(W, ddof=1) / np.std(clamped, ddof=1)}[rescale]
    return lambda w: s * np.tanh(w) / (np.abs(np.tanh(W)).max() if variant == "paper" else np.abs(np.tanh(w)).max())


SF = (7 / 4 * np.abs(W).mean(1))[:, None]  # n2uq's factor at 3 bits


def n2uq_case(scale1, scale2, start, variant):
    how = {"bits": 3, "variant": variant}
    inputs = (X, A, np.array(start), np.array(scale1), np.array(scale2))
    return [((*inputs,), {**how, "wrt": (0, 1, 2, 3), "of": lambda *v: n2uq.expected_level(*v, **how)}),
            ((*inputs,), {**how, "wrt": (4,)})]


# op: [(inputs, how to check it)]
GRADIENTS = {
    "banner_quantize": [
        *(((X,), {"range_min": -3.0, "range_max": 3.0, "bits": b, "variant": v, **frozen()})
          for b in (2, 4, 8) for v in ("paper", "authors")),
        *(((X,), {"range_min": -0.5, "range_max": 0.4, "bits": 4, "variant": v, "of": lambda x: x})  # also if clipped
          for v in ("paper", "authors"))],
    "hindsight_quantize": [((X,), {"range_min": low, "range_max": high, "bits": b, **frozen()})
                           for b in (2, 4, 8) for low, high in ((-1.0, 1.5), (-3.0, 3.0), (0.2, 1.0), (-1.0, -0.1))],
    "symmetric_quantize": [((X,), {"max_abs": c, "bits": b, **frozen()}) for b in (2, 4, 8) for c in (1.0, 3.0)],
    "int4_gradient": [
        *(((X,), {"clip_factor": f, "bits": b, "of": clipped(-f * 2.1, f * 2.1)}) for b in (2, 4) for f in (0.3, 0.71)),
        ((X,), {"clip_factor": 0.5, "bits": 4, "max_abs": 2.4, **frozen()})],
    "int4_weight": [((X, LEVEL), {"bits": b, **frozen()}) for b in (2, 4, 8)],
    "int4_activation": [((X, LEVEL), {"bits": b, "signed": s, **frozen()}) for b in (2, 4, 8) for s in (False, True)],
    "n2uq_quantize": [case for variant in ("paper", "authors") for s1, s2, start in (
        (1.0, 1.0, 0.0), (1.7, 0.6, -1.3), (-0.9, 1.4, -0.4), (1.3, -0.7, -0.6)) for case in n2uq_case(s1, s2, start, variant)],
    "n2uq_weight": [
        ((W,), {"bits": 3, "variant": "paper", "of": lambda w: clipped(-1, 1)(w / SF)}),
        ((W,), {"bits": 3, "variant": "paper", "gradient": "authors", "of": lambda w: w / SF}),
        ((W,), {"bits": 3, "variant": "authors", "of": lambda w: w / SF}),
        ((W,), {"bits": 3, "variant": "authors", "gradient": "ste", "of": lambda w: SF * clipped(-1, 1)(w / SF)})],
    "q_k": [((X,), {"bits": b, "scheme": s, **frozen()}) for b in (2, 4) for s in sat.SCHEMES],
    "sat_weight": [
        *(((W,), {"bits": 3, "scheme": s, "rescale": r, "variant": v, "of": sat_of(r, v, scheme=s)})
          for s in sat.SCHEMES for r in (None, *sat.RESCALES) for v in ("paper", "authors")),
        ((W,), {"bits": 3, "variant": "authors", **frozen()})],
    "sat_clamp": [((W,), {"rescale": r, "variant": v, "of": clamp_of(r, v)})
                  for r in (None, *sat.RESCALES) for v in ("paper", "authors")],
    "pact": [
        *(((X, np.array(a)), {"bits": b, "two_sided": two, **frozen()})
          for b in (2, 4) for two in (False, True) for a in (1.3, -1.3, 10.0)),
        *(((X, LEVEL), {"bits": 3, "calibrated": False, "two_sided": two,  # as if q(u) were u
                        "of": lambda x, a, two=two: clipped(-a if two else 0, a)(x)}) for two in (False, True))],
}


def test_every_op_is_checked():
    ours = {name for name, op in OPS.items() if op.forward.__module__.startswith("refquant.quantizers")}
    assert ours == set(GRADIENTS)


@pytest.mark.parametrize("name, inputs, how", [(name, *case) for name, cases in GRADIENTS.items() for case in cases])
def test_gradients(name, inputs, how):
    assert max(gradient_errors(OPS[name], *inputs, **how)) < 2e-8


def stochastic_mean(op, x, *rest, **how):
    """The mean over all patterns of 5 random bits, one tensor a pattern."""
    runs = [OPS[op].forward(x, *rest, rounding=Stochastic(np.full(x.shape, r), 5), **how).value for r in range(32)]
    return sum(runs) / 32


# Steps are powers of two, so that the reals in units of them are exact, with no more than five bits beyond the point.
# op: (x, how, the mean as a function of x, clip where it is an input)
FINE = np.arange(-160, 161) / 32
STOCHASTIC = {
    "banner_quantize": (FINE / 4, {"range_min": -2.0, "range_max": 1.75, "bits": 4}, clipped(-2.0, 1.75)),
    "hindsight_quantize": (FINE / 4, {"range_min": -0.75, "range_max": 3.0, "bits": 4}, clipped(-0.75, 3.0)),
    "symmetric_quantize": (FINE / 4, {"max_abs": 0.75, "bits": 3}, clipped(-0.75, 0.75)),
    "int4_gradient": (FINE, {"clip_factor": 0.75, "bits": 3, "max_abs": 4.0}, clipped(-3.0, 3.0)),
    "int4_weight": (FINE, {"bits": 3}, clipped(-3.0, 3.0), 3.0),
    "int4_activation": (FINE, {"bits": 2}, clipped(0.0, 3.0), 3.0),
    "pact": (FINE, {"bits": 2}, clipped(0.0, 3.0), 3.0),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_rounding_is_unbiased_inside_and_constant_outside(name):
    x, how, mean_of, *rest = STOCHASTIC[name]
    rest = [np.array(v) for v in rest]
    exact = x[x / 3 * 3 == x] if rest else x  # those that divide by a clip of 3 and multiply again
    assert len(exact) > len(x) / 2
    np.testing.assert_array_equal(stochastic_mean(name, exact, *rest, **how), mean_of(exact))


@pytest.mark.parametrize("name", ["hindsight_quantize", "symmetric_quantize", "int4_weight", "int4_activation", "pact"])
def test_the_mean_of_stochastic_rounding_has_the_rule_as_its_derivative(name):
    _, how, _, *rest = STOCHASTIC[name]
    rest = [np.array(v) for v in rest]
    x = np.array([-4.40625, -1.5, -0.65625, 0.09375, 0.375, 0.6875, 1.25, 2.15625, 4.0])
    errors = gradient_errors(OPS[name], x, *rest, wrt=(0,), h=2.0**-6, **how,
                             of=lambda *v: stochastic_mean(name, v[0], *rest, **how))
    assert errors[0] < 1e-9


def test_stochastic_q_k_sums_to_the_floor_of_what_the_bits_reach():
    u = np.linspace(0, 1, 101)
    codes = sum(sat.q_k.forward(u, bits=4, rounding=Stochastic(np.full(u.shape, r), 5)).codes.astype(int)
                for r in range(32))
    assert [int(c) for c in codes] == [int(Fraction(float(15 * v)) * 32) for v in u]


def test_dithered_is_half_even_of_the_sum_and_is_clipped():
    noise = np.array([-0.49, -0.3, 0.0, 0.3, 0.49])
    out = on_grid(np.array([2.4, 6.9, 7.0, 7.3, -0.2]), 0.5, IntFormat(3, signed=False), rounding=Dithered(noise))
    assert out.codes.tolist() == [2, 7, 7, 7, 0]
    assert Dithered(np.array([0.5, -0.5]))(np.array([2.0, 2.0])).tolist() == [2.0, 2.0]  # 2.5 and 1.5, to even


def test_dithered_is_unbiased_over_even_noise():
    noise = (np.arange(1000) + 0.5) / 1000 - 0.5
    for v in (0.1, 0.5, 3.75, 254.3):
        assert abs(np.mean(Dithered(noise)(np.full(1000, v))) - v) < 1e-3


formats = st.sampled_from([IntFormat(b, *kind) for b in range(2, 9) for kind in ((True,), (True, True), (False,))])
values = arrays(np.float64, st.integers(0, 20), elements=st.floats(allow_nan=False, width=64))


@given(values, formats, st.sampled_from(sorted(MODES)), st.integers(-300, 300))
def test_on_grid_rounds_what_it_clips(u, format, mode, plus):
    out = on_grid(u, 0.25, format, rounding=mode, plus=plus)
    assert isinstance(out, Fixed) and out.codes.dtype == format.dtype
    for code, v in zip(out.codes.tolist(), u.tolist(), strict=True):
        if v >= format.qmax - plus:
            assert code == format.qmax
        elif v <= format.qmin - plus:
            assert code == format.qmin
        else:
            below = Fraction(v).__floor__()
            up = int(MODES[mode](np.array(v))) - below  # the modes have tests of their own
            assert code == below + up + plus


def test_a_zero_point_joins_before_or_after_the_rounding_of_ties():
    u = np.array([0.5, 1.5, 2.5])
    assert on_grid(u, 1.0, IntFormat(4, False), plus=1).codes.tolist() == [1, 3, 3]
    assert on_grid(u + 1, 1.0, IntFormat(4, False)).codes.tolist() == [2, 2, 4]


def test_frozen_gives_reals():
    out = on_grid(np.array([0.3, 9.0]), 0.5, IntFormat(3, signed=False), zero_point=2, rounding=Frozen(half_even))
    assert isinstance(out, np.ndarray) and out.tolist() == [-1.0, 2.5]


def test_codes_per_channel():
    out = on_grid(np.array([[1.2, 2.7], [1.2, 2.7]]), np.array([1.0, 0.5]), IntFormat(4), axis=0)
    assert out.value.tolist() == [[1.0, 3.0], [0.5, 1.5]]
    frozen_out = on_grid(np.array([[1.2, 2.7], [1.2, 2.7]]), np.array([1.0, 0.5]), IntFormat(4), axis=0,
                         rounding=Frozen(half_even))
    assert frozen_out.tolist() == out.value.tolist()


def test_nan_has_no_code_and_is_named():
    with pytest.raises(ValueError, match=r"x is NaN at \(1, 0\)"):
        on_grid(np.array([[1.0], [np.nan]]), 1.0, IntFormat(4))
    check_no_nan(np.array([np.inf, -np.inf]))
    with pytest.raises(ValueError, match=r"w is -inf at \(0, 1\): expected finite numbers"):
        check_finite(np.array([[1.0, -np.inf]]), "w")
    with pytest.raises(ValueError, match=r"scale = 0.0"):
        on_grid(np.array([1.0]), 0.0, IntFormat(4))


def test_units_are_infinite_without_a_warning():
    assert Units(divisor=1e-3)(np.array([1e308, -1e308, 1.0])).tolist() == [np.inf, -np.inf, 1000.0]


def test_units_round_five_operations_in_their_order():
    x = np.array([0.7, -1.3, 2.9])
    units = Units(start=0.1, divisor=0.3, before=1.7, times=0.9, after=-0.6)
    assert units(x).tolist() == [((v - 0.1) / 0.3 + 1.7) * 0.9 + -0.6 for v in x.tolist()]
    assert Units()(x).tolist() == x.tolist()


def test_the_highest_magnitude():
    assert highest(np.zeros((0, 3))) == 0 and highest(np.zeros(0)) == 0
    for x in (np.array(-3.0), np.array([[1.0, -3.0]]), np.array([2.0, 3.0]), np.array([-3.0, -2.0])):
        assert highest(x) == finite_highest(x, "g") == 3
    assert str(highest(np.array([-0.0, 0.0]))) == "0.0" and highest(np.array([5e-324, -1e-323])) == 1e-323
    for bad, said in ((np.nan, "nan"), (-np.inf, "-inf")):
        x = np.array([1.0, bad])
        assert str(highest(x)) == said.removeprefix("-")
        with pytest.raises(ValueError, match=rf"g is {said} at \(1,\): expected finite numbers"):
            finite_highest(x, "g")


def test_inside_holds_both_ends():
    u = np.array([-8.000001, -8.0, -7.0, 0.0, 7.0, 7.000001, np.inf, np.nan])
    assert inside(u, IntFormat(4)).tolist() == [False, True, True, True, True, False, False, False]
    assert inside(u, IntFormat(4, narrow=True)).tolist() == [False, False, True, True, True, False, False, False]


def test_variants_have_names():
    assert check_variant("paper") == "paper" and check_variant("authors") == "authors"
    with pytest.raises(ValueError, match="variant = 'code': expected one of paper, authors"):
        check_variant("code")


@pytest.mark.parametrize("empty", [(0,), (2, 0)])
def test_empty_tensors_have_no_codes(empty):
    x = np.zeros(empty)
    for out in (banner.banner_quantize(x, range_min=0, range_max=1, bits=8),
                hindsight.hindsight_quantize(x, range_min=0, range_max=1, bits=8),
                int4.int4_gradient(x, clip_factor=1.0, bits=4), int4.int4_weight(x, 1.0, bits=4),
                sat.pact(x, 1.0, bits=4), sat.q_k(x, bits=4)):
        assert out.shape == empty


@pytest.mark.parametrize("name, inputs, how", [(name, *case) for name, cases in GRADIENTS.items() for case in cases
                                               if isinstance(case[1].get("rounding"), Frozen)
                                               and case[1].get("scheme", "original") == "original"])  # others floor
def test_a_fresh_frozen_gives_the_values_that_its_rounding_gives(name, inputs, how):
    how = {key: value for key, value in how.items() if key not in ("rounding", "wrt", "of")}
    frozen_out = OPS[name].forward(*inputs, rounding=Frozen(half_even), **how)
    assert isinstance(frozen_out, np.ndarray)
    np.testing.assert_allclose(frozen_out, OPS[name].forward(*inputs, **how).value, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("quantize", [
    lambda bits: sat.q_k(X, bits=bits), lambda bits: sat.pact(X, LEVEL, bits=bits),
    lambda bits: banner.banner_quantize(X, range_min=0.0, range_max=1.0, bits=bits)])
def test_codes_that_reals_do_not_reach_are_refused(quantize):
    """In 64 bits qmax is no float64; the highest code would have become 0."""
    assert quantize(32).codes.max() == 2**32 - 1
    for bits in (33, 64):
        with pytest.raises(ValueError, match="expected at most 32 bits"):
            quantize(bits)
