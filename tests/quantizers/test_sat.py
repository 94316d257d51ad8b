"""Jin 2019: grids, weights and their scale, PACT and CG-PACT region by region, the numbers of the text."""
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from refquant.autodiff import Tensor, dequantize, gradients, sum_all
from refquant.quantizers import sat
from refquant.quantizers.sat import SCHEMES, pact, q_k, sat_clamp, sat_weight

BITS = range(2, 9)


def grid(u, bits, scheme):
    """One number, by the equations, in Python's floats."""
    u = min(max(u, 0.0), 1.0)
    if scheme == "original":
        return round((2**bits - 1) * u) / (2**bits - 1)
    index = min(math.floor(2**bits * u), 2**bits - 1)
    return (index + (0.5 if scheme == "centered" else 0.0)) / 2**bits


unit = st.one_of(st.floats(-0.2, 1.2), st.integers(0, 512).map(lambda i: i / 512), st.integers(0, 255).map(lambda i: i / 255))


@given(st.lists(unit, max_size=10), st.integers(2, 8), st.sampled_from(SCHEMES))
def test_q_k_by_the_equations(u, bits, scheme):
    out = q_k(np.array(u), bits=bits, scheme=scheme).value
    np.testing.assert_allclose(out, [grid(v, bits, scheme) for v in u], rtol=3e-16, atol=0)  # i / a or i * (1 / a)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_q_k_reaches_its_levels_and_no_other(scheme, bits):
    out = q_k(np.linspace(-0.5, 1.5, 64 * 2**bits), bits=bits, scheme=scheme)
    levels = {"original": [i / (2**bits - 1) for i in range(2**bits)], "modified": [i / 2**bits for i in range(2**bits)],
              "centered": [(2 * i + 1) / 2 ** (bits + 1) for i in range(2**bits)]}[scheme]
    np.testing.assert_allclose(sorted(set(out.value.tolist())), levels, rtol=3e-16)


@pytest.mark.parametrize("scheme, expected", [
    ("original", [0, 0, 2 / 3, 1 / 3, 1, 1, 0, 1]), ("modified", [0, 0, 0.5, 0.25, 0.75, 0.75, 0, 0.75]),
    ("centered", [0.125, 0.125, 0.625, 0.375, 0.875, 0.875, 0.125, 0.875])])
def test_q_k_at_its_ends_and_ties(scheme, expected):
    u = np.array([0.0, -0.0, 0.5, 0.25, 1.0, 2.0, -np.inf, np.inf])  # 3 * 0.5 is a tie between 1 and 2
    np.testing.assert_allclose(q_k(u, bits=2, scheme=scheme).value, expected, rtol=3e-16)


def test_q_k_backward_is_inside_with_both_ends():
    u = np.array([-1e-9, 0.0, 0.4, 1.0, 1 + 1e-9])
    for scheme in SCHEMES:
        assert q_k.backward(np.ones(5), None, u, bits=3, scheme=scheme)[0].tolist() == [0, 1, 1, 1, 0]


