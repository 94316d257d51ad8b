"""Ops compiled against the same ops in NumPy, bit for bit; and which of the two serves."""
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config

from refquant.autodiff import (
    arithmetic,
    batch_norm,
    max_pool,
    normalization,
    normalization_kernels,
    pooling,
    pooling_kernels,
    range_batch_norm,
    relu,
    relu_kernels,
)
from refquant.autodiff.normalization import batch_statistics, range_statistics

SPECIAL = (0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1.7e308, np.inf, -np.inf, np.nan)
MODULES = (arithmetic, normalization, pooling)


def both(call):
    """What ``call`` gives in NumPy and compiled, each as a list of arrays."""
    found = []
    for large in (False, True):
        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            for module in MODULES:
                patch.setattr(module, "large", lambda x, large=large: large)
            answer = call()
        found.append(list(answer) if isinstance(answer, tuple) else [answer])
    return found


def same_in_both(call):
    """The same bits; a NaN is a NaN."""
    for plain, compiled in zip(*both(call), strict=True):
        assert plain.shape == compiled.shape and plain.dtype == compiled.dtype == np.float64
        holds = np.isnan(plain)
        assert (holds == np.isnan(compiled)).all()
        np.testing.assert_array_equal(np.where(holds, 0, np.ascontiguousarray(plain).view(np.int64)),
                                      np.where(holds, 0, np.ascontiguousarray(compiled).view(np.int64)))


