"""Banner 2018: both quantizers against plain floats, their ends, zeros, ranges, unbiasedness."""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.autodiff import FixedSum
from refquant.integers import Fixed, Stochastic
from refquant.quantizers.banner import LEAST_STEP, banner_quantize, per_sample_range, tensor_range, update_running
from refquant.quantizers.grid import Dithered

BITS = range(2, 9)


def quantized(x, low, high, bits, **how):
    return banner_quantize(np.asarray(x, np.float64), range_min=low, range_max=high, bits=bits, **how)


def codes_of(out):
    return out.parts[0].codes if isinstance(out, FixedSum) else out.codes


def half_away(v):
    return math.floor(v + 0.5) if v >= 0 else math.ceil(v - 0.5)


def paper(x, low, high, bits):
    """One number, by the paper's equations, in Python's floats; Python rounds half to even."""
    top, low, high = 2**bits - 1, min(low, 0.0), max(high, 0.0)
    step = ((high - low) or 1e-8) / top  # a range of no width is given one
    zero = half_away(min(max(-low / step, 0), top))
    code = round(min(max(x / step + zero, 0), top))
    return code, step * (code - zero)


def authors(x, low, high, bits):
    top = 2**bits - 1
    step = max((high - low) / top, 1e-8)
    code = round(min(max((x - low) / step, 0), top))
    return code, step * code + low


ranges = st.tuples(*2 * [st.floats(-100, 100).filter(lambda v: v == 0 or abs(v) > 1e-3)]).map(sorted)


@pytest.mark.parametrize("variant, formula", [("paper", paper), ("authors", authors)])
@given(st.data())
def test_every_element_by_the_equations(variant, formula, data):
    bits, (low, high) = data.draw(st.integers(2, 8)), data.draw(ranges)
    x = data.draw(st.lists(st.floats(-150, 150), max_size=8))
    out = quantized(x, low, high, bits, variant=variant)
    expected = [formula(v, low, high, bits) for v in x]
    assert codes_of(out).tolist() == [code for code, _ in expected]
    np.testing.assert_array_equal(out.value, [value for _, value in expected])


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("variant", ["paper", "authors"])
@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 5.0), (-3.0, 0.0), (-0.3, 1.7)])
def test_every_code_is_reached_and_no_other(bits, variant, low, high):
    x = np.linspace(low - 1, high + 1, 40 * 2**bits)
    out = quantized(x, low, high, bits, variant=variant)
    assert sorted(set(codes_of(out).tolist())) == list(range(2**bits))
    assert len(set(out.value.tolist())) == 2**bits


def test_the_ends_of_the_range():
    out = quantized([-1.0, 0.0, 2.0, -9.0, 9.0, np.inf, -np.inf], -1, 2, 2, variant="authors")
    assert out.value.tolist() == [-1.0, 0.0, 2.0, -1.0, 2.0, 2.0, -1.0]
    out = quantized([-1.0, 0.0, 2.0, -9.0, 9.0, np.inf, -np.inf], -1, 2, 2)
    assert out.value.tolist() == [-1.0, 0.0, 2.0, -1.0, 2.0, 2.0, -1.0]


def test_ties_go_to_the_even_code():
    # step 1 and zero point 3: codes 3.5, 4.5 and 2.5 are ties
    assert quantized([0.5, 1.5, -0.5], -3, 12, 4).codes.tolist() == [4, 4, 2]
    assert codes_of(quantized([-2.5, -1.5, -0.5], -3, 12, 4, variant="authors")).tolist() == [0, 2, 2]


@pytest.mark.parametrize("low, high", [(1.0, 3.0), (-3.0, -1.0)])
def test_the_paper_widens_a_range_without_zero_and_the_authors_do_not(low, high):
    x = np.linspace(low, high, 50)
    assert abs(quantized(x, low, high, 8).scale - 3 / 255) < 1e-15
    assert abs(quantized(x, low, high, 8, variant="authors").parts[0].scale - 2 / 255) < 1e-15


@pytest.mark.parametrize("bits", BITS)
def test_zeros_stay_zero_in_the_paper_and_become_noise_for_the_authors(bits):
    rng = np.random.default_rng(0)
    g = rng.normal(size=2000) * (rng.random(2000) < 0.4)  # as after a ReLU
    low, high = tensor_range(g)
    rounding = Stochastic(rng.integers(0, 1 << 16, g.shape), 16)
    assert not quantized(g, low, high, bits, rounding=rounding).value[g == 0].any()
    noise = Dithered(rng.uniform(-0.5, 0.5, g.shape))
    assert quantized(g, low, high, bits, rounding=noise, variant="authors").value[g == 0].all()


