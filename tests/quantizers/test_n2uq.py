"""N2UQ: thresholds, G-STE by its cases and identities, learned thresholds, weights of near equal entropy."""
import bisect
import math
import statistics
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.integers import Stochastic
from refquant.quantizers.n2uq import expected_level, initial_intervals, n2uq_quantize, n2uq_weight

BITS = range(2, 9)
VARIANTS = ("paper", "authors")


def arrays(*values):
    return tuple(np.array(v, np.float64) for v in values)


def backward(g, x, a, start=0.0, scale1=1.0, scale2=1.0, **how):
    inputs = arrays(x, a, start, scale1, scale2)
    return n2uq_quantize.backward(np.array(g, np.float64), n2uq_quantize.forward(*inputs, **how), *inputs, **how)


def grid_of(a, start, eps):
    return list(accumulate([max(v, eps) if v > eps else eps for v in a], initial=start))


def level(z, a, start, eps, variant):
    """How many thresholds z has passed: counted, one at a time."""
    grid, passed = grid_of(a, start, eps), 0
    for i in range(len(a)):
        threshold = grid[i] + (a[i] if a[i] > eps else eps) / 2
        passed += z >= threshold if variant == "paper" else z > threshold
    return passed


lengths = st.integers(2, 4).flatmap(lambda b: st.lists(st.floats(-0.1, 2), min_size=2**b - 1, max_size=2**b - 1))
scales = st.floats(0.1, 3).flatmap(lambda s: st.sampled_from([s, -s]))


@given(st.lists(st.floats(-3, 9), max_size=8), lengths, st.floats(-2, 2), scales, scales, st.sampled_from(VARIANTS))
def test_forward_element_by_element(x, a, start, scale1, scale2, variant):
    bits = len(a).bit_length()
    out = n2uq_quantize(x, a, start, scale1, scale2, bits=bits, variant=variant)
    delta = 1.0 if variant == "paper" else 2 / len(a)
    levels = [level(scale1 * v, a, start, 1e-3, variant) for v in x]
    assert np.abs(out.codes).tolist() == levels
    np.testing.assert_allclose(out.value, [scale2 * delta * q for q in levels], rtol=1e-15)


@given(st.lists(st.floats(-3, 9), min_size=1, max_size=6), lengths, st.floats(-2, 2), scales, scales, st.sampled_from(VARIANTS))
def test_backward_element_by_element(x, a, start, scale1, scale2, variant):
    """3.4's cases, one element after another; where a_k is at most eps its gradient is 0."""
    bits, levels, eps = len(a).bit_length(), len(a), 1e-3
    g = [math.cos(1 + i) for i in range(len(x))]
    grid, delta = grid_of(a, start, eps), 1.0 if variant == "paper" else 2 / levels
    used = [v if v > eps else eps for v in a]
    g_x, g_a, g_start, g_scale1, g_scale2 = [], [0.0] * levels, 0.0, 0.0, 0.0
    for v, up in zip(x, g, strict=True):
        z = scale1 * v
        g_scale2 += up * delta * level(z, a, start, eps, variant)
        i = (bisect.bisect_right if variant == "paper" else bisect.bisect_left)(grid, z)
        if not 1 <= i <= levels:
            g_x.append(0.0)
            continue
        through = up * scale2 * delta / used[i - 1]
        g_x.append(through * scale1)
        g_start, g_scale1 = g_start - through, g_scale1 + through * v
        for k in range(i - 1):
            g_a[k] -= through
        g_a[i - 1] -= through * (z - grid[i - 1]) / used[i - 1]
    g_a = [v if a[k] > eps else 0.0 for k, v in enumerate(g_a)]
    rules = backward(g, x, a, start, scale1, scale2, bits=bits, variant=variant)
    for rule, expected in zip(rules, (g_x, g_a, g_start, g_scale1, g_scale2), strict=True):
        size = max(1.0, np.max(np.abs(expected)))
        np.testing.assert_allclose(rule, expected, rtol=1e-9, atol=1e-10 * size)


