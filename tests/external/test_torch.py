"""PyTorch's quantization on the CPU, answered by refquant to the bit.

What it computes, found by experiment and held fast here. inv = 1 / scale in float32, z the zero point:

    _int_mm                            exact int32 that wraps
    fake_quantize_per_tensor_affine    half_even(x * inv) + z, saturated: reciprocal, zero point AFTER the rounding
    fake_quantize_per_channel_affine   the same for an integer z; for a float32 z as quantize_per_tensor:
    quantize_per_tensor                half_even(fma(x, inv, z)), saturated: the zero point BEFORE the rounding, and
                                       product and sum fused, rounded to float32 once
    gradient of fake_quantize          passes where that code needed no saturation: so it rounds x * inv as well
"""
from __future__ import annotations

import numpy as np
import pytest

from refquant.gemm import matmul
from refquant.integers import IntFormat, fake_quantize, flags, quantize_codes, ste_gradient

torch = pytest.importorskip("torch")

TORCH = {"division": "reciprocal", "zero_point_at": "after"}
OTHER_READINGS = [{"division": "reciprocal", "zero_point_at": "before"}, {"division": "divide"},
                  {**TORCH, "rounding": "half_away"}]
FORMATS = {name: IntFormat.parse(name) for name in ("u8", "s8", "s8n", "u4", "s4", "u2")}
POWERS = [np.float32(2.0) ** k for k in (-9, -3, 0, 1)]
SCALES = [*np.random.default_rng(1).uniform(0.001, 3, 6).astype(np.float32), np.float32(0.1), np.float32(1 / 3)]

needs_fma = pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT",
                               reason="kernels without fused multiply-add")


def on_and_beside_ties(scale, format, zero_point, beyond=4) -> np.ndarray:
    """float32 whose codes are every half from below qmin to above qmax, and their neighbours on both sides."""
    halves = np.arange(2 * (format.qmin - beyond), 2 * (format.qmax + beyond) + 1) - 2 * np.int64(zero_point)
    x = halves.astype(np.float32) / 2 * scale
    return np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])


def zero_points(format) -> list[int]:
    return sorted({format.qmin, format.qmin + 1, (format.qmin + format.qmax) // 2, format.qmax - 1, format.qmax})


# ---- integer products

@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (17, 8, 8), (32, 300, 33), (64, 1025, 128)])
def test_int_mm(m, k, n, compare):
    rng = np.random.default_rng(2)
    for extremes in (False, True):
        a, b = (rng.choice([-128, 127], shape).astype(np.int8) if extremes else
                rng.integers(-128, 128, shape).astype(np.int8) for shape in ((m, k), (k, n)))
        compare(matmul(a, b)[0], torch._int_mm(torch.tensor(a), torch.tensor(b)).numpy())


def test_int_mm_wraps_at_k_200_000(compare):
    k = 200_000
    a, b = np.full((17, k), 127, np.int8), np.full((k, 8), 127, np.int8)
    a[1], b[:, 1], a[2] = -128, -128, np.arange(k) % 127
    acc, overflowed = matmul(a, b)
    assert overflowed[0, 0] and acc[0, 0] == 127 * 127 * k - 2**32 and not overflowed[2].all()
    compare(acc, torch._int_mm(torch.tensor(a), torch.tensor(b)).numpy())


# ---- fake quantization

@pytest.mark.parametrize("name", FORMATS)
def test_fake_quantize_per_tensor(name, compare):
    format, wrong = FORMATS[name], [0] * len(OTHER_READINGS)
    for scale in (*SCALES, *POWERS):
        for zero_point in zero_points(format):
            x = on_and_beside_ties(scale, format, zero_point)
            theirs = torch.fake_quantize_per_tensor_affine(torch.tensor(x), float(scale), zero_point, format.qmin,
                                                           format.qmax).numpy()
            compare(fake_quantize(x, scale, format, zero_point=zero_point, **TORCH), theirs, (scale, zero_point))
            for k, how in enumerate(OTHER_READINGS):
                wrong[k] += int((fake_quantize(x, scale, format, zero_point=zero_point, **how) != theirs).sum())
    assert all(wrong), dict(zip(map(str, OTHER_READINGS), wrong, strict=True))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_fake_quantize_per_channel(name, axis, compare):
    format, scale = FORMATS[name], np.array([*SCALES, *POWERS])
    zero_point = np.resize(zero_points(format), scale.size)
    x, scale, zero_point = channels(format, scale, zero_point, axis)
    theirs = torch.fake_quantize_per_channel_affine(torch.tensor(x), torch.tensor(scale),
                                                    torch.tensor(zero_point, dtype=torch.int32), axis, format.qmin,
                                                    format.qmax)
    compare(fake_quantize(x, scale, format, zero_point=zero_point, axis=axis, **TORCH), theirs.numpy())


def channels(format, scale, zero_point, axis):
    """x of three dimensions with one channel for each scale along ``axis``."""
    x = np.stack([on_and_beside_ties(s, format, int(z)) for s, z in zip(scale, zero_point, strict=True)])
    return np.moveaxis(x.reshape(len(scale), 3, -1), 0, axis).copy(), scale, zero_point


