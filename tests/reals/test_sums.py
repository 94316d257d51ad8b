"""Sums in one fixed order: the order, its error against fractions, and no trace of how the memory lies."""
import math
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import config

from refquant.reals import count, halving, mean, sums, total, unbroadcast
from refquant.reals.large import LARGE, large
from refquant.reals.sums import LONG, in_halves

U = Fraction(1, 2**53)
FLOATS = st.floats(-1e200, 1e200)
SEEDS = st.integers(0, 2**32)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def alike(shape, seed):
    """Reals of about one size: any other order of adding them has other bits, sooner or later."""
    return np.random.default_rng(seed).normal(size=shape)


def halves(values):
    """The order in words of lists: Python floats, one added to another."""
    if not values:
        return 0.0
    while len(values) > 1:
        half = len(values) // 2
        rest = values[2 * half:]
        values = [a + b for a, b in zip(values[:half], values[half:], strict=False)]
        values[0] = sum(rest, values[0])
    return values[0]


def same_bits(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype == np.float64 and actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@given(st.lists(FLOATS, max_size=40), st.integers(0, 70), SEEDS)
def test_the_order(wild, size, seed):
    for values in (wild, alike(size, seed).tolist()):
        same_bits(total(values), halves(values))


def test_the_order_by_hand():
    """1e16 + 1 is 1e16: what is left tells who met whom."""
    big = 1e16
    assert total([big, 1, -big, 1]) == 2  # (big - big) + (1 + 1)
    assert total([big, -big, 1, 1]) == 0  # (big + 1) + (-big + 1)
    assert total([1, big, 0, 0, -big]) == 0  # the last joins the first: (1 - big) + big
    assert total([big, 0, 1, -big, 0, 0]) == 1  # (big - big), (0 + 0), (1 + 0)


@given(st.lists(FLOATS, min_size=1, max_size=70))
def test_the_error_grows_with_the_logarithm(values):
    """Two additions a level at most: (1 + u)^(2 log2 n) - 1 of the sum of the sizes."""
    exact, sizes = sum(map(Fraction, values)), sum(abs(Fraction(v)) for v in values)
    assert abs(Fraction(float(total(values))) - exact) <= ((1 + U) ** (2 * (len(values).bit_length() - 1)) - 1) * sizes


def test_a_long_sum():
    """0.1 a million times: 20 levels, where adding one after another errs by 1e-6."""
    exact = 10**6 * Fraction(0.1)
    assert abs(Fraction(float(total(np.full(10**6, 0.1)))) - exact) <= ((1 + U) ** 38 - 1) * exact


@given(st.data(), SHAPES, SEEDS)
def test_over_any_axes(data, shape, seed):
    """Each element is the sum of the list of what it adds, the axes in the order they are named."""
    x = alike(shape, seed)
    axes = data.draw(st.permutations(range(len(shape))).flatmap(lambda p: st.integers(0, len(p)).map(lambda n: tuple(p[:n]))))
    signs = data.draw(st.lists(st.booleans(), min_size=len(axes), max_size=len(axes)))
    kept = [d for d in range(len(shape)) if d not in axes]
    expected = np.zeros([shape[d] for d in kept])
    for at in np.ndindex(*expected.shape):
        place, added = dict(zip(kept, at, strict=True)), []
        for inner in np.ndindex(*(shape[d] for d in axes)):
            index = place | dict(zip(axes, inner, strict=True))
            added.append(float(x[tuple(index[d] for d in range(len(shape)))]))
        expected[at] = halves(added)
    given_axes = tuple(d - len(shape) if negative else d for d, negative in zip(axes, signs, strict=True))
    same_bits(total(x, given_axes), expected)
    kept_shape = [1 if d in axes else n for d, n in enumerate(shape)]
    same_bits(total(x, given_axes, keepdims=True), expected.reshape(kept_shape))
    if len(axes) == 1:
        same_bits(total(x, given_axes[0]), expected)
    number = math.prod(shape[d] for d in axes)
    assert 0 in shape or count(shape, given_axes) == number
    if number:
        same_bits(mean(x, given_axes), expected / number)
        same_bits(mean(x, given_axes, keepdims=True), (expected / number).reshape(kept_shape))


def test_all_axes_unless_named():
    x = np.arange(6.0).reshape(2, 3)
    assert total(x) == total(x, (0, 1)) == 15 and mean(x) == 2.5 and count(x.shape) == 6
    assert total(x, keepdims=True).shape == mean(x, keepdims=True).shape == (1, 1)
    assert total(7.0) == 7 and count(()) == 1


@settings(max_examples=30)
@given(st.tuples(*[st.integers(1, 5)] * 3), SEEDS, st.sampled_from([None, 0, 1, 2, (0, 1), (2, 0), (1, 2)]))
def test_the_bits_do_not_depend_on_how_memory_lies(shape, seed, axis):
    x = alike(shape, seed)
    wide = np.zeros([2 * n for n in x.shape])
    wide[::2, 1::2, ::2] = x
    for other in (np.asfortranarray(x), wide[::2, 1::2, ::2], np.flip(np.flip(x).copy()), np.moveaxis(np.moveaxis(x, 0, 2).copy(), 2, 0),
                  x.astype(">f8"), x[:, None].repeat(2, 1)[:, 1]):
        assert (other == x).all()
        same_bits(total(other, axis), total(x, axis))


def test_what_is_given_stays():
    x = np.array([[0.1, 0.2, 0.3]]).T
    before = x.copy()
    total(x), total(x, 0), total(x, 1), mean(x)
    assert (x == before).all()


@pytest.mark.parametrize("x", [np.full(5, 127, np.int8), np.arange(5, dtype=np.uint64), np.float32([0.1, 0.2]), [True, True], [1, 2]])
def test_other_numbers_are_added_in_float64(x):
    same_bits(total(x), halves([float(v) for v in x]))


@pytest.mark.parametrize("shape, axis, out", [((0,), None, ()), ((0, 3), 0, (3,)), ((3, 0), 0, (0,)), ((3, 0), 1, (3,)), ((2, 0, 3), (0, 1), (3,))])
def test_the_sum_of_nothing_is_0(shape, axis, out):
    same_bits(total(np.ones(shape), axis), np.zeros(out))


@pytest.mark.parametrize("call, words", [
    (lambda: mean([]), "x has shape (0,): expected at least one element to average"),
    (lambda: mean(np.ones((3, 0)), 1), "x has shape (3, 0)"),
    (lambda: total(np.ones((2, 3)), 2), "axis = 2: expected -2 to 1 for 2 dimensions"),
    (lambda: total(np.ones((2, 3)), (0, -3)), "axis = (0, -3): expected -2 to 1"),
    (lambda: count((2,), 1), "axis = 1: expected -1 to 0 for 1 dimensions"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


@given(st.data(), SHAPES)
def test_unbroadcast_is_adjoint_to_broadcasting(data, wide):
    """<broadcast v, g> = <v, unbroadcast g>, of integers; and each element is what was added there."""
    left_out = data.draw(st.integers(0, len(wide)))
    ones = data.draw(st.lists(st.booleans(), min_size=len(wide) - left_out, max_size=len(wide) - left_out))
    shape = tuple(1 if one else n for one, n in zip(ones, wide[left_out:], strict=True))
    g = data.draw(arrays(np.float64, wide, elements=st.integers(-8, 8).map(float)))
    found = unbroadcast(g, shape)
    expected = np.zeros(math.prod(shape))
    places = np.broadcast_to(np.arange(expected.size).reshape(shape), wide)
    for place, term in zip(places.ravel(), g.ravel(), strict=True):
        expected[place] += term
    assert found.shape == shape and (np.ravel(found) == expected).all()
    assert unbroadcast(g, wide) is g


def compiled_total(x, axes):
    """`total` as a large array has it, and how many sums the kernel made."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "large", lambda x: True)
        patch.setattr(halving, "totals", lambda *a, of=halving.totals: made.append(a) or of(*a))
        return total(x, axes), len(made)


@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 70), SEEDS)
def test_the_compiled_sum_of_channels(images, channels, places, seed):
    """All numbers of images and places, odd ones among them; what finds no pairs of long rows stays in NumPy."""
    x = alike((images, channels, 1, places), seed)
    found, made = compiled_total(x, (0, 2, 3))
    same_bits(found, in_halves(np.moveaxis(x, 1, 0).reshape(channels, -1).T))
    assert made == (images % 2 == 0 and places >= LONG) + (images == 1 and places % 2 == 0 and places >= 2 * LONG)


# shape, axes, whether the kernel serves
WAYS = [((64, 70), 1, True), ((64, 70), (1,), True), ((64, 70), -1, True), ((64, 70), 0, False), ((64, 70), None, True), ((64, 71), 1, False),
        ((4, 3, 20), (0, 2), True), ((4, 3, 20), (2, 0), False), ((4, 3, 5, 6), (0, 2), False), ((4, 3, 5, 6), (0, 3), False), ((4, 3, 5, 6), (2, 3), False),
        ((4, 3, 8, 6), (2, 3), True), ((3, 3, 8, 6), (0, 2, 3), False), ((3, 3, 8, 6), None, True), ((2, 4, 3, 20), (0, 1, 3), True),
        ((1, 1, 3, 32), (0, 3), True), ((4, 3, 1, 20), (0, 3), True), ((15,), None, False), ((32,), None, True), ((33,), None, False)]


@pytest.mark.parametrize("shape, axes, served", WAYS)
def test_which_sums_are_compiled(shape, axes, served):
    x = alike(shape, 1)
    found, made = compiled_total(x, axes)
    same_bits(found, total(x, axes))
    assert made == served and type(found) is type(total(x, axes))
    assert compiled_total(np.asfortranarray(x), axes)[1] == (served and np.asfortranarray(x).flags.c_contiguous)


def test_the_compiled_sum_keeps_zeros_infinities_and_nan():
    for special in (-0.0, 5e-324, math.inf, math.nan):
        x = np.full((2, 3, 17), special)
        x[:, 1] = alike((2, 17), 0)
        same_bits(compiled_total(x, (0, 2))[0], total(x, (0, 2)))


def test_the_compiler_serves_from_a_size_on(monkeypatch):
    for disabled in (0, 1):
        monkeypatch.setattr(config, "DISABLE_JIT", disabled)
        assert [large(np.zeros(n)) for n in (LARGE - 1, LARGE)] == [False, not disabled]


def test_small_arrays_do_not_wake_the_compiler():
    code = """
import sys
import numpy as np
from refquant.autodiff import Tensor, batch_norm, gradients, linear, max_pool, range_batch_norm, relu, reshape, sum_all
x, w = Tensor(np.ones((4, 2, 32, 32))), Tensor(np.ones((3, 128)))
for norm in (batch_norm, range_batch_norm):
    y = linear(reshape(max_pool(relu(norm(x, np.ones(2), np.ones(2))), size=4), shape=(4, 128)), w)
    gradients(sum_all(y * y), [x, w])
print("numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr
