"""Banner, Hubara, Hoffer, Soudry 2018: Scalable Methods for 8-bit Training of Neural Networks (arXiv 1805.11046).

Every tensor is quantized on the range [a, b] it covers, in M bits.

    paper, GEMMLOWP     a <- min(a, 0), b <- max(b, 0),  s = (b - a) / (2^M - 1),  z = round(-a / s)
                        codes = round(clip(x / s + z, 0, 2^M - 1)),  value = s (codes - z)        0 is exact
    authors' code       s = max((b - a) / (2^M - 1), 1e-8)
                        codes = round(clip((x - a) / s, 0, 2^M - 1)),  value = s codes + a         0 is not

Backward, both: the identity, also where x is clipped. (The derivative with the whole quantization error constant.)

    weights        the tensor's min and max                          rounded to nearest
    activations    the batch's mean of each sample's min and max; in evaluation their running means
    gradients      the tensor's min and max                          rounded stochastically

Gradient bifurcation: the input gradient is made of the output gradient in 8 bits, the weight gradient of a copy in 16
bits, or of the output gradient itself (sections 1 and 4 say either): the two gradient quantizers of a product differ.

Range BN is `refquant.autodiff.normalization.range_batch_norm`.

Notes: the paper rounds activations to nearest; the authors' code rounds them stochastically, by an argument in the
wrong place, which is not imitated here. The floor 1e-8 of its step destroys gradients that span less than 255e-8.
"""
from __future__ import annotations

import numpy as np

from refquant.autodiff.engine import Op
from refquant.autodiff.values import with_offset
from refquant.integers import IntFormat, affine
from refquant.integers.rounding import Frozen, half_even
from refquant.quantizers.grid import Units, check_variant, on_grid, some_width
from refquant.reals import mean

__all__ = ["banner_quantize", "per_sample_range", "tensor_range", "update_running"]

LEAST_STEP = 1e-8  # of the authors' code


@Op
def banner_quantize(x, *, range_min, range_max, bits, rounding=half_even, variant="paper"):
    """``x`` on the range [range_min, range_max] in ``bits`` unsigned bits.

    x : reals, any shape; infinities have the outer codes.
    range_min, range_max : one number each, in x's units, range_min <= range_max.
    bits : 2 to 32.
    rounding : a mode, its name, `Stochastic` or `refquant.quantizers.grid.Dithered`; with `Frozen` the result is reals.
    variant : "paper", on the range widened to hold 0 ([0, 0] counts as [0, 1e-8]), or "authors", on the range itself,
        in steps of at least 1e-8.

    Returns a Fixed of x's shape, per tensor; "authors" a FixedSum, of the codes and of range_min, where that is not 0.
    Backward: the identity, which is the derivative with the whole quantization error, clipping too, held constant.

    Raises ValueError for NaN in ``x``, a range that is not finite, is the wrong way round, or so wide or narrow that
    float64 or the zero point's int32 does not hold its grid, and for an unknown choice.

    Source: Banner 2018 names GEMMLOWP and leaves the details to an appendix that was not at hand; "paper" is the scheme
    of google/gemmlowp, doc/quantization_example.cc; "authors" the authors' released code, quantized.pytorch.
    """
    format = IntFormat(bits, signed=False)
    if check_variant(variant) == "authors":
        scale = _authors_scale(range_min, range_max, format)
        grid = on_grid(x, scale, format, units=Units(range_min, scale), rounding=rounding)
        return grid + range_min if isinstance(rounding, Frozen) else with_offset(grid, float(range_min))
    scale, zero_point = affine.gemmlowp(*some_width(range_min, range_max), format)
    return on_grid(x, scale, format, units=Units(divisor=scale, after=zero_point), zero_point=zero_point,
                   rounding=rounding)


@banner_quantize.def_backward
def banner_quantize_backward(g, out, x, *, range_min, range_max, bits, rounding=half_even, variant="paper"):
    return g,


def _authors_scale(range_min, range_max, format: IntFormat) -> float:
    width = float(range_max) - float(range_min)  # plain floats: infinite without a warning
    if not 0 <= width < np.inf:
        raise ValueError(f"range [{range_min!r}, {range_max!r}]: expected finite numbers, range_min <= range_max")
    return max(width / format.qmax, LEAST_STEP)


def tensor_range(x: np.ndarray) -> tuple[float, float]:
    """``(min, max)`` of the whole tensor, in its units: the range of weights and of gradients.

    x : reals, any shape; a NaN among them makes both NaN.

    Raises ValueError for an ``x`` without elements.

    Source: Banner 2018's authors' code, where the paper does not say.
    """
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}: expected at least one element to take a range of")
    return float(x.min()), float(x.max())


def per_sample_range(x: np.ndarray) -> tuple[float, float]:
    """``(mean min, mean max)`` over the batch of each sample's min and max: the range of activations in training.

    x : reals [B, ...].

    Raises ValueError for an ``x`` without elements.

    Source: Banner 2018's authors' code (the paper takes ranges from Range BN, where there is one). The means are summed
    in refquant's own fixed order.
    """
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}: expected at least one element to take a range of")
    samples = np.asarray(x, np.float64).reshape(len(x), -1)
    return float(mean(samples.min(1))), float(mean(samples.max(1)))


def update_running(running, batch, momentum: float = 0.1):
    """``momentum * running + (1 - momentum) * batch``: the authors' running mean, which keeps a tenth of the past.

    running, batch : reals of one shape, any shape; what ran so far, 0 at first, and what this batch shows.
    momentum : one number, the weight of the past. (PyTorch's batch norm uses it the other way round.)

    Raises nothing of its own.

    Source: Banner 2018's authors' code, whose evaluation uses the result; not in the paper.
    """
    return momentum * running + (1 - momentum) * batch
