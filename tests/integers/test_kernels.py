"""The compiled kernels equal the plain forms, bit for bit.

Each combination of choices is a kernel of its own that has to be compiled: what is independent is not combined.
"""
import itertools
import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from refquant.integers import (
    Fixed,
    IntFormat,
    PhiloxRounding,
    Stochastic,
    dequantize,
    fake_quantize,
    kernels,
    philox4x32,
    philox_bits,
    quantize,
    quantize_codes,
    requantize,
    requantize_codes,
)
from refquant.integers.kernels import philox
from refquant.integers.randombits import key_schedule
from refquant.integers.rounding import MODES

S8 = IntFormat(8)
FORMATS = [IntFormat(bits, *kind) for bits in (2, 4, 8, 16, 24, 31, 32) for kind in ((True,), (True, True), (False,))]
FLOATS = np.float32, np.float64
HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16)
HALVES = HALVES[~np.isnan(HALVES)]  # every binary16 number: both zeros, ties, infinities, denormals of its own
rng = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _compiled(monkeypatch):
    monkeypatch.setattr(kernels, "SMALL", 1)


def plain(call, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(kernels, "SMALL", 1 << 60)
        return call()


def check_equal(ours, theirs):
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    assert (ours == theirs).all(), np.argwhere(ours != theirs)[:5]


def check(monkeypatch, *args, **how):
    """`quantize` compiled, and the codes that are made beside flags, which are always plain."""
    fixed = quantize(*args, **how)
    check_equal(fixed.codes, np.asarray(quantize_codes(*args, **how)[0]))
    check_equal(fixed.codes, plain(lambda: quantize(*args, **how), monkeypatch).codes)
    return fixed


def edges(dtype):
    """Ties of small and of the largest values, their neighbours, denormals, infinities, zeros of both signs."""
    info = np.finfo(dtype)
    ties = np.concatenate([np.arange(-70000, 70000, 2) / 4, 2.0 ** np.arange(-149, 127),
                           [0.5 - 2.0**-25, 0.5 - 2.0**-54]])
    ties = np.concatenate([ties, -ties, [0.0, -0.0, np.inf, -np.inf, info.tiny, -info.tiny, info.max, info.min,
                                         info.smallest_subnormal, -info.smallest_subnormal]]).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        return np.concatenate([ties, np.nextafter(ties, dtype(np.inf)), np.nextafter(ties, dtype(-np.inf))])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_rounding_of_every_half_and_edge(mode, dtype, monkeypatch):
    for x, scale in itertools.product((HALVES.astype(dtype), edges(dtype)), (1.0, 0.75, 2.0**-20)):
        for place, zero_point in (("after", 0), ("before", -77)):
            check(monkeypatch, x, scale, S8, rounding=mode, zero_point=zero_point, zero_point_at=place)
        if mode == "half_even":
            check(monkeypatch, x, scale, S8, rounding=mode, division="reciprocal")


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_format_at_its_ends(dtype, monkeypatch):
    for format in FORMATS:
        ends = np.array([format.qmin, format.qmax], np.float64)
        x = (ends[:, None, None] + np.arange(-6, 7)[:, None] / 4 + np.array([-2, 0, 3])).astype(dtype)
        for zero_point in (0, 2, -3, 1 << 23, -(1 << 31)):
            check(monkeypatch, x, 1.0, format, zero_point=zero_point)
        check(monkeypatch, x, 0.5, format, zero_point=5, zero_point_at="before")


@pytest.mark.parametrize("shape, axis", [((5, 7, 80), 0), ((5, 7, 80), 1), ((5, 7, 80), -1), ((3, 600), 1), ((4, 3, 2), 1),
                                         ((2, 1, 9), 1), ((70,), 0)])
def test_channels_along_every_axis(shape, axis, monkeypatch):
    size = shape[axis]
    for dtype, mode, division, place in ((np.float32, "half_even", "divide", "after"),
                                         (np.float32, "half_even", "reciprocal", "before"),
                                         (np.float64, "half_away", "divide", "before"),
                                         (np.float32, "odd", "divide", "after")):
        x = rng.normal(0, 60, shape).astype(dtype)
        check(monkeypatch, x, np.linspace(0.3, 2, size), S8, axis=axis, zero_point=np.arange(size) - 2, rounding=mode,
              division=division, zero_point_at=place)


def test_what_is_not_contiguous_is_taken_as_it_lies(monkeypatch):
    x = rng.normal(0, 60, (6, 40, 90)).astype(np.float32)
    for view in (x[:, ::-1, ::2], x.transpose(2, 0, 1), np.asfortranarray(x), np.broadcast_to(x[:1], x.shape)):
        check(monkeypatch, view, 0.7, S8, zero_point=3)
        check(monkeypatch, view, np.linspace(0.3, 2, view.shape[1]), S8, axis=1)
        check(monkeypatch, view, 0.7, S8, rounding=PhiloxRounding(1, 2, 3))


def test_empty_arrays_and_single_numbers(monkeypatch):
    for x in (np.zeros((0, 3), np.float32), np.float32(2.5), np.float64([1.5])):
        check(monkeypatch, x, 1.0, S8)


@pytest.mark.parametrize("size, at", [(1, 0), (7, 6), (1030, 0), (1030, 517), (1030, 1029)])
def test_a_nan_is_found_wherever_it_is(size, at):
    x = np.zeros((2, size), np.float32)
    x[1, at] = np.nan
    for how in ({}, {"rounding": "odd"}, {"rounding": PhiloxRounding(1, 2, 3)}, {"axis": 0, "scale": [1.0, 2.0]},
                {"axis": 1, "scale": np.ones(size)}, {"rounding": Stochastic(np.zeros((2, size), int), 8)}):
        with pytest.raises(ValueError, match=rf"x is NaN at \(1, {at}\)"):
            quantize(x, **{"scale": 1.0, "format": S8, **how})


@pytest.mark.parametrize("n, dtype, division", [(n, np.float32, "divide") for n in (1, 7, 8, 11, 16, 17, 20)]
                         + [(16, np.float64, "divide"), (16, np.float32, "reciprocal")])
def test_random_bits(n, dtype, division, monkeypatch):
    x = np.concatenate([HALVES[::7].astype(dtype), edges(dtype)[::5], rng.normal(0, 60, 9000).astype(dtype)])
    drawn = PhiloxRounding(0xFEDCBA9876543210, 3, 2**32 - 1, n)
    bits = philox_bits(n, x.size, drawn.seed, drawn.tensor, drawn.step)
    for format, zero_point in itertools.product((S8, IntFormat(4, False)), (0, 9)):
        how = {"division": division, "zero_point": zero_point}
        codes = check(monkeypatch, x, 0.7, format, rounding=drawn, **how).codes
        check_equal(check(monkeypatch, x, 0.7, format, rounding=Stochastic(bits, n), **how).codes, codes)
    if n >= 16:  # units of 2^-n that would not fit int32
        check(monkeypatch, x, 0.001, IntFormat(16), rounding=drawn, zero_point=9)
    rows = x[:4 * 100].reshape(4, 100)
    check(monkeypatch, rows, [0.1, 0.7, 2.0, 9.0], S8, axis=0, rounding=Stochastic(bits[:400].reshape(4, 100), n))


@pytest.mark.parametrize("n", range(1, 9))
def test_every_pattern_of_bits(n, monkeypatch):
    x = np.concatenate([np.arange(-40, 41) / 16, [0.1, -1e-30, 1e-30, -7.3, 127.9, -128.1]]).astype(np.float32)
    patterns = np.arange(2**n)[:, None] + np.zeros(x.size, int)
    check(monkeypatch, np.broadcast_to(x, patterns.shape), 1.0, S8, rounding=Stochastic(patterns, n))


@pytest.mark.parametrize("n", [1, 5, 8, 9, 16, 17, 32, 33, 63, 64])
def test_streams_of_random_bits(n, monkeypatch):
    for count in (1, 7, 64, 1000, 40001):
        def bits(count=count):
            return philox_bits(n, count, 0xFEDCBA9876543210, 3, 2**32 - 1)
        check_equal(bits(), plain(bits, monkeypatch))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="vectors of LLVM exist only where it compiles")
