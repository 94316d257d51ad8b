"""Strategies for integer tensors: formats, codes, adversarial operands, tensors with scales and zero points."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from refquant.golden.stimuli import SETS as FILLS
from refquant.hardware.checks import integer
from refquant.integers.fixed import Fixed
from refquant.integers.formats import IntFormat
from refquant.testing import checks

Shape = tuple[int, ...]
Shapes = Shape | st.SearchStrategy[Shape]

SETS = (*FILLS, "random")
"""The named sets of operands: zeros, all_max, all_min, max_then_minus_ones, single_bit, alternating, ramp, random.

Raises nothing of its own; see `operands`, which draws them in any shape.

Source: refquant's own; all but random are the stimuli of the golden vectors.
"""


def shapes(least: int = 0, most: int = 3, side: int = 8) -> st.SearchStrategy[Shape]:
    """Shapes of ``least`` to ``most`` axes, each of 1 to ``side`` elements.

    least, most, side : one int each; 0 to 32 axes, and 1 or more.

    Raises ValueError, when called, for numbers outside these.

    Source: refquant's own; Hypothesis' array_shapes.

        >>> shapes(2, 2, side=4).example()  # doctest: +SKIP
        (3, 1)
    """
    checks.between(least, most, 0, 32)
    integer("side", side, 1, 1 << 31)
    return array_shapes(min_dims=least, max_dims=most, min_side=1, max_side=side)


def formats(least: int = 2, most: int = 16, signed: bool | None = None,
            narrow: bool | None = None) -> st.SearchStrategy[IntFormat]:
    """Integer formats of ``least`` to ``most`` bits (2 to 64); ``signed`` and ``narrow`` as said, or drawn.

    A narrow format is signed. Shrinks toward few bits, unsigned.

    least, most : one int each.
    signed, narrow : a boolean each, or None.

    Raises ValueError, when called, for bits outside these; when drawn, for narrow formats that are said to be unsigned.

    Source: refquant's own.

        >>> formats(4, 8, signed=True).example()  # doctest: +SKIP
        IntFormat(bits=8, signed=True, narrow=True)
    """
    checks.between(least, most, 2, 64)
    return _formats(least, most, signed, narrow)


@st.composite
def _formats(draw: st.DrawFn, least: int, most: int, signed: bool | None, narrow: bool | None) -> IntFormat:
    sign = draw(st.booleans()) if signed is None and not narrow else signed is not False
    return IntFormat(draw(st.integers(least, most)), sign,
                     bool(narrow) if narrow is not None or not sign else draw(st.booleans()))


def codes(format: IntFormat, shape: Shapes | None = None) -> st.SearchStrategy[np.ndarray]:
    """Arrays of codes of ``format``, in its dtype: each any code, or one at an edge: qmin, qmax, 0, a neighbour.

    format : an `IntFormat`.
    shape : a shape, or a strategy of shapes; drawn by `shapes` unless given.

    Raises ValueError, when called, for a ``format`` that is none.

    Source: refquant's own; Hypothesis' arrays.

        >>> codes(IntFormat(4), (2, 3)).example()  # doctest: +SKIP
        array([[-8,  7,  0],
               [ 3, -1, -8]], dtype=int8)
    """
    checks.format("format", format)
    edges = sorted({min(max(edge, format.qmin), format.qmax) for edge in (
        format.qmin, format.qmin + 1, -1, 0, 1, format.qmax - 1, format.qmax)}, key=abs)
    one = st.sampled_from(edges) | st.integers(format.qmin, format.qmax)
    return arrays(format.dtype, shapes() if shape is None else shape, elements=one, fill=one)


def operands(format: IntFormat, shape: Shapes | None = None,
             sets: tuple[str, ...] = SETS) -> st.SearchStrategy[np.ndarray]:
    """Codes that break kernels: one of the named ``sets`` that the golden vectors use, or `codes` ("random").

    format : an `IntFormat`.
    shape : a shape, or a strategy of shapes; drawn by `shapes` unless given.
    sets : some of `SETS`.

    zeros, all_max, all_min: one code everywhere.  max_then_minus_ones: the largest, then -1 (unsigned: 1), a sum that
    swings.  single_bit: one power of two a row, the sign bit included.  alternating: largest, smallest, largest.
    ramp: every code in order.

    Raises ValueError, when called, for a ``format`` that is none, and for unknown sets or none.

    Source: refquant's own: the stimuli of the golden vectors.

        >>> operands(IntFormat(8), (2, 4), sets=("max_then_minus_ones",)).example()  # doctest: +SKIP
        array([[127,  -1,  -1,  -1],
               [ -1,  -1,  -1,  -1]], dtype=int8)
    """
    checks.format("format", format)
    checks.some("sets", sets, SETS)
    return _operands(format, shape, sets)


@st.composite
def _operands(draw: st.DrawFn, format: IntFormat, shape: Shapes | None, sets: tuple[str, ...]) -> np.ndarray:
    chosen = draw(st.sampled_from(sets))
    if chosen == "random":
        return draw(codes(format, shape))
    drawn = draw(_strategy(shapes() if shape is None else shape))
    return FILLS[chosen](format, drawn)


def fixed(format: IntFormat | st.SearchStrategy[IntFormat] | None = None, shape: Shapes | None = None, *,
          per_channel: bool | None = None, zero_points: bool = True,
          sets: tuple[str, ...] = SETS) -> st.SearchStrategy[Fixed]:
    """Tensors of codes with a scale and a zero point, `Fixed`: per tensor, or per channel along any axis.

    format : a format, or a strategy of formats; drawn by `formats` unless given.
    shape : a shape, or a strategy of shapes; drawn by `shapes` unless given.
    per_channel : as said, or drawn; a tensor without axes has no channels.
    zero_points : codes of the format, or all 0.
    sets : some of `SETS`, of the codes.

    Scales are float64 from 2^-20 to 2^10, one or [C], many of them powers of two, whose products are exact.

    Raises ValueError, when called, for a ``format`` that is neither, and for unknown sets or none.

    Source: refquant's own.

        >>> fixed(IntFormat(8), (2, 3), per_channel=True).example()  # doctest: +SKIP
        Fixed(codes=..., scale=array([0.5, 0.0123]), format=IntFormat(...), zero_point=array([0, -128]), axis=0)
    """
    checks.format_or_strategy("format", format)
    checks.some("sets", sets, SETS)
    return _fixed(_strategy(formats() if format is None else format), shape, per_channel, zero_points, sets)


@st.composite
def _fixed(draw: st.DrawFn, format: st.SearchStrategy[IntFormat], shape: Shapes | None, per_channel: bool | None,
           zero_points: bool, sets: tuple[str, ...]) -> Fixed:
    chosen = draw(format)
    values = draw(operands(chosen, shape, sets))
    channels = bool(values.ndim) and (draw(st.booleans()) if per_channel is None else per_channel)
    axis = draw(st.integers(0, values.ndim - 1)) if channels else None
    size = (values.shape[axis],) if axis is not None else ()
    scales = st.integers(-20, 10).map(lambda e: 2.0**e) | st.floats(2.0**-20, 2.0**10)
    scale = draw(arrays(np.float64, size, elements=scales))
    within = IntFormat(min(chosen.bits, 31), chosen.signed, chosen.narrow)  # zero points are int32
    zero_point = draw(codes(within, size)).astype(np.int64) if zero_points else np.zeros(size, np.int64)
    return Fixed(values, scale, chosen, zero_point, axis)


def _strategy(given: Any) -> st.SearchStrategy[Any]:
    return given if isinstance(given, st.SearchStrategy) else st.just(given)