def test_a_threshold_exactly_hit_is_above_in_the_paper_and_below_for_the_authors():
    x, a = [0.25, 1.0, 2.25], [0.5, 1.0, 1.5]  # the three thresholds themselves, exact in binary
    assert n2uq_quantize(x, a, 0.0, 1.0, 1.0, bits=2).codes.tolist() == [1, 2, 3]
    assert n2uq_quantize(x, a, 0.0, 1.0, 1.0, bits=2, variant="authors").codes.tolist() == [0, 1, 2]
    near = np.nextafter(x, -9)
    assert n2uq_quantize(near, a, 0.0, 1.0, 1.0, bits=2).codes.tolist() == [0, 1, 2]
    assert n2uq_quantize(np.nextafter(x, 9), a, 0.0, 1.0, 1.0, bits=2, variant="authors").codes.tolist() == [1, 2, 3]


def test_a_grid_point_exactly_hit_belongs_to_the_segment_above_or_below():
    x, a = [0.0, 0.5, 1.5, 3.0], [0.5, 1.0, 1.5]
    assert backward(np.ones(4), x, a, bits=2)[0].tolist() == [2.0, 1.0, 1 / 1.5, 0.0]
    delta = 2 / 3
    np.testing.assert_allclose(backward(np.ones(4), x, a, bits=2, variant="authors")[0],
                               [0.0, 2 * delta, delta, delta / 1.5], rtol=1e-15)


@pytest.mark.parametrize("variant", VARIANTS)
def test_intervals_at_and_below_eps_count_as_eps_and_learn_nothing(variant):
    x = np.linspace(-0.5, 2.5, 200)
    for small in (1e-3, 1e-4, 0.0, -5.0):
        a = [0.7, small, 0.9]
        used = n2uq_quantize(x, [0.7, 1e-3, 0.9], 0.0, 1.0, 1.0, bits=2, variant=variant)
        assert (n2uq_quantize(x, a, 0.0, 1.0, 1.0, bits=2, variant=variant).codes == used.codes).all()
        g_a = backward(np.ones(200), x, a, bits=2, variant=variant)[1]
        assert g_a[1] == 0 and g_a[0] != 0 and g_a[2] != 0
    above = np.nextafter(1e-3, 1)
    assert backward(np.ones(200), x, [0.7, above, 0.9], bits=2, variant=variant)[1][1] != 0
    assert backward(np.ones(200), x, [0.7, 0.1, 0.9], bits=2, variant=variant, eps=0.2)[1][1] == 0


@pytest.mark.parametrize("bits", range(2, 7))
@pytest.mark.parametrize("scale2", [1.3, -1.3])
def test_every_level_is_reached_and_no_other(bits, scale2):
    levels = 2**bits - 1
    a = np.random.default_rng(bits).uniform(0.05, 0.5, levels)
    out = n2uq_quantize(np.linspace(-1, a.sum() + 1, 200 * levels), a, 0.0, 1.0, scale2, bits=bits, variant="authors")
    np.testing.assert_allclose(sorted(set(out.value.tolist())), sorted(scale2 * 2 / levels * k for k in range(levels + 1)),
                               rtol=1e-15)
    assert (out.format.signed, out.format.bits) == ((False, bits) if scale2 > 0 else (True, bits + 1))


@pytest.mark.parametrize("bits", range(2, 6))
def test_at_first_it_is_the_uniform_quantizer_and_the_clipped_straight_through_rule(bits):
    levels = 2**bits - 1
    a, x = initial_intervals(bits), np.random.default_rng(bits).uniform(-0.5, 2.5, 500)
    out = n2uq_quantize(x, a, 0.0, 1.0, 1.0, bits=bits, variant="authors")
    assert out.codes.tolist() == [min(max(round(v * levels / 2), 0), levels) for v in x.tolist()]
    g_x = backward(np.ones(500), x, a, bits=bits, variant="authors")[0]
    np.testing.assert_allclose(g_x, (x > 0) & (x <= sum(a)), rtol=1e-15)


A, S = [0.4, 0.9, 1.5], 0.1


def one(z, a=A, s=S):
    """dE/dz, dE/ds and dE/da at one place."""
    g_x, g_a, g_s, *_ = backward([1.0], [z], a, s, bits=2)
    return g_x[0], g_s, g_a


@given(st.floats(0.1001, 2.8999))
def test_identities_inside(z):
    slope, g_s, g_a = one(z)
    assert g_s == -slope
    assert abs((z - S) * slope + np.sum(np.array(A) * g_a)) < 1e-13


