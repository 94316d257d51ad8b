"""Kim, Lee, Jeon, Moon, Ham 2024: Toward INT4 Fixed-Point Training via Exploring Quantization Error for Gradients
(arXiv 2407.12637).

Gradients G, b bits, clip factor gamma in (0, 1], 2^b - 1 levels with 0 among them, rounded stochastically:

    c = gamma max|G|,  step = c / (2^(b-1) - 1),  value = step * round(clip(G / step, -(2^(b-1) - 1), 2^(b-1) - 1))

Large gradients G_L: the fraction alpha = 1e-3 of the largest |G|. Errors, both relative to max|G|:

    E(G) = mean |Q(g) - g| / max|G| over all g,      E(G_L) the same over G_L
    ULG(gamma) = (1 - rho) gamma / (2^b - 2) + rho (1 - gamma) >= E(G_L),      rho = N(|g| > c) / N(G_L)

The bound is least where the fraction of clipped gradients meets  R = N(|g| > c) / N(G) = alpha / (2^b - 1), so after
each step of training, with beta = 1e-3:

    gamma <- clip(gamma + beta sign(R - alpha / (2^b - 1)), 1e-3, 1)

Weights: clip s_W learned, 2^b - 1 levels in [-s_W, s_W]. Activations: clip u learned, 2^b levels in [0, u], or signed
2^b - 1 levels in [-u, u]. Backward, with r the clipped value: 1 inside the clip, both ends included, else 0; for the
clip itself value / clip - r / clip inside, the sign of x outside. First values: 3 std(W);  3 std(x) / sqrt(1 - 2 / pi),
signed 3 std(x).
"""
from __future__ import annotations

import numpy as np

from refquant.autodiff.engine import Op
from refquant.integers import IntFormat
from refquant.integers.rounding import half_even
from refquant.quantizers.grid import inside, on_grid
from refquant.reals import mean, total

ALPHA, BETA, LEAST_FACTOR, LEAST_CLIP = 1e-3, 1e-3, 1e-3, 1e-8


@Op
def int4_gradient(g, *, clip_factor, bits, rounding=half_even):
    """The gradient ``g`` clipped at ``clip_factor`` times its maximum, on 2^bits - 1 levels: a Fixed.

    rounding : stochastic in the paper (`refquant.integers.Stochastic`).  A gradient of zeros has the clip 1e-8.
    """
    u, clip, format = _gradient_units(g, clip_factor, bits)
    return on_grid(u, clip / format.qmax, format, rounding=rounding)


@int4_gradient.def_backward
def int4_gradient_backward(g, out, x, *, clip_factor, bits, rounding=half_even):
    """Straight through, the clip held constant."""
    u, _, format = _gradient_units(x, clip_factor, bits)
    return np.where(inside(u, format), g, 0.0),


def _gradient_units(g: np.ndarray, clip_factor: float, bits: int):
    if not 0 < clip_factor <= 1:
        raise ValueError(f"clip_factor = {clip_factor}: expected above 0, at most 1")
    clip = clip_factor * float(np.abs(g).max(initial=0.0)) or LEAST_CLIP
    format = IntFormat(bits, narrow=True)
    return g / (clip / format.qmax), clip, format


@Op
def int4_weight(w, clip, *, bits, rounding=half_even):
    """Weights on 2^bits - 1 levels in [-clip, clip]: a Fixed, per tensor.  clip: one positive number, learned."""
    return _clipped(w, clip, IntFormat(bits, narrow=True), rounding)


@int4_weight.def_backward
def int4_weight_backward(g, out, w, clip, *, bits, rounding=half_even):
    return _clip_gradients(g, out, w, clip, IntFormat(bits, narrow=True))


@Op
def int4_activation(x, clip, *, bits, signed=False, rounding=half_even):
    """Activations on 2^bits levels in [0, clip]; signed, 2^bits - 1 levels in [-clip, clip]: a Fixed.  clip as above."""
    return _clipped(x, clip, IntFormat(bits, signed, narrow=signed), rounding)


@int4_activation.def_backward
def int4_activation_backward(g, out, x, clip, *, bits, signed=False, rounding=half_even):
    return _clip_gradients(g, out, x, clip, IntFormat(bits, signed, narrow=signed))


def _clipped(x, clip, format: IntFormat, rounding):
    level = _positive(clip)
    return on_grid(x / level * format.qmax, level / format.qmax, format, rounding=rounding)


