"""Mistakes in a step of SGD: in what is added up, in the order of things, in the rounding of the step, at the ends."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refquant.golden.families import chance
from refquant.golden.families.update_stimuli import ROUNDINGS
from refquant.golden.mutants import attribute, changed, output, roundings
from refquant.golden.operation import Arrays, Attrs, Mutant
from refquant.hardware import sgd
from refquant.hardware.scaling import Scale, scaled
from refquant.integers.formats import IntFormat
from refquant.integers.rounding import Rounding, half_even
from refquant.integers.stochastic import Stochastic

Change = Callable[[Attrs, Arrays, Arrays], Arrays]


def scale(inputs: Arrays, name: str) -> Scale:
    return int(inputs[f"in_{name}_multiplier"][0]), int(inputs[f"in_{name}_shift"][0])


def constants(inputs: Arrays) -> sgd.Constants:
    """The case's three scales."""
    return sgd.Constants(*(scale(inputs, name) for name in sgd.Constants._fields))


def chance_of(attrs: Attrs, inputs: Arrays) -> Stochastic:
    """The rounding of the case's step."""
    return Stochastic(inputs["rbits_w"], attrs["n"])


def _direct(attrs: Attrs, v: np.ndarray, d: np.ndarray) -> np.ndarray:
    """m: what the step is the rate times of."""
    return sgd.accumulated(v, d, attrs["momentum"], attrs["rounding"]) if attrs["nesterov"] else v


def _moved(attrs: Attrs, inputs: Arrays, results: Arrays, m: np.ndarray,
           rounding: Rounding | Stochastic | None = None) -> Arrays:
    """The results where w moves by ``m``, perhaps rounded otherwise."""
    rounded, w, flags = sgd.moved(inputs["state0_w"], m, scale(inputs, "rate"), IntFormat.parse(attrs["w_format"]),
                                  rounding or chance_of(attrs, inputs))
    return results | {"out_rounded": rounded, "state1_w": w, "flags_w": flags}


def _stepped(attrs: Attrs, inputs: Arrays, results: Arrays, rounded: np.ndarray) -> Arrays:
    """The results where this integer is taken from w."""
    w = IntFormat.parse(attrs["w_format"]).saturate(inputs["state0_w"].astype(np.int64) - rounded)
    return results | {"out_rounded": rounded, "state1_w": w}


def _pushed(attrs: Attrs, inputs: Arrays, results: Arrays, v: np.ndarray, d: np.ndarray) -> Arrays:
    """The results of another memory after the step."""
    return _moved(attrs, inputs, results | {"state1_v": v.astype(np.int32)}, _direct(attrs, v, d))


def _right_m(attrs: Attrs, results: Arrays) -> np.ndarray:
    return _direct(attrs, results["state1_v"], results["mid_d"])


# What is added up, and when.


def _dampened(attrs, inputs, results):
    d = scaled(results["mid_d"], (1 << sgd.MOMENTUM_BITS) - attrs["momentum"], sgd.MOMENTUM_BITS, attrs["rounding"])
    v = sgd.accumulated(inputs["state0_v"], d, attrs["momentum"], attrs["rounding"])
    return _pushed(attrs, inputs, results, v, d)


def _limited_v(limit: Callable[[np.ndarray], np.ndarray]) -> Change:
    """The memory brought into another format: ``limit(momentum v + d)``."""
    def change(attrs, inputs, results):
        kept = scaled(inputs["state0_v"], attrs["momentum"], sgd.MOMENTUM_BITS, attrs["rounding"])
        v = limit(kept + results["mid_d"]).astype(np.int64)
        return _pushed(attrs, inputs, results, v, results["mid_d"])
    return change


def _decoupled(attrs, inputs, results):
    without = inputs | {"in_decay_multiplier": np.zeros(1, np.int32)}
    d = sgd.direction(inputs["state0_w"], inputs["in_g"], constants(without), attrs["rounding"])
    v = sgd.accumulated(inputs["state0_v"], d, attrs["momentum"], attrs["rounding"])
    decay = scaled(inputs["state0_w"], *scale(inputs, "decay"), attrs["rounding"])
    return _moved(attrs, inputs, results | {"state1_v": v}, _direct(attrs, v, d) + decay)


def _rate_first(attrs, inputs, results):
    step = scaled(results["mid_d"], *scale(inputs, "rate"), chance_of(attrs, inputs))
    v = sgd.accumulated(inputs["state0_v"], step, attrs["momentum"], attrs["rounding"])
    return _stepped(attrs, inputs, results | {"state1_v": v}, _direct(attrs, v, step).astype(np.int64))


