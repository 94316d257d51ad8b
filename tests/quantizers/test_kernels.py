"""The compiled passes give the bits of the plain ones: compiled for every size here, then not at all."""
import subprocess
import sys

import numpy as np
import pytest

from refquant.compiling import NOT_COMPILED
from refquant.integers import Fixed, IntFormat, PhiloxRounding, Stochastic
from refquant.integers.rounding import MODES, half_even
from refquant.quantizers import clip_kernels, grid, int4, kernels, n2uq, sat, threshold_kernels
from refquant.quantizers.grid import Dithered, Units, on_grid, passed

pytestmark = pytest.mark.skipif(NOT_COMPILED, reason="nothing is compiled")

INF = float("inf")
NEAR = [float(np.nextafter(v + 0.5, side)) for v in range(-9, 10) for side in (-INF, INF)]
EDGES = [0.0, -0.0, 5e-324, -5e-324, 2.0**-1022, 1e-300, 0.49999999999999994, 1e15 + 0.5, 2.0**53, 1e300, -1e300, 1.7e308,
         -1.7e308, INF, -INF, 2.0**31, -(2.0**31), 2.0**32 + 0.5, 32767.5, 32766.5, 65535.5, 65534.5, -32768.5, 127.5, 126.5]
RNG = np.random.default_rng(5)
X = np.concatenate([np.arange(-600, 600) / 4, NEAR, EDGES, RNG.normal(scale=40, size=301), RNG.normal(scale=4e4, size=203)])

FORMATS = [IntFormat(b, *kind) for b in (2, 3, 4, 7, 8, 9, 15, 16) for kind in ((True,), (True, True), (False,))]
UNITS = [Units(), Units(divisor=0.3, after=7.0), Units(start=-1.1, divisor=0.7), Units(divisor=1.3, times=15.0, after=7.0),
         Units(divisor=1.3, before=1.0, times=7.5), Units(divisor=1e-300), Units(divisor=1e300)]


def both(monkeypatch, function):
    """``function()`` compiled, and plain."""
    monkeypatch.setattr(grid, "COMPILED_FROM", 0)
    compiled = function()
    monkeypatch.setattr(grid, "COMPILED_FROM", 1 << 62)
    return compiled, function()


