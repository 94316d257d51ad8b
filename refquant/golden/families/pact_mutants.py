"""Mistakes in PACT's gradients: of the accumulator, a mask; of alpha, a sum over two regions."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refquant.golden.families import nonnegative, pact_stimuli
from refquant.golden.mutants import attribute, changed, output
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware.scaling import divide, scaled
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import floor

S32 = IntFormat(32)


@dataclass(frozen=True)
class _Parts:
    """What the gradients are made of, for every accumulator, inside or not: int64."""

    g: np.ndarray
    acc: np.ndarray
    code: np.ndarray  # before it saturates
    value: np.ndarray  # a u in 2^-F, not clipped
    cut: np.ndarray  # the same, rounded down
    between: np.ndarray
    above: np.ndarray
    top: int
    fraction_bits: int

    @classmethod
    def of(cls, attrs: Attrs, inputs: Arrays) -> _Parts:
        g, acc = inputs["in_g"].astype(np.int64), inputs["in_acc"].astype(np.int64)
        multiplier, shift, alpha = (int(inputs[f"in_{name}"][0]) for name in ("multiplier", "shift", "alpha"))
        rounding, fraction_bits = attrs["rounding"], attrs["fraction_bits"]
        value, cut = (scaled(acc, multiplier, shift - fraction_bits, mode) for mode in (rounding, floor))
        return cls(g, acc, scaled(acc, multiplier, shift, rounding), value, cut, (acc > 0) & (acc < alpha),
                   acc >= alpha, 2 ** attrs["bits"] - 1, fraction_bits)

    @property
    def error(self) -> np.ndarray:
        """Between, code less value."""
        return np.where(self.between, (self.code << self.fraction_bits) - self.value, 0)

    def gradient(self, above: np.ndarray, error: np.ndarray) -> int:
        """dalpha with this region above and these errors."""
        return (int(self.g[above].sum()) * self.top << self.fraction_bits) + int((self.g * error).sum())


def _dx(name: str, says: str, mask) -> Mutant:
    """Another mask of dx: ``mask(parts)``."""
    return output(name, says, lambda attrs, inputs, results: results | {
        "out_dx": np.where(mask(_Parts.of(attrs, inputs)), inputs["in_g"], 0).astype(inputs["in_g"].dtype)})


def _dalpha(name: str, says: str, change) -> Mutant:
    """Another gradient of alpha: ``change(parts, dalpha)``."""
    return output(name, says, lambda attrs, inputs, results: results | {
        "out_dalpha": np.array([change(_Parts.of(attrs, inputs), int(results["out_dalpha"][0]))], np.int64)})


def _calibrated(name: str, says: str, change) -> Mutant:
    """Another error in CG-PACT: ``change(parts)``."""
    mutant = _dalpha(name, says, lambda parts, dalpha: parts.gradient(parts.above, change(parts)))
    return Mutant(name, says, lambda reference, attrs, inputs:
                  mutant.run(reference, attrs, inputs) if attrs["calibrated"] else None)


def _by_code(attrs, inputs, results):
    """Both regions told by the saturated code: 0 and a are outside."""
    parts = _Parts.of(attrs, inputs)
    inside, top = (parts.code > 0) & (parts.code < parts.top), parts.code >= parts.top
    error = (parts.code << parts.fraction_bits) - parts.value
    dalpha = parts.gradient(top, np.where(inside & attrs["calibrated"], error, 0))
    return {"out_dx": np.where(inside, inputs["in_g"], 0).astype(inputs["in_g"].dtype),
            "out_dalpha": np.array([dalpha])}


def _g_for_alpha(name: str, says: str, change) -> Mutant:
    """alpha's gradient made from other gradients: ``change(g)``."""
    def run(reference, attrs, inputs):
        wide = inputs | {"in_g": change(inputs["in_g"].astype(np.int64))}
        return {"out_dx": reference(attrs, inputs)["out_dx"], "out_dalpha": reference(attrs, wide)["out_dalpha"]}
    return Mutant(name, says, run)


def _without_last(g: np.ndarray) -> np.ndarray:
    g.reshape(-1)[-1] = 0
    return g


BACKWARD = (
    *nonnegative.roundings(pact_stimuli.ROUNDINGS),
    # where
    changed("alpha_inside", "x = alpha counts as inside: > for >=",
            lambda attrs, inputs: (attrs, inputs | {"in_alpha": inputs["in_alpha"] + 1})),
    _dx("zero_inside", "x = 0 counts as inside: >= for >", lambda parts: parts.between | (parts.acc == 0)),
    _dx("no_mask", "dx is g everywhere", lambda parts: True),
    _dx("not_masked_below", "dx is masked at alpha only", lambda parts: ~parts.above),
    _dx("not_masked_above", "dx has a ReLU's mask: nothing is masked at alpha", lambda parts: parts.acc > 0),
    output("regions_by_code", "the regions are told by the code: 0 and 2^bits - 1 are outside", _by_code),
    # alpha: the calibrated term
    attribute("calibrated_missing", "the calibrated term is missing: PACT's gradient of alpha", "calibrated", False),
    attribute("calibrated_added", "the calibrated term is added in PACT", "calibrated", True),
    _calibrated("calibrated_negated", "the calibrated term is the value less the code", lambda parts: -parts.error),
    _calibrated("calibrated_unclipped", "the calibrated term is not clipped: also below 0 the value is taken away",
                lambda parts: np.where(parts.acc <= 0, -parts.value, parts.error)),
    _calibrated("calibrated_by_code_alone", "the calibrated term is the code: the value is not taken away",
                lambda parts: np.where(parts.between, parts.code << parts.fraction_bits, 0)),
    _calibrated("error_before_rounding", "the error is that of the code before it is rounded, its fraction cut off",
                lambda parts: np.where(parts.between, (floor.shift(parts.value, parts.fraction_bits)
                                                       << parts.fraction_bits) - parts.value, 0)),
    _calibrated("value_cut", "the value that the calibrated term takes away is cut, not rounded",
                lambda parts: np.where(parts.between, (parts.code << parts.fraction_bits) - parts.cut, 0)),
    # alpha: the sum above
    _dalpha("levels_2^bits", "2^bits stands for 2^bits - 1 in the sum above alpha",
            lambda parts, dalpha: dalpha + (int(parts.g[parts.above].sum()) << parts.fraction_bits)),
    _dalpha("fraction_bits_omitted", "the sum above alpha is not shifted to the error's fraction bits",
            lambda parts, dalpha: dalpha + int(parts.g[parts.above].sum())
            * (parts.top - (parts.top << parts.fraction_bits))),
    # alpha: both sums
    _g_for_alpha("magnitudes", "alpha's gradient sums |g|", np.abs),
    _g_for_alpha("neighbours_g", "alpha's gradient takes every neighbour's g", lambda g: np.roll(g, -1)),
    _g_for_alpha("last_term_dropped", "the last term of alpha's gradient is dropped", _without_last),
    _dalpha("averaged", "alpha's gradient is averaged over the elements",
            lambda parts, dalpha: int(divide(dalpha, parts.g.size))),
    _dalpha("dalpha_32_bits", "alpha's gradient wraps in 32 bits", lambda parts, dalpha: int(S32.wrap(dalpha))),
)