def test_block_numbers_go_on_beyond_32_bits():
    first, key, draw = 2**32 - philox.LANES, (5, 6), philox.draw
    words = np.empty(2 * philox.WORDS, np.uint64)
    numba.njit(lambda *given: draw(*given))(words, np.uint64(first), np.uint64(9), np.uint64(8),
                                            key_schedule(key).reshape(-1))
    counters = [[b % 2**32, b >> 32, 9, 8] for b in range(first, first + 2 * philox.LANES)]
    check_equal(words.view(np.uint32).reshape(-1, 4), philox4x32(counters, key))


def test_fake_quantization(monkeypatch):
    x = rng.normal(0, 60, (5, 300)).astype(np.float32)
    for how in ({"scale": 0.3, "zero_point": 7}, {"scale": np.arange(1, 6) / 7, "axis": 0}):
        check_equal(fake_quantize(x, format=S8, **how), plain(lambda: fake_quantize(x, format=S8, **how), monkeypatch))  # noqa: B023


ACCS = np.array(sorted({sign * (1 << k) + d for k in range(0, 31, 3) for d in (-1, 0, 1) for sign in (-1, 1)}
                       | {-(2**31), -(2**31) + 1, 2**31 - 1, 12345, -12345, 987654321, -987654321}))
ACCS = np.concatenate([ACCS, rng.integers(-(2**31), 2**31, 500), rng.integers(-9999, 9999, 500)]).astype(np.int32)
MULTIPLIERS = [0, 1, 3, 2**16, 2**24 - 1, 2**30, 2**30 + 1, 1431655765, 0x7FFEFFFF, 0x7FFF0000, 2**31 - 1]
FLAVOURS = ("tosa_single", "tosa_double", "ruy_double", "mul16", "rndnu")