# ---- its gradient

def gradients(format, scale, zero_point):
    """``(x, g, theirs)``: inputs, output gradients and the input gradients that torch makes of them.

    torch multiplies by its mask, which turns a negative gradient into -0.0; adding 0.0 makes it 0.0, as ours is.
    """
    x = on_and_beside_ties(scale, format, zero_point)
    g = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    torch.fake_quantize_per_tensor_affine(leaf, float(scale), zero_point, format.qmin, format.qmax).backward(
        torch.tensor(g))
    return x, g, leaf.grad.numpy() + np.float32(0)


@pytest.mark.parametrize("name", FORMATS)
def test_gradient_passes_where_the_code_was_not_saturated(name, compare):
    """Any scale: in refquant's words, where quantize_codes with torch's choices raises no saturation flag."""
    format = FORMATS[name]
    for scale in (*SCALES, *POWERS):
        for zero_point in zero_points(format):
            x, g, theirs = gradients(format, scale, zero_point)
            _, what = quantize_codes(x, scale, format, zero_point=zero_point, **TORCH)
            saturated = (what & (flags.SATURATED_LOW | flags.SATURATED_HIGH)) != 0
            compare(np.where(saturated, np.float32(0), g), theirs, (scale, zero_point))


@pytest.mark.parametrize("scales", [POWERS, SCALES], ids=["powers_of_two", "any_scale"])
def test_gradient_is_that_of_the_round_mask(scales, compare):
    for format in FORMATS.values():
        for scale in scales:
            for zero_point in zero_points(format):
                x, g, theirs = gradients(format, scale, zero_point)
                compare(ste_gradient(g, x, scale, format, zero_point=zero_point, mask="round", division="reciprocal"),
                        theirs, (format, scale, zero_point))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gradient_per_channel(axis, compare):
    for format in FORMATS.values():
        x, scale, zero_point = channels(format, np.array(POWERS), zero_points(format)[-len(POWERS):], axis)
        g = np.random.default_rng(4).normal(size=x.shape).astype(np.float32)
        leaf = torch.tensor(x, requires_grad=True)
        torch.fake_quantize_per_channel_affine(leaf, torch.tensor(scale), torch.tensor(zero_point, dtype=torch.int32),
                                               axis, format.qmin, format.qmax).backward(torch.tensor(g))
        compare(ste_gradient(g, x, scale, format, zero_point=np.array(zero_point), axis=axis, mask="round", division="reciprocal"),
                leaf.grad.numpy() + np.float32(0), format)


# ---- the fused ones

def fused(x, factor, plus) -> np.ndarray:
    """``x * factor + plus`` of float32, rounded to float32 once, half to even.

    In float64 the product is exact and the sum is not; rounding the sum to odd keeps what float32 needs to know.
    """
    product = x.astype(np.float64) * np.float64(factor)
    total = product + np.float64(plus)
    back = total - product
    error = (product - (total - back)) + (np.float64(plus) - back)
    even = (total.view(np.int64) & 1) == 0
    return np.where((error != 0) & even, np.nextafter(total, np.copysign(np.inf, error)), total).astype(np.float32)


@needs_fma
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel and:UserWarning")
@pytest.mark.parametrize("name", ["u8", "s8"])
def test_quantize_per_tensor_is_fused(name, compare):
    if not hasattr(torch, "quantize_per_tensor"):
        pytest.skip("this torch has no quantize_per_tensor")
    format, dtype, unfused = FORMATS[name], {"u8": torch.quint8, "s8": torch.qint8}[name], 0
    for scale in (*SCALES, *POWERS):
        for zero_point in zero_points(format):
            x = on_and_beside_ties(scale, format, zero_point)
            theirs = torch.quantize_per_tensor(torch.tensor(x), float(scale), zero_point, dtype).int_repr().numpy()
            entering = fused(x, np.float32(1) / scale, zero_point)
            compare(quantize_codes(entering, 1, format)[0], theirs, (scale, zero_point))
            ours, _ = quantize_codes(x, scale, format, zero_point=zero_point, division="reciprocal",
                                     zero_point_at="before")
            unfused += int((ours != theirs).sum())
            if scale in POWERS:  # the product is exact, so fused or not is the same
                compare(ours, theirs, (scale, zero_point))
    assert unfused, "reciprocal and before would do: there is no fused multiply-add here"


@needs_fma
@pytest.mark.parametrize("name", FORMATS)
def test_fake_quantize_per_channel_with_float_zero_points_is_fused(name, compare):
    format, scale = FORMATS[name], np.array(SCALES)
    zero_point = np.resize(zero_points(format), scale.size)
    x, scale, zero_point = channels(format, scale, zero_point, 0)
    theirs = torch.fake_quantize_per_channel_affine(torch.tensor(x), torch.tensor(scale),
                                                    torch.tensor(zero_point, dtype=torch.float32), 0, format.qmin,
                                                    format.qmax).numpy()
    for channel, s, z, y in zip(x, scale, zero_point, theirs, strict=True):
        codes, _ = quantize_codes(fused(channel, np.float32(1) / s, z), 1, format)
        compare((codes.astype(np.float32) - np.float32(z)) * s, y, (s, z))
