"""The methods, one file a paper: what its quantizers learn and collect, and its table of which sits where.

A method's name is its paper's short name and the bits: `banner-8` (weights, activations and gradients in 8), `banner-4`
(gradients in 4), `sat-8` to `sat-2` and `n2uq-4` to `n2uq-2` (weights and activations), `hindsight-8`, `int4-4` and the
like (all three). `float` is full precision. `banner-8+hindsight` finds Banner's ranges in hindsight: so do
`int4-4+hindsight`, and `+running` or `+current` in all three papers that estimate ranges.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from refquant.quantizers.grid import check_variant
from refquant.quantizers.hindsight import NAMES, Estimator
from refquant.training.methods import banner, hindsight, int4, n2uq, sat
from refquant.training.optimizers import SGD, Group
from refquant.training.quantizing import Recipe

__all__ = ["recipe"]

PAPERS: dict[str, tuple[Callable[..., Recipe], tuple[int, ...], int]] = {  # the recipe, its bits, the usual bits
    "banner": (banner.recipe, tuple(range(2, 9)), 8),
    "sat": (sat.recipe, tuple(range(2, 9)), 4),
    "n2uq": (n2uq.recipe, tuple(range(2, 9)), 2),
    "hindsight": (hindsight.recipe, tuple(range(2, 9)), 8),
    "int4": (int4.recipe, tuple(range(3, 9)), 4),
}
ESTIMATING = ("banner", "hindsight", "int4")
COMPARED = ("float", "banner-8", "banner-4", "sat-8", "sat-4", "sat-3", "sat-2", "n2uq-4", "n2uq-3", "n2uq-2",
            "hindsight-8", "int4-4", "int4-5")


def recipe(name: str, variant: str = "paper") -> Recipe:
    """The `Recipe` of a method's name: which quantizer sits at each product; tensors of any shape.

    name : "float", or a paper's short name, perhaps with bits and an estimator: "banner-8", "int4-4+hindsight".
    variant : "paper" or "authors".

    Raises ValueError for a name, a number of bits, an estimator or a variant that there is not.

    Source: Banner 2018, Jin 2019, Liu 2022, Fournarakis 2021, Kim 2024; see the method's own ``recipe``.
    """
    check_variant(variant)
    if name == "float":
        return Recipe("float", groups={"weight": Group(SGD(), decay=1e-4)})
    given, _, estimator = name.partition("+")
    paper, _, bits = given.partition("-")
    if paper not in PAPERS:
        raise ValueError(f"method {name!r}: expected float, or one of {', '.join(PAPERS)}, with bits: banner-8")
    make, allowed, usual = PAPERS[paper]
    if bits and (not bits.isdecimal() or int(bits) not in allowed):
        raise ValueError(f"method {name!r}: {paper} has {', '.join(f'{paper}-{b}' for b in allowed)}")
    how = {}
    if estimator:
        if paper not in ESTIMATING or estimator not in NAMES:
            raise ValueError(f"method {name!r}: expected {', '.join(f'+{known}' for known in NAMES)} after "
                             f"{', '.join(ESTIMATING)}")
        how["estimator"] = Estimator(estimator)
    found = make(int(bits or usual), variant=variant, **how)
    return replace(found, name=f"{found.name}+{estimator}") if estimator else found