def _clip_gradients(g, out, x, clip, format: IntFormat):
    level, low = _positive(clip), -1 if format.signed else 0
    above, below = x > level, x < low * level
    value = out if isinstance(out, np.ndarray) else out.value
    error = value / level - x / level
    slope = np.where(above, 1.0, np.where(below, float(low), error))
    return np.where(above | below, 0.0, g), total(g * slope).reshape(np.shape(clip))


def _positive(clip) -> float:
    if np.size(clip) != 1 or not np.isfinite(clip).all() or not (np.asarray(clip) > 0).all():
        raise ValueError(f"clip = {clip}: expected one positive finite number")
    return float(np.reshape(clip, ()))


def initial_clip(x: np.ndarray, half_normal: bool = False) -> float:
    """3 std(x) (N - 1); for activations after a ReLU, ``half_normal``, that of the normal values behind them."""
    if x.size < 2:
        raise ValueError(f"x has shape {x.shape}: expected at least two elements to take a deviation of")
    difference = x - mean(x)
    deviation = float(np.sqrt(total(difference * difference) / (x.size - 1)))
    return 3 * deviation / float(np.sqrt(1 - 2 / np.pi)) if half_normal else 3 * deviation


def clipped_fraction(g: np.ndarray, clip_factor: float) -> float:
    """R(gamma): the fraction of all gradients beyond ``clip_factor`` times the largest, strictly."""
    size = np.abs(g)
    return float(np.count_nonzero(size > clip_factor * float(size.max(initial=0.0))) / max(g.size, 1))


def target_fraction(bits: int, alpha: float = ALPHA) -> float:
    """alpha / (2^bits - 1): the clipped fraction at which the bound is least."""
    return alpha / (2**bits - 1)


def updated_clip_factor(clip_factor: float, g: np.ndarray, bits: int, alpha: float = ALPHA, beta: float = BETA) -> float:
    """gamma after a step whose unquantized output gradient was ``g``; as it is for a gradient of zeros."""
    if not g.any():
        return clip_factor
    direction = np.sign(clipped_fraction(g, clip_factor) - target_fraction(bits, alpha))
    return float(np.clip(clip_factor + beta * direction, LEAST_FACTOR, 1.0))


def scanned_clip_factor(g: np.ndarray, bits: int, alpha: float = ALPHA, beta: float = BETA) -> float:
    """The authors' first gamma: from 1 down by ``beta`` until a slow mean of R, from 0 up, passes its target.

    m <- (1 - beta) m + beta R(gamma),  gamma <- gamma + beta sign(m - target), until the sign is positive
    """
    slow, clip_factor, target = 0.0, 1.0, target_fraction(bits, alpha)
    if not g.any():
        return clip_factor
    while True:
        slow = (1 - beta) * slow + beta * clipped_fraction(g, clip_factor)
        direction = float(np.sign(slow - target))
        clip_factor = min(max(clip_factor + beta * direction, LEAST_FACTOR), 1.0)
        if direction > 0:
            return clip_factor


def large_gradients(g: np.ndarray, alpha: float = ALPHA) -> np.ndarray:
    """G_L as booleans of g's shape: the round(alpha N) largest magnitudes, at least one; of equals, the first."""
    count = max(1, round(alpha * g.size))
    chosen = np.zeros(g.size, bool)
    chosen[np.argsort(-np.abs(g).reshape(-1), kind="stable")[:count]] = True
    return chosen.reshape(g.shape)


def gradient_errors(g: np.ndarray, quantized: np.ndarray, alpha: float = ALPHA) -> tuple[float, float]:
    """``(E(G), E(G_L))``: mean |Q(g) - g| over all gradients and over the large ones, relative to max|G|."""
    highest = float(np.abs(g).max(initial=0.0))
    if highest == 0:
        raise ValueError("g is 0 everywhere: expected a gradient to take errors relative to")
    error = np.abs(quantized - g) / highest
    return float(mean(error)), float(mean(error[large_gradients(g, alpha)]))


def error_bound(g: np.ndarray, clip_factor: float, bits: int, alpha: float = ALPHA) -> float:
    """ULG: the upper bound of E(G_L) for clips that lie among the large gradients."""
    share = clipped_fraction(g, clip_factor) / alpha
    return (1 - share) * clip_factor / (2**bits - 2) + share * (1 - clip_factor)
