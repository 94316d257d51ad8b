"""Strategies for accumulators and requantization, and the accumulators that tell one rounding from another.

The code that a requantization gives never falls as the accumulator grows. So for every code k there is a largest
accumulator whose code is at most k, and the code of the next one is more. If an accumulator is exactly halfway, it is
one of these two, whichever way ties go; if none is, they are the nearest to halfway, one on either side. Bisection
finds them, for every flavour and every rounding, and need not know how either computes.
"""
from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import ArrayLike

from refquant.hardware.checks import integer
from refquant.integers.accumulator import OVERFLOWS as ON_OVERFLOW
from refquant.integers.accumulator import Accumulator
from refquant.integers.formats import IntFormat
from refquant.integers.quantize import OVERFLOWS, ZERO_POINT_AT
from refquant.integers.requantize import FLAVOURS, LIMITS, parameters, requantize
from refquant.integers.rounding import MODES
from refquant.testing import checks
from refquant.testing.tensors import Shapes, codes, formats, shapes

MOST_BITS = 16  # of the codes
WIDE = IntFormat(32)  # holds every code, saturated or not, of a format of 16 bits or fewer


@dataclass(frozen=True, eq=False)
class Requantization:
    """The arguments of `refquant.integers.requantize`, all but the accumulators; call it on them for their codes.

    flavour : one of requantize's names.
    multiplier, shift, scale : one number, or with ``axis`` one a channel [C]; those that the flavour takes.
    rounding : of the flavour "shift", a mode's name.
    zero_point, zero_point_at : one int, "after" the last rounding or "before" it.
    format, overflow : of the codes, and "saturate" or "wrap".
    axis : of the channels.

    Called with accumulators of any shape, it returns codes of that shape in the format's dtype.

    Raises ValueError, when called, as `refquant.integers.requantize`.

    Source: as `refquant.integers.requantize`.
    """

    flavour: str
    multiplier: int | np.ndarray | None = None
    shift: int | np.ndarray | None = None
    scale: np.float32 | np.ndarray | None = None
    rounding: str | None = None
    zero_point: int = 0
    zero_point_at: str = "after"
    format: IntFormat = IntFormat(8)  # noqa: RUF009
    overflow: str = "saturate"
    axis: int | None = None

    def __call__(self, acc: ArrayLike) -> np.ndarray:
        """The codes of ``acc``; errors as of `requantize`."""
        return requantize(acc, **{field.name: getattr(self, field.name) for field in fields(self)})


def accumulators(least: int = 16, most: int = 48,
                 overflows: tuple[str, ...] = ("wrap", "saturate_running", "saturate_final")
                 ) -> st.SearchStrategy[Accumulator]:
    """Accumulators of ``least`` to ``most`` bits, and what they do on overflow.

    least, most : one int each, 8 to 64.
    overflows : some of "wrap", "saturate_running", "saturate_final" and "error".

    Raises ValueError, when called, for bits outside these and for an unknown overflow.

    Source: refquant's own.

        >>> accumulators(24, 32).example()  # doctest: +SKIP
        Accumulator(bits=24, overflow='saturate_running')
    """
    checks.between(least, most, 8, 64)
    checks.some("overflows", overflows, ON_OVERFLOW)
    return st.builds(Accumulator, st.integers(least, most), st.sampled_from(overflows))


def requantizations(flavours: tuple[str, ...] = tuple(FLAVOURS), *,
                    format: IntFormat | st.SearchStrategy[IntFormat] | None = None, channels: int | None = None,
                    roundings: tuple[str, ...] = tuple(MODES), zero_point_at: tuple[str, ...] = ZERO_POINT_AT,
                    overflows: tuple[str, ...] = OVERFLOWS) -> st.SearchStrategy[Requantization]:
    """Parameters of a requantization: a flavour, its scale, a zero point of the output format.

    flavours : some of requantize's names.
    format : of the codes, at most 16 bits; or a strategy of formats; `formats` unless given.
    channels : as many scales [C], along the accumulators' last axis; one scale unless given.
    roundings : of the flavour "shift".
    zero_point_at, overflows : some of "after", "before", and of "saturate", "wrap".

    Raises ValueError, when called, for an unknown word, a ``format`` that is none or wider, and ``channels`` below 1.

    Source: refquant's own; scales from 2^-20 to 2, many at a power of two or next to one.

        >>> requantizations(("tosa_double",), format=IntFormat(8)).example()  # doctest: +SKIP
        Requantization(flavour='tosa_double', multiplier=1073741825, shift=38, ..., zero_point=-128, ...)
    """
    checks.some("flavours", flavours, FLAVOURS)
    if "shift" in flavours:
        checks.some("roundings", roundings, MODES)
    checks.some("zero_point_at", zero_point_at, ZERO_POINT_AT)
    checks.some("overflows", overflows, OVERFLOWS)
    checks.format_or_strategy("format", format, MOST_BITS)
    if channels is not None:
        integer("channels", channels, 1, 1 << 31)
    return _requantizations(flavours, format, channels, roundings, zero_point_at, overflows)