def same(a, b):
    """Equal to the bit, zeros' signs included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def used(monkeypatch, module, name):
    """The calls that a loop gets from now on."""
    calls, loop = [], getattr(module, name)

    def counting(*arguments):
        calls.append(name)
        return loop(*arguments)
    monkeypatch.setattr(module, name, counting)
    return calls


@pytest.mark.parametrize("rounding", [half_even, "half_even", PhiloxRounding(3, 4, 5), PhiloxRounding(3, 4, 5, 7),
                                      Stochastic(RNG.integers(0, 1 << 16, X.shape), 16), Stochastic(np.array(1), 1),
                                      Stochastic(RNG.integers(0, 1 << 11, X.shape), 11)],
                         ids=["half_even", "its name", "philox", "philox 7", "16 bits", "1 bit for all", "11 bits"])
def test_codes(monkeypatch, rounding):
    calls = used(monkeypatch, kernels, "_half_even"), used(monkeypatch, kernels, "_stochastic")
    for format in FORMATS:
        for units in UNITS:
            for plus in (0, format.qmin, 3, -300):
                compiled, plain = both(monkeypatch, lambda f=format, u=units, p=plus: on_grid(
                    X, 0.5, f, units=u, zero_point=1, rounding=rounding, plus=p))
                assert same(compiled.codes, plain.codes), (format, units, plus)
                assert (compiled.scale, compiled.zero_point) == (plain.scale, plain.zero_point)
    assert len(calls[0]) + len(calls[1]) == len(FORMATS) * len(UNITS) * 4  # once each: the plain side compiles nothing


def test_every_pattern_of_random_bits(monkeypatch):
    patterns = np.arange(1 << 16)
    for u in (2.5, -2.5, 0.3, -1e-9, 6.9999, 1 - 2.0**-17):
        compiled, plain = both(monkeypatch, lambda u=u: on_grid(np.full(1 << 16, u), 1.0, IntFormat(4),
                                                                rounding=Stochastic(patterns, 16)))
        assert same(compiled.codes, plain.codes)


@pytest.mark.parametrize("format, rounding, plus", [
    (IntFormat(17), half_even, 0), (IntFormat(8), MODES["floor"], 0), (IntFormat(8), Dithered(np.full(X.shape, 0.25)), 0),
    (IntFormat(8), PhiloxRounding(1, 2, 3, 17), 0), (IntFormat(8), half_even, 1 << 40)], ids=str)
def test_what_the_loops_do_not_know_is_left_to_numpy(monkeypatch, format, rounding, plus):
    assert kernels.codes(X, Units(), format, rounding, plus) is None
    compiled, plain = both(monkeypatch, lambda: on_grid(X, 0.5, format, rounding=rounding, plus=plus))
    assert same(compiled.codes, plain.codes)


@pytest.mark.parametrize("bad, units", [(np.nan, Units()), (1.0, Units(divisor=np.nan))])
@pytest.mark.parametrize("rounding", [half_even, PhiloxRounding(1, 2, 3)])
def test_nan_is_the_same_error(monkeypatch, bad, units, rounding):
    x = np.ones((5, 77))
    x[3, 70] = bad
    for size in (0, 1 << 62):
        monkeypatch.setattr(grid, "COMPILED_FROM", size)
        with pytest.raises(ValueError, match=r"x is NaN at \(3, 70\)" if units.divisor == 1 else r"x is NaN at \(0, 0\)"):
            on_grid(x, 1.0, IntFormat(8), units=units, rounding=rounding)


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_scale_of_zero_is_the_same_error(monkeypatch):
    for size in (0, 1 << 62):
        monkeypatch.setattr(grid, "COMPILED_FROM", size)
        with pytest.raises(ValueError, match=r"scale = 0.0"):
            on_grid(np.ones(9), 0.0, IntFormat(8), units=Units(divisor=0.0))


@pytest.mark.parametrize("x", [X[:0], np.array(2.5), X[:1], X[:1200].reshape(3, 4, 100).T, X[::-3], X[:1200].reshape(30, 40)[::2, 1::3]],
                         ids=["none", "a number", "one", "transposed", "reversed", "strided"])
@pytest.mark.parametrize("rounding", [half_even, PhiloxRounding(1, 2, 3)])
def test_any_shape_and_order(monkeypatch, x, rounding):
    compiled, plain = both(monkeypatch, lambda: on_grid(x, 0.5, IntFormat(8), rounding=rounding))
    assert compiled.shape == plain.shape == x.shape and (compiled.codes == plain.codes).all()
    masks = both(monkeypatch, lambda: passed(x / 3, x, -1.5, 2.5))
    assert masks[0].shape == x.shape and (masks[0] == masks[1]).all()


def test_what_a_clip_passes(monkeypatch):
    x = np.concatenate([X, [np.nan, -1.5, 2.5, np.nextafter(-1.5, -9), np.nextafter(2.5, 9)]])
    g = np.concatenate([[-0.0, np.nan, INF], RNG.normal(size=len(x) - 3)])
    calls = used(monkeypatch, kernels, "_passed")
    for low, high in ((-1.5, 2.5), (0.0, 0.0), (-0.0, INF), (1.0, -1.0), (np.nan, 1.0)):
        assert same(*both(monkeypatch, lambda low=low, high=high: passed(g, x, low, high)))
    assert len(calls) == 5


G = np.concatenate([[-0.0, 0.0, -1e-300, 5e-324], RNG.normal(size=len(X) - 4)])  # none that would swamp a sum
CLIPPED = [  # op, its loop, how, the other inputs
    *((int4.int4_activation, "_int4", {"bits": b, "signed": s}, (np.array(c),))
      for b in (2, 4, 7, 8) for s in (False, True) for c in (1.0, 2.5, 40.0)),
    *((int4.int4_weight, "_int4", {"bits": b}, (np.array([c]),)) for b in (3, 8) for c in (1.0, 2.5)),
    *((sat.pact, "_cg_pact", {"bits": b, "two_sided": two}, (np.array(a),))
      for b, two in ((2, False), (4, True), (7, True), (8, False)) for a in (1.0, -2.5, 40.0))]


@pytest.mark.parametrize("op, loop, how, inputs", CLIPPED,
                         ids=[f"{case[0].name} {case[2]} {case[3][0]}" for case in CLIPPED])
def test_gradients_of_learned_clips(monkeypatch, op, loop, how, inputs):
    calls = used(monkeypatch, clip_kernels, loop)
    finite = np.where(np.isinf(X), 3.0, X)  # an infinite x makes NaN of the clip's gradient, with a warning
    out = op.forward(finite, *inputs, **how)
    compiled, plain = both(monkeypatch, lambda: op.backward(G, out, finite, *inputs, **how))
    assert len(calls) == 1 and all(same(*pair) for pair in zip(compiled, plain, strict=True))


@pytest.mark.parametrize("op, how", [(int4.int4_activation, {"bits": 9}), (sat.pact, {"bits": 8, "two_sided": True}),
                                       (sat.pact, {"bits": 4, "calibrated": False})])
def test_other_learned_clips_are_left_to_numpy(monkeypatch, op, how):
    calls = used(monkeypatch, clip_kernels, "_int4"), used(monkeypatch, clip_kernels, "_cg_pact")
    x, clip = X[:1200], np.array(2.5)
    out = op.forward(x, clip, **how)
    compiled, plain = both(monkeypatch, lambda: op.backward(G[:1200], out, x, clip, **how))
    assert calls == ([], []) and all(same(*pair) for pair in zip(compiled, plain, strict=True))


@pytest.mark.parametrize("variant", ["paper", "authors"])
@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("numbers", [(0.0, 1.0, 1.0), (-1.3, 1.7, 0.6), (0.5, -0.9, -1.4)], ids=str)
def test_learned_thresholds(monkeypatch, variant, bits, numbers):
    a = np.resize([0.5, 0.25, 0.0005, 1.0, 0.3], 2**bits - 1)
    learned = a, *(np.array([v]) for v in numbers)
    on_bounds = (np.cumsum(np.maximum(a, 1e-3)) + numbers[0]) / numbers[1]
    x = np.concatenate([X[np.abs(X) < 1e6] / 16, on_bounds, [0.0, -0.0, 1e300, -1e300, INF, -INF]])
    g = np.resize(G[5:], x.shape)
    how = {"bits": bits, "variant": variant}
    calls = [used(monkeypatch, threshold_kernels, name) for name in ("_count", "_slopes", "_sums")]
    out, plain = both(monkeypatch, lambda: n2uq.n2uq_quantize.forward(x, *learned, **how))
    assert same(out.codes, plain.codes) and out.scale == plain.scale and out.format == plain.format
    found = both(monkeypatch, lambda: n2uq.n2uq_quantize.backward(g, out, x, *learned, **how))
    assert all(same(*pair) for pair in zip(*found, strict=True))
    assert [len(c) for c in calls] == [2, 1, 2]


@pytest.mark.parametrize("size", [*range(1, 40), 100, 101, 1023, 1024, 1025])
def test_sums_in_halves_of_any_number_of_terms(monkeypatch, size):
    """Of an odd number the last joins the first, at every level: each sum has terms of all sizes that show it."""
    x, clip, segment = RNG.uniform(0.0, 2.0, size), np.array(1.5), RNG.integers(1, 4, size).astype(np.uint16)
    g = np.ldexp(RNG.normal(size=size), RNG.integers(-20, 20, size))
    for op in (int4.int4_activation, sat.pact):
        out = op.forward(x, clip, bits=4)
        compiled, plain = both(monkeypatch, lambda op=op, out=out: op.backward(g, out, x, clip, bits=4))
        assert all(same(*pair) for pair in zip(compiled, plain, strict=True))
    assert same(*both(monkeypatch, lambda: n2uq._sums(g, segment, 3)))


@pytest.mark.parametrize("scheme", ["original", "modified", "centered"])
@pytest.mark.parametrize("rescale", [None, "constant", "stddev"])
def test_the_weights_gradient_needs_the_codes_alone(scheme, rescale):
    """What the rule takes from the Fixed that went forward is what it would quantize anew."""
    w, g = RNG.normal(size=(2, 6, 5))
    how = {"bits": 3, "scheme": scheme, "rescale": rescale}
    backward, out = sat.sat_weight.backward, sat.sat_weight.forward(w, **how)
    assert isinstance(out, Fixed) and same(backward(g, out, w, **how)[0], backward(g, None, w, **how)[0])


def test_few_elements_wake_no_compiler():
    code = ("import sys, numpy as np; from refquant.quantizers import banner, hindsight\n"
            "x = np.ones(1000)\n"
            "banner.banner_quantize(x, range_min=0, range_max=1, bits=8)\n"
            "hindsight.hindsight_quantize.backward(x, None, x, range_min=0, range_max=1, bits=8)\n"
            "assert 'refquant.quantizers.kernels' not in sys.modules and 'numba' not in sys.modules\n"
            "banner.banner_quantize(np.ones(1 << 12), range_min=0, range_max=1, bits=8)\n"
            "assert 'refquant.quantizers.kernels' in sys.modules\n")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("format", [IntFormat(4), IntFormat(8, signed=False)])
def test_the_value_of_a_code_takes_its_zero_point_off(monkeypatch, format):
    out = Fixed(RNG.integers(format.qmin, format.qmax + 1, 400).astype(format.dtype), 0.25, format, zero_point=-3)
    x, clip = X[:400] / 150, np.array(1.25)
    for rule in (int4.int4_weight.backward, sat.pact.backward):
        compiled, plain = both(monkeypatch, lambda rule=rule: rule(G[:400], out, x, clip, bits=4))
        assert all(same(*pair) for pair in zip(compiled, plain, strict=True))
