"""The same arithmetic as one would write it in NumPy for speed: in place where that is natural, one new array a step.

    scale = multiplier / 2^shift, the product in int64:   half up   (p + 2^(shift-1)) >> shift
    half away   (p + 2^(shift-1) - (p < 0)) >> shift      half even   (p + 2^(shift-1) - 1 + (p >> shift & 1)) >> shift
"""
from __future__ import annotations

import numpy as np

ZERO_POINT = 3


def quantize(x: np.ndarray, scale) -> np.ndarray:
    """float to int8, half to even."""
    u = np.divide(x, scale)
    np.rint(u, out=u)
    return codes(u)


def quantize_half_away(x: np.ndarray, scale) -> np.ndarray:
    return codes(half_away(np.divide(x, scale)))


def half_away(u: np.ndarray) -> np.ndarray:
    """Ties away from zero. (Adding 0.5 first would round 0.49999997 up.)"""
    size = np.abs(u)
    whole = np.floor(size)
    size -= whole
    whole += size >= 0.5
    return np.copysign(whole, u, out=whole)


def quantize_stochastic(x: np.ndarray, scale: np.float32, draw: np.random.Generator) -> np.ndarray:
    u = draw.random(x.shape, np.float32)
    u += x * (np.float32(1) / scale)
    np.floor(u, out=u)
    return codes(u)


def codes(u: np.ndarray) -> np.ndarray:
    """Whole numbers, plus the zero point, saturated to int8; ``u`` is overwritten."""
    u += u.dtype.type(ZERO_POINT)
    np.clip(u, -128, 127, out=u)
    return u.astype(np.int8)


def dequantize(q: np.ndarray, scale: np.float32) -> np.ndarray:
    x = q.astype(np.float32)
    x -= np.float32(ZERO_POINT)
    x *= scale
    return x


def single(acc: np.ndarray, multiplier, shift) -> np.ndarray:
    p = acc.astype(np.int64)
    p *= multiplier
    p += np.int64(1) << (shift - 1)
    p >>= shift
    return codes(p)


def double(acc: np.ndarray, multiplier: int, shift: int, away: bool) -> np.ndarray:
    """Rounded half up to 31 bits, then half away or half up."""
    p = acc.astype(np.int64)
    p *= multiplier
    p += 1 << 30
    p >>= 31
    rest = shift - 31
    if away:
        p -= p < 0
    p += 1 << (rest - 1)
    p >>= rest
    return codes(p)


def mul16(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    return single(acc, min((multiplier + (1 << 15)) >> 16, 0x7FFF), shift - 16)


def fp32(acc: np.ndarray, scale: np.float32, away: bool) -> np.ndarray:
    u = acc.astype(np.float32)
    u *= scale
    return codes(half_away(u) if away else np.rint(u, out=u))


def shifted(acc: np.ndarray, shift: int, rounding: str) -> np.ndarray:
    p = acc.astype(np.int64)
    if rounding == "half_even":
        odd = p >> shift
        odd &= 1
        p += odd
        p += (1 << (shift - 1)) - 1
    elif rounding == "half_away":
        p -= p < 0
        p += 1 << (shift - 1)
    p >>= shift
    return codes(p)


def pack(q: np.ndarray) -> np.ndarray:
    """Two 4-bit codes a byte, element 0 in the low half."""
    nibbles = q.view(np.uint8)
    packed = nibbles[1::2] << 4
    packed |= nibbles[::2] & 15
    return packed


def unpack(packed: np.ndarray) -> np.ndarray:
    q = np.empty(2 * packed.size, np.int8)
    both = packed.view(np.int8)
    np.right_shift(np.left_shift(both, 4), 4, out=q[::2])
    np.right_shift(both, 4, out=q[1::2])
    return q