def check_requantized(monkeypatch, acc, **how):
    codes = requantize(acc, **how)
    check_equal(codes, np.asarray(requantize_codes(acc, **how)[0]))
    check_equal(codes, plain(lambda: requantize(acc, **how), monkeypatch))


def pairs(flavour):
    """Every multiplier at every shift that the flavour takes."""
    low, top = (17, 2**31) if flavour == "mul16" else (1, 2**24 if flavour == "rndnu" else 2**31)
    return [(m, s) for m in MULTIPLIERS if m < top for s in range(low, 63)]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_multiplier_at_every_shift(flavour, monkeypatch):
    """One a column, and one a row: those whose shifts are 32 and more, and all."""
    for chosen in (pairs(flavour), [(m, s) for m, s in pairs(flavour) if s >= 48]):
        multiplier, shift = np.array(chosen).T
        for zero_point, format in ((0, S8), (-7, IntFormat(16 if flavour == "tosa_single" else 5)), ((1 << 28) - 1, S8)):
            for axis, acc in ((1, np.stack([ACCS] * len(chosen), 1)), (0, np.stack([ACCS] * len(chosen)))):
                check_requantized(monkeypatch, acc, multiplier=multiplier, shift=shift, flavour=flavour, axis=axis,
                                  zero_point=zero_point, format=format)


@pytest.mark.parametrize("mode", MODES)
def test_every_shift_by_every_rounding(mode, monkeypatch):
    shift, how = np.arange(32), {"flavour": "shift", "rounding": mode}
    small = np.arange(-5000, 5001, dtype=np.int32)
    for s in range(12):
        check_requantized(monkeypatch, small, shift=s, zero_point=s, **how)
    for format in (S8, IntFormat(4, False), IntFormat(40)):
        check_requantized(monkeypatch, np.stack([ACCS] * 32), shift=shift, axis=0, zero_point=3, format=format, **how)
        check_requantized(monkeypatch, np.stack([ACCS] * 32, 1), shift=shift, axis=1, format=format, **how)
    check_requantized(monkeypatch, ACCS, shift=32, **how)


