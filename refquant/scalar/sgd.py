"""One step of gradient descent on a master weight that is an integer: weight decay, momentum, stochastic rounding.

Each constant is multiplier / 2^shift, and round is one of the ten modes:
  d  = round(g * g_multiplier / 2^g_shift) + round(w * decay_multiplier / 2^decay_shift)
  v' = saturate(round(v * momentum / 2^15) + d)           in 32 bits; momentum 0 ... 2^15 is 0 ... 1
  m  = v', with Nesterov's momentum saturate(d + round(v' * momentum / 2^15))
  w' = saturate(w - floor(m * rate_multiplier / 2^rate_shift + r / 2^n))                  r the n random bits
A decay multiplier of 0 is no weight decay.
"""
from fractions import Fraction

from .formats import into_format, saturate
from .rounding import chance_flag
from .scaling import scaled
from .steps import silent

__all__ = ["updated"]

MOMENTUM_BITS, VELOCITY_BITS = 15, 32


def updated(w, v, g, g_multiplier, g_shift, decay_multiplier, decay_shift, rate_multiplier, rate_shift, momentum,
            nesterov, bits_of_w, rounding, rbits, n, *, note=silent):
    """A dict of one weight's step: d, the new v, the ``rounded`` number that is taken from w, the new w, and its flags.

    w, v, g : one int each: the weight, its velocity, its gradient.
    g_multiplier, g_shift, decay_multiplier, decay_shift, rate_multiplier, rate_shift : one int each, shifts 0 ... 255;
        a decay multiplier of 0 is no weight decay.
    momentum : one int in 2^-15, 0 ... 2^15.
    nesterov : a boolean.
    bits_of_w : of the signed weight, 2 ... 64.
    rounding : one of the ten modes, of all but the step itself.
    rbits, n : the step's random number, 0 ... 2^n - 1, and n, 1 ... 63.
    note : told each step as a line of text.

    Flags 4 and 8: w saturated; 32: the rounding went up by chance.

    Raises ValueError for a momentum outside 0 ... 2^15, for a shift, bits or n outside these, an unknown rounding, and
    random bits that do not fit.

    Source: chapters/hardware/training_steps.md, "A step", 4: SGD as PyTorch has it (momentum, Nesterov, decay in the
    gradient), on integers.
    """
    if not 0 <= momentum <= 1 << MOMENTUM_BITS:
        raise ValueError(f"momentum {momentum} outside 0 ... {1 << MOMENTUM_BITS}")
    note(f"gradient {g}")
    d = scaled(g, g_multiplier, g_shift, rounding, note=note)
    if decay_multiplier:
        note(f"decay of weight {w}")
        d += scaled(w, decay_multiplier, decay_shift, rounding, note=note)
        note(f"together {d}")
    velocity = _pushed(v, d, momentum, rounding, note)
    move = _pushed(velocity, d, momentum, rounding, note) if nesterov else velocity
    rounded = scaled(move, rate_multiplier, rate_shift, "stochastic", rbits, n, note=note)
    chance = chance_flag(Fraction(move * rate_multiplier, 1 << rate_shift), rounded)
    note(f"weight {w} - {rounded} = {w - rounded}")
    weight, ends = into_format(w - rounded, bits_of_w, True, False, "saturate", note=note)
    return {"d": d, "v": velocity, "rounded": rounded, "w": weight, "flags": ends | chance}


def _pushed(v, d, momentum, rounding, note):
    """What momentum keeps of the velocity v, and d, in 32 bits."""
    note(f"velocity {v}, momentum {momentum}")
    kept = scaled(v, momentum, MOMENTUM_BITS, rounding, note=note)
    note(f"+ {d} = {kept + d}")
    return saturate(kept + d, VELOCITY_BITS, True, note=note)