def test_errors_of_a_sparse_gradient_are_those_measured_once():
    """60 % zeros: root mean square .441 step and cosine .9875 for the authors, .259 and .9956 with an exact zero."""
    rng = np.random.default_rng(1)
    g = rng.normal(size=200_000) * (rng.random(200_000) < 0.4)
    low, high = tensor_range(g)

    def errors(bits, variant):
        rounding = Stochastic(rng.integers(0, 1 << 16, g.shape), 16)
        out = quantized(g, low, high, bits, rounding=rounding, variant=variant)
        scale = out.scale if isinstance(out, Fixed) else out.parts[0].scale
        cosine = np.sum(out.value * g) / np.sqrt(np.sum(out.value**2) * np.sum(g * g))
        return np.sqrt(np.mean((out.value - g)**2)) / scale, cosine

    # where zeros lie between two levels, their variance f (1 - f) depends on f; the other 40 % err by sqrt(1/6) step
    f = -low / ((high - low) / 15) % 1
    assert abs(errors(4, "paper")[0] - math.sqrt(0.4 / 6)) < 0.004
    assert abs(errors(4, "authors")[0] - math.sqrt(0.4 / 6 + 0.6 * f * (1 - f))) < 0.004
    assert errors(5, "paper")[1] > errors(5, "authors")[1]


@pytest.mark.parametrize("v, variance", [(0.1, 0.09), (254.3, 0.21), (0.0, 0.0), (255.0, 0.0), (17.5, 0.25)])
def test_dithering_has_the_mean_v_and_the_variance_f_1_minus_f(v, variance):
    noise = (np.arange(20_000) + 0.5) / 20_000 - 0.5
    out = quantized(np.full(20_000, v), 0.0, 255.0, 8, rounding=Dithered(noise), variant="authors").value
    assert abs(out.mean() - v) < 1e-4 and abs(out.var() - variance) < 1e-4


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_dithering_beyond_the_range_is_a_constant(variant):
    noise = (np.arange(1000) + 0.5) / 1000 - 0.5
    for x, end in ((300.0, 255.0), (255.4, 255.0), (-0.4, 0.0)):
        assert set(quantized(np.full(1000, x), 0.0, 255.0, 8, rounding=Dithered(noise), variant=variant).value) == {end}


def test_a_weight_gradient_of_stochastic_gradients_is_unbiased():
    """The mean over all 2^8 patterns of the random bits is the gradient itself, to the bits' reach."""
    rng = np.random.default_rng(2)
    g, x = rng.normal(size=(50, 1)), rng.normal(size=(50, 20))
    low, high = float(g.min() - 0.5), float(g.max() + 0.5)  # whole: the paper's grid may cut half a step off
    runs = [(quantized(g, low, high, 8, rounding=Stochastic((r * 151 + 37 * np.arange(50)[:, None]) % 256, 8)).value * x).sum(0)
            for r in range(256)]
    exact, scale = (g * x).sum(0), (high - low) / 255
    assert np.abs(np.mean(runs, 0) - exact).max() < scale / 256 * np.abs(x).sum(0).max()
    assert np.abs(runs[0] - exact).max() > 10 * np.abs(np.mean(runs, 0) - exact).max()


def test_the_authors_floor_destroys_tiny_gradients():
    """Of 256 levels 57 are left for gradients that span 6e-7 (61 possible), 2 for 6.5e-10; the paper's has no floor."""
    rng = np.random.default_rng(3)
    for span, most in ((6e-7, 61), (6.5e-10, 2)):
        g = rng.random(10_000) * span
        low, high = tensor_range(g)
        out = quantized(g, low, high, 8, variant="authors")
        assert out.parts[0].scale == LEAST_STEP
        noise = quantized(g, low, high, 8, variant="authors", rounding=Dithered(rng.uniform(-0.5, 0.5, g.shape)))
        assert len(set(codes_of(noise).tolist())) <= most
        assert len(set(quantized(g, low, high, 8).codes.tolist())) == 256


