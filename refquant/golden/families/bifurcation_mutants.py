"""Mistakes with the two copies of a gradient, the two accumulators and the two shifts.

dx depends on one copy and dw on the other: a mistake in a copy is that gradient of other codes.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refquant.golden.families import chance, product_mutants
from refquant.golden.families.bifurcation import ACCUMULATOR, COPY, S16, Layer, answer, narrowed, unlimited
from refquant.golden.mutants import attribute, changed, output, roundings
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.integers.accumulator import Accumulator
from refquant.integers.formats import IntFormat
from refquant.integers.stochastic import Stochastic

Copied = Callable[[Attrs, Arrays, Arrays], np.ndarray]


def of_layer(layer: Layer) -> tuple[Mutant, ...]:
    """What is the same for matrix products and convolutions."""
    return (*roundings(), *(_of_copy(layer, *mistake) for mistake in OF_COPIES), *OF_CASES, *_random_bits(),
            *product_mutants.of_operand("x"), *product_mutants.of_operand("w"), _wraps("dx"), _wraps("dw"),
            *(_narrower("dx", bits) for bits in (16, 20, 24, 31)), *(_narrower("dw", bits) for bits in (24, 32, 40)),
            _saturating(layer))


def only(gradient: str, mutant: Mutant) -> Mutant:
    """``mutant`` of which only "dx" or "dw" is kept."""
    def run(reference, attrs, inputs):
        wrong = mutant.run(reference, attrs, inputs)
        names = (COPY[gradient], f"mid_acc_{gradient}", f"out_{gradient}")
        return None if wrong is None else reference(attrs, inputs) | {name: wrong[name] for name in names}
    return Mutant(mutant.name, mutant.says, run)


# Copies.

def _of_copy(layer: Layer, name: str, says: str, gradient: str, copy: Copied) -> Mutant:
    def change(attrs, inputs, results):
        acc = layer.accumulate[gradient](attrs, inputs, copy(attrs, inputs, results), ACCUMULATOR[gradient])
        return results | {f"out_{gradient}": answer(attrs, gradient, acc)}
    return output(name, says, change)


def _by_chance(attrs: Attrs, inputs: Arrays, copy: int) -> np.ndarray:
    return unlimited(inputs, copy, Stochastic(inputs["rbits_g"], attrs["n"]))


def _few(attrs: Attrs, narrow: bool = False) -> IntFormat:
    return IntFormat(attrs["input_bits"], narrow=narrow)


def _from_1(attrs, inputs, results):
    """r + 1 = 2^n is a whole unit: no random bits, and the next code."""
    top, r = (1 << attrs["n"]) - 1, inputs["rbits_g"].astype(np.int64)
    codes = _by_chance(attrs, inputs | {"rbits_g": (r + 1) & top}, 0)
    return _few(attrs).saturate(codes + (r == top))


def _sign_magnitude(attrs, inputs, results):
    g = inputs["in_g"].astype(np.int64)
    return _few(attrs).saturate(np.sign(g) * _by_chance(attrs, inputs | {"in_g": np.abs(g)}, 0))


# name, clause, the gradient made of it, (attrs, inputs, results) -> the copy
OF_COPIES: tuple[tuple[str, str, str, Copied], ...] = (
    ("input_copy_for_both", "the weight gradient takes the few-bit copy too", "dw",
     lambda attrs, inputs, results: results["mid_g_input"]),
    ("weight_copy_for_both", "the input gradient takes the 16-bit copy too", "dx",
     lambda attrs, inputs, results: results["mid_g_weight"]),
    ("weight_copy_stochastic", "the 16-bit copy is rounded by the random bits too", "dw",
     lambda attrs, inputs, results: S16.saturate(_by_chance(attrs, inputs, 1))),
    ("input_copy_half_even", "the few-bit copy is rounded half to even, not stochastically", "dx",
     lambda attrs, inputs, results: _few(attrs).saturate(unlimited(inputs, 0, "half_even"))),
    ("weight_copy_wraps", "the 16-bit copy wraps instead of saturating", "dw",
     lambda attrs, inputs, results: S16.wrap(unlimited(inputs, 1, attrs["rounding"]))),
    ("input_copy_wraps", "the few-bit copy wraps instead of saturating", "dx",
     lambda attrs, inputs, results: _few(attrs).wrap(_by_chance(attrs, inputs, 0))),
    ("input_copy_narrow", "the most negative code of the few-bit copy is not used", "dx",
     lambda attrs, inputs, results: _few(attrs, narrow=True).saturate(_by_chance(attrs, inputs, 0))),
    (chance.FROM_1.name, chance.FROM_1.says, "dx", _from_1),
    ("sign_magnitude", "magnitudes are rounded instead of taking the floor", "dx", _sign_magnitude),
)


# Random bits.

def _renamed(mutant: Mutant) -> Mutant:
    """A mutant of flat ``rbits_y``, for ``rbits_g`` of g's shape."""
    def run(reference, attrs, inputs):
        rbits = inputs["rbits_g"]

        def shaped(attrs, inputs):
            return reference(attrs, inputs | {"rbits_g": inputs["rbits_y"].reshape(rbits.shape)})
        return mutant.run(shaped, attrs, inputs | {"rbits_y": rbits.reshape(-1)})
    return Mutant(mutant.name, mutant.says, run)


def _aligned_to_the_lowest(attrs, inputs):
    shift = int(inputs["in_shift"][0])
    return (attrs | {"n": shift}, inputs) if attrs["n"] < shift else None


def _random_bits() -> tuple[Mutant, ...]:
    return (*map(_renamed, chance.RBITS_MUTANTS),
            changed("bits_at_wrong_end", "the random bits are aligned to the lowest bit", _aligned_to_the_lowest))


# Scales, shifts and accumulators.

def _shifts_exchanged(attrs, inputs):
    dx, dw = attrs["dx_shift"], attrs["dw_shift"]
    return None if dx == dw else (attrs | {"dx_shift": dw, "dw_shift": dx}, inputs)


OF_CASES = (
    changed("scales_exchanged", "each copy takes the other's scale", lambda attrs, inputs: (
        attrs, inputs | {name: inputs[name][::-1] for name in ("in_multiplier", "in_shift")})),
    attribute("input_copy_of_8_bits", "the few-bit copy saturates at 8 bits", "input_bits", 8),
    changed("shifts_exchanged", "dx takes the shift of dw, and dw that of dx", _shifts_exchanged),
)


def _wraps(gradient: str) -> Mutant:
    def change(attrs, inputs, results):
        wide = narrowed(attrs, gradient, results[f"mid_acc_{gradient}"])
        return results | {f"out_{gradient}": IntFormat.parse(attrs[f"{gradient}_format"]).wrap(wide)}
    return output(f"{gradient}_wraps", f"codes outside the format of {gradient} wrap", change)


def _narrower(gradient: str, bits: int) -> Mutant:
    def change(attrs, inputs, results):
        acc = IntFormat(bits).wrap(results[f"mid_acc_{gradient}"])
        return results | {f"out_{gradient}": answer(attrs, gradient, acc)}
    return output(f"accumulator_{gradient}_{bits}", f"the accumulator of {gradient} has {bits} bits", change)


def _saturating(layer: Layer) -> Mutant:
    def change(attrs, inputs, results):
        exact = layer.accumulate["dx"](attrs, inputs, results["mid_g_input"], Accumulator(64))
        return results | {"out_dx": answer(attrs, "dx", ACCUMULATOR["dx"].format.saturate(exact))}
    return output("accumulator_dx_saturates", "the accumulator of dx saturates at the end", change)
