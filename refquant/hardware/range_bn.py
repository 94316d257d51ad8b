"""Range BN in integers (Banner 2018, equations 1 and 2): one division a channel, everything else multiplies and shifts.

    y = gamma x_hat + beta,  x_hat = (x - mu) / D,  D = C(n/K) (mean of the K chunks' max - mean of their min)

The scale and the zero point of x cancel in x_hat, so codes take the place of x. A channel has n codes in the order
(b, h, w), cut into K equal chunks (K = 1: the paper). mean and width are mu and D in units of 2^-F, x_hat is in 2^-G:

    S = sum x                  mean  = scaled(S, ratio(2^F / n))
    R = sum (max - min)        width = max(scaled(R, ratio(C(n/K) / K 2^F)) + epsilon, 1)
    inverse = divide(2^P, width)                                                          P = 30
    x_hat   = scaled(x 2^F - mean, inverse, P - G)
    y       = saturate(round_shift(gamma x_hat + beta, y_shift))          beta: in gamma's unit times 2^-G
    running = running + scaled(batch - running, momentum, 15)             momentum: the weight of the batch, of 2^15

Backward. With both extremes of a chunk constant but for their own element, the real gradient is

    dx = gamma / D (g - mean g - C / K (sum g x_hat) (1 at each chunk's maximum, -1 at its minimum))

and the bracket, in units of 2^-F of g's, is u:

    dbeta  = sum g             g_mean = scaled(dbeta, ratio(2^F / n))
    dgamma = round_shift(sum g x_hat, G - F)
    pull   = round(dgamma c_multiplier / 2^(c_shift + F))
    u      = g 2^F - g_mean - pull (1 at each first maximum, -1 at each first minimum; 0 where both are one element)
    dx     = saturate(round_shift(gamma scaled(u, inverse, P - G), dx_shift))

so dx is in units of (g's gamma's / x's) 2^(dx_shift - G).
"""
from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from refquant.autodiff.normalization import range_constant
from refquant.hardware import checks
from refquant.hardware.scaling import divide, scaled
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat, as_integers
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import Rounding, named

__all__ = ["Statistics", "backward", "constants", "forward", "statistics"]

INVERSE_BITS = 30  # P
MOMENTUM_BITS = 15
S16, S32, S48 = IntFormat(16), IntFormat(32), IntFormat(48)

Constants = tuple[int, int, int, int]  # mean_multiplier, mean_shift, c_multiplier, c_shift
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Statistics:
    """Of a batch's channels, int64 [C] each: sum S, range R, mean and width in 2^-F of a code, inverse 2^P / width.

    Raises nothing of its own.
    Source: refquant's own; see `statistics`.
    """

    sum: np.ndarray
    range: np.ndarray
    mean: np.ndarray
    width: np.ndarray
    inverse: np.ndarray