def test_expected_level_at_grid_points_and_thresholds():
    grid = grid_of(A, S, 1e-3)
    np.testing.assert_allclose(expected_level(grid, A, S, 1.0, 1.0, bits=2), [0, 1, 2, 3], atol=1e-15)
    thresholds = [d + v / 2 for d, v in zip(grid, A, strict=False)]
    np.testing.assert_allclose(expected_level(thresholds, A, S, 1.0, 1.0, bits=2), [0.5, 1.5, 2.5], atol=1e-15)
    # above the last grid point it stays K: "0 otherwise" in the paper's theorem is about the derivative
    assert expected_level([-9.0, 9.0], A, S, 1.0, 1.0, bits=2).tolist() == [0.0, 3.0]
    assert expected_level([9.0], A, S, 1.0, 1.5, bits=2, variant="authors")[0] == pytest.approx(3.0)


def drawn(z, a, s, draws, rng):
    """The stochastic quantizer itself: each interval a coin that shows 1 with probability (z - d) / a."""
    grid = grid_of(a, s, 1e-3)
    chance = [min(max((z - d) / v, 0.0), 1.0) for d, v in zip(grid, a, strict=False)]
    return np.mean(rng.random((draws, len(a))) < chance, 0).sum()


def test_expected_level_is_the_mean_of_the_stochastic_quantizer():
    rng = np.random.default_rng(0)
    for z in np.linspace(-0.2, 3.2, 20):
        assert abs(drawn(z, A, S, 100_000, rng) - expected_level(z, A, S, 1.0, 1.0, bits=2)) < 0.0065


def test_derivatives_at_nine_tenths():
    slope, g_s, g_a = one(0.9)
    assert (round(slope, 3), round(float(g_s), 3)) == (1.111, -1.111)
    assert np.round(g_a, 3).tolist() == [-1.111, -0.494, 0.0]


def test_nothing_but_scale2_learns_from_the_outer_regions():
    for z, level_there in ((-1.0, 0), (9.0, 3), (np.inf, 3), (-np.inf, 0)):
        g_x, g_a, g_s, g_1, g_2 = backward([2.0], [z], A, S, bits=2)
        assert not g_x.any() and not g_a.any() and g_s == 0 and g_1 == 0 and g_2 == 2.0 * level_there


@pytest.mark.parametrize("bits, quoted_uniform, best", [(2, 0.1760, 0.0370), (3, 0.1408, 0.0068)])
def test_thresholds_are_learned(bits, quoted_uniform, best):
    """Levels k Delta for sqrt(2x), x uniform on (0, 2): G-STE with Adam comes near the best thresholds, mid-levels squared / 2."""
    levels = 2**bits - 1
    x = (np.arange(2000) + 0.5) / 1000
    target = np.sqrt(2 * x)
    a, start = initial_intervals(bits), np.zeros(())
    first, second = np.zeros(levels + 1), np.zeros(levels + 1)

    def output():
        return n2uq_quantize.forward(*arrays(x, a, start, 1.0, 1.0), bits=bits, variant="authors")

    uniform = np.mean((output().value - target)**2)
    assert abs(uniform - quoted_uniform) < 0.002
    for step in range(1, 1201):
        out = output()
        _, g_a, g_start, *_ = n2uq_quantize.backward(2 * (out.value - target) / x.size, out, *arrays(x, a, start, 1.0, 1.0),
                                                     bits=bits, variant="authors")
        g = np.append(g_a, g_start)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        move = 0.02 * (1 - step / 1201) * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        a, start = a - move[:-1], start - move[-1]
    learned = np.mean((output().value - target)**2)
    assert best * 0.999 < learned < best * 1.08 + 0.0004
    grid = grid_of(a.tolist(), float(start), 1e-3)
    thresholds = np.array([d + max(v, 1e-3) / 2 for d, v in zip(grid, a.tolist(), strict=False)])
    np.testing.assert_allclose(thresholds, [((2 * i + 1) / levels)**2 / 2 for i in range(levels)], atol=0.11)


@pytest.mark.parametrize("change, message", [
    ({"x": [0.5, np.nan]}, "x holds NaN"), ({"a": [1.0, np.nan, 1.0]}, r"a is nan at \(1,\)"),
    ({"a": [1.0, np.inf, 1.0]}, r"a is inf at \(1,\)"), ({"start": np.nan}, "start is nan"), ({"scale1": np.inf}, "scale1 is inf"),
    ({"scale2": np.nan}, "scale2 is nan"), ({"scale2": 0.0}, r"scale2 = 0\.0: expected a number other than 0"),
    ({"a": [1.0, 1.0]}, r"a has shape \(2,\): expected \[3\]"), ({"a": 1.0}, r"a has shape \(\)"),
    ({"start": [0.0, 1.0]}, r"start has shape \(2,\): expected one number"), ({"scale1": []}, "scale1 has shape"),
    ({"variant": "code"}, "variant = 'code'")])
