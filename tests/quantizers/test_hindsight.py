"""In hindsight 2021: estimators against their sums written out, both quantizers element by element, DSGC's search."""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from refquant.integers import Fixed, IntFormat, Stochastic
from refquant.quantizers.hindsight import (
    Estimator,
    collected_range,
    cosine_distance,
    dsgc_clip,
    hindsight_quantize,
    symmetric_quantize,
)

BITS = range(2, 9)
ends = st.tuples(*2 * [st.floats(-10, 10)]).map(sorted).map(tuple)
tensors = st.lists(ends, min_size=1, max_size=12)


def run(estimator, tensors):
    """The range of every step."""
    state, ranges = None, []
    for seen in tensors:
        ranges.append(estimator.range(seen, state))
        state = estimator.update(seen, state)
    return ranges


@given(tensors, st.floats(0, 0.99))
def test_the_range_in_hindsight_is_the_running_one_of_the_step_before(tensors, eta):
    hindsight, running = (run(Estimator(name, eta), tensors) for name in ("hindsight", "running"))
    assert hindsight[0] == running[0] == tensors[0]
    assert hindsight[1:] == running[:-1]


@given(tensors, st.floats(0, 0.99))
def test_the_running_range_is_the_weighted_sum_of_all_tensors_so_far(tensors, eta):
    for t, (low, high) in enumerate(run(Estimator("running", eta), tensors)):
        weights = [eta**t, *((1 - eta) * eta ** (t - i) for i in range(1, t + 1))]
        assert abs(math.fsum(weights) - 1) < 1e-12
        assert low == pytest.approx(math.fsum(w * a for w, (a, _) in zip(weights, tensors, strict=False)), abs=1e-12)
        assert high == pytest.approx(math.fsum(w * b for w, (_, b) in zip(weights, tensors, strict=False)), abs=1e-12)


@given(tensors)
def test_the_current_range_is_the_tensors_own(tensors):
    assert run(Estimator("current"), tensors) == tensors
    assert Estimator("current").update(tensors[-1], (5.0, 6.0)) == tensors[-1]


def test_by_hand():
    seen = [(-1.0, 2.0), (-3.0, 2.0), (-1.0, 10.0), (0.0, 0.0)]
    assert run(Estimator("hindsight", 0.5), seen) == [(-1, 2), (-1, 2), (-2, 2), (-1.5, 6)]
    assert run(Estimator("running", 0.5), seen) == [(-1, 2), (-2, 2), (-1.5, 6), (-0.75, 3)]
    assert Estimator() == Estimator("hindsight", 0.9)
    assert [Estimator(name).static for name in ("hindsight", "running", "current")] == [True, False, False]
    # a jump by ten is met one step late
    jump = [(-1.0, 1.0)] * 3 + [(-10.0, 10.0)] * 2
    assert [high for _, high in run(Estimator("hindsight"), jump)] == pytest.approx([1, 1, 1, 1, 1.9])


@pytest.mark.parametrize("how, message", [({"name": "last"}, "name = 'last': expected one of current, running, hindsight"),
                                          ({"eta": 1.0}, "eta = 1.0: expected 0 <= eta < 1"), ({"eta": -0.1}, "eta = -0.1"),
                                          ({"eta": math.nan}, "eta = nan")])