def constants(n: int, chunks: int, fraction_bits: int, factor: float = 1.0) -> Constants:
    """The two scales of a channel of ``n`` values, four integers: mean_multiplier, mean_shift, c_multiplier, c_shift.

    chunks : K.  fraction_bits : F.  factor : one number, 1 or `autodiff.normalization.AUTHORS_FACTOR`, the authors'.
    Raises ValueError for chunks that do not divide n, or leave a chunk fewer than 2 values, and F outside 0..30.
    Source: Banner 2018, eq. 1 and 2; chunks and factor: the authors' code. In integers by refquant.
    """
    _check_chunks(n, chunks)
    constant = Fraction(factor * range_constant(n // chunks))
    one = 1 << _fraction(fraction_bits)
    return (*multiplier_from_scale(Fraction(one, n)), *multiplier_from_scale(constant / chunks * one))


def statistics(x: ArrayLike, constants: Constants, *, fraction_bits: int, chunks: int, epsilon: int,
               rounding: str | Rounding) -> Statistics:
    """The statistics of codes ``x`` [B, C, ...] of at most 32 bits; ``epsilon`` is added to the width.

    constants, fraction_bits, chunks : see `constants`.  epsilon : 0..2^31 - 1, in 2^-F.  rounding : a mode or its name.
    Raises ValueError for chunks that do not divide n, another epsilon and what leaves 32 bits, TypeError for floats.
    Source: Banner 2018, eq. 1 and 2; epsilon and chunks: the authors' code. In integers by refquant.
    """
    if len(constants) != 4:
        raise ValueError(f"constants = {constants}: expected mean_multiplier, mean_shift, c_multiplier, c_shift")
    checks.integer("epsilon", epsilon, 0, S32.qmax)
    values = rows(x)
    _check_chunks(values.shape[1], chunks)
    parts = values.reshape(len(values), chunks, -1)
    total, spread = values.sum(1), (parts.max(2) - parts.min(2)).sum(1)
    mean = checks.within(S32, "mean", scaled(total, constants[0], constants[1], rounding))
    return Statistics(total, checks.within(S32, "range", spread), mean, *widths(spread, constants, epsilon, rounding))


def widths(spread: np.ndarray, constants: Constants, epsilon: int,
           rounding: str | Rounding) -> tuple[np.ndarray, np.ndarray]:
    """``(width, inverse)`` of the ranges R [C]."""
    width = np.maximum(checks.within(S32, "width", scaled(spread, constants[2], constants[3], rounding) + epsilon), 1)
    return width, divide(1 << INVERSE_BITS, width, rounding)


def forward(x: ArrayLike, gamma: np.ndarray, beta: np.ndarray, constants: Constants,
            running: tuple[np.ndarray, np.ndarray], *, fraction_bits: int, normal_bits: int, chunks: int, epsilon: int,
            y_shift: int, y_format: IntFormat, momentum: int, rounding: str | Rounding) -> Tensors:
    """Range BN of codes ``x`` [B, C, ...] with the batch's own statistics.

    gamma, beta : of at most 16 and 32 bits [C].  running : mean and width so far, 32 bits [C].  momentum : 0..2^15.
    normal_bits : G, 0..30.  y_shift : 0..63.  constants, fraction_bits, chunks, epsilon, rounding : see `statistics`.
    Returns by name: sum, range, mean, width, inverse, running_mean, running_width, int64 [C]; of x's shape x_hat, y, in
    y_format, and its flags (saturation).
    Raises ValueError for others, as `statistics` does, and where x_hat leaves 32 bits.
    Source: Banner 2018, eq. 1 and 2; gamma, beta, running statistics: the authors' code. In integers by refquant.
    """
    found = statistics(x, constants, fraction_bits=fraction_bits, chunks=chunks, epsilon=epsilon, rounding=rounding)
    return forward_from(found, x, gamma, beta, running, fraction_bits=fraction_bits, normal_bits=normal_bits,
                        y_shift=y_shift, y_format=y_format, momentum=momentum, rounding=rounding)


def forward_from(found: Statistics, x: ArrayLike, gamma: np.ndarray, beta: np.ndarray,
                 running: tuple[np.ndarray, np.ndarray], *, fraction_bits: int, normal_bits: int, y_shift: int,
                 y_format: IntFormat, momentum: int, rounding: str | Rounding) -> Tensors:
    """`forward` with these statistics."""
    x_hat = normalized(x, found.mean, found.inverse, fraction_bits=fraction_bits, normal_bits=normal_bits,
                       rounding=rounding)
    y = affine(x_hat, gamma, beta, y_shift, rounding)
    results = vars(found) | {"x_hat": x_hat, "y": y_format.saturate(y), "flags": flag.of_codes(y, y_format, "saturate")}
    return _shaped(results, np.shape(x)) | {"running_mean": updated(running[0], found.mean, momentum, rounding),
                                            "running_width": updated(running[1], found.width, momentum, rounding)}


def normalized(x: ArrayLike, mean: np.ndarray, inverse: np.ndarray, *, fraction_bits: int, normal_bits: int,
               rounding: str | Rounding) -> np.ndarray:
    """x_hat in the rows [C, n] of codes ``x`` [B, C, ...]; ValueError where it leaves 32 bits."""
    checks.integer("normal_bits", normal_bits, 0, INVERSE_BITS)
    centred = scaled(rows(x), 1 << _fraction(fraction_bits), 0) - mean[:, None]
    return checks.within(S32, "x_hat", scaled(centred, inverse[:, None], INVERSE_BITS - normal_bits, rounding))


def affine(x_hat: np.ndarray, gamma: np.ndarray, beta: np.ndarray, y_shift: int,
           rounding: str | Rounding) -> np.ndarray:
    """y before it is saturated, from x_hat in rows [C, n]."""
    checks.integer("y_shift", y_shift, 0, 63)
    gamma, beta = (checks.channels(format, name, values, len(x_hat))[:, None]
                   for format, name, values in ((S16, "gamma", gamma), (S32, "beta", beta)))
    return named(rounding).shift(gamma * x_hat + beta, y_shift)


def updated(running: np.ndarray, batch: np.ndarray, momentum: int, rounding: str | Rounding) -> np.ndarray:
    """A running statistic [C], moved ``momentum`` / 2^15 of the way to the batch's."""
    checks.integer("momentum", momentum, 0, 1 << MOMENTUM_BITS)
    running = checks.channels(S32, "running", running, len(batch))
    return running + scaled(batch - running, momentum, MOMENTUM_BITS, rounding)


def backward(x: ArrayLike, g: ArrayLike, gamma: np.ndarray, constants: Constants, *, fraction_bits: int,
             normal_bits: int, chunks: int, epsilon: int, dx_shift: int, dx_format: IntFormat,
             rounding: str | Rounding) -> Tensors:
    """The gradients of `forward` from codes ``g`` of x's shape, zero point 0; the statistics are computed again.

    x, gamma, constants, fraction_bits, normal_bits, chunks, epsilon, rounding : as for `forward`.  dx_shift : 0..63.
    Returns by name: sum, range, mean, width, inverse, g_mean, pull, dgamma, dbeta, int64 [C]; u, and dx in dx_format.
    Raises ValueError as `forward` does, for normal_bits below fraction_bits, and where a sum leaves 48 bits.
    Source: derived from Banner 2018, eq. 1 and 2: exact, a chunk's extreme being its first. In integers by refquant.
    """
    found = statistics(x, constants, fraction_bits=fraction_bits, chunks=chunks, epsilon=epsilon, rounding=rounding)
    return backward_from(found, x, g, gamma, constants, fraction_bits=fraction_bits, normal_bits=normal_bits,
                         chunks=chunks, dx_shift=dx_shift, dx_format=dx_format, rounding=rounding)


def backward_from(found: Statistics, x: ArrayLike, g: ArrayLike, gamma: np.ndarray, constants: Constants, *,
                  fraction_bits: int, normal_bits: int, chunks: int, dx_shift: int, dx_format: IntFormat,
                  rounding: str | Rounding) -> Tensors:
    """`backward` with these statistics."""
    if normal_bits < fraction_bits:
        raise ValueError(f"normal_bits = {normal_bits}: expected fraction_bits, {fraction_bits}, to {INVERSE_BITS}")
    if np.shape(g) != np.shape(x):
        raise ValueError(f"g has shape {np.shape(g)}: expected that of x, {np.shape(x)}")
    x_hat = normalized(x, found.mean, found.inverse, fraction_bits=fraction_bits, normal_bits=normal_bits,
                       rounding=rounding)
    dbeta = checks.within(S48, "dbeta", rows(g).sum(1))
    dgamma = checks.within(S48, "dgamma", named(rounding).shift(_sum_of_products(rows(g), x_hat),
                                                          normal_bits - fraction_bits))
    g_mean = scaled(dbeta, constants[0], constants[1], rounding)
    pull = checks.within(S48, "pull", scaled(dgamma, constants[2], constants[3] + fraction_bits, rounding))
    u = scaled(rows(g), 1 << fraction_bits, 0) - g_mean[:, None] - pull[:, None] * extremes(rows(x), chunks)
    dx = through(checks.within(S48, "u", u), found.inverse, gamma, normal_bits=normal_bits, dx_shift=dx_shift,
                 rounding=rounding)
    return _shaped(vars(found) | {"u": u, "dx": dx_format.saturate(dx)}, np.shape(x)) | {
        "g_mean": g_mean, "pull": pull, "dgamma": dgamma, "dbeta": dbeta}


def extremes(values: np.ndarray, chunks: int) -> np.ndarray:
    """1 at each chunk's first maximum, -1 at its first minimum, 0 where both are one element or neither: [C, n]."""
    parts = values.reshape(len(values), chunks, -1)
    place = np.arange(parts.shape[2])
    highest, lowest = parts.argmax(2)[..., None], parts.argmin(2)[..., None]
    return ((place == highest).astype(np.int64) - (place == lowest)).reshape(values.shape)


def through(u: np.ndarray, inverse: np.ndarray, gamma: np.ndarray, *, normal_bits: int, dx_shift: int,
            rounding: str | Rounding) -> np.ndarray:
    """dx before it is saturated, from u in rows [C, n]."""
    checks.integer("dx_shift", dx_shift, 0, 63)
    gamma = checks.channels(S16, "gamma", gamma, len(u))
    narrowed = scaled(u, inverse[:, None], INVERSE_BITS - normal_bits, rounding)
    return scaled(narrowed, gamma[:, None], dx_shift, rounding)


def rows(x: ArrayLike) -> np.ndarray:
    """Codes [B, C, ...] as int64 [C, n], images in order; ValueError for fewer axes, none, or codes beyond 32 bits."""
    array = as_integers(x, "x")
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"x has shape {array.shape}: expected [B, C, ...] with at least one element")
    return checks.within(S32, "x", np.moveaxis(array, 1, 0).reshape(array.shape[1], -1).astype(np.int64))


def shaped(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows [C, n] back as [B, C, ...]."""
    return np.ascontiguousarray(np.moveaxis(values.reshape(shape[1], shape[0], *shape[2:]), 0, 1))


def _shaped(tensors: Tensors, shape: tuple[int, ...]) -> Tensors:
    return {name: shaped(array, shape) if array.ndim == 2 else array for name, array in tensors.items()}


def _sum_of_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sums of ``a * b`` [C, n] over n, exact within int64."""
    products = scaled(a, b, 0)
    largest = max(-int(products.min()), int(products.max()))
    if largest * products.shape[1] >= 1 << 63:
        raise ValueError(f"{products.shape[1]} products g x_hat up to {largest}: expected a sum within int64")
    return products.sum(1)


def _fraction(bits: int) -> int:
    return checks.integer("fraction_bits", bits, 0, INVERSE_BITS)


def _check_chunks(n: int, chunks: int) -> None:
    checks.integer("chunks", chunks, 1, n)
    if n % chunks:
        raise ValueError(f"chunks = {chunks}: expected a divisor of the {n} values a channel")