@pytest.mark.parametrize("variant", ["paper", "authors"])
@pytest.mark.parametrize("bits", [2, 8])
def test_zeros_equals_and_single_elements(variant, bits):
    for x in ([0.0, 0.0], [3.5], [3.5, 3.5], [-2.0, -2.0], [-2.0]):
        low, high = tensor_range(np.array(x))
        out = quantized(x, low, high, bits, variant=variant)
        np.testing.assert_allclose(out.value, x, rtol=1e-15)


def test_the_authors_offset_is_a_second_part():
    assert isinstance(quantized([0.5, 1.0], 0.0, 1.0, 8, variant="authors"), Fixed)
    out = quantized([-0.5, 1.0], -0.5, 1.0, 8, variant="authors")
    assert isinstance(out, FixedSum) and out.parts[1].value.tolist() == [-0.5, -0.5]


@pytest.mark.parametrize("variant", ["paper", "authors"])
@pytest.mark.parametrize("low, high", [(np.nan, 1.0), (0.0, np.nan), (-np.inf, 1.0), (0.0, np.inf), (1.0, 0.0),
                                       (-1e308, 1e308)])
def test_bad_ranges(variant, low, high):
    with pytest.raises(ValueError, match=r"range .*expected finite numbers|expected range_min <= range_max"):
        quantized([0.5], low, high, 8, variant=variant)


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_bad_elements_and_names(variant):
    with pytest.raises(ValueError, match=r"x is NaN at \(1,\)"):
        quantized([0.5, np.nan], 0.0, 1.0, 8, variant=variant)
    assert quantized([1e308, -1e308], 0.0, 1e-3, 8, variant=variant).value.tolist() == [1e-3, 0.0]
    with pytest.raises(ValueError, match="bits = 1"):
        quantized([0.5], 0.0, 1.0, 1, variant=variant)
    with pytest.raises(ValueError, match="variant = 'code'"):
        quantized([0.5], 0.0, 1.0, 8, variant="code")


def test_backward_is_the_identity_everywhere():
    x, g = np.array([-9.0, -1.0, 0.0, 0.3, 1.0, 9.0]), np.array([1.0, -2.0, 3.0, -4.0, 5.0, -6.0])
    for variant in ("paper", "authors"):
        how = {"range_min": -1.0, "range_max": 1.0, "bits": 4, "variant": variant}
        rule, = banner_quantize.backward(g, banner_quantize.forward(x, **how), x, **how)
        assert rule.tolist() == g.tolist()


def test_ranges():
    x = np.array([[[1.0, -2.0], [3.0, 0.5]], [[-1.0, 7.0], [2.0, 4.0]]])
    assert tensor_range(x) == (-2.0, 7.0)
    assert per_sample_range(x) == (-1.5, 5.0)
    assert per_sample_range(x[0]) == (-0.75, 2.0) and tensor_range(np.array(4.0)) == (4.0, 4.0)
    assert per_sample_range(np.array([2.0, 4.0])) == (3.0, 3.0)
    for of in (tensor_range, per_sample_range):
        for shape in ((0,), (2, 0), (0, 3)):
            with pytest.raises(ValueError, match=rf"x has shape \({shape[0]},.*expected at least one element"):
                of(np.zeros(shape))


def test_the_running_range_keeps_a_tenth_of_the_past():
    run, seen = 0.0, []
    for _ in range(3):
        run = update_running(run, 1.0)
        seen.append(run)
    np.testing.assert_allclose(seen, [0.9, 0.99, 0.999], rtol=1e-15)
    assert update_running(2.0, 4.0, momentum=0.75) == 2.5


def cosine(a, b):
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


@pytest.mark.parametrize("n, bits, low", [(100, 4, 0.995), (10_000, 2, 0.82), (10_000, 4, 0.989), (10_000, 8, 0.99996)])
def test_the_angle_to_gaussian_weights(n, bits, low):
    """Eq. 12, cos >= 2^M / (2^M + sqrt(ln N) / sqrt 6), holds; and the cosines are those measured for this quantizer."""
    measured = []
    for seed in range(20):
        w = np.random.default_rng(seed).normal(size=n)
        ends = tensor_range(w)
        measured.append(cosine(w, quantized(w, *ends, bits, variant="authors").value))
    bound = 2**bits / (2**bits + math.sqrt(math.log(n) / 6))
    assert np.mean(measured) > bound
    assert abs(np.mean(measured) - low) < 0.1 * (1 - low) + 5e-5