def test_estimators_that_cannot_be(how, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        Estimator(**how)


def half_away(v):
    return math.floor(v + 0.5) if v >= 0 else math.ceil(v - 0.5)


def asymmetric(x, low, high, bits):
    """One number: codes = clip(round(x / s) + z), in Python's floats."""
    top, low, high = 2**bits - 1, min(low, 0.0), max(high, 0.0)
    high = 1e-8 if low == high else high
    scale = (high - low) / top
    zero = half_away(min(max(-low / scale, 0), top))
    code = min(max(round(x / scale) + zero, 0), top)
    return code, scale * (code - zero), min(low, 0) <= x <= max(high, 0)


def symmetric(x, max_abs, bits):
    top = 2 ** (bits - 1) - 1
    max_abs = max_abs or 1e-8
    scale = max_abs / top
    code = min(max(round(x / scale), -top), top)
    return code, scale * code, abs(x) <= max_abs


sizes = st.floats(-50, 50).filter(lambda v: v == 0 or abs(v) > 1e-3)
elements = st.lists(st.one_of(st.floats(-80, 80), st.integers(-20, 20).map(lambda i: i / 2)), max_size=8)


@given(elements, st.tuples(sizes, sizes).map(sorted), st.integers(2, 8))
def test_asymmetric_element_by_element(x, range, bits):
    low, high = range
    x = [*x, low, high, 0.0]
    out = hindsight_quantize(x, range_min=low, range_max=high, bits=bits)
    g, = hindsight_quantize.backward(np.full(len(x), 3.0), out, np.array(x), range_min=low, range_max=high, bits=bits)
    expected = [asymmetric(v, low, high, bits) for v in x]
    assert out.codes.tolist() == [code for code, _, _ in expected]
    np.testing.assert_array_equal(out.value, [value for _, value, _ in expected])
    assert g.tolist() == [3.0 * inside for _, _, inside in expected]
    assert out.value[-1] == 0.0


@given(elements, sizes.map(abs), st.integers(2, 8))
def test_symmetric_element_by_element(x, max_abs, bits):
    x = [*x, max_abs, -max_abs, 0.0]
    out = symmetric_quantize(x, max_abs=max_abs, bits=bits)
    g, = symmetric_quantize.backward(np.full(len(x), 3.0), out, np.array(x), max_abs=max_abs, bits=bits)
    expected = [symmetric(v, max_abs, bits) for v in x]
    assert out.codes.tolist() == [code for code, _, _ in expected]
    np.testing.assert_array_equal(out.value, [value for _, value, _ in expected])
    assert g.tolist() == [3.0 * inside for _, _, inside in expected]


def test_the_gradient_of_the_largest_element_passes():
    """max / (max / qmax) may be more than qmax by a rounding: it is inside all the same."""
    for max_abs in np.random.default_rng(0).random(200) + 0.5:
        for bits in (4, 8):
            assert symmetric_quantize.backward(np.ones(2), None, np.array([max_abs, -max_abs]), max_abs=max_abs,
                                               bits=bits)[0].tolist() == [1, 1]


@pytest.mark.parametrize("bits", BITS)
def test_every_code_is_reached_and_no_other(bits):
    x = np.linspace(-3, 3, 100 * 2**bits)
    for low, high in ((-1.0, 1.0), (0.0, 2.0), (-2.0, 0.0), (-0.1, 2.2), (0.5, 2.0)):
        out = hindsight_quantize(x, range_min=low, range_max=high, bits=bits)
        assert sorted(set(out.codes.tolist())) == list(range(2**bits)) and 0.0 in out.value
    top = 2 ** (bits - 1) - 1
    assert sorted(set(symmetric_quantize(x, max_abs=2.0, bits=bits).codes.tolist())) == list(range(-top, top + 1))


def test_ties_are_rounded_before_the_zero_point_joins():
    # scale 1; zero point 3, an odd one: 0.5 is rounded to 0, then 3 is added (3.5 would be rounded to 4)
    assert hindsight_quantize([0.5, 1.5, -0.5, -1.5], range_min=-3, range_max=12, bits=4).codes.tolist() == [3, 5, 3, 1]
    assert symmetric_quantize([0.5, 1.5, -0.5, -1.5], max_abs=7, bits=4).codes.tolist() == [0, 2, 0, -2]
    # and stochastic rounding has its floor below: 1/4 + 3/4 reaches 1
    rounding = Stochastic(np.array([3, 2]), 2)
    out = hindsight_quantize([0.25, 0.25], range_min=-3, range_max=12, bits=4, rounding=rounding)
    assert out.value.tolist() == [1.0, 0.0]


def test_beyond_the_range():
    out = hindsight_quantize([-9.0, 9.0, np.inf, -np.inf, 1e308], range_min=-1, range_max=2, bits=2)
    assert out.value.tolist() == [-1, 2, 2, -1, 2]
    out = symmetric_quantize([-9.0, 9.0, np.inf, -np.inf, -3.4], max_abs=3, bits=3)
    assert out.value.tolist() == [-3, 3, 3, -3, -3]
    assert hindsight_quantize([1e308], range_min=0, range_max=1e-3, bits=8).value.tolist() == [1e-3]


def test_zeros_equals_and_single_elements():
    for bits in (2, 8):
        assert hindsight_quantize(np.zeros(3), range_min=0, range_max=0, bits=bits).value.tolist() == [0, 0, 0]
        assert symmetric_quantize(np.zeros(3), max_abs=0, bits=bits).value.tolist() == [0, 0, 0]
        for v in (0.7, -0.7):
            assert hindsight_quantize([v, v], range_min=v, range_max=v, bits=bits).value == pytest.approx([v, v], rel=1e-15)
            assert symmetric_quantize([v], max_abs=0.7, bits=bits).value == pytest.approx([v], rel=1e-15)


@pytest.mark.parametrize("call", [
    lambda x, c: hindsight_quantize(x, range_min=-c, range_max=c, bits=8), lambda x, c: symmetric_quantize(x, max_abs=c, bits=8)])
def test_ranges_and_elements_that_cannot_be(call):
    for bad in (math.nan, math.inf, -1.0):
        with pytest.raises(ValueError, match="range "):
            call([0.5], bad)
    with pytest.raises(ValueError, match=r"x is NaN at \(1,\)"):
        call([0.5, math.nan], 1.0)


def test_cosine_distance():
    x = np.array([1.0, 0.0])
    assert cosine_distance(x, np.array([3.0, 0.0])) == 0.0
    assert cosine_distance(x, np.array([0.0, 2.0])) == 1.0
    assert cosine_distance(x, -x) == 2.0
    assert cosine_distance(x, np.array([1.0, 1.0])) == pytest.approx(1 - math.sqrt(0.5))
    assert cosine_distance(x, np.zeros(2)) == cosine_distance(np.zeros(2), np.zeros(2)) == 1.0


def narrow(g, clip, bits):
    top = 2 ** (bits - 1) - 1
    return np.rint(np.clip(g / (clip / top), -top, top)) * (clip / top)


def distance(g, clip, bits):
    q = narrow(g, clip, bits)
    return 1 - np.sum(g * q) / np.sqrt(np.sum(g * g) * np.sum(q * q))


DRAWS = {"gauss": lambda rng, n: rng.normal(size=n), "laplace": lambda rng, n: rng.laplace(size=n),
         "t3": lambda rng, n: rng.standard_t(3, n), "lognormal": lambda rng, n: np.exp(1.5 * rng.normal(size=n)) * rng.choice([-1, 1], n)}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("bits", [4, 8])
def test_golden_section_is_as_good_as_a_grid(name, bits):
    g = DRAWS[name](np.random.default_rng(5), 20_000)
    highest = np.abs(g).max()
    asked = []

    def quantized(clip):
        asked.append(clip)
        return narrow(g, clip, bits)

    found = dsgc_clip(g, bits, quantized=quantized)
    assert found == dsgc_clip(g, bits) and 0 < found <= highest
    assert len(asked) <= 30  # ten of the first look, the rest of the search
    grid = [distance(g, fraction * highest, bits) for fraction in np.linspace(0.02, 1, 491)]
    assert distance(g, found, bits) <= min(grid) * 1.002
    assert distance(g, found, bits) < distance(g, highest, bits)


HALVES = (np.arange(150_000) + 0.5) / 150_000
QUANTILES = {"gauss": ndtri((1 + HALVES) / 2), "laplace": -np.log(1 - HALVES)}


@pytest.mark.parametrize("name, at_4, at_8, highest", [("gauss", 0.524, 0.822, 4.83), ("laplace", 0.362, 0.760, 13.1)])
def test_clips_are_those_of_the_text(name, at_4, at_8, highest):
    """c / max at 4 and 8 bits. c itself is the distribution's; ``highest``: what a draw of the text's size shows."""
    g = np.concatenate([QUANTILES[name], -QUANTILES[name]])
    c_4, c_8 = dsgc_clip(g, 4), dsgc_clip(g, 8)
    assert c_4 / c_8 == pytest.approx(at_4 / at_8, rel=0.035)
    assert c_4 / highest == pytest.approx(at_4, rel=0.03) and c_8 / highest == pytest.approx(at_8, rel=0.03)


def test_the_distance_to_laplace_at_8_bits():
    """1.67e-4 in the text's draw, against 2.35e-4 for its whole range, 13.5."""
    g = np.concatenate([QUANTILES["laplace"], -QUANTILES["laplace"]])
    assert cosine_distance(g, narrow(g, dsgc_clip(g, 8), 8)) == pytest.approx(1.67e-4, rel=0.15)
    assert cosine_distance(g, narrow(g, 13.5, 8)) == pytest.approx(2.35e-4, rel=0.02)


def test_directions_that_no_clip_changes():
    """One element, one other than 0, equal ones: every clip is as good, and the search must end."""
    for g in ([3.0], [3.0, 0.0, 0.0], [2.0, 2.0], [-1.0] * 7):
        g = np.array(g)
        clip = dsgc_clip(g, 4)
        assert 0 < clip <= np.abs(g).max()
        assert abs(cosine_distance(g, symmetric_quantize(g, max_abs=clip, bits=4).value)) < 1e-15
    assert dsgc_clip(np.zeros(4)) == 0.0 and dsgc_clip(np.zeros(0)) == 0.0
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"g is {bad} at \(1,\)"):
            dsgc_clip(np.array([1.0, bad]))


