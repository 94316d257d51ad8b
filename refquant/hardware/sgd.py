"""SGD with momentum on fixed-point master weights, its step rounded stochastically, as an accelerator computes it.

    real      d = g + decay w,   v' = momentum v + d,   w' = w - rate (v', or with Nesterov d + momentum v')

In integers w stands for w w_scale, v for v v_scale, g for g g_scale. Divided by v_scale, and the last line by w_scale:

    d  = scaled(g, ratio(g_scale / v_scale)) + scaled(w, ratio(decay w_scale / v_scale))
    v' = saturate(scaled(v, momentum, 15) + d, s32)                          momentum in 2^-15: 0.9 is 29491
    m  = v',  with Nesterov saturate(d + scaled(v', momentum, 15), s32)
    w' = saturate(w - round_stochastic(m ratio(rate v_scale / w_scale)), w_format)

Each `scaled` rounds on its own, by one named rounding. The step alone takes random bits: a rate that moves w by less
than one unit of its last place still moves it by the right amount on average, which no deterministic rounding does.
"""
from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refquant.hardware import checks
from refquant.hardware.scaling import Scale, scaled
from refquant.integers import flags as flag
from refquant.integers.formats import IntFormat, as_int64
from refquant.integers.multiplier import multiplier_from_scale
from refquant.integers.rounding import Rounding, floor, half_even
from refquant.integers.stochastic import Stochastic

__all__ = ["Constants", "Update", "constants", "updated"]

S32, S48 = IntFormat(32), IntFormat(48)
MOMENTUM_BITS = 15


class Constants(NamedTuple):
    """The three scales of an update, each (multiplier, shift), two integers; see `constants`.

    g : of gradients, in units of v.  decay : of w, in units of v; multiplier 0 is none.  rate : of v, in units of w.

    Raises nothing of its own.

    Source: refquant's own.
    """

    g: Scale
    decay: Scale
    rate: Scale


def constants(rate: float | Fraction, g_scale: float | Fraction, w_scale: float | Fraction, v_scale: float | Fraction,
              decay: float | Fraction = 0) -> Constants:
    """The integer scales of a learning rate and a weight decay, from the units of g, w and v; all taken exactly.

    rate, g_scale, w_scale, v_scale, decay : one number each, a float, an int or a Fraction.

    Raises ValueError for a rate or a unit that is not positive and finite, a decay that is negative or not finite, or
    a ratio of 2^30 or more.

    Source: refquant's own, by `refquant.integers.multiplier_from_scale`.
    """
    for name, value in {"rate": rate, "g_scale": g_scale, "w_scale": w_scale, "v_scale": v_scale}.items():
        checks.positive(name, value)
    checks.not_negative("decay", decay)
    w_unit, v_unit = Fraction(w_scale), Fraction(v_scale)
    return Constants(multiplier_from_scale(Fraction(g_scale) / v_unit),
                     multiplier_from_scale(Fraction(decay) * w_unit / v_unit) if decay else (0, 1),
                     multiplier_from_scale(Fraction(rate) * v_unit / w_unit))


class Update(NamedTuple):
    """What `updated` returns, all of w's shape, any shape.

    d : the gradient with the decay, int64 within s48.  v : v', int32.
    rounded : the integer taken from w, int64 within s48.
    w : w', in w_format's dtype.  flags : uint8 (`refquant.integers.flags`).

    Raises nothing of its own.

    Source: refquant's own.
    """

    d: np.ndarray
    v: np.ndarray
    rounded: np.ndarray
    w: np.ndarray
    flags: np.ndarray


def updated(w: ArrayLike, v: ArrayLike, g: ArrayLike, constants: Constants, *, momentum: int, nesterov: bool,
            w_format: IntFormat, rbits: Stochastic, rounding: str | Rounding = half_even) -> Update:
    """One step of integer weights ``w`` with memory ``v`` by gradients ``g``, all of one shape.

    w, v, g : integers, any shape, in the units that ``constants`` was made for.
    constants : `Constants`.  momentum : 0..2^15, in 2^-15.  nesterov : whether Nesterov's.
    w_format : IntFormat of the master weights.
    rbits : `Stochastic`, the random bits of each weight, of w's shape.
    rounding : of all but the step, a mode or its name. Flags: SATURATED_* of w', ROUNDED_UP_BY_CHANCE.

    Raises ValueError for shapes that differ, w outside w_format, v outside s32, d or a step outside s48, and another
    momentum or rounding; TypeError for what is not integers; OverflowError where a scaled value leaves int64.

    Source: SGD with momentum, Nesterov's and weight decay as PyTorch defines them, in integers by refquant.
    """
    w, v = checks.within(w_format, "w", as_int64(w, "w")), checks.within(S32, "v", as_int64(v, "v"))
    checks.shape("v", v, w.shape)
    checks.shape("g", g, w.shape)
    checks.random_bits("rbits", rbits, w.shape)
    checks.integer("momentum", momentum, 0, 1 << MOMENTUM_BITS)
    d = direction(w, g, constants, rounding)
    v = accumulated(v, d, momentum, rounding)
    m = accumulated(v, d, momentum, rounding) if nesterov else v
    return Update(d, v, *moved(w, m, constants.rate, w_format, rbits))


def direction(w: ArrayLike, g: ArrayLike, constants: Constants, rounding: str | Rounding) -> np.ndarray:
    """d, the gradient with the weight's decay: int64, within s48."""
    return _within_s48(scaled(g, *constants.g, rounding) + scaled(w, *constants.decay, rounding), "d")


def accumulated(v: ArrayLike, d: np.ndarray, momentum: int, rounding: str | Rounding) -> np.ndarray:
    """``saturate(momentum v + d, s32)``."""
    return S32.saturate(scaled(v, momentum, MOMENTUM_BITS, rounding) + d)


def moved(w: ArrayLike, m: ArrayLike, rate: Scale, w_format: IntFormat,
          rounding: Rounding | Stochastic) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(rounded s48, w', flags)``: ``w - round(m rate)``, saturated."""
    rounded = _within_s48(scaled(m, *rate, rounding), "the step")
    after = as_int64(w, "w") - rounded
    chance = flag.of_chance(rounded, scaled(m, *rate, floor), rounding)
    return rounded, w_format.saturate(after), flag.of_codes(after, w_format, "saturate") | chance


def _within_s48(values: np.ndarray, name: str) -> np.ndarray:
    if not S48.contains(values):
        raise ValueError(f"{name} reaches from {values.min()} to {values.max()}: expected s48")
    return values