def test_what_cannot_be(change, message):
    given = {"x": [0.5, 1.0], "a": A, "start": S, "scale1": 1.0, "scale2": 1.0, "bits": 2} | change
    inputs = [given.pop(name) for name in ("x", "a", "start", "scale1", "scale2")]
    with pytest.raises(ValueError, match=message):
        n2uq_quantize(*inputs, **given)


@pytest.mark.parametrize("variant", VARIANTS)
def test_zeros_equals_infinities_and_one_element(variant):
    for x in ([0.0, 0.0, -0.0], [0.7, 0.7], [5.0], [np.inf, -np.inf]):
        out = n2uq_quantize(x, A, S, 1.0, 1.0, bits=2, variant=variant)
        assert out.codes.tolist() == [level(v, A, S, 1e-3, variant) for v in x]
    assert n2uq_quantize(np.zeros((0, 2)), A, S, 1.0, 1.0, bits=2, variant=variant).shape == (0, 2)


def test_learned_numbers_keep_their_shapes():
    rules = backward(np.ones((2, 2)), [[0.2, 0.5], [1.0, 2.0]], A, [S], [[1.0]], [1.0], bits=2)
    assert [rule.shape for rule in rules] == [(2, 2), (3,), (1,), (1, 1), (1,)]


# ---- weights

def weight(w, bits):
    """One filter, by the equations, in Python's floats: sf and F(w / sf)."""
    top = 2**bits - 1
    factor = top / 2 ** (bits - 1) * (math.fsum(abs(v) for v in w) / len(w)) or 1.0
    return factor, [2 * round((min(max(v / factor, -1), 1) + 1) * top / 2) / top - 1 for v in w]


@pytest.mark.parametrize("bits", BITS)
def test_weights_filter_by_filter(bits):
    w = np.random.default_rng(bits).normal(size=(4, 3, 3, 2)) * [[[[0.01]]], [[[0.1]]], [[[1.0]]], [[[7.0]]]]
    paper, authors = (n2uq_weight(w, bits=bits, variant=v) for v in VARIANTS)
    for filter, of_paper, of_authors in zip(w, paper.value, authors.value, strict=True):
        factor, values = weight(filter.reshape(-1).tolist(), bits)
        np.testing.assert_allclose(of_paper.reshape(-1), values, rtol=1e-12)
        np.testing.assert_allclose(of_authors.reshape(-1), [factor * v for v in values], rtol=1e-12)
    np.testing.assert_array_equal(paper.codes, authors.codes)
    assert paper.axis is None and authors.axis == 0


@pytest.mark.parametrize("bits", BITS)
def test_weights_reach_every_odd_level_and_no_other(bits):
    w = np.linspace(-2, 2, 64 * 2**bits)[None]  # mean|w| = 1, so that w / sf passes 1
    out = n2uq_weight(w, bits=bits)
    top = 2**bits - 1
    assert sorted(set(out.codes.reshape(-1).tolist())) == list(range(-top, top + 1, 2))  # no level at 0
    assert out.scale == 1 / top and out.format.bits == bits + 1


@pytest.mark.parametrize("bits", BITS)
def test_uniform_weights_use_all_levels_equally(bits):
    each = 100
    w = ((np.arange(each * 2**bits) + 0.5) / (each * 2**bits) * 2 - 1)[None] * 0.37
    _, counts = np.unique(n2uq_weight(w, bits=bits).codes, return_counts=True)
    assert counts.tolist() == 2**bits * [each]


def entropy(p):
    p = np.array([v for v in p if v > 0])
    return float(-np.sum(p * np.log2(p)))


def quantiles(of, n=100_001):
    p = (np.arange(n) + 0.5) / n
    return np.array([of(v) for v in p])[None]


GAUSS = quantiles(statistics.NormalDist(0, 0.02).inv_cdf)
LAPLACE = quantiles(lambda p: 0.02 * (math.log(2 * p) if p < 0.5 else -math.log(2 - 2 * p)))


