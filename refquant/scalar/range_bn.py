"""Range batch normalization in integers, one channel at a time (Banner et al. 2018, arXiv 1805.11046, eq. 1-2).

n values x of a channel in the order (b, h, w), in `chunks` equal runs; F = fraction_bits, G = normal_bits, P = 30.
constants (mean_multiplier, mean_shift, c_multiplier, c_shift): 2^F / n and C(n / chunks) / chunks * 2^F,
C(m) = 1 / sqrt(2 ln m).

S       = sum of x,   R = sum over the chunks of max - min
mean    = round(S mean_multiplier / 2^mean_shift)                                in 2^-F
width   = max(round(R c_multiplier / 2^c_shift) + epsilon, 1)                    in 2^-F
inverse = round(2^P / width)
x_hat   = round((x 2^F - mean) inverse / 2^(P - G))                              in 2^-G
y       = saturate(round((gamma x_hat + beta) / 2^y_shift), y_format)
running = running + round((batch - running) momentum / 2^15)                     of mean and of width

dbeta   = sum of g
dgamma  = round(sum of g x_hat / 2^(G - F))                                      in 2^-F
g_mean  = round(dbeta mean_multiplier / 2^mean_shift)                            in 2^-F
pull    = round(dgamma c_multiplier / 2^(c_shift + F))                           in 2^-F
u       = g 2^F - g_mean - pull sign,   sign = 1 at a chunk's first maximum, -1 at its first minimum, else 0
dx      = saturate(round(gamma round(u inverse / 2^(P - G)) / 2^dx_shift), dx_format)

Where a chunk is constant, its first maximum is its first minimum, and the two signs cancel. The zero points of x
cancel. Every rounding is the same one of the ten.
"""
from .formats import into_format, parse, saturate
from .rounding import round_shift
from .scaling import divide, scaled
from .steps import note_some, silent

__all__ = ["backward_channel", "extremes", "forward_channel"]

INVERSE_BITS = 30  # P
MOMENTUM_BITS = 15


def forward_channel(values, gamma, beta, constants, running_mean, running_width, *, fraction_bits, normal_bits, chunks,
                    epsilon, y_shift, y_format, momentum, rounding, note=silent):
    """A dict of one channel: sum, range, mean, width, inverse, x_hat, y and flags [n], running_mean, running_width.

    values : one row of n ints, in the order (b, h, w).
    gamma, beta : one int each; beta in gamma's unit times 2^-G.
    constants : (mean_multiplier, mean_shift, c_multiplier, c_shift), four ints.
    running_mean, running_width : one int each, in 2^-F; the dict holds the new ones.
    fraction_bits, normal_bits : F, and G of at most 30.
    chunks : how many runs n is cut into.
    epsilon : one int, added to the width, in 2^-F.
    y_shift, y_format : 0 ... 63, and a name such as s8.
    momentum : weight of the batch, one int in 2^-15.
    rounding : one of the ten modes.
    note : told each step as a line of text.

    flags are y's: 4 saturated low, 8 high.

    Raises ValueError where the chunks do not divide the values equally, for no values, for a G above 30, and for an
    unknown rounding, format or shift.

    Source: Banner 2018, eq. 1-2: (x - mean) / (C(n) range); chunks and epsilon are the authors' code's.
    """
    found = _statistics(values, constants, fraction_bits, chunks, epsilon, rounding, note)
    x_hat = _normalized(values, found, fraction_bits, normal_bits, rounding, note)
    bent = [gamma * normal + beta for normal in x_hat]
    bits, signed, narrow = parse(y_format)
    answers = [into_format(round_shift(number, y_shift, rounding), bits, signed, narrow, "saturate") for number in bent]
    note_some(len(x_hat), lambda i: f"{gamma} x {x_hat[i]} + {beta} = {bent[i]}, / 2^{y_shift}, {rounding}, saturated: "
                                    f"{answers[i][0]}", note)
    return {**found, "x_hat": x_hat, "y": [code for code, _ in answers], "flags": [flags for _, flags in answers],
            "running_mean": _moved(running_mean, found["mean"], momentum, rounding, note),
            "running_width": _moved(running_width, found["width"], momentum, rounding, note)}