def images(shape, seed):
    """Reals; or few levels with zeros of both signs, so that many share an extreme; or some special ones among them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(1, 2, shape)
    if seed % 3 == 1:
        x = np.where(rng.random(shape) < 0.2, -0.0, np.rint(x))
    if seed % 3 == 2:
        x = np.where(rng.random(shape) < 0.02, rng.choice(SPECIAL, shape), x)
    return x


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.sampled_from([2, 4, 6, 10]), st.integers(1, 3), st.integers(4, 9), st.integers(4, 9)), st.integers(0, 2**32),
       st.sampled_from([0, 1e-5]))
def test_batch_norm(shape, seed, eps):
    """Rows of 16 to 81 places: whole vectors, and rests of all sizes."""
    rng = np.random.default_rng(seed)
    x, g = images(shape, seed), images(shape, seed + 1)
    gamma, beta = rng.normal(size=(2, shape[1]))
    same_in_both(lambda: batch_statistics(x, eps))
    same_in_both(lambda: batch_norm(x, gamma, beta, eps=eps))
    same_in_both(lambda: batch_norm.backward(g, None, x, gamma, beta, eps=eps))


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.sampled_from([2, 4, 6]), st.integers(1, 3), st.just(4), st.integers(4, 9)), st.integers(0, 2**32),
       st.sampled_from([0, 1e-5]), st.sampled_from([1, 2, 4, 8]), st.sampled_from([None, lambda scale: np.rint(8 * scale) / 8]))
def test_range_batch_norm(shape, seed, eps, chunks, quantize_scale):
    """Also with chunks that cut images."""
    rng = np.random.default_rng(seed)
    x, g = images(shape, seed), images(shape, seed + 1)
    gamma, beta = rng.normal(size=(2, shape[1]))
    how = {"eps": eps, "chunks": chunks, "factor": 1.3}
    same_in_both(lambda: range_statistics(x, **how))
    same_in_both(lambda: range_batch_norm(x, gamma, beta, quantize_scale=quantize_scale, **how))
    same_in_both(lambda: range_batch_norm.backward(g, None, x, gamma, beta, quantize_scale=quantize_scale, **how))


def test_relu_of_every_kind_of_number_and_gradient():
    x, g = np.array(list(itertools.product(SPECIAL, repeat=2))).T
    same_in_both(lambda: relu(x))
    same_in_both(lambda: relu.backward(g, None, x))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.integers(0, 2**32))
def test_relu_of_any_length(n, seed):
    x, g = images((n,), seed), images((n,), seed + 1)
    same_in_both(lambda: relu(x))
    same_in_both(lambda: relu.backward(g, None, x))


def test_the_largest_of_every_window_of_four():
    """Each order of six kinds of numbers: the first of equals, zeros of either sign among them; the first NaN."""
    windows = np.array(list(itertools.product((0.0, -0.0, 1.0, -np.inf, np.inf, np.nan), repeat=4)))
    x = windows.reshape(36, 36, 2, 2).swapaxes(1, 2).reshape(1, 1, 72, 72)
    out, g = max_pool(x, size=2), np.random.default_rng(0).choice(SPECIAL, (1, 1, 36, 36))
    for window, found in zip(windows.tolist(), out.ravel(), strict=True):
        if any(v != v for v in window):
            assert np.isnan(found)
        else:
            assert np.float64(max(window)).tobytes() == found.tobytes()  # Python's max is the first of equals
    same_in_both(lambda: max_pool(x, size=2))
    same_in_both(lambda: max_pool.backward(g, out, x, size=2))


@pytest.mark.parametrize("size, stride", [(2, None), (3, None), (1, None), (2, 3), (3, 2), (3, 1), (4, 5)])
def test_max_pooling_of_any_window(size, stride):
    for seed in range(6):
        x = images((3, 2, 11, 8), seed)
        out = max_pool(x, size=size, stride=stride)
        same_in_both(lambda x=x: max_pool(x, size=size, stride=stride))
        g = images(out.shape, seed + 1)
        same_in_both(lambda x=x, g=g, out=out: max_pool.backward(g, out, x, size=size, stride=stride))


def test_any_memory_and_arrays_that_may_not_be_written():
    x, gamma, beta = images((4, 3, 5, 6), 0), np.ones(3), np.zeros(3)
    fixed = x.copy()
    fixed.flags.writeable = False
    wide = np.repeat(x, 2, 3)[..., ::2]
    for other in (fixed, wide, np.asfortranarray(x), np.broadcast_to(x[:1], x.shape)):
        g = max_pool(other, size=2)
        for call in (lambda x: relu(x), lambda x: relu.backward(x, None, x), lambda x: max_pool(x, size=2),
                     lambda x, g=g: max_pool.backward(g, g, x, size=2), lambda x: batch_statistics(x),
                     lambda x: batch_norm.backward(x, None, x, gamma, beta),
                     lambda x: range_batch_norm.backward(x, None, x, gamma, beta)):
            same_in_both(lambda other=other, call=call: call(other))


def test_a_gamma_of_one_number_serves_all_channels_and_one_of_another_length_none():
    x = images((4, 3, 5, 6), 0)
    same_in_both(lambda: batch_norm(x, np.array([2.0]), np.array([0.5])))
    for large in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(normalization, "large", lambda x, large=large: large)
            with pytest.raises(ValueError, match="broadcast"):
                batch_norm(x, np.ones(2), np.zeros(3))


@pytest.mark.parametrize("call", [
    lambda x, g: relu_kernels.relu_backward(g, x), lambda x, g: normalization_kernels.batch_norm_backward(g, x, *np.ones((3, 3))),
    lambda x, g: normalization_kernels.range_backward(g, x, *np.ones((3, 3))),
    lambda x, g: pooling_kernels.max_pool_backward(g, x, x, np.zeros((1, 30), int))])
def test_a_gradient_that_does_not_fit_reads_no_foreign_memory(call):
    with pytest.raises(ValueError, match=r"g has shape \(4, 3, 5, 5\)"):
        call(np.ones((4, 3, 5, 6)), np.ones((4, 3, 5, 5)))


CALLS = {"relu": (relu_kernels, "relu", lambda x: relu(x)),
         "relu backward": (relu_kernels, "relu_backward", lambda x: relu.backward(x, None, x)),
         "pool": (pooling_kernels, "max_pool", lambda x: max_pool(x, size=2)),
         "pool backward": (pooling_kernels, "max_pool_backward", lambda x: max_pool.backward(x[:, :, ::2, ::2], x[:, :, ::2, ::2], x, size=2)),
         "statistics": (normalization_kernels, "statistics", lambda x: batch_statistics(x)),
         "batch norm": (normalization_kernels, "normalized", lambda x: batch_norm(x, np.ones(8), np.ones(8), statistics=tuple(np.ones((2, 8))))),
         "batch norm backward": (normalization_kernels, "batch_norm_backward", lambda x: batch_norm.backward(x, None, x, *np.ones((2, 8)))),
         "range backward": (normalization_kernels, "range_backward", lambda x: range_batch_norm.backward(x, None, x, *np.ones((2, 8))))}


@pytest.mark.parametrize("name", CALLS)
def test_small_arrays_are_not_compiled_nor_any_without_the_compiler(name, monkeypatch):
    module, kernel, call = CALLS[name]
    used, of = [], getattr(module, kernel)
    monkeypatch.setattr(module, kernel, lambda *a: used.append(kernel) or of(*a))
    rng = np.random.default_rng(0)
    for disabled, shape, expected in ((0, (4, 8, 16, 30), []), (0, (4, 8, 16, 32), [kernel]), (1, (4, 8, 16, 32), [])):
        monkeypatch.setattr(config, "DISABLE_JIT", disabled)
        used.clear()
        call(rng.normal(size=shape))
        assert used == expected


def test_images_without_a_partner_and_short_rows_are_not_compiled(monkeypatch):
    monkeypatch.setattr(normalization, "large", lambda x: True)
    monkeypatch.setattr(normalization_kernels, "statistics", lambda *a: pytest.fail("compiled"))
    for shape in ((3, 2, 8, 8), (4, 2), (4, 2, 3, 5)):
        batch_statistics(np.ones(shape))


def test_statistics_that_are_known_are_not_made_again(monkeypatch):
    rng = np.random.default_rng(0)
    x, g, gamma, beta = rng.normal(size=(4, 3, 2, 2)), rng.normal(size=(4, 3, 2, 2)), *rng.normal(size=(2, 3))
    for op, make in ((batch_norm, batch_statistics), (range_batch_norm, range_statistics)):
        known = make(x)
        expected = [op(x, gamma, beta), *op.backward(g, None, x, gamma, beta)]
        with monkeypatch.context() as patch:
            for name in ("batch_statistics", "range_statistics"):
                patch.setattr(normalization, name, lambda *a: pytest.fail("made again"))
            found = [op(x, gamma, beta, statistics=known), *op.backward(g, None, x, gamma, beta, statistics=known)]
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