OF_SUMS = (
    output("dampened", "the gradient is multiplied by 1 - momentum before it joins v", _dampened),
    output("v_not_updated", "v stays as it was",
           lambda attrs, inputs, results: results | {"state1_v": inputs["state0_v"]}),
    output("moved_by_old_v", "w moves by the v of before",
           lambda attrs, inputs, results: _moved(attrs, inputs, results,
                                                 _direct(attrs, inputs["state0_v"], results["mid_d"]))),
    attribute("momentum_missing", "v is the new gradient alone", "momentum", 0),
    changed("decay_left_out", "the weight decay is left out",
            lambda attrs, inputs: (attrs, inputs | {"in_decay_multiplier": np.zeros(1, np.int32)})),
    changed("decay_sign", "the weight decay is subtracted: weights grow",
            lambda attrs, inputs: (attrs, inputs | {"in_decay_multiplier": -inputs["in_decay_multiplier"]})),
    output("decoupled_decay", "the weight decay joins the step, not v", _decoupled),
    attribute("plain->nesterov", "the step looks ahead: d + momentum v", "nesterov", True),
    attribute("nesterov->plain", "the step is v itself", "nesterov", False),
    output("rate_before_momentum", "the rate multiplies the gradient before v accumulates it", _rate_first),
    output("v_wraps", "v wraps outside 32 bits", _limited_v(IntFormat(32).wrap)),
    output("v_in_24_bits", "v saturates at 24 bits", _limited_v(IntFormat(24).saturate)),
)

# How the step is rounded.


def _on_w(mutant: Mutant) -> Mutant:
    """A mistake with the random bits of y, made with those of w."""
    def run(reference, attrs, inputs):
        def renamed(attrs, inputs):
            return reference(attrs, {"rbits_w" if name == "rbits_y" else name: array for name, array in inputs.items()})
        return mutant.run(renamed, attrs, {"rbits_y" if name == "rbits_w" else name: array
                                           for name, array in inputs.items()})
    return Mutant(mutant.name, mutant.says, run)


def _from_1(attrs, inputs, results):
    last = (1 << attrs["n"]) - 1
    rbits = inputs["rbits_w"].astype(np.int64)
    one_more = Stochastic((rbits + 1) & last, attrs["n"])  # 2^n is a whole unit
    return _stepped(attrs, inputs, results,
                    scaled(_right_m(attrs, results), *scale(inputs, "rate"), one_more) + (rbits == last))


def _at_wrong_end(attrs, inputs, results):
    shift = scale(inputs, "rate")[1]
    if attrs["n"] >= shift:
        return None
    return _moved(attrs, inputs, results, _right_m(attrs, results), Stochastic(inputs["rbits_w"], shift))


def _sign_magnitude(attrs, inputs, results):
    m = _right_m(attrs, results).astype(np.int64)
    return _stepped(attrs, inputs, results,
                    np.sign(m) * scaled(np.abs(m), *scale(inputs, "rate"), chance_of(attrs, inputs)))


def _weight_rounded(attrs, inputs, results):
    m = _right_m(attrs, results).astype(np.int64)
    return _stepped(attrs, inputs, results, -scaled(-m, *scale(inputs, "rate"), chance_of(attrs, inputs)))


OF_STEPS = (
    *map(_on_w, chance.RBITS_MUTANTS),
    output("r_from_1_to_2^n", "r lies in (0, 2^n] instead of [0, 2^n)", _from_1),
    output("bits_at_wrong_end", "the random bits are aligned to the lowest bit", _at_wrong_end),
    output("sign_magnitude", "magnitudes are rounded instead of taking the floor", _sign_magnitude),
    output("weight_rounded", "w less the step is rounded instead of the step", _weight_rounded),
    output("stochastic->half_even", "the step is rounded half to even",
           lambda attrs, inputs, results: _moved(attrs, inputs, results, _right_m(attrs, results), half_even)),
)

# How w takes it.


def _wraps(attrs, inputs, results):
    w = inputs["state0_w"].astype(np.int64) - results["out_rounded"]
    return results | {"state1_w": IntFormat.parse(attrs["w_format"]).wrap(w)}


def _added(attrs, inputs, results):
    w = inputs["state0_w"].astype(np.int64) + results["out_rounded"]
    return results | {"state1_w": IntFormat.parse(attrs["w_format"]).saturate(w)}


OF_WEIGHTS = (
    output("step_added", "the step is added to w", _added),
    output("wraps", "weights outside the format wrap", _wraps),
)

MUTANTS = (*OF_SUMS, *OF_STEPS, *OF_WEIGHTS, *roundings(ROUNDINGS))