def backward_channel(values, g_values, gamma, constants, *, fraction_bits, normal_bits, chunks, epsilon, dx_shift,
                     dx_format, rounding, note=silent):
    """A dict of one channel: sum, range, mean, width, inverse, x_hat [n], dbeta, dgamma, g_mean, pull, u [n], dx [n].

    values, g_values : one row of n ints each, in the order (b, h, w).
    gamma, constants, fraction_bits, normal_bits, chunks, epsilon, rounding : as in `forward_channel`.
    dx_shift, dx_format : 0 ... 63, and a name such as s8.
    note : told each step as a line of text.

    Raises ValueError as `forward_channel`, if the two n differ, and for a ``normal_bits`` below ``fraction_bits``.

    Source: derived from Banner 2018, eq. 1-2 and section 7: the derivative of y, that of max and min at the first place
    where each is attained, as in the authors' code.
    """
    if len(g_values) != len(values) or normal_bits < fraction_bits:
        raise ValueError(f"{len(values)} values with {len(g_values)} gradients, normal_bits {normal_bits} with "
                         f"fraction_bits {fraction_bits}: expected as many gradients, and no fewer normal_bits")
    found = _statistics(values, constants, fraction_bits, chunks, epsilon, rounding, note)
    x_hat = _normalized(values, found, fraction_bits, normal_bits, rounding, note)
    mean_multiplier, mean_shift, c_multiplier, c_shift = constants
    dbeta = sum(g_values)
    note(f"dbeta, the sum of g: {dbeta}; times 1 / n:")
    g_mean = scaled(dbeta, mean_multiplier, mean_shift, rounding, note=note)
    moment = sum(g * normal for g, normal in zip(g_values, x_hat, strict=True))
    note(f"sum of g x_hat: {moment}")
    dgamma = round_shift(moment, normal_bits - fraction_bits, rounding, note=note)
    note("the pull on the extremes:")
    pull = scaled(dgamma, c_multiplier, c_shift + fraction_bits, rounding, note=note)
    signs = extremes(values, chunks)
    u = [(g << fraction_bits) - g_mean - pull * sign for g, sign in zip(g_values, signs, strict=True)]
    over_width = [scaled(number, found["inverse"], INVERSE_BITS - normal_bits, rounding) for number in u]
    dx = [saturate(round_shift(gamma * number, dx_shift, rounding), *parse(dx_format)) for number in over_width]
    note_some(len(u), lambda i: f"g {g_values[i]} x 2^{fraction_bits} - {g_mean} - {pull} x {signs[i]} = {u[i]}; over "
                                f"the width {over_width[i]}; x {gamma}, / 2^{dx_shift}, {rounding}, saturated: {dx[i]}",
              note)
    return {**found, "x_hat": x_hat, "dbeta": dbeta, "dgamma": dgamma, "g_mean": g_mean, "pull": pull, "u": u, "dx": dx}


def extremes(values, chunks, *, note=silent):
    """The signs of n values, one row: 1 at each chunk's first maximum, -1 at its first minimum, 0 elsewhere or at both.

    values : one row of n ints.
    chunks : how many equal runs they are cut into.
    note : told each step as a line of text.

    Raises ValueError where the chunks do not divide the values equally, and for no values.

    Source: Banner 2018, section 7: the derivative of max (min) is 1 where it is attained; of several places refquant
    takes the first, so that the sum of dx is 0.
    """
    signs = []
    for chunk in _chunks(values, chunks):
        signs += [0] * len(chunk)
        first = len(signs) - len(chunk)
        signs[first + chunk.index(max(chunk))] += 1
        signs[first + chunk.index(min(chunk))] -= 1
    note(f"extremes: {signs}")
    return signs


def _statistics(values, constants, fraction_bits, chunks, epsilon, rounding, note):
    """sum, range, mean, width and inverse."""
    mean_multiplier, mean_shift, c_multiplier, c_shift = constants
    total = sum(values)
    note(f"sum of {len(values)} values {total}; its mean in 2^-{fraction_bits}:")
    mean = scaled(total, mean_multiplier, mean_shift, rounding, note=note)
    spread = sum(max(chunk) - min(chunk) for chunk in _chunks(values, chunks))
    note(f"range, of {chunks} chunks together, {spread}; the width in 2^-{fraction_bits}:")
    width = max(scaled(spread, c_multiplier, c_shift, rounding, note=note) + epsilon, 1)
    note(f"+ epsilon {epsilon}, at least 1: {width}; its inverse:")
    inverse = divide(1 << INVERSE_BITS, width, rounding, note=note)
    return {"sum": total, "range": spread, "mean": mean, "width": width, "inverse": inverse}


def _normalized(values, found, fraction_bits, normal_bits, rounding, note):
    """x_hat."""
    mean, inverse = found["mean"], found["inverse"]
    centered = [(x << fraction_bits) - mean for x in values]
    x_hat = [scaled(number, inverse, INVERSE_BITS - normal_bits, rounding) for number in centered]
    note_some(len(values), lambda i: f"{values[i]} x 2^{fraction_bits} - {mean} = {centered[i]}; x {inverse}, "
                                     f"/ 2^{INVERSE_BITS - normal_bits}, {rounding}: {x_hat[i]}", note)
    return x_hat


def _moved(running, batch, momentum, rounding, note):
    after = running + scaled(batch - running, momentum, MOMENTUM_BITS, rounding)
    note(f"running {running} moved towards {batch} by {momentum} / 2^{MOMENTUM_BITS}: {after}")
    return after


def _chunks(values, chunks):
    if chunks < 1 or len(values) % chunks or not values:
        raise ValueError(f"{len(values)} values do not divide into {chunks} equal chunks")
    length = len(values) // chunks
    return [values[first:first + length] for first in range(0, len(values), length)]