def test_a_coarser_tolerance_asks_less():
    g, asked = np.random.default_rng(8).normal(size=20_000), []

    def quantized(clip):
        asked.append(clip)
        return narrow(g, clip, 8)

    dsgc_clip(g, 8, 0.1, quantized)
    coarse = len(asked)
    dsgc_clip(g, 8, 1e-3, quantized)
    assert coarse < len(asked) - coarse
    assert all(0 < clip <= np.abs(g).max() for clip in asked)


@pytest.mark.parametrize("bits, quoted", [(8, (2.1e-3, 4.1e-3, 4.7e-3))])
def test_errors_of_stationary_heavy_tails(bits, quoted):
    """Student's t with 4 degrees: relative squared errors with current, running and hindsight ranges, and who clips."""
    rng = np.random.default_rng(9)
    state, errors, clipped = {}, {}, {}
    for _ in range(60):
        g = rng.standard_t(4, 20_000)
        seen = float(g.min()), float(g.max())
        for name in ("current", "running", "hindsight"):
            estimator = Estimator(name)
            low, high = estimator.range(seen, state.get(name))
            state[name] = estimator.update(seen, state.get(name))
            rounding = Stochastic(rng.integers(0, 1 << 16, g.shape), 16)
            q = hindsight_quantize(g, range_min=low, range_max=high, bits=bits, rounding=rounding).value
            errors.setdefault(name, []).append(np.sum((q - g)**2) / np.sum(g * g))
            clipped.setdefault(name, []).append(np.mean((g < low) | (g > high)))
    means = [np.mean(errors[name]) for name in ("current", "running", "hindsight")]
    for measured, of_text in zip(means, quoted, strict=True):
        assert of_text / 2 < measured < of_text * 2  # heavy tails: the text's 400 steps vary as much
    assert not np.any(clipped["current"])
    assert 1e-5 < np.mean(clipped["running"]) < 1e-4 and 1e-5 < np.mean(clipped["hindsight"]) < 1e-4


@pytest.mark.parametrize("scale, axis", [(0.25, None), (np.array([0.5, 3.0, 0.01]), 1)])
def test_the_statistic_collected_from_sums_is_the_range_of_the_product(scale, axis):
    codes = np.random.default_rng(10).integers(-1000, 1000, (4, 3, 5))
    accumulators = Fixed(codes, scale, IntFormat(32), axis=axis)
    assert collected_range(accumulators) == (accumulators.value.min(), accumulators.value.max())
    with pytest.raises(ValueError, match=r"accumulators have shape \(0, 3\): expected at least one sum"):
        collected_range(Fixed(np.zeros((0, 3), np.int32), scale, IntFormat(32), axis=axis))
    with pytest.raises(ValueError, match="accumulators have zero_point 5: expected 0"):
        collected_range(Fixed(codes, scale, IntFormat(32), 5, axis=axis))


def test_a_range_without_width_clips():
    """A tensor of zeros was seen; the next one is no multiple of 1."""
    for out in (hindsight_quantize([0.3, -0.2, 7.0], range_min=0, range_max=0, bits=8),
                symmetric_quantize([0.3, -0.2, 7.0], max_abs=0, bits=8)):
        assert np.abs(out.value).max() <= 1e-8