def weights(shape=(20, 30), seed=0, sigma=0.3):
    return np.random.default_rng(seed).normal(size=shape) * sigma


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_by_the_equations(scheme, bits):
    w = weights((4, 10), bits)
    out = sat_weight(w, bits=bits, scheme=scheme)
    highest = max(abs(math.tanh(v)) for v in w.flat)
    expected = [2 * grid(math.tanh(v) / highest * 0.5 + 0.5, bits, scheme) - 1 for v in w.flat]
    np.testing.assert_allclose(out.value.reshape(-1), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_reach_their_levels_and_no_other(scheme, bits):
    top = 0.7
    w = np.arctanh(np.linspace(-1, 1, 64 * 2**bits + 1) * math.tanh(top))[None]
    values = sat_weight(w, bits=bits, scheme=scheme).value
    step, levels = {"original": (2 / (2**bits - 1), 0.0), "modified": (2 / 2**bits, -1 / 2**bits), "centered": (2 / 2**bits, 0.0)}[scheme]
    expected = [levels + step * (i - (2**bits - 1) / 2) for i in range(2**bits)]
    np.testing.assert_allclose(sorted(set(values.reshape(-1).tolist())), expected, atol=1e-15)
    assert (0.0 in values) == (scheme == "modified")  # original and centered have no level at 0
    codes = sat_weight(w, bits=bits, scheme=scheme).codes
    assert (codes % 2 != 0).all() or scheme == "modified"


@pytest.mark.parametrize("bits", BITS)
def test_means_of_gaussian_weights_by_scheme(bits):
    """About 0 for original and centered; -2^-k for modified, a pure shift."""
    w = weights((200, 500), sigma=0.02)
    means = {scheme: sat_weight(w, bits=bits, scheme=scheme).value.mean() for scheme in SCHEMES}
    shift = 2.0**-bits
    assert abs(means["original"]) < 0.003 and abs(means["centered"]) < 0.003
    assert abs(means["modified"] + shift) < 0.003
    modified, centered = (sat_weight(w, bits=bits, scheme=s).value for s in ("modified", "centered"))
    np.testing.assert_allclose(centered - modified, shift, rtol=1e-12)


def cell_variance(bits, ratio):
    """VAR[Q] / VAR[W_hat] in closed form: Gaussian probabilities of the cells, times their levels squared."""
    top = 2**bits - 1

    def cdf(t):
        return 0.5 * (1 + math.erf(t / math.sqrt(2)))

    edges = [-math.inf, *(ratio * (2 * (i - 0.5) / top - 1) for i in range(1, top + 1)), math.inf]
    variance = sum((cdf(b) - cdf(a)) * (2 * i / top - 1) ** 2 for i, (a, b) in enumerate(itertools.pairwise(edges)))
    return variance * ratio**2


@pytest.mark.parametrize("ratio, given", [(4.5, [2.30, 1.138, 1.030, 1.007, 1.002, 1.000, 1.000]),
                                          (3.5, [1.58, 1.08, 1.02]), (5.0, [2.80, 1.17, 1.04])])
def test_variance_that_rounding_adds(ratio, given):
    """Of Gaussian weights whose largest is ``ratio`` standard deviations: the text's numbers for k = 2, 3, ..."""
    w = np.clip(ndtri((np.arange(200_000) + 0.5) / 200_000), -ratio, ratio).reshape(400, 500)
    w[0, 0], w[-1, -1] = -ratio, ratio
    w *= 1e-4  # so small that tanh is the identity
    for bits, quoted in zip(BITS, given, strict=False):
        q, clamped = sat_weight(w, bits=bits).value, sat_clamp(w)
        measured = q.var() / clamped.var()
        assert abs(measured / cell_variance(bits, ratio) - 1) < 0.003
        assert abs(measured / quoted - 1) < 0.006
        if bits >= 3:  # high-rate theory: an error uniform in the cell
            assert abs(measured - (1 + (2 / (2**bits - 1))**2 / 12 * ratio**2)) < 0.02


@pytest.mark.parametrize("shape, outputs", [((10, 64), 10), ((16, 8, 3, 3), 144), ((16, 1, 5, 3), 240)])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_sat_makes_n_out_times_the_variance_1(scheme, bits, shape, outputs):
    q = sat_weight(weights(shape), bits=bits, scheme=scheme, rescale="constant").value
    assert abs(outputs * np.var(q, ddof=1) - 1) < 1e-12
    assert abs(outputs * np.var(sat_clamp(weights(shape), rescale="constant"), ddof=1) - 1) < 1e-12


@pytest.mark.parametrize("bits", BITS)
def test_stddev_keeps_the_variance_of_the_weights(bits):
    w = weights()
    for used in (sat_weight(w, bits=bits, rescale="stddev").value, sat_clamp(w, rescale="stddev")):
        assert abs(np.var(used, ddof=1) / np.var(w, ddof=1) - 1) < 1e-12


def test_rescaling_changes_the_scale_alone_and_no_decision():
    w, x, bias = weights((10, 64)), np.random.default_rng(1).normal(size=(50, 64)), weights((10,), 3)
    plain, scaled = sat_weight(w, bits=4), sat_weight(w, bits=4, rescale="constant")
    np.testing.assert_array_equal(plain.codes, scaled.codes)
    s = float(scaled.scale / plain.scale)
    np.testing.assert_allclose(scaled.value, s * plain.value, rtol=1e-15)
    # at inference the weights stay on their grid and the bias is divided instead: logits over s
    logits, moved = x @ scaled.value.T + bias, x @ plain.value.T + bias / s
    np.testing.assert_allclose(logits, s * moved, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(logits.argmax(1), moved.argmax(1))


def test_clamping_enlarges_the_variance_of_wide_layers():
    """n x n weights of variance 1/n: the enlargement grows with n (single draws: 5.3 at 64, 11.2 at 256, 45.6 at 1024)."""
    def enlarged(n):
        return np.mean([sat_clamp(w).var() / w.var() for w in (weights((n, n), s, 1 / math.sqrt(n)) for s in range(3))])

    ratios = [enlarged(n) for n in (16, 64, 256, 1024)]
    for ratio, low, high in zip(ratios, (1, 3.5, 8, 30), (3.5, 7.5, 20, 60), strict=True):
        assert low < ratio < high


def test_weights_are_odd_but_for_modified_and_the_largest_is_1():
    w = weights((5, 7))
    for scheme in ("original", "centered"):
        out, mirrored = sat_weight(w, bits=4, scheme=scheme), sat_weight(-w, bits=4, scheme=scheme)
        np.testing.assert_array_equal(out.codes, -mirrored.codes)
    assert np.abs(sat_clamp(w)).max() == 1.0
    # 0 is a tie between the two levels next to it, and goes to the even index
    assert sat_weight(np.array([[0.0, 1.0, -1.0]]), bits=2).value.tolist() == [[1 / 3, 1.0, -1.0]]


def test_gradients_of_the_two_variants_differ_at_the_largest_weight_alone():
    w = weights((3, 5))
    g = np.random.default_rng(5).normal(size=w.shape)
    paper, = sat_weight.backward(g, None, w, bits=4)
    authors, = sat_weight.backward(g, None, w, bits=4, variant="authors")
    largest = np.abs(w) == np.abs(w).max()
    assert largest.sum() == 1 and (paper == authors)[~largest].all() and (paper != authors)[largest].all()
    t = np.abs(np.tanh(w)).max()
    np.testing.assert_allclose(paper, g * (1 - np.tanh(w)**2) / t, rtol=1e-13)
    j = np.argmax(np.abs(w))
    by_hand = -np.sign(w.flat[j]) * (1 - t * t) / t**2 * (np.sum(g * np.tanh(w)) - (g * np.tanh(w)).flat[j])
    np.testing.assert_allclose(authors.flat[j], by_hand, rtol=1e-12)  # its own part cancels


def test_a_tie_for_the_largest_weight_is_the_first_one():
    w = np.array([[0.5, -0.5, 0.2]])
    g = np.array([[1.0, 2.0, 3.0]])
    paper, = sat_weight.backward(g, None, w, bits=4)
    authors, = sat_weight.backward(g, None, w, bits=4, variant="authors")
    assert (paper != authors).tolist() == [[True, False, False]]


@pytest.mark.parametrize("call", [lambda w, **how: sat_weight(w, bits=4, **how), sat_clamp])
def test_weights_that_cannot_be(call):
    with pytest.raises(ValueError, match="w is 0 everywhere"):
        call(np.zeros((2, 3)))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=rf"w is {bad} at \(0, 1\)"):
            call(np.array([[0.5, bad]]))
    for rescale in ("constant", "stddev"):
        with pytest.raises(ValueError, match="weights in use are all equal"):
            call(np.full((3, 4), -0.3), rescale=rescale)
        with pytest.raises(ValueError, match="at least two elements"):
            call(np.array([[0.3]]), rescale=rescale)
    with pytest.raises(ValueError, match="rescale = 'std': expected one of constant, stddev"):
        call(weights(), rescale="std")
    with pytest.raises(ValueError, match="variant = 'code'"):
        sat_weight(weights(), bits=4, variant="code")


def test_equal_weights_and_a_single_one_are_1():
    for w in (np.full((3, 4), -0.3), np.array([[0.3]])):
        np.testing.assert_array_equal(sat_weight(w, bits=3).value, np.sign(w))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nan_is_an_error_in_every_scheme(scheme):
    with pytest.raises(ValueError, match=r"x is NaN at \(1,\)"):
        q_k(np.array([0.5, np.nan]), bits=3, scheme=scheme)
    with pytest.raises(ValueError, match="scheme = 'plain': expected one of original, modified, centered"):
        q_k(np.array([0.5]), bits=3, scheme="plain")


def clip(v, low, high):
    return min(max(v, low), high)


def activation(x, alpha, bits, two_sided):
    """``(y, dy/dx, dy/dalpha of PACT, of CG-PACT)`` of one number, by the table of regions."""
    top, alpha, sign = 2**bits - 1, abs(alpha), math.copysign(1, alpha)
    if two_sided:
        y = alpha / top * (2 * round(top * ((clip(x, -alpha, alpha) / alpha + 1) / 2)) - top)
    else:
        y = alpha / top * round(top * (clip(x, 0.0, alpha) / alpha))
    if x >= alpha:
        return y, 0.0, sign, sign
    if x <= (-alpha if two_sided else 0.0):
        return y, 0.0, -sign * two_sided, -sign * two_sided
    return y, 1.0, 0.0, sign * (y - x) / alpha


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.floats(0.1, 2.5), st.booleans(), st.integers(2, 8), st.booleans())
def test_pact_element_by_element(x, alpha, negative, bits, two_sided):
    alpha = -alpha if negative else alpha
    for v in [*x, alpha, -alpha, 0.0]:
        y, dx, d_pact, d_cg = activation(v, alpha, bits, two_sided)
        for calibrated, d_alpha in ((False, d_pact), (True, d_cg)):
            leaves = Tensor(np.array([v])), Tensor(alpha)
            out = pact(*leaves, bits=bits, two_sided=two_sided, calibrated=calibrated)
            assert out.value.value[0] == pytest.approx(y, rel=1e-15, abs=1e-300)
            g_x, g_alpha = gradients(sum_all(dequantize(out)), leaves)
            assert g_x[0] == dx and g_alpha == pytest.approx(d_alpha, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_pact_reaches_its_levels_and_no_other(bits, two_sided):
    out = pact(np.linspace(-2, 2, 100 * 2**bits), 1.5, bits=bits, two_sided=two_sided)
    top = 2**bits - 1
    levels = [1.5 * (2 * i - top) / top if two_sided else 1.5 * i / top for i in range(2**bits)]
    np.testing.assert_allclose(sorted(set(out.value.tolist())), levels, rtol=1e-15)
    assert (0.0 in levels) == (not two_sided)


def test_the_regions_by_name():
    """0 passes nothing, alpha itself counts as saturated, and so does -alpha of a two-sided clip."""
    x, tiny = np.array([-1.0, -0.0, 0.0, 0.5, 1.0, 1.5, np.inf, -np.inf]), 5e-324
    g_x, _ = pact.backward(np.ones(8), pact.forward(x, np.array(1.0), bits=2), x, np.array(1.0), bits=2)
    assert g_x.tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    g_x, g_alpha = pact.backward(np.ones(8), pact.forward(x, np.array(1.0), bits=2, two_sided=True), x, np.array(1.0),
                                 bits=2, two_sided=True)
    assert g_x.tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    # three above, two below, 1/3 for each 0 (a tie, to the even index), and 1/3 - 1/2 for 0.5 (u = 3/4, index 2)
    assert g_alpha == pytest.approx(3 - 2 + 2 / 3 + (1 / 3 - 0.5))
    assert pact.backward(np.ones(1), pact.forward(np.array([tiny]), np.array(1.0), bits=2), np.array([tiny]),
                         np.array(1.0), bits=2)[0] == 1


@pytest.mark.parametrize("bits", BITS)
def test_the_residual_is_at_most_half_a_step_and_reaches_it(bits):
    """|dy/dalpha| <= 1 / (2a) inside; for uniform u its root mean square is 1 / (a sqrt 12), its mean 1 / (4a)."""
    a = 2**bits - 1
    x = (np.arange(1000 * a) + 0.5) / (1000 * a) * 1.7
    error = (pact(x, 1.7, bits=bits).value - x) / 1.7
    each = [pact.backward(np.array([1.0]), pact.forward(v, np.array(1.7), bits=bits), v, np.array(1.7), bits=bits)[1]
            for v in x[::len(x) // 50].reshape(-1, 1)]
    np.testing.assert_allclose(np.array(each).reshape(-1), error[::len(x) // 50], atol=1e-15)
    assert 0.49 / a < np.abs(error).max() <= 0.5 / a + 1e-12
    assert math.sqrt(np.mean(error**2)) == pytest.approx(1 / (a * math.sqrt(12)), rel=1e-3)
    quoted = [None, None, 0.083, 0.036, 0.017, 0.008, 0.004, 0.002, 0.001][bits]
    assert abs(np.abs(error).mean() - quoted) < 0.0006


def test_at_low_bits_the_neglected_part_dominates():
    """Half-normal activations clipped at 3 sigma: sum |e| over the number of saturated ones, k = 2..8."""
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=1_000_000))
    for bits, quoted in zip(BITS, [32, 13, 6.1, 3.0, 1.5, 0.7, 0.4], strict=True):
        inside = x[x < 3]
        error = np.abs(pact(inside, 3.0, bits=bits).value - inside) / 3
        assert error.sum() / (x >= 3).sum() == pytest.approx(quoted, rel=0.08, abs=0.05)


@pytest.mark.parametrize("alpha", [0.0, np.nan, np.inf, [1.0, 2.0]])
def test_clips_that_cannot_be(alpha):
    with pytest.raises(ValueError, match=r"alpha = .*expected one finite number other than 0"):
        pact(np.array([0.5]), alpha, bits=4)


def test_pact_names_nan_and_takes_infinities_as_saturated():
    for two_sided in (False, True):
        with pytest.raises(ValueError, match=r"x is NaN at \(0,\)"):
            pact(np.array([np.nan]), 1.0, bits=4, two_sided=two_sided)
        out = pact(np.array([np.inf, -np.inf]), 1.0, bits=4, two_sided=two_sided)
        assert out.value.tolist() == [1.0, -1.0 if two_sided else 0.0]
    with pytest.raises(ValueError, match="bits = 1"):
        pact(np.array([0.5]), 1.0, bits=1)


def test_alpha_keeps_its_shape():
    for alpha in (np.array(1.0), np.array([1.0]), np.array([[-1.0]])):
        out = pact.forward(np.array([2.0]), alpha, bits=4)
        assert pact.backward(np.ones(1), out, np.array([2.0]), alpha, bits=4)[1].shape == alpha.shape
    assert sat.RESCALES == ("constant", "stddev")