@pytest.mark.parametrize("flavour", ["fp32_rint", "fp32_round"])
def test_scales_of_binary32(flavour, monkeypatch):
    small = np.arange(-3000, 3001, dtype=np.int32)
    for acc, scale, zero_point in itertools.product((small, ACCS), (0.5, 0.0371, 1e-7, 3e38), (0, -9, 2**23)):
        for place in ("after", "before"):
            check_requantized(monkeypatch, acc, scale=scale, flavour=flavour, zero_point=zero_point, zero_point_at=place)
    scales = np.linspace(0.001, 0.1, 9, dtype=np.float32)
    for axis, shape in ((0, (9, 111)), (1, (111, 9))):
        check_requantized(monkeypatch, ACCS[:999].reshape(shape), scale=scales, flavour=flavour, axis=axis,
                          zero_point=np.arange(9), format=IntFormat(16, False))


def test_accumulators_of_every_integer_type(monkeypatch):
    wide = rng.integers(-(2**47), 2**47, 300)
    check_requantized(monkeypatch, wide, multiplier=2**30, shift=60, flavour="mul16")
    check_requantized(monkeypatch, np.array([-(2**63), 2**63 - 1]), shift=0, rounding="floor", flavour="shift", zero_point=1)
    for dtype in (np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64):
        acc = np.arange(100).astype(dtype)
        check_requantized(monkeypatch, acc, multiplier=2**30 + 1, shift=33, flavour="tosa_double")
        check_requantized(monkeypatch, acc.reshape(10, 10).T, shift=3, rounding="half_even", flavour="shift")
        check_requantized(monkeypatch, acc, shift=3, rounding=Stochastic(np.arange(100) % 8, 3), flavour="shift")
    for acc in (np.zeros((3, 0), np.int32), np.int32(77)):
        check_requantized(monkeypatch, acc, multiplier=2**30, shift=33, flavour="tosa_single")


def test_codes_back_to_reals(monkeypatch):
    for format in (IntFormat(2), S8, IntFormat(8, False), IntFormat(16), IntFormat(31)):
        codes = np.linspace(format.qmin, format.qmax, 4096).astype(format.dtype)
        for zero_point, shape in itertools.product((0, -3, 2**29, -(2**31)), ((16, 256), (1024, 4))):
            for axis, scale in ((None, 0.1), (0, np.linspace(0.1, 3e38, shape[0])), (1, np.linspace(1e-44, 2, shape[1]))):
                fixed = Fixed(codes.reshape(shape).T.copy().T, scale, format, zero_point, axis)
                compiled = dequantize(fixed)
                check_equal(compiled, plain(lambda: dequantize(fixed), monkeypatch))  # noqa: B023
                assert not np.signbit(compiled[compiled == 0]).any()
                check_equal(fixed.value, plain(lambda: fixed.value, monkeypatch))  # noqa: B023


@pytest.mark.parametrize("kind, numba", [("small", False), ("large", True)])
def test_small_arrays_wake_no_compiler(kind, numba):
    """And without the compiler large ones are plain too, with the same codes."""
    script = f"""
import sys
import numpy as np
from refquant.integers import IntFormat, PhiloxRounding, dequantize, kernels, quantize, requantize
size = kernels.SMALL - 1 if {kind!r} == "small" else kernels.SMALL
x = quantize(np.linspace(-9, 9, size), 0.1, IntFormat(8), rounding=PhiloxRounding(1, 2, 3))
y = requantize(np.arange(size, dtype=np.int32), 2**30, 33, flavour="tosa_double")
print("numba" in sys.modules, x.codes.sum(), y.sum(), dequantize(x).astype(np.float64).sum())
"""
    said = [subprocess.run([sys.executable, "-c", script], env=os.environ | more, capture_output=True, text=True,
                           check=True).stdout.split() for more in ({}, {"NUMBA_DISABLE_JIT": "1"})]
    assert said[0] == said[1] and said[0][0] == str(numba)