@st.composite
def _requantizations(draw: st.DrawFn, flavours: tuple[str, ...],
                     format: IntFormat | st.SearchStrategy[IntFormat] | None, channels: int | None,
                     roundings: tuple[str, ...], zero_point_at: tuple[str, ...],
                     overflows: tuple[str, ...]) -> Requantization:
    flavour = draw(st.sampled_from(flavours))
    if format is None:
        format = formats()
    chosen = format if isinstance(format, IntFormat) else draw(format)
    checks.format("format", chosen, MOST_BITS)
    _, least_shift, bits = LIMITS[flavour]
    top = 1 << max(bits - 1, 0)
    numbers: dict[str, st.SearchStrategy[int | float]] = {
        "multiplier": st.sampled_from([top, top + 1, 2 * top - 1]) | st.integers(top, 2 * top - 1),
        "shift": st.integers(max(least_shift, bits - 2), bits + 20),
        "scale": st.integers(-20, 1).map(lambda e: 2.0**e) | st.floats(2.0**-20, 2.0, width=32)}
    dtypes = {"multiplier": np.int64, "shift": np.int64, "scale": np.float32}
    wanted = parameters(flavour)
    size = () if channels is None else (channels,)
    drawn: dict[str, Any] = {name: draw(arrays(dtypes[name], size, elements=numbers[name]))[()]
                             for name in wanted if name in numbers}
    return Requantization(
        flavour, **drawn, rounding=draw(st.sampled_from(roundings)) if "rounding" in wanted else None,
        zero_point=int(draw(codes(chosen, ()))), zero_point_at=draw(st.sampled_from(zero_point_at)), format=chosen,
        overflow=draw(st.sampled_from(overflows)), axis=None if channels is None else -1)


def ties(requantization: Requantization, shape: Shapes | None = None,
         accumulator: IntFormat = IntFormat(32)) -> st.SearchStrategy[np.ndarray]:  # noqa: B008
    """Accumulators at the steps from one code to the next: exactly halfway where one is, else nearest to it.

    Two roundings of the same scale differ only here. The steps run from below qmin to above qmax, so that saturation is
    tried too; of steps that no accumulator reaches, the last that one does is taken.

    requantization : whose steps these are.
    shape : of the accumulators, or a strategy of shapes; drawn by `shapes` unless given, with the channels last.
    accumulator : their format: signed, of at most 32 bits (mul16: 48, shift: 62).

    Raises ValueError, when called, for another ``requantization`` or ``accumulator``; when drawn, for a requantization
    whose numbers are missing, and without a ``shape`` for channels that are not along the last axis.

    Source: refquant's own: bisection, which needs no more than that codes never fall as accumulators grow.

        >>> scale = Requantization("tosa_single", multiplier=1 << 30, shift=33)         # 1 / 8
        >>> ties(scale, (4,)).example()  # doctest: +SKIP
        array([  4, -13, 300,  -4], dtype=int32)
    """
    if not isinstance(requantization, Requantization):
        raise ValueError(f"requantization = {requantization!r}: expected a Requantization")
    checks.format("accumulator", accumulator)
    most = min(62, LIMITS[requantization.flavour][0])
    if not accumulator.signed or accumulator.bits > most:
        raise ValueError(f"accumulator = {accumulator}: expected a signed format of at most {most} bits for "
                         f"{requantization.flavour}")
    return _ties(requantization, shape, accumulator)


@st.composite
def _ties(draw: st.DrawFn, requantization: Requantization, shape: Shapes | None, accumulator: IntFormat) -> np.ndarray:
    size = _shape(draw, requantization, shape)
    format = requantization.format
    ends = st.sampled_from([format.qmin - 1, format.qmax])
    below = draw(arrays(np.int64, size, elements=st.integers(format.qmin - 1, format.qmax) | ends))
    above = draw(arrays(np.int64, size, elements=st.integers(0, 1)))
    lowest, highest = (_codes(np.full(size, end), requantization) for end in (accumulator.qmin, accumulator.qmax))
    reached = np.clip(below, lowest, np.maximum(lowest, highest - 1))
    return accumulator.saturate(last_at_most(reached, requantization, accumulator) + above)


def last_at_most(codes: np.ndarray, requantization: Requantization, accumulator: IntFormat) -> np.ndarray:
    """int64: for each of ``codes`` the largest accumulator that gives at most this code, or the smallest there is.

    The codes are those before saturation.
    """
    low, high = np.full(codes.shape, accumulator.qmin), np.full(codes.shape, accumulator.qmax)
    for _ in range(accumulator.bits):
        middle = low + (high - low + 1) // 2
        fits = _codes(middle, requantization) <= codes
        low, high = np.where(fits, middle, low), np.where(fits, high, np.maximum(low, middle - 1))
    return low


def _codes(acc: np.ndarray, requantization: Requantization) -> np.ndarray:
    """int64: the codes of ``acc`` before saturation."""
    return replace(requantization, format=WIDE, overflow="saturate")(acc).astype(np.int64)


def _shape(draw: st.DrawFn, requantization: Requantization, shape: Shapes | None) -> tuple[int, ...]:
    if shape is not None:
        return draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    if requantization.axis is None:
        return draw(shapes())
    channels = max(np.size(number) for number in (requantization.multiplier, requantization.shift, requantization.scale)
                   if number is not None)
    if requantization.axis != -1:
        raise ValueError(f"shape = None: expected a shape for channels along axis {requantization.axis}")
    return (*draw(shapes(most=2)), channels)