@pytest.mark.parametrize("w, bits, quoted", [(GAUSS, 2, 1.984), (GAUSS, 3, 2.979), (GAUSS, 4, 3.948),
                                             (LAPLACE, 2, 1.949), (LAPLACE, 3, 2.909), (LAPLACE, 4, 3.848)])
def test_entropy_of_the_levels(w, bits, quoted):
    _, counts = np.unique(n2uq_weight(w, bits=bits).codes, return_counts=True)
    assert abs(entropy(counts / w.size) - quoted) < 0.0011


@pytest.mark.parametrize("w, shares", [(GAUSS, [0.2125, 0.2875, 0.2875, 0.2125]), (LAPLACE, [0.184, 0.316, 0.316, 0.184])])
def test_shares_of_the_four_levels(w, shares):
    _, counts = np.unique(n2uq_weight(w, bits=2).codes, return_counts=True)
    np.testing.assert_allclose(counts / w.size, shares, atol=6e-4)


def test_entropy_is_above_that_of_unscaled_weights_and_of_the_largest():
    for w in (GAUSS, LAPLACE):
        for bits in (2, 3, 4):
            def used(u, bits=bits):
                _, counts = np.unique(np.rint((np.clip(u, -1, 1) + 1) * (2**bits - 1) / 2), return_counts=True)
                return entropy(counts / u.size)

            ours = entropy(np.unique(n2uq_weight(w, bits=bits).codes, return_counts=True)[1] / w.size)
            assert ours > used(np.tanh(w) / np.abs(np.tanh(w)).max()) + 0.5
            assert abs(used(w) - 1) < 0.02  # all on the two levels beside 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_filters_of_zeros_equals_and_one_weight(variant):
    out = n2uq_weight(np.array([[0.0, 0.0], [0.3, 0.3], [-0.3, 0.3]]), bits=2, variant=variant).value
    factor = 1.0 if variant == "paper" else 1.5 * 0.3
    # ties all: 0 has the index 1.5, to 2; 0.3 / sf = 2/3 the index 2.5, to 2; -2/3 the index 0.5, to 0
    np.testing.assert_allclose(out, [[1 / 3, 1 / 3], [factor / 3] * 2, [-factor, factor / 3]])
    assert n2uq_weight(np.array([[0.3]]), bits=2, variant=variant).value[0, 0] == pytest.approx(factor / 3)


def test_weight_gradients_by_name():
    w = np.array([[0.2, -0.6, 0.1, 1.9]])  # mean 0.7, sf 1.05 at two bits
    g = np.array([[1.0, 2.0, 3.0, 4.0]])

    def rule(**how):
        return n2uq_weight.backward(g, None, w, bits=2, **how)[0][0]

    np.testing.assert_allclose(rule(), [1 / 1.05, 2 / 1.05, 3 / 1.05, 0])
    np.testing.assert_allclose(rule(variant="authors"), g[0] / 1.05)
    np.testing.assert_allclose(rule(variant="authors", gradient="ste"), [1, 2, 3, 0])
    np.testing.assert_allclose(rule(gradient="authors"), g[0] / 1.05)
    at_the_end = np.array([[1.0, 1.0, 0.0]])  # sf = 1, so |W / sf| = 1
    assert n2uq_weight.backward(np.ones((1, 3)), None, at_the_end, bits=2)[0].tolist() == [[1.0, 1.0, 1.0]]


def test_stochastic_weights_are_unbiased():
    """w / sf dyadic, for a mean magnitude of 2 and so sf = 3: the mean over all patterns is w / sf, clipped."""
    r = np.array([[0.25, -0.75, 1.0], [0.0, -1.0, 1.0], [-0.25, 0.25, 1.5], [0.125, 0.875, -1.0]])
    runs = [n2uq_weight(3 * r, bits=2, rounding=Stochastic(np.full(r.shape, bits), 5)).value for bits in range(32)]
    np.testing.assert_allclose(np.mean(runs, 0), np.clip(r, -1, 1), atol=1e-15)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(bad):
    with pytest.raises(ValueError, match=rf"w is {bad} at \(0, 1\)"):
        n2uq_weight(np.array([[0.5, bad]]), bits=2)


def test_choices_of_weights_have_names():
    with pytest.raises(ValueError, match="gradient = 'clip': expected one of ste, authors"):
        n2uq_weight(np.ones((1, 2)), bits=2, gradient="clip")
    with pytest.raises(ValueError, match="variant = 'code'"):
        n2uq_weight(np.ones((1, 2)), bits=2, variant="code")
