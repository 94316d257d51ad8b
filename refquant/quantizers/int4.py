"""Kim, Lee, Jeon, Moon, Ham 2024: Toward INT4 Fixed-Point Training via Exploring Quantization Error for Gradients
(arXiv 2407.12637). Read through the authors' code and a summary: the paper's equation numbers are not known to us.

Gradients G, b bits, clip factor gamma in (0, 1], 2^b - 1 levels with 0 among them, rounded stochastically:

    c = gamma max|G|,  step = c / (2^(b-1) - 1),  value = step * round(clip((G + c) / step, 0, 2^b - 2)) - c

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
from refquant.quantizers.grid import Units, compiles, finite_highest, on_grid, passed
from refquant.reals import mean, sample_variance, total

__all__ = ["clipped_fraction", "error_bound", "gradient_errors", "initial_clip", "int4_activation", "int4_gradient",
           "int4_weight", "large_gradients", "scanned_clip_factor", "target_fraction", "updated_clip_factor"]

ALPHA, BETA, LEAST_FACTOR, LEAST_CLIP = 1e-3, 1e-3, 1e-3, 1e-8


@Op
def int4_gradient(g, *, clip_factor, bits, rounding=half_even, max_abs=None):
    """The gradient ``g`` clipped at ``clip_factor`` times its maximum, on 2^bits - 1 levels: a Fixed, per tensor.

    g : reals, any shape; one of zeros has the clip 1e-8.  clip_factor : gamma, one number, 0 < gamma <= 1.
    bits : 2 to 32.  rounding : a mode, its name, `Stochastic` (the paper's) or `Dithered` (the authors' code's).
    max_abs : one number, a maximum estimated before ``g`` was known, in place of its own.
    Backward: g where |g| <= clip, else 0: the derivative of the clip to a constant level.

    Raises ValueError for NaN in ``g``, infinities unless ``max_abs`` is given, a clip_factor or max_abs outside its
    limits, a clip too small for a step, and an unknown rounding.
    Source: Kim 2024, grad_quant of the authors' code; max_abs is refquant's own, for in-hindsight ranges.
    """
    clip, format = _gradient_clip(g, clip_factor, max_abs), IntFormat(bits, narrow=True)
    scale = clip / format.qmax
    if scale == 0:
        raise ValueError(f"g has the clip {clip}: its step is below the smallest float64")
    return _from_the_lowest(g, Units(divisor=scale, after=-format.qmin), scale, format, rounding)


@int4_gradient.def_backward
def int4_gradient_backward(g, out, x, *, clip_factor, bits, rounding=half_even, max_abs=None):
    """Straight through, the clip held constant."""
    clip = _gradient_clip(x, clip_factor, max_abs)
    return passed(g, x, -clip, clip),


def _gradient_clip(g: np.ndarray, clip_factor: float, max_abs: float | None) -> float:
    if not 0 < clip_factor <= 1:
        raise ValueError(f"clip_factor = {clip_factor}: expected above 0, at most 1")
    used = finite_highest(g, "g") if max_abs is None else float(max_abs)
    if not 0 <= used < np.inf:
        raise ValueError(f"max_abs = {max_abs}: expected a finite number, not negative")
    return clip_factor * used or LEAST_CLIP


@Op
def int4_weight(w, clip, *, bits, rounding=half_even):
    """Weights on 2^bits - 1 levels in [-clip, clip]: a Fixed of their shape, per tensor.

    w : reals, any shape.  clip : one positive number, learned, in w's units.  bits, rounding : as for `int4_gradient`.
    Backward: the derivative with the rounding error, in steps, held constant.
    Raises ValueError for NaN in ``w``, a clip that is not one positive finite number, and an unknown rounding.
    Source: Kim 2024, w_quan of the authors' code.
    """
    return _clipped(w, clip, IntFormat(bits, narrow=True), rounding)


@int4_weight.def_backward
def int4_weight_backward(g, out, w, clip, *, bits, rounding=half_even):
    return _clip_gradients(g, out, w, clip, IntFormat(bits, narrow=True))


@Op
def int4_activation(x, clip, *, bits, signed=False, rounding=half_even):
    """Activations on 2^bits levels in [0, clip]; ``signed``, on 2^bits - 1 in [-clip, clip]: a Fixed, per tensor.

    x : reals, any shape.  clip, bits, rounding, and Backward: as for `int4_weight`.
    Raises ValueError as `int4_weight` does.
    Source: Kim 2024, a_quan of the authors' code.
    """
    return _clipped(x, clip, IntFormat(bits, signed, narrow=signed), rounding)


@int4_activation.def_backward
def int4_activation_backward(g, out, x, clip, *, bits, signed=False, rounding=half_even):
    return _clip_gradients(g, out, x, clip, IntFormat(bits, signed, narrow=signed))


def _clipped(x, clip, format: IntFormat, rounding):
    level = _positive(clip)
    units = Units(divisor=level, times=format.qmax, after=-format.qmin)
    return _from_the_lowest(x, units, level / format.qmax, format, rounding)


def _from_the_lowest(x: np.ndarray, units: Units, scale: float, format: IntFormat, rounding):
    """On the grid, rounded as a count of steps from its lowest level: that tells which of two levels a tie goes to."""
    return on_grid(x, scale, format, units=units, rounding=rounding, plus=format.qmin)


def _clip_gradients(g, out, x, clip, format: IntFormat):
    level, low = _positive(clip), -1 if format.signed else 0
    if compiles(x):
        from refquant.quantizers import clip_kernels
        if clip_kernels.takes(out):
            g_x, g_clip = clip_kernels.int4(g, out, x, low * level, level)
            return g_x, g_clip.reshape(np.shape(clip))
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
    """3 std(x) (N - 1), one number, for ``x`` of any shape; ``half_normal``: that of the normal values behind a ReLU.

    Raises ValueError for fewer than two elements.
    Source: Kim 2024's authors' code.
    """
    deviation = float(np.sqrt(sample_variance(x)))
    return 3 * deviation / float(np.sqrt(1 - 2 / np.pi)) if half_normal else 3 * deviation


def clipped_fraction(g: np.ndarray, clip_factor: float) -> float:
    """R(gamma): the fraction of all gradients ``g`` (any shape) beyond ``clip_factor`` times the largest, strictly.

    Raises ValueError for a ``g`` that is not finite.
    Source: Kim 2024; strictly: the authors' code.
    """
    return _fraction_beyond(g, clip_factor * finite_highest(g, "g"))


def _fraction_beyond(g: np.ndarray, clip: float) -> float:
    return float((np.count_nonzero(g > clip) + np.count_nonzero(g < -clip)) / max(g.size, 1))


def target_fraction(bits: int, alpha: float = ALPHA) -> float:
    """``alpha / (2^bits - 1)``, one number: the clipped fraction at which the bound is least (alpha: of large ones).

    Raises nothing of its own.
    Source: Kim 2024, where the bound's slope is 0, R itself held constant.
    """
    return alpha / (2**bits - 1)


def updated_clip_factor(clip_factor: float, g: np.ndarray, bits: int, alpha: float = ALPHA, beta: float = BETA,
                        max_abs: float | None = None) -> float:
    """gamma after a step whose unquantized output gradient was ``g``; as it is for a gradient of zeros.

    clip_factor : gamma before it, one number.  g : reals, any shape.  max_abs : max|g|, where it is known already.
    bits, alpha : as for `target_fraction`.  beta : how far gamma moves, one number.

    Raises ValueError for a ``g`` that is not finite, unless ``max_abs`` is given.
    Source: Kim 2024, update_interval of the authors' code.
    """
    largest = finite_highest(g, "g") if max_abs is None else max_abs
    if largest == 0:
        return clip_factor
    direction = np.sign(_fraction_beyond(g, clip_factor * largest) - target_fraction(bits, alpha))
    return float(np.clip(clip_factor + beta * direction, LEAST_FACTOR, 1.0))


def scanned_clip_factor(g: np.ndarray, bits: int, alpha: float = ALPHA, beta: float = BETA) -> float:
    """The authors' first gamma: from 1 down by ``beta`` until a slow mean of R, from 0 up, passes its target.

        m <- (1 - beta) m + beta R(gamma),  gamma <- gamma + beta sign(m - target), until the sign is positive

    g : reals, any shape: the first gradient; of zeros gamma is 1.  bits, alpha : as for `target_fraction`.

    Raises ValueError for a ``g`` that is not finite.
    Source: Kim 2024's authors' code, which does not end for a gradient of zeros.
    """
    slow, clip_factor, target = 0.0, 1.0, target_fraction(bits, alpha)
    if not g.any():
        return clip_factor
    while True:
        fraction = clipped_fraction(g, clip_factor)
        if clip_factor == LEAST_FACTOR and fraction <= target:
            return clip_factor
        slow = (1 - beta) * slow + beta * fraction
        direction = float(np.sign(slow - target))
        clip_factor = min(max(clip_factor + beta * direction, LEAST_FACTOR), 1.0)
        if direction > 0:
            return clip_factor


def large_gradients(g: np.ndarray, alpha: float = ALPHA) -> np.ndarray:
    """G_L as booleans of the shape of ``g``, any: its round(``alpha`` N) largest magnitudes, at least one.

    Raises nothing of its own.
    Source: Kim 2024; that of equals the first is taken is refquant's own.
    """
    count = max(1, round(alpha * g.size))
    chosen = np.zeros(g.size, bool)
    chosen[np.argsort(-np.abs(g).reshape(-1), kind="stable")[:count]] = True
    return chosen.reshape(g.shape)


def gradient_errors(g: np.ndarray, quantized: np.ndarray, alpha: float = ALPHA) -> tuple[float, float]:
    """``(E(G), E(G_L))``: mean |Q(g) - g| over all gradients and over the large ones (``alpha``), relative to max|G|.

    g, quantized : reals of one shape, any shape.

    Raises ValueError for a ``g`` that is not finite, or 0 everywhere.
    Source: Kim 2024, as the authors' code logs them.
    """
    highest = finite_highest(g, "g")
    if highest == 0:
        raise ValueError("g is 0 everywhere: expected a gradient to take errors relative to")
    error = np.abs(quantized - g) / highest
    return float(mean(error)), float(mean(error[large_gradients(g, alpha)]))


def error_bound(g: np.ndarray, clip_factor: float, bits: int, alpha: float = ALPHA) -> float:
    """ULG of ``g`` (any shape), one number: the upper bound of E(G_L) for clips that lie among the large gradients.

    clip_factor, bits, alpha : as for `updated_clip_factor`.

    Raises ValueError for a ``g`` that is not finite.
    Source: derived by us; where it is least, with R held constant, is Kim 2024's condition.
    """
    large = max(1, round(alpha * g.size))
    share = min(1.0, clipped_fraction(g, clip_factor) * g.size / large)
    return (1 - share) * clip_factor / (2**bits - 2) + share * (1 - clip_factor)
